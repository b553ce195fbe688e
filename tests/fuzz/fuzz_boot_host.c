/* SPDX-License-Identifier: MIT */
/* What a guest sends in the boot session, into hawserd, which answers with a whole stream or with REFUSE. */
#include "hawserd.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	hawserd_start(*argc, *argv);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t answer[1 << 20];
	size_t heard = 0, len;
	int fd;

	if (size < 2)
		return 0;
	fd = guest_connect(WIRE_PORT_BASE + WIRE_PORT_BOOT);
	for (size_t at = 1; at < size; at += len) {
		len = fuzz_piece(data[0], data + at, size - at);
		if (send(fd, data + at, len, MSG_NOSIGNAL) < (ssize_t)len)
			break;
		rounds(2);
		heard += hawserd_hear_boot(fd, answer + heard, sizeof answer - heard);
	}
	fuzz_sent(answer, heard);
	hang_up(fd);
	return 0;
}
