/* SPDX-License-Identifier: MIT */
/* tail: the last lines of a machine's log, read back from its files piece by piece, also while more is written. */
#ifndef HOST_TAIL_H
#define HOST_TAIL_H

#include <stddef.h>
#include <stdint.h>

#define TAIL_ALL UINT32_MAX

struct store;
struct tail;

/*
 * From the n-th last line on, and not from files that were last written to before `since` (seconds since 1970; 0: from
 * all). NULL: there is nothing, or no memory.
 */
struct tail *tail_open(const struct store *store, uint32_t n, uint64_t since);
/* The next lines as JSON, good until the next call. *len 0: that was all that is there now. */
const char *tail_next(struct tail *tail, size_t *len);
void tail_close(struct tail *tail);      /* NULL is nothing to do */

#endif
