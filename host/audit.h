/* SPDX-License-Identifier: MIT */
/*
 * audit: a file of its own for who asked for a machine's configuration and secrets, and what became of it: JSON lines,
 *
 *     {"time":"2026-11-22T08:00:00.123456Z","vm":"web","epoch":"BOOT-ID","what":"boot","outcome":"served",
 *      "credentials":2}
 *
 * and never a value. docs/SECURITY.md names what can stand there. It rotates as the logs do.
 */
#ifndef HOST_AUDIT_H
#define HOST_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "sink.h"

#define AUDIT_FILE "audit.log"
#define AUDIT_NOBODY (-1)        /* no user of this host did it */

struct audit {
	struct sink sink;
	int dir;                 /* that it is in; -1: there is no audit log */
	bool sync;               /* each entry is on the disk before audit_write returns */
	uint64_t max_bytes;
	unsigned max_files;
	bool failing;            /* as was said */
};

struct audit_entry {
	const char *vm, *epoch;  /* NULL, or "" of an epoch: none */
	const char *what, *outcome;
	const char *reason;      /* NULL: none */
	int credentials;         /* how many were on their way; -1: not that kind of entry */
	int64_t uid;             /* of the tool's user, or AUDIT_NOBODY */
};

/* The directory is the caller's, and stays open. */
void audit_init(struct audit *audit, int dir, bool sync, uint64_t max_bytes, unsigned max_files);
void audit_finish(struct audit *audit);
void audit_reopen(struct audit *audit);  /* somebody may have moved the file away */
/* False: it could not be written, which was logged. What would be delivered then must not be. */
bool audit_write(struct audit *audit, const struct audit_entry *entry);

#endif
