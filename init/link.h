/* SPDX-License-Identifier: MIT */
/* link: the relay's log session with the host (docs/PROTOCOL.md): dials for ever, resumes, sends, hears ACKs. */
#ifndef INIT_LINK_H
#define INIT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "../vsock/address.h"
#include "../vsock/dial.h"
#include "../vsock/frame.h"
#include "ring.h"

enum link_state {
	LINK_PAUSED,             /* until the time to dial again has come; without a token, for ever */
	LINK_DIALLING,
	LINK_GREETING,           /* LOG_HELLO is out */
	LINK_UP,
};

struct link {
	struct address host;
	enum link_state state;
	int fd;
	struct backoff backoff;
	uint64_t until_ns;       /* of the pause, the attempt, the greeting, or the host's silence */
	uint64_t heard_ns;       /* when the host last made progress, or nothing was awaited of it */
	uint64_t sent;           /* the number of the next record to send */
	uint64_t ended;          /* what the last END said, plus 1; 0: none on this connection */
	bool button;             /* the host has pressed it */
	bool end_acked;          /* the host acknowledged an END, and nothing was sent since */
	struct frame_buf in, out;
	struct frame_run rest;   /* of the last frame, behind `out`, in the ring */
};

void link_init(struct link *link, const struct address *host, uint32_t seed);
/* The token has come, or changed: dials at once. A session that is up goes on; the next one has the new token. */
void link_start(struct link *link);
/* What to poll for (0: nothing), and when to call again at the latest (UINT64_MAX: no need). */
short link_events(const struct link *link);
uint64_t link_timer(const struct link *link, const struct ring *ring);
/* Does all that can be done without waiting. close: END is wanted once everything is sent. */
void link_run(struct link *link, struct ring *ring, short revents, bool close);
/* The host keeps up: it is worth to wait for room in the ring rather than to drop records. */
bool link_flows(const struct link *link, const struct ring *ring);
/* The host acknowledged an END for all there is. */
bool link_done(const struct link *link, const struct ring *ring);

#endif
