/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

#include "ready.h"

#define NS_PER_MS 1000000u

uint64_t ready_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t ready_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? READY_NEVER : ready_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* Rounded up: a poll that ends just before the deadline would only be repeated with 0, in a busy loop. */
static int ms_until(uint64_t deadline_ns)
{
	uint64_t now = ready_now_ns(), ms;

	if (deadline_ns == READY_NEVER)
		return -1;
	if (deadline_ns <= now)
		return 0;
	ms = (deadline_ns - now - 1) / NS_PER_MS + 1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

int ready_wait(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	for (;;) {
		int ms = ms_until(deadline_ns), n = poll(&pfd, 1, ms);

		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n && !ms)
			return 0;
	}
}
