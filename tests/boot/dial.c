/* SPDX-License-Identifier: MIT */
/* dial CID PORT: a program in a guest that dials; says what came of it, and the code of a REFUSE. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

int main(int argc, char *argv[])
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	uint8_t frame[1024];
	ssize_t n;

	if (argc != 3)
		return 2;
	to.svm_cid = (unsigned)atoi(argv[1]);
	to.svm_port = (unsigned)atoi(argv[2]);
	printf("%s:%s: ", argv[1], argv[2]);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	n = recv(fd, frame, sizeof frame, MSG_WAITALL);
	if (n >= 10 && frame[4] == 1 && frame[5] == 0)
		printf("refused with %d\n", frame[8]);
	else
		printf("%d bytes\n", (int)n);
	return 0;
}
