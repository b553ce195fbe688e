/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "feed.h"
#include "stdin.h"

static int ends[2] = { -1, -1 };         /* to read, to write */
static struct stdin_flow flow;

static void end_close(int i)
{
	if (ends[i] >= 0)
		close(ends[i]);
	ends[i] = -1;
}

int feed_open(void)
{
	return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
}

void feed_publish(pid_t listener)
{
	char target[40];

	snprintf(target, sizeof target, "/proc/%d/fd/%d", (int)listener, ends[0]);
	if (ends[0] >= 0 && symlink(target, FEED_PATH) < 0)
		log_warn_errno(FEED_PATH);
}

void feed_end(void)
{
	end_close(1);
}

void feed_close(void)
{
	end_close(0);
	end_close(1);
}

static bool take(const struct wire_control *frame)
{
	return (frame->type == WIRE_STDIN || frame->type == WIRE_STDIN_END) && stdin_take(&flow, frame);
}

void feed_run(struct ctl *session, const struct wire_control *verb)
{
	/* Of its own, for the lock, which is this session's as long as it lives. */
	int fd = open(FEED_PATH, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	pid_t listener = getppid();

	(void)verb;
	if (ends[1] < 0)
		ctl_refuse(session, WIRE_REFUSE_ORDER, "the workload's input has ended");
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		ctl_refuse(session, WIRE_REFUSE_BUSY, "the workload is being fed");
	feed_close();
	stdin_begin(&flow, session, fd, false);
	ctl_take(session, take);
	for (stdin_run(&flow, session); flow.fd >= 0; stdin_run(&flow, session)) {
		struct pollfd polled[] = {
			{ session->fd, (short)(POLLIN | (frame_pending(&session->out) > 0 ? POLLOUT : 0)), 0 },
			{ stdin_waits(&flow) ? fd : -1, POLLOUT, 0 },
		};

		poll(polled, 2, -1);
		frame_flush(&session->out, session->fd);
		if (polled[0].revents & ~POLLOUT)
			ctl_hear(session, take);
	}
	/* Should the listener be gone by now, whoever is our parent is not to be told. */
	if (listener > 1 && getppid() == listener)
		kill(listener, SIGUSR1);
	ctl_send(session, &(struct wire_control){ .type = WIRE_DONE });
}
