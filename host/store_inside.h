/* SPDX-License-Identifier: MIT */
/* store_inside: what the files of store share: store_journal.c, the state as entries; store_records.c, what comes. */
#ifndef HOST_STORE_INSIDE_H
#define HOST_STORE_INSIDE_H

#include "store.h"

/* Every change begins here. False: nothing can be stored now. */
bool store_begin(struct store *store);
/* Keeps the first error; 0 is none. */
void store_failed(struct store *store, int error);
/* The state of no epoch. */
void store_clear(struct store *store);

/* Makes the transaction, for the journal's functions. whole: all there is; else what changed since the last one. */
void store_journal_put(const struct store *store, bool whole);
/* It is there. */
void store_journal_noted(struct store *store);

struct store_replay {
	struct store *store;
	struct sink_mark text, json;     /* of the last transaction */
};

/* 0, or a negative errno: -EBADMSG when it is no journal of ours. */
int store_journal_replay(struct store_replay *replay);

#endif
