/* SPDX-License-Identifier: MIT */
/* ctl: one control session (docs/PROTOCOL.md), which is all that its process does. */
#ifndef INIT_CTL_H
#define INIT_CTL_H

#include <stdbool.h>

#include "../vsock/frame.h"
#include "../vsock/wire.h"

struct ctl {
	int fd;
	struct frame_buf in, out;
	void (*abandon)(void);   /* what is to be done before the session ends early; NULL: nothing */
};

/* false: the frame is out of order. */
typedef bool ctl_taker(const struct wire_control *frame);

void ctl_init(struct ctl *session, int fd);
/* Puts a frame into out, which has room for it, and flushes as far as that goes without waiting. */
void ctl_send(struct ctl *session, const struct wire_control *frame);
/* The next frame within that time. */
void ctl_wait(struct ctl *session, int timeout_ms, struct wire_control *frame);
/* All frames that have come whole. */
void ctl_take(struct ctl *session, ctl_taker *take);
/* Reads once, then the same. Ends this process if the host is gone. */
void ctl_hear(struct ctl *session, ctl_taker *take);
_Noreturn void ctl_refuse(struct ctl *session, uint16_t code, const char *what);
/* The last answer is in out: sees it out, and ends this process when the host has closed. */
_Noreturn void ctl_end(struct ctl *session);

#endif
