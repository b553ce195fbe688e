/* SPDX-License-Identifier: MIT */
/*
 * One at a time, and the reader does nothing else meanwhile. The monitor starts the program; what it writes is read
 * straight into the vault, and counts when the program has ended well.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "reader.h"

#define PATIENCE_MS 4000         /* a guest waits 5 s for the next frame */

/* 0, or a negative errno. */
static int read_all(int fd, struct secret_vault *vault)
{
	struct pollfd p = { fd, POLLIN, 0 };

	for (;;) {
		ssize_t n;

		if (vault->len == vault->size)
			return -EMSGSIZE;
		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return -ETIMEDOUT;
		n = read(fd, vault->memory + vault->len, vault->size - vault->len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n)
			return 0;
		vault->len += n > 0 ? (size_t)n : 0;
	}
}

static int answer_take(struct reader *reader, uint32_t type, int fds[static CHANNEL_FDS])
{
	union split answer;

	if (split_receive(READER_MONITOR, &answer, fds, true) > 0 && answer.type == type)
		return answer.status.status;
	reader->stop = true;
	return -EPIPE;
}

int reader_decrypt(void *arg, const char *name, int fd, struct secret_vault *vault, struct problem *problem)
{
	struct reader *reader = arg;
	struct split_credential ask = { .type = SPLIT_DECRYPT };
	int fds[CHANNEL_FDS], r, status;

	snprintf(ask.name, sizeof ask.name, "%s", name);
	if (split_send(READER_MONITOR, &ask, &fd, 1, true)) {
		reader->stop = true;
		return problem_set(problem, "systemd-creds", 0, 0, "the monitor is gone");
	}
	r = answer_take(reader, SPLIT_DECRYPTING, fds);
	if (r || fds[0] < 0)
		return problem_set(problem, "systemd-creds", 0, 0, "cannot be started: %s", strerror(r < 0 ? -r : EMFILE));
	r = read_all(fds[0], vault);
	channel_drop(fds);
	if (r == -ETIMEDOUT)
		reader->stop = true;     /* who knows when it ends: it does when we do */
	if (r)
		return problem_set(problem, "systemd-creds", 0, 0, "%s", r == -EMSGSIZE ? "more comes than is in there"
			: strerror(-r));
	status = answer_take(reader, SPLIT_DECRYPTED, fds);
	return status ? problem_set(problem, "systemd-creds", 0, 0, "cannot decrypt it: status %d%s", status,
		status == 127 ? ", it is not there" : "; what it says is above") : 0;
}
