/* SPDX-License-Identifier: MIT */
/* What a scraper of metrics sends. */
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
	fd = hawserd_connect("scrape");
	for (size_t at = 1; at < size; at += len) {
		len = fuzz_piece(data[0] | 1, data + at, size - at);
		if (send(fd, data + at, len, MSG_NOSIGNAL) < (ssize_t)len)
			break;
		rounds(2);
		heard += hawserd_hear(fd, answer + heard, sizeof answer - heard);
	}
	FUZZ_NEED(heard == 0 || (heard > 9 && memcmp(answer, "HTTP/1.", 7) == 0));
	hang_up(fd);
	return 0;
}
