/* SPDX-License-Identifier: MIT */
/*
 * thief same|other UID: a program in a guest that asks the host for the configuration, as only PID 1 should: with this
 * boot's id or another, as this user, from a port below 1024 where it may. It says what it got: frames by their types,
 * in hex, and the code of a REFUSE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static uint8_t hello[40] = { 32, 0, 0, 0, 0x01, 0x01, 0, 0, 'H', 'W', 'S', 'R', 1, 0 };

/* This boot's id, so that the host takes us for the PID 1 that it has served. */
static void boot_id(uint8_t *id)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
	unsigned byte;

	for (int i = 0; file && i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			fgetc(file);
		if (fscanf(file, "%2x", &byte) == 1)
			id[i] = (uint8_t)byte;
	}
}

static int whole(int fd, void *to, size_t size)
{
	ssize_t n = 1;

	for (size_t len = 0; len < size && n > 0; len += (size_t)n)
		n = read(fd, (char *)to + len, size - len);
	return n > 0 || !size;
}

int main(int argc, char *argv[])
{
	struct sockaddr_vm host = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 610 };
	/* Not from the port of the thief before, which the device may still hold for a connection. */
	struct sockaddr_vm own = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 1023 - getpid() % 100 };
	static uint8_t payload[32768];
	uint8_t header[8];
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (argc != 3 || setgid((gid_t)atoi(argv[2])) || setuid((uid_t)atoi(argv[2])))
		return 2;
	if (strcmp(argv[1], "same") == 0)
		boot_id(hello + 16);
	while (own.svm_port > 800 && bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
		own.svm_port--;
	printf("thief %s, uid %s, %s port:", argv[1], argv[2], own.svm_port > 800 ? "privileged" : "any");
	if (connect(fd, (struct sockaddr *)&host, sizeof host) < 0) {
		printf(" no connection: %s\n", strerror(errno));
		return 1;
	}
	if (write(fd, hello, sizeof hello) != sizeof hello)
		printf(" cannot write");
	while (whole(fd, header, sizeof header)) {
		unsigned length = header[0] | header[1] << 8, type = header[4] | header[5] << 8;

		if (!whole(fd, payload, length))
			break;
		if (type == 1)
			printf(" REFUSE %d", payload[0]);
		else
			printf(" %04x", type);
	}
	printf(" end\n");
	return 0;
}
