/* SPDX-License-Identifier: MIT */
/*
 * frame: bounded buffers of whole frames between a descriptor and the code that knows what they mean. This code knows
 * no message, and that code knows no descriptor. The storage is the caller's, so it can be locked memory.
 */
#ifndef VSOCK_FRAME_H
#define VSOCK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* Bytes in buf[start, end). size must be at least WIRE_FRAME_MAX for a reader. */
struct frame_buf {
	uint8_t *buf;
	size_t size, start, end;
};

enum frame_state {
	FRAME_OK = 0,            /* all that could be done now has been done */
	FRAME_CUT = -1,          /* the other side is gone; errno says how, 0 for an end of stream */
	FRAME_MALFORMED = -2,    /* a header that no frame has */
};

void frame_init(struct frame_buf *b, void *storage, size_t size);

/* Reads once. FRAME_OK (also when there is nothing to read now) or FRAME_CUT. */
int frame_fill(struct frame_buf *b, int fd);
/* Takes the next whole frame, which stays valid until the next fill: 1, 0 when there is none yet, FRAME_MALFORMED. */
int frame_next(struct frame_buf *b, struct wire_frame *frame);
size_t frame_pending(const struct frame_buf *b);

/* A writer's free space, to encode frames into; frame_commit takes what was written there. */
struct wire_out frame_room(struct frame_buf *b);
void frame_commit(struct frame_buf *b, const struct wire_out *out);
/*
 * Writes until the descriptor, a socket, would block, at most 32 KiB a call to it: FRAME_OK or FRAME_CUT. There is no
 * SIGPIPE, and it does not block on a blocking socket either.
 */
int frame_flush(struct frame_buf *b, int fd);

/* Bytes that lie elsewhere, and go out behind what was committed. */
struct frame_run {
	const uint8_t *bytes;
	size_t len;
};

/* Writes once what was committed and the run behind it, 32 KiB at most in all; the run is what is left of it then. */
int frame_send(struct frame_buf *b, int fd, struct frame_run *run);
/* Copies what is left of the run into the buffer, which must have room for it: its place is needed otherwise. */
void frame_keep(struct frame_buf *b, struct frame_run *run);

/* frame_next and frame_flush, waiting up to timeout_ms in all (-1: for ever): as above, or -ETIMEDOUT. */
int frame_wait(struct frame_buf *b, int fd, struct wire_frame *frame, int timeout_ms);
int frame_drain(struct frame_buf *b, int fd, int timeout_ms);

#endif
