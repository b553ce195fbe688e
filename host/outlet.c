/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "outlet.h"

#define RETRY_MS 500

static void unwatch(struct outlet *outlet)
{
	loop_remove(outlet->loop, outlet->slot);
	outlet->slot = 0;
}

static void retry_later(struct outlet *outlet)
{
	unwatch(outlet);
	timer_set(outlet->loop, &outlet->retry, RETRY_MS * LOOP_MS);
}

static void watch(struct outlet *outlet)
{
	if (outlet->slot)
		return;
	outlet->slot = loop_add(outlet->loop, outlet->fd, EPOLLOUT, LOOP_OUTLET, outlet);
	if (outlet->slot > 0)
		return;
	outlet->slot = 0;
	retry_later(outlet);
}

/* Not watched any more: a pipe without a reader would be ready for ever. */
static void failed(struct outlet *outlet, int error)
{
	if (!outlet->error)
		log_error("standard output: %s; trying again every %d ms, and nothing is acknowledged until then",
			strerror(-error), RETRY_MS);
	outlet->error = error;
	retry_later(outlet);
}

static void succeeded(struct outlet *outlet, size_t len)
{
	if (outlet->error)
		log_warn("standard output can be written again");
	outlet->error = 0;
	outlet->written += len;
}

/* How many bytes went out; what stopped it is taken care of. */
static size_t write_out(struct outlet *outlet, const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(outlet->fd, bytes + done, len - done);

		if (n > 0) {
			succeeded(outlet, (size_t)n);
			done += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			watch(outlet);
			break;
		} else if (n == 0 || errno != EINTR) {
			failed(outlet, n ? -errno : -EIO);
			break;
		}
	}
	return done;
}

static void flush(struct outlet *outlet)
{
	struct bytes *bytes = &outlet->bytes;

	bytes_take(bytes, write_out(outlet, bytes->p + bytes->start, bytes_len(bytes)));
	if (bytes_len(bytes) <= OUTLET_LOW)
		outlet->crowded = false;
	if (bytes_len(bytes))
		return;
	unwatch(outlet);
	bytes_free(bytes);
}

void outlet_event(struct outlet *outlet)
{
	uint64_t before = outlet->written;

	if (bytes_len(&outlet->bytes))
		flush(outlet);
	if (outlet->written != before)
		outlet->moved(outlet);
}

static void retry(struct timer *timer)
{
	outlet_event((struct outlet *)((char *)timer - offsetof(struct outlet, retry)));
}

bool outlet_put(struct outlet *outlet, const char *lines, size_t len)
{
	size_t done = 0;

	/* Room first: a line that was begun must be ended. */
	if (!bytes_room(&outlet->bytes, len))
		return false;
	outlet->queued += len;
	if (!bytes_len(&outlet->bytes))
		done = write_out(outlet, lines, len);
	bytes_put(&outlet->bytes, lines + done, len - done);
	if (bytes_len(&outlet->bytes) > OUTLET_HIGH)
		outlet->crowded = true;
	return true;
}

void outlet_drain(struct outlet *outlet, int timeout_ms)
{
	uint64_t end = loop_now(outlet->loop) + (uint64_t)timeout_ms * LOOP_MS;

	while (bytes_len(&outlet->bytes) && !outlet->error && loop_now(outlet->loop) < end) {
		struct pollfd p = { outlet->fd, POLLOUT, 0 };

		poll(&p, 1, (int)((end - loop_now(outlet->loop)) / LOOP_MS) + 1);
		flush(outlet);
	}
}

/* A socket cannot be opened again; all who have it share how it behaves. */
static int open_again(int fd)
{
	char path[32];
	int again;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again >= 0)
		return again;
	again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (again >= 0)
		fcntl(again, F_SETFL, fcntl(again, F_GETFL) | O_NONBLOCK);
	return again < 0 ? -errno : again;
}

int outlet_open(struct outlet *outlet, struct loop *loop, int fd, void (*moved)(struct outlet *outlet))
{
	*outlet = (struct outlet){ .loop = loop, .moved = moved, .retry.fire = retry };
	outlet->fd = open_again(fd);
	return outlet->fd < 0 ? outlet->fd : 0;
}

void outlet_close(struct outlet *outlet)
{
	if (outlet->fd < 0)
		return;
	timer_stop(outlet->loop, &outlet->retry);
	unwatch(outlet);
	close(outlet->fd);
	bytes_free(&outlet->bytes);
	*outlet = (struct outlet){ .fd = -1 };
}
