/* SPDX-License-Identifier: MIT */
/* fetch: the boot session with the host (docs/PROTOCOL.md), from the CID to APPLIED. */
#ifndef INIT_FETCH_H
#define INIT_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../vsock/address.h"
#include "../vsock/frame.h"
#include "options.h"
#include "plan.h"
#include "ring.h"

#define FETCH_OUT 1024           /* the largest frame that goes out is a REFUSE */
#define FETCH_IN (8 * WIRE_FRAME_MAX)    /* what a vsock holds for its reader */
#define FETCH_ARENA (FETCH_OUT + FETCH_IN)

struct fetch {
	struct address host;
	int fd;                  /* -1: no session */
	void *arena;             /* secrets pass through here, and nowhere else */
	struct frame_buf in, out;
	bool welcomed;           /* the host has given a token */
	char why[256];           /* why the last attempt failed; never a byte of what came */
};

/*
 * Tries until the whole configuration is in the plan and COMMIT was right, or the deadline (CLOCK_BOOTTIME) passes.
 * 0, with the session still open, or -ETIMEDOUT with fetch->why set. When no attempt follows any more, here or in
 * fetch_finish, the relay gets the token through the ring's orders and begins the log session.
 */
int fetch_run(struct fetch *fetch, struct plan *plan, struct ring *ring, const struct options *options,
	uint64_t deadline_ns);
/* Ends the session: all is applied (why NULL), or could not be. */
void fetch_finish(struct fetch *fetch, struct ring *ring, const char *why);

#endif
