/* SPDX-License-Identifier: MIT */
/* Frames out of a socket, cut into pieces at any place: the same ones as out of the whole. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vsock/frame.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t storage[WIRE_FRAME_MAX + 100];
	struct wire_frame whole, got;
	struct frame_buf in;
	size_t sent = 1, at = 1;
	int fds[2], split = 0, next = 0, filled;

	if (size < 2)
		return 0;
	fuzz_pair(SOCK_STREAM, fds);
	frame_init(&in, storage, WIRE_FRAME_MAX + data[0] % 100);
	do {
		ssize_t n = send(fds[1], data + sent, fuzz_piece(data[0], data + sent, size - sent), MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		if (sent == size)
			shutdown(fds[1], SHUT_WR);
		filled = frame_fill(&in, fds[0]);
		while ((next = frame_next(&in, &got)) > 0) {
			split = wire_split(data + at, size - at, &whole);
			FUZZ_NEED(split > 0 && got.type == whole.type && got.length == whole.length);
			FUZZ_NEED(memcmp(got.payload, whole.payload, got.length) == 0);
			at += (size_t)split;
		}
	} while (next == 0 && filled == FRAME_OK);
	if (next == FRAME_MALFORMED)
		FUZZ_NEED(wire_split(data + at, size - at, &whole) == -1);
	else
		FUZZ_NEED(sent == size && wire_split(data + at, size - at, &whole) == 0 && frame_pending(&in) == size - at);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
