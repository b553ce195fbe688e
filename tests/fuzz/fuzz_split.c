/* SPDX-License-Identifier: MIT */
/*
 * What one process of hawserd says to another, should that one have been taken over: texts that end, names that name no
 * other directory, and no descriptor that is left open.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../host/channel.h"
#include "../../host/split.h"
#include "fuzz.h"

#define FDS_MAX 4

static int free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void name_check(const char *name)
{
	FUZZ_NEED(*name && strlen(name) <= VMCONFIG_NAME_MAX && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
}

static void texts_check(const union split *m)
{
	switch (m->type) {
	case SPLIT_SETUP:
		FUZZ_NEED(strlen(m->setup.dir) < PATH_MAX && strlen(m->setup.runtime) < PATH_MAX);
		break;
	case SPLIT_BIND:
		name_check(m->bind.name);
		FUZZ_NEED(strlen(m->bind.base) < SPLIT_BASE);
		break;
	case SPLIT_UNBIND:
	case SPLIT_GONE:
		name_check(m->name.name);
		break;
	case SPLIT_DIAL:
		name_check(m->dial.name);
		break;
	case SPLIT_MACHINE_OF:
		name_check(m->machine_of.name);
		FUZZ_NEED(strlen(m->machine_of.socket) < SPLIT_BASE && strlen(m->machine_of.dir) < SPLIT_BASE);
		break;
	case SPLIT_MACHINE:
		name_check(m->machine.name);
		FUZZ_NEED(strlen(m->machine.base) < SPLIT_BASE && strlen(m->machine.problem) < sizeof m->machine.problem);
		break;
	case SPLIT_PREPARE:
		name_check(m->session.name);
		break;
	default:
		break;
	}
}

/* channel_send has no way to send more descriptors than there may be. */
static void message_send(int fd, const uint8_t *bytes, size_t size, unsigned n)
{
	union { char room[CMSG_SPACE(FDS_MAX * sizeof(int))]; struct cmsghdr header; } control = { .room = { 0 } };
	struct iovec piece = { (void *)(uintptr_t)bytes, size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = n ? &control : NULL,
		.msg_controllen = n ? CMSG_SPACE(n * sizeof(int)) : 0 };

	control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	FUZZ_NEED(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)size);
}

/* The first byte: how many descriptors come with it, each our standard input again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static union split message;
	int ends[2], fds[CHANNEL_FDS], first = free_fd();
	unsigned n = size ? data[0] % (FDS_MAX + 1) : 0;

	if (size < 2)
		return 0;
	FUZZ_NEED(channel_pair(ends) == 0);
	message_send(ends[1], data + 1, size - 1, n);
	if (split_receive(ends[0], &message, fds, false) == 1) {
		FUZZ_NEED(size - 1 == split_size(message.type));
		for (unsigned i = 0; i < CHANNEL_FDS; i++)
			FUZZ_NEED((fds[i] >= 0) == (i < n));
		texts_check(&message);
		channel_drop(fds);
	}
	close(ends[0]);
	close(ends[1]);
	FUZZ_NEED(free_fd() == first);
	return 0;
}
