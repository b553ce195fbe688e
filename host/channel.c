/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(CHANNEL_FDS * sizeof(int))];
};

int channel_pair(int ends[static 2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) ? -errno : 0;
}

static void wait_for(int fd, short events)
{
	poll(&(struct pollfd){ fd, events, 0 }, 1, -1);
}

int channel_send(int fd, const void *message, size_t size, const int *fds, unsigned n, bool wait)
{
	struct iovec iov = { (void *)message, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { 0 };
	struct cmsghdr *c = &control.align;

	if (n) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, n * sizeof *fds);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof *fds);
	}
	while (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN && wait)
			wait_for(fd, POLLOUT);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Whatever came: more than was asked for is not left open. */
static void take_fds(struct msghdr *msg, int fds[static CHANNEL_FDS])
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, (char *)c + at, sizeof fd);
			if (n < CHANNEL_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t channel_receive(int fd, void *message, size_t size, int fds[static CHANNEL_FDS], bool wait)
{
	struct iovec iov = { message, size };
	union control control;
	struct msghdr msg;
	ssize_t n;

	for (unsigned i = 0; i < CHANNEL_FDS; i++)
		fds[i] = -1;
	for (;;) {
		msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			.msg_controllen = sizeof control };
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
		if (n >= 0)
			break;
		if (errno == EAGAIN && wait)
			wait_for(fd, POLLIN);
		else if (errno == ECONNRESET)
			return 0;        /* gone, with messages of ours that it had not read */
		else if (errno != EINTR)
			return -errno;
	}
	take_fds(&msg, fds);
	/* MSG_CTRUNC is not wrong in itself: there was no descriptor left, which the receiver sees by the -1. */
	if (!(msg.msg_flags & MSG_TRUNC))
		return n;
	channel_drop(fds);
	return -EMSGSIZE;
}

void channel_drop(int fds[static CHANNEL_FDS])
{
	for (unsigned i = 0; i < CHANNEL_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}
