/* SPDX-License-Identifier: MIT */
/* daemonconfig: hawserd.json and the command line of hawserd, checked and typed. */
#ifndef HOST_DAEMONCONFIG_H
#define HOST_DAEMONCONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "problem.h"
#include "user.h"

#define DAEMONCONFIG_FILE "/etc/hawser/hawserd.json"

enum { DAEMONCONFIG_SYNC_WRITE, DAEMONCONFIG_SYNC_FDATASYNC };

struct daemonconfig {
	/* Of the file. */
	char *vms, *state, *runtime;             /* directories */
	char *audit;                             /* the directory of the audit log; NULL: below state */
	char *metrics;                           /* where scrapers connect; NULL: nowhere */
	char *user, *reader_user;                /* names or numbers; NULL: as docs/SECURITY.md says */
	uint32_t port;                           /* the base: boot, +1 log */
	bool vsock;                              /* listen on AF_VSOCK */
	uint32_t grace_ms, hello_timeout_ms;
	uint32_t connections_max;                /* from guests, in all; 0: as descriptors allow */
	uint32_t connections_vm_max;             /* from one machine */
	uint32_t hello_rate_vm;                  /* connections a second from one machine; 0: no limit */
	uint32_t open_logs_max;                  /* machines whose log files are open; 0: as descriptors allow */
	uint32_t followers_max;
	uint64_t log_bytes_vm;                   /* on disk, of all log files of a machine; 0: no limit */
	uint64_t log_rate_vm;                    /* bytes a second that are read of a machine's log; 0: no limit */
	bool log_text, log_json, log_stdout, log_journal;
	uint64_t log_max_bytes;
	uint32_t log_max_files;
	uint8_t log_sync;

	/* Only of the command line. */
	const char *file;
	bool check, die_with_parent;
	int ready_fd;                            /* -1: none */
	int log_level;

	struct user server, reader;              /* found by daemonconfig_users */
};

enum daemonconfig_result {
	DAEMONCONFIG_RUN,
	DAEMONCONFIG_SHOWN,      /* --help or --version were asked for, and printed */
	DAEMONCONFIG_USAGE,      /* wrong options; said on descriptor 2 */
	DAEMONCONFIG_WRONG,      /* the file; the problem is set */
};

/* Reads both, the command line last; a file that was not named need not exist. To be freed in any case. */
enum daemonconfig_result daemonconfig_read(struct daemonconfig *config, int argc, char **argv,
	struct problem *problem);
/* The file's part, from memory. 0, or -1 with the problem set. */
int daemonconfig_parse(struct daemonconfig *config, const char *text, size_t len, const char *file,
	struct problem *problem);
/* Finds the users that root's processes become. 0, or -1 with the problem set. */
int daemonconfig_users(struct daemonconfig *config, struct problem *problem);
void daemonconfig_defaults(struct daemonconfig *config);
void daemonconfig_free(struct daemonconfig *config);

#endif
