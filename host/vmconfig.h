/* SPDX-License-Identifier: MIT */
/* vmconfig: a machine's vm.json (docs/CONFIG.md), checked and typed. It holds no secret. */
#ifndef HOST_VMCONFIG_H
#define HOST_VMCONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

#define VMCONFIG_NAME_MAX 64     /* of a machine: letters, digits, ".", "_", "-" */
#define VMCONFIG_FILE_MAX (1 << 20)

struct vmconfig_mount {
	char *destination, *type, *source, *options;     /* options joined with commas */
};

struct vmconfig_sysctl {
	char *name, *value;
};

struct vmconfig {
	char *hostname;                          /* NULL: not given */

	size_t n_args, n_env, n_mounts, n_sysctls, n_groups;
	char **args, **env;                      /* process.args, process.env ("NAME=value") */
	char *cwd;                               /* "/" where not given */
	bool user_given;
	uint32_t uid, gid, groups[32];
	bool terminal;
	struct vmconfig_mount *mounts;
	struct vmconfig_sysctl *sysctls;

	uint32_t cid;                            /* hawser.cid: identity on AF_VSOCK; 0: not given */
	char *socket;                            /* hawser.socket: base path of its Unix sockets; NULL: not given */
	uint8_t restart, at_end;                 /* enum values of vsock/wire.h, here and below */
	uint16_t restarts_max;
	uint32_t stop_signal, stop_grace_ms;
	uint32_t log_ring;                       /* bytes */
	uint8_t log_full;
	bool log_full_given;
	uint32_t credential_mode, credential_uid, credential_gid;
	bool credential_once;                    /* delivered once, until an administrator rearms it */
	uint8_t power;
	uint32_t verbs;
	uint8_t handoff, handoff_flags;
	char *root_type, *root_source, *root_options, *root_init;        /* NULL but for switch_root */
	bool clock, entropy;

	uint32_t memory_mib, cpus;               /* hawser.machine: only `hawser run` looks at these */
	char *kernel_args;                       /* "" where not given */
};

/*
 * Reads DIR/vm.json strictly: unknown keys are refused with the nearest known one. dir is only for messages; the file
 * is opened below dirfd, without following symlinks. Returns NULL with the problem set. The result is immutable and
 * freed with vmconfig_destroy.
 */
struct vmconfig *vmconfig_load(int dirfd, const char *dir, struct problem *problem);
/* The same from memory; file is for messages. */
struct vmconfig *vmconfig_parse(const char *text, size_t len, const char *file, struct problem *problem);
/* Why a machine's directory could not be opened, with a hint for who named its vm.json. Returns -1. */
int vmconfig_dir_problem(const char *dir, int error, struct problem *problem);
/* Another workload: process.args replaced. False: empty, too long (docs/PROTOCOL.md, Bounds), or no memory. */
bool vmconfig_set_args(struct vmconfig *config, size_t n, char *const args[]);
/* No workload: somebody else runs it. */
void vmconfig_drop_args(struct vmconfig *config);
void vmconfig_destroy(struct vmconfig *config);
bool vmconfig_name_ok(const char *name);

#endif
