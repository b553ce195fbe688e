/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dial.h"
#include "ready.h"

void backoff_init(struct backoff *backoff, uint32_t seed)
{
	*backoff = (struct backoff){ .random = seed ? seed : 1 };        /* xorshift never leaves 0 */
	backoff_reset(backoff);
}

/* Xorshift: jitter needs no secret, and getrandom blocks early in a boot. */
static uint32_t random_next(struct backoff *backoff)
{
	backoff->random ^= backoff->random << 13;
	backoff->random ^= backoff->random >> 17;
	backoff->random ^= backoff->random << 5;
	return backoff->random;
}

unsigned backoff_next(struct backoff *backoff)
{
	unsigned ms = backoff->pause_ms;

	backoff->pause_ms = ms < DIAL_PAUSE_MAX_MS / 2 ? ms * 2 : DIAL_PAUSE_MAX_MS;
	return ms - random_next(backoff) % (ms / 2 + 1);
}

unsigned backoff_slow(struct backoff *backoff)
{
	backoff->pause_ms = DIAL_PAUSE_MAX_MS;
	return backoff_next(backoff);
}

void backoff_reset(struct backoff *backoff)
{
	backoff->pause_ms = DIAL_PAUSE_MIN_MS;
}

int dial_start(const struct address *to, bool privileged)
{
	int fd = address_socket(to, privileged), r;

	if (fd < 0)
		return fd;
	r = address_connect(fd, to);
	if (r && r != -EINPROGRESS) {
		close(fd);
		return r;
	}
	return fd;
}

int dial_finish(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		close(fd);
		return -error;
	}
	return fd;
}

int dial(const struct address *to, bool privileged, unsigned timeout_ms)
{
	uint64_t deadline_ns = ready_deadline((int)timeout_ms);
	int fd = dial_start(to, privileged), r;

	if (fd < 0)
		return fd;
	r = ready_wait(fd, POLLOUT, deadline_ns);
	if (r == 1)
		return dial_finish(fd);
	close(fd);
	return r ? r : -ETIMEDOUT;
}
