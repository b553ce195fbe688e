/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outqueue.h"

void outqueue_init(struct outqueue *q, int fd)
{
	*q = (struct outqueue){ .fd = fd };
}

static bool make_room(struct outqueue *q, size_t len)
{
	if (q->start > 0 && (q->start == q->end || q->end + len > q->size)) {
		memmove(q->bytes, q->bytes + q->start, q->end - q->start);
		q->end -= q->start;
		q->start = 0;
	}
	if (q->end + len <= q->size)
		return true;
	size_t size = q->size ? q->size : 4096;
	while (size < q->end + len)
		size *= 2;
	char *bytes = realloc(q->bytes, size);
	if (!bytes) {
		q->error = ENOMEM;
		return false;
	}
	q->bytes = bytes;
	q->size = size;
	return true;
}

void outqueue_put(struct outqueue *q, const void *bytes, size_t len)
{
	if (len == 0 || q->error || !make_room(q, len))
		return;
	memcpy(q->bytes + q->end, bytes, len);
	q->end += len;
}

void outqueue_printf(struct outqueue *q, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	int len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		q->error = ENOMEM;
		return;
	}
	outqueue_put(q, text, (size_t)len);
	free(text);
}

bool outqueue_empty(const struct outqueue *q)
{
	return q->error || q->start == q->end;
}

bool outqueue_full(const struct outqueue *q)
{
	return !q->error && q->end - q->start >= OUTQUEUE_FULL;
}

/* A pipe or terminal that poll calls writable takes PIPE_BUF bytes without blocking. */
void outqueue_write(struct outqueue *q)
{
	size_t len = q->end - q->start;
	if (q->error || len == 0)
		return;
	ssize_t n = write(q->fd, q->bytes + q->start, len < PIPE_BUF ? len : PIPE_BUF);
	if (n > 0)
		q->start += (size_t)n;
	else if (n < 0 && errno != EINTR && errno != EAGAIN)
		q->error = errno;
}

void outqueue_drain(struct outqueue *q)
{
	while (!outqueue_empty(q)) {
		struct pollfd p = { q->fd, POLLOUT, 0 };
		if (poll(&p, 1, -1) > 0)
			outqueue_write(q);
	}
}

void outqueue_finish(struct outqueue *q)
{
	free(q->bytes);
	outqueue_init(q, q->fd);
}
