/* SPDX-License-Identifier: MIT */
/*
 * outqueue: what is to be written to a descriptor that may not take it now, and that must not block us: behind it can
 * be a pager that nobody pages.
 */
#ifndef HOST_OUTQUEUE_H
#define HOST_OUTQUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

#define OUTQUEUE_FULL (256 << 10)        /* with that much waiting, nothing more should be made */

struct outqueue {
	int fd;
	struct bytes bytes;
	int error;                       /* errno of a failed write (EPIPE: the reader has gone); all later bytes are
	                                    dropped */
};

void outqueue_init(struct outqueue *q, int fd);
void outqueue_put(struct outqueue *q, const void *bytes, size_t len);
void outqueue_printf(struct outqueue *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool outqueue_empty(const struct outqueue *q);
bool outqueue_full(const struct outqueue *q);
/* To be called when poll says that the descriptor takes bytes: writes as many as cannot block (PIPE_BUF). */
void outqueue_write(struct outqueue *q);
/* Writes all there is, and blocks. For what writes at its end, or without a loop. */
void outqueue_drain(struct outqueue *q);
void outqueue_finish(struct outqueue *q);

#endif
