/* SPDX-License-Identifier: MIT */
/* dial: connections to a host that may not be there yet. Each attempt is a fresh socket: a used one never recovers. */
#ifndef VSOCK_DIAL_H
#define VSOCK_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"

#define DIAL_PAUSE_MIN_MS 10
#define DIAL_PAUSE_MAX_MS 500
#define DIAL_TIMEOUT_MS 500      /* of one attempt */

/* The pause before the next attempt: 10 ms, doubled each time up to 500 ms, less up to a half of it at random. */
struct backoff {
	unsigned pause_ms;
	uint32_t random;
};

void backoff_init(struct backoff *backoff, uint32_t seed);
unsigned backoff_next(struct backoff *backoff);          /* ms to wait now */
unsigned backoff_slow(struct backoff *backoff);          /* the same, at the longest pause */
void backoff_reset(struct backoff *backoff);

/* Starts an attempt. Returns a socket to poll for writing and then to give to dial_finish, or a negative errno. */
int dial_start(const struct address *to, bool privileged);
/* Returns fd, connected, or a negative errno with fd closed. */
int dial_finish(int fd);
/* One whole attempt, waiting up to timeout_ms. Returns a connected socket that does not block, or a negative errno. */
int dial(const struct address *to, bool privileged, unsigned timeout_ms);

#endif
