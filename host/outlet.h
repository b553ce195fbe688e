/* SPDX-License-Identifier: MIT */
/*
 * outlet: JSON lines of all machines on one descriptor that somebody else reads: a pipe to a log shipper, a file, a
 * terminal.
 *
 * What is put here counts as stored when it is written, not before: a store remembers how far it has put (mark), and
 * is not settled until the outlet has written so far. A reader that does not keep up fills the queue; then no log
 * session is read until he does. What was written cannot be taken back, so after a crash lines may come twice.
 */
#ifndef HOST_OUTLET_H
#define HOST_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "loop.h"

#define OUTLET_HIGH (1 << 20)    /* bytes that wait: no more are read from guests, */
#define OUTLET_LOW (256 << 10)   /* until there are no more than these */

struct outlet {
	struct loop *loop;
	int fd, slot;                    /* fd -1: none; the slot only while bytes wait for room */
	struct bytes bytes;              /* what waits */
	uint64_t queued, written;        /* in all */
	uint64_t own_dropped;            /* batches with nothing but hawserd's own lines, while it was full */
	int error;                       /* of the last write: 0 or a negative errno; it is tried again */
	bool crowded;                    /* has been over HIGH and not below LOW since */
	struct timer retry;
	void (*moved)(struct outlet *outlet);    /* more is written; never called from outlet_put */
};

/* Takes a descriptor of its own for fd, so that it is no other process's business that it does not block. */
int outlet_open(struct outlet *outlet, struct loop *loop, int fd, void (*moved)(struct outlet *outlet));
void outlet_close(struct outlet *outlet);
/* Whole lines. False: no memory, and none of them is taken. */
bool outlet_put(struct outlet *outlet, const char *lines, size_t len);
void outlet_event(struct outlet *outlet);
/* Waits so long at most for what is queued to be written. */
void outlet_drain(struct outlet *outlet, int timeout_ms);

static inline bool outlet_reached(const struct outlet *outlet, uint64_t mark)
{
	return outlet->written >= mark;
}

#endif
