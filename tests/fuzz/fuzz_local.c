/* SPDX-License-Identifier: MIT */
/*
 * What a tool sends on hawserd's control socket: every answer is a line of JSON. Requests that would name a place for
 * sockets are left out, since root runs this, too.
 */
#include "../../host/json.h"
#include "hawserd.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	hawserd_start(*argc, *argv);
	return 0;
}

static void lines_check(const char *bytes, size_t len)
{
	const char *end = bytes + len, *newline;

	for (; (newline = memchr(bytes, '\n', (size_t)(end - bytes))); bytes = newline + 1) {
		struct problem problem = { 0 };
		struct json *json = json_read(bytes, (size_t)(newline - bytes), "answer", &problem);

		FUZZ_NEED(json);
		json_free(json);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t answer[1 << 20];
	size_t heard = 0, len;
	int fd;

	if (size < 2 || memmem(data, size, "socket", 6) || memchr(data, '\\', size))
		return 0;
	fd = hawserd_connect("run/control.sock");
	for (size_t at = 1; at < size; at += len) {
		len = fuzz_piece(data[0] | 1, data + at, size - at);
		if (send(fd, data + at, len, MSG_NOSIGNAL) < (ssize_t)len)
			break;
		rounds(2);
		heard += hawserd_hear(fd, answer + heard, sizeof answer - heard);
	}
	lines_check((const char *)answer, heard);
	hang_up(fd);
	return 0;
}
