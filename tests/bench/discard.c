/* SPDX-License-Identifier: MIT */
/*
 * discard: takes one connection on a Unix socket, reads as many bytes as it is told to and forgets them, answers with
 * one byte, and ends. It says "ready" when it listens.
 *
 * usage: discard PATH BYTES
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	static char room[256 << 10];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	unsigned long long left = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	if (!left)
		return 2;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
	unlink(argv[1]);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) {
		perror(argv[1]);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	fd = accept(listener, NULL, NULL);
	while (left) {
		ssize_t n = read(fd, room, sizeof room);

		if (n <= 0) {
			fprintf(stderr, "discard: %llu bytes are missing\n", left);
			return 1;
		}
		left -= (unsigned long long)n;
	}
	if (write(fd, "", 1) != 1)
		return 1;
	/* Until the other side has gone: a close could overtake the answer. */
	while (read(fd, room, sizeof room) > 0)
		;
	return 0;
}
