/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "frame.h"
#include "ready.h"

void frame_init(struct frame_buf *b, void *storage, size_t size)
{
	*b = (struct frame_buf){ .buf = storage, .size = size };
}

/* Makes room behind the bytes that are held. They are moved only when less than a frame fits, so not often. */
static void compact(struct frame_buf *b)
{
	if (b->start == b->end) {
		b->start = b->end = 0;
	} else if (b->start && b->size - b->end < WIRE_FRAME_MAX) {
		memmove(b->buf, b->buf + b->start, b->end - b->start);
		b->end -= b->start;
		b->start = 0;
	}
}

/* Nothing to be done now, which is no error. */
static bool again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

int frame_fill(struct frame_buf *b, int fd)
{
	ssize_t n;

	compact(b);
	if (b->end == b->size)
		return FRAME_OK;         /* full of whole frames, which the caller has not taken */
	n = read(fd, b->buf + b->end, b->size - b->end);
	if (n > 0) {
		b->end += (size_t)n;
		return FRAME_OK;
	}
	if (n < 0 && again())
		return FRAME_OK;
	if (!n)
		errno = 0;
	return FRAME_CUT;
}

int frame_next(struct frame_buf *b, struct wire_frame *frame)
{
	int size = wire_split(b->buf + b->start, b->end - b->start, frame);

	if (size < 0)
		return FRAME_MALFORMED;
	b->start += (size_t)size;
	return size > 0;
}

size_t frame_pending(const struct frame_buf *b)
{
	return b->end - b->start;
}

struct wire_out frame_room(struct frame_buf *b)
{
	compact(b);
	return (struct wire_out){ .buf = b->buf + b->end, .size = b->size - b->end };
}

void frame_commit(struct frame_buf *b, const struct wire_out *out)
{
	b->end += out->len;
}

int frame_flush(struct frame_buf *b, int fd)
{
	while (b->start < b->end) {
		size_t len = b->end - b->start;
		ssize_t n = send(fd, b->buf + b->start, len < WIRE_FRAME_MAX ? len : WIRE_FRAME_MAX,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return again() ? FRAME_OK : FRAME_CUT;
		b->start += (size_t)n;
	}
	return FRAME_OK;
}

int frame_send(struct frame_buf *b, int fd, struct frame_run *run)
{
	size_t held = b->end - b->start;
	struct iovec parts[2] = { { b->buf + b->start, held }, { (void *)(uintptr_t)run->bytes, run->len } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	/* The system call: musl's wrapper is large, for descriptors, of which there are none. */
	ssize_t n = syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	size_t sent, of_run;

	if (n < 0)
		return again() ? FRAME_OK : FRAME_CUT;
	sent = (size_t)n;
	of_run = sent > held ? sent - held : 0;
	b->start += sent - of_run;
	run->bytes += of_run;
	run->len -= of_run;
	return FRAME_OK;
}

void frame_keep(struct frame_buf *b, struct frame_run *run)
{
	if (run->len == 0)
		return;
	memcpy(b->buf + b->end, run->bytes, run->len);
	b->end += run->len;
	run->len = 0;
}

/* 1 when ready, else what the caller returns. */
static int ready(int fd, short events, uint64_t deadline_ns)
{
	int r = ready_wait(fd, events, deadline_ns);

	if (r < 0)
		errno = -r;
	return r > 0 ? 1 : r ? FRAME_CUT : -ETIMEDOUT;
}

int frame_wait(struct frame_buf *b, int fd, struct wire_frame *frame, int timeout_ms)
{
	uint64_t deadline_ns = ready_deadline(timeout_ms);
	int r;

	/* Read first: where much comes, asking whether something has come costs as much as taking it. */
	while (!(r = frame_next(b, frame))) {
		size_t before = frame_pending(b);

		r = frame_fill(b, fd);
		if (!r && frame_pending(b) == before) {
			r = ready(fd, POLLIN, deadline_ns);
			r = r == 1 ? FRAME_OK : r;
		}
		if (r)
			return r;
	}
	return r;
}

int frame_drain(struct frame_buf *b, int fd, int timeout_ms)
{
	uint64_t deadline_ns = ready_deadline(timeout_ms);
	int r;

	while (!(r = frame_flush(b, fd)) && frame_pending(b)) {
		r = ready(fd, POLLOUT, deadline_ns);
		if (r != 1)
			return r;
	}
	return r;
}
