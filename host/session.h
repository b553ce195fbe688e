/* SPDX-License-Identifier: MIT */
/*
 * session: what boot and log sessions have in common: reading frames without a buffer of their own, and refusing.
 *
 * There is one buffer for all. What a session reads is taken from it at once; only the rest, a frame that has not
 * come whole, is kept by the session until the next time.
 */
#ifndef HOST_SESSION_H
#define HOST_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "../vsock/frame.h"
#include "daemon.h"

#define SESSION_HELLO_MAX 1024   /* a hello's payload at most, of whatever version */

struct intake {
	uint8_t *rest;
	uint32_t len;
};

/* Reads once, behind what was kept. The buffer is good until the next call for whatever session. */
struct frame_buf *intake_fill(struct intake *intake, int fd, int *result);
/* Keeps what is left in the buffer. False: no memory. */
bool intake_keep(struct intake *intake, const struct frame_buf *b);
void intake_clear(struct intake *intake);
/* The payload's length in the header of the frame that has not come whole; 0: not known yet. */
uint32_t intake_announced(const struct frame_buf *b);

/* Counts a connection of a guest; false, and it is refused and closed: a limit is reached. vm may be NULL. */
bool session_begin(struct daemon *daemon, struct vm *vm, int fd);
void session_end(struct daemon *daemon, struct vm *vm, int fd);
/* Sends REFUSE as far as the socket takes it, and counts it. Does not close. */
void session_refuse(struct daemon *daemon, int fd, enum wire_refuse_code code, const char *text);

#endif
