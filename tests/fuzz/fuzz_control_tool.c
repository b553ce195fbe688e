/* SPDX-License-Identifier: MIT */
/* What a guest answers a tool in the control session, into `hawser exec`. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

static FILE *nowhere;
#undef stderr
#define stderr nowhere
#include "../../host/exec_cmd.c"
#include "fuzz.h"

static int null;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	nowhere = fopen("/dev/null", "we");
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	FUZZ_NEED(nowhere && null >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exec *e = &exec;
	size_t len;
	int fds[2];

	if (size < 2)
		return 0;
	fuzz_pair(SOCK_STREAM, fds);
	*e = (struct exec){ .vm = "vm", .status = -1 };
	remote_init(&e->remote, fds[0]);
	outqueue_init(&e->out, null);
	outqueue_init(&e->err, null);
	for (size_t at = 1; at < size && e->status < 0; at += len) {
		len = fuzz_piece(data[0], data + at, size - at);
		FUZZ_NEED(send(fds[1], data + at, len, MSG_NOSIGNAL) == (ssize_t)len);
		while (recv(fds[0], &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && e->status < 0) {
			session_read(e);
			outqueue_drain(&e->out);
			outqueue_drain(&e->err);
		}
	}
	close(fds[1]);
	while (e->status < 0)
		session_read(e);
	FUZZ_NEED(e->status <= 255);
	outqueue_finish(&e->out);
	outqueue_finish(&e->err);
	close(fds[0]);
	return 0;
}
