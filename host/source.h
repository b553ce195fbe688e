/* SPDX-License-Identifier: MIT */
/*
 * source: a machine's directory as the stream of a boot session, from the first record to COMMIT.
 *
 * Files and credentials are read in place, a frame at a time, into the caller's (locked) memory, and never kept. What
 * changes while it is being read is noticed before COMMIT: a guest gets the old directory or the new one, never a
 * mixture.
 */
#ifndef HOST_SOURCE_H
#define HOST_SOURCE_H

#include "problem.h"
#include "vmconfig.h"
#include "../vsock/wire.h"

struct source;

/*
 * Scans credentials/ and files/ below dirfd and checks every name, type and limit; nothing is read yet. dir is for
 * messages. Without credentials (secrets false), credentials/ is not looked at. NULL with the problem set.
 */
struct source *source_create(const struct vmconfig *config, int dirfd, const char *dir, bool secrets,
	struct problem *problem);
/*
 * Appends whole frames to out until it is full or COMMIT was written. 1: call again; 0: COMMIT was written; -1: the
 * directory changed or could not be read, with the problem set: the session must be cut.
 */
int source_next(struct source *source, struct wire_out *out, struct problem *problem);
unsigned source_credentials(const struct source *source);        /* how many */
void source_destroy(struct source *source);

#endif
