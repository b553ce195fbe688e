/* SPDX-License-Identifier: MIT */
/* remote: a control session with a machine's guest (docs/PROTOCOL.md), as the command line's verbs have it. */
#ifndef HOST_REMOTE_H
#define HOST_REMOTE_H

#include <stdbool.h>

#include "../vsock/frame.h"
#include "../vsock/wire.h"
#include "problem.h"

#define REMOTE_ANSWER_MS 10000   /* for an answer that takes the guest no time */

struct remote {
	int fd;                          /* not blocking; -1: there is none */
	struct frame_buf in, out;
	uint8_t in_bytes[2 * WIRE_FRAME_MAX], out_bytes[2 * WIRE_FRAME_MAX];
};

/* fd: a connection on which the guest has said CTL_WELCOME; it is the session's from now on. */
void remote_init(struct remote *remote, int fd);
/* Has hawserd dial the guest. False: why not was said on stderr. runtime NULL: the system's hawserd. */
bool remote_open(struct remote *remote, const char *runtime, const char *vm, const char *verb);
void remote_close(struct remote *remote);

/* Queues a frame, for frame_flush; there must be room for it: 32 KiB when nothing is pending. */
void remote_put(struct remote *remote, const struct wire_control *frame);
/*
 * Reads standard input once and queues it, no more than there is credit for; what it was, for now, unless NULL. False:
 * it has ended, and END is queued.
 */
bool remote_put_input(struct remote *remote, uint32_t *credit, struct wire_text *taken);
/* The next frame that has come whole: 1, 0 when there is none yet, or -1 with the problem set: nonsense, or REFUSE. */
int remote_next(struct remote *remote, struct wire_control *frame, struct problem *problem);
/* Sends the verb and waits for its answer, of that type. False: what is wrong was said on stderr, as `hawser NAME`. */
bool remote_ask(struct remote *remote, const char *name, const struct wire_control *verb, uint16_t type,
	struct wire_control *answer);

#endif
