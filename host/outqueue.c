/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "outqueue.h"

void outqueue_init(struct outqueue *q, int fd)
{
	*q = (struct outqueue){ .fd = fd };
}

void outqueue_put(struct outqueue *q, const void *bytes, size_t len)
{
	if (len == 0 || q->error)
		return;
	if (!bytes_put(&q->bytes, bytes, len))
		q->error = ENOMEM;
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
	return q->error || bytes_len(&q->bytes) == 0;
}

bool outqueue_full(const struct outqueue *q)
{
	return !q->error && bytes_len(&q->bytes) >= OUTQUEUE_FULL;
}

/* A pipe or terminal that poll calls writable takes PIPE_BUF bytes without blocking. */
void outqueue_write(struct outqueue *q)
{
	size_t len = bytes_len(&q->bytes);
	if (q->error || len == 0)
		return;
	ssize_t n = write(q->fd, q->bytes.p + q->bytes.start, len < PIPE_BUF ? len : PIPE_BUF);
	if (n > 0)
		bytes_take(&q->bytes, (size_t)n);
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
	bytes_free(&q->bytes);
	outqueue_init(q, q->fd);
}
