/* SPDX-License-Identifier: MIT */
/*
 * batch: lines on their way to the files of a store, and to its followers. There is one for all stores, so that a
 * guest at rest costs no memory: whoever begins a batch ends it before anybody else begins one.
 */
#ifndef HOST_BATCH_H
#define HOST_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

#define BATCH_BYTES (512 << 10)  /* written out at the latest when there is so much */

void batch_begin(struct store *store);
void batch_piece(void *store, const struct line_piece *piece);   /* a line_emit */
void batch_note(struct store *store, const struct logline_note *note);
/* Writes out. False: it was not this store's. An error is in store->error. */
bool batch_end(struct store *store);
/* Forgets what was not written. */
void batch_drop(const struct store *store);
/* To followers only, and at once. */
void batch_show(struct store *store, const struct line_piece *piece);
uint64_t batch_wall_ns(void);

#endif
