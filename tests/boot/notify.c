/* SPDX-License-Identifier: MIT */
/* Sends each word to $NOTIFY_SOCKET as one datagram, as sd_notify(3) does. "-": standard input, in one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strncpy(to.sun_path, path ? path : "", sizeof to.sun_path - 1);
	for (int i = 1; i < argc; i++) {
		static char stdin_bytes[65536];
		const char *bytes = argv[i];
		size_t len = strlen(bytes);

		if (strcmp(bytes, "-") == 0) {
			ssize_t n = read(0, stdin_bytes, sizeof stdin_bytes);
			bytes = stdin_bytes;
			len = n > 0 ? (size_t)n : 0;
		}
		if (sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof to) < 0) {
			perror("notify");
			return 1;
		}
	}
	return 0;
}
