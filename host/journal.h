/* SPDX-License-Identifier: MIT */
/*
 * journal: a small file of whole transactions. Entries have the shape of wire frames; a transaction is any number of
 * them and a last one with their checksum, written with one write(). What a crash or a full disk tore at the end is
 * taken off, so a transaction is there whole or not at all.
 *
 * One transaction is made at a time, in a buffer that all journals share.
 */
#ifndef HOST_JOURNAL_H
#define HOST_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vsock/wire.h"

#define JOURNAL_DATA_MAX 32000   /* bytes that an entry can carry, less than a frame's payload */

struct journal {
	int fd;                  /* -1: not open */
	uint64_t size;           /* all of it whole transactions */
	uint64_t compact_at;     /* when it is time for journal_replace; kept while it is closed. 0: not known yet */
};

typedef bool journal_entry(void *context, const struct wire_frame *entry);

void journal_init(struct journal *journal);
/* Opens or makes the file. 0, or a negative errno. */
int journal_open(struct journal *journal, int dirfd, const char *name);
void journal_close(struct journal *journal);
/*
 * Hands every entry of every whole transaction to entry(), and cuts the file behind the last of them. False from
 * entry() means that it is none of ours: -EBADMSG. 0, or a negative errno.
 */
int journal_replay(struct journal *journal, journal_entry *entry, void *context);

/* Starts a transaction: entries are put into what is returned, with wire_begin and wire_end. */
struct wire_out *journal_begin(void);
/* Ends it: its bytes, good until the next one is started. NULL: it became too large. */
const uint8_t *journal_end(size_t *len);
/* Appends it. 0, or a negative errno: then the file is as it was. */
int journal_append(struct journal *journal, const uint8_t *bytes, size_t len);
/* The same, but the transaction becomes all there is, in one step. sync: it is on the disk first. */
int journal_replace(struct journal *journal, const uint8_t *bytes, size_t len, int dirfd, const char *name,
	bool sync);
int journal_sync(struct journal *journal);

#endif
