/* SPDX-License-Identifier: MIT */
/*
 * store_inside: what the files of store share: store_journal.c, the state as entries; store_records.c, what comes;
 * store_sync.c, how it gets to the disk.
 */
#ifndef HOST_STORE_INSIDE_H
#define HOST_STORE_INSIDE_H

#include "store.h"

/* Every change begins here. False: nothing can be stored now. */
bool store_begin(struct store *store);
/* Keeps the first error; 0 is none. */
void store_failed(struct store *store, int error);
/* The state of no epoch. */
void store_clear(struct store *store);

/* The directory of its files: a descriptor, or a negative errno. */
int store_dir_open(struct store *store);
/* Rotates what is over its size, or has that done before more is taken. */
void store_rotate(struct store *store);
/* Until the syncer is done with it. What comes of that is in store->error. */
void store_wait(struct store *store);

/* Makes the transaction, for the journal's functions. whole: all there is; else what changed since the last one. */
void store_journal_put(const struct store *store, bool whole);
/* It says all there is. */
void store_journal_noted(struct store *store);

struct store_replay {
	struct store *store;
	struct sink_mark text, json;     /* of the last transaction */
};

/* 0, or a negative errno: -EBADMSG when it is no journal of ours. */
int store_journal_replay(struct store_replay *replay);

#endif
