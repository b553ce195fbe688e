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

#include "../vsock/wire.h"
#include "problem.h"
#include "secret.h"
#include "vmconfig.h"

struct source;

/*
 * Who decrypts: the file that fd has open, which is that of the credential called name, into vault, which is open and
 * has room for it. 0, or -1 with the problem set, which is put behind the file's name.
 */
struct source_decrypter {
	int (*decrypt)(void *arg, const char *name, int fd, struct secret_vault *vault,
		struct problem *problem);
	void *arg;
};

struct source_totals {
	size_t files, credentials;               /* how many; of files, regular ones */
	uint64_t file_bytes, credential_bytes;
};

/*
 * Scans credentials/, credentials.encrypted/ and files/ below dirfd and checks every name, type and limit; nothing is
 * read yet. dir is for messages. Without credentials (secrets false), the first two are not looked at. NULL with the
 * problem set. Keeps neither config nor dirfd. Sleeps up to 10 ms where something changed less than that ago (see
 * source.c).
 */
struct source *source_create(const struct vmconfig *config, int dirfd, const char *dir, bool secrets,
	struct problem *problem);
/*
 * Appends whole frames to out until the next does not fit (out->full stays false) or COMMIT was written. There is
 * always progress where out has room for WIRE_FRAME_MAX bytes; the frames are the same whatever the room. 1: call
 * again; 0: COMMIT was written; -1: the directory changed or could not be read, with the problem set: the session
 * must be cut. Then out may end with whole frames that are of no use, never with a part of one.
 */
int source_next(struct source *source, struct wire_out *out, struct problem *problem);
/* Without one, encrypted credentials are a problem when their turn comes. It is not copied. */
void source_decrypts(struct source *source, const struct source_decrypter *decrypter);
unsigned source_credentials(const struct source *source);        /* how many */
struct source_totals source_totals(const struct source *source);
void source_destroy(struct source *source);

#endif
