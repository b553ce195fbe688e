/* SPDX-License-Identifier: MIT */
/*
 * What a host sends in the log session, into the relay's link. Numbers are taken from the ring's first record on, which
 * goes on from run to run.
 */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../init/link.h"
#include "../../vsock/log.h"
#include "fuzz.h"

#include "../../init/link.c"

static struct ring ring;
static struct address nowhere;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set(0, NULL);
	fuzz_directory();
	FUZZ_NEED(address_unix(&nowhere, "nobody"));
	FUZZ_NEED(ring_create(&ring, WIRE_RING_MIN) == 0 && ring_open(&ring) == 0);
	return 0;
}

static void ring_feed(unsigned n)
{
	static uint8_t bytes[4096];

	for (unsigned i = 0; i < n; i++)
		FUZZ_NEED(ring_append(&ring, &(struct wire_record){ .stream = i % 2 ? WIRE_STREAM_STDOUT : WIRE_STREAM_CONSOLE,
			.pri = WIRE_PRI_NONE, .length = i * 37 % sizeof bytes, .data = bytes }, 0));
}

static void ring_holds(void)
{
	const struct ring_state *state = ring_state(&ring);

	FUZZ_NEED(state->acked <= state->tail_seq && state->tail_seq <= state->head_seq);
	FUZZ_NEED(state->tail <= state->head && state->head - state->tail <= state->size);
}

static void number_shift(uint8_t *bytes, uint64_t by)
{
	struct wire_in in = { .p = bytes, .end = bytes + 8 };
	struct wire_out out = { .buf = bytes, .size = 8 };

	wire_put_u64(&out, wire_get_u64(&in) + by);
}

static void frame_shift(uint8_t *bytes, size_t len, uint64_t by)
{
	struct wire_frame frame;

	if (wire_split(bytes, len, &frame) != (int)len)
		return;
	if (frame.type == WIRE_LOG_WELCOME && frame.length >= 16)
		number_shift(bytes + WIRE_HEADER + 8, by);
	else if ((frame.type == WIRE_ACK || frame.type == WIRE_END_ACK) && frame.length == 8)
		number_shift(bytes + WIRE_HEADER, by);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t piece[WIRE_FRAME_MAX], answer[1 << 20];
	uint64_t base = ring_state(&ring)->acked;
	struct link link;
	size_t len = 0;
	int fds[2];

	if (size < 2)
		return 0;
	fuzz_pair(SOCK_STREAM, fds);
	link_init(&link, &nowhere, 7);
	link.fd = fds[0];
	link.state = LINK_GREETING;
	link.until_ns = UINT64_MAX;
	ring_feed(1 + data[0] / 4);
	for (size_t at = 1; at < size && link.fd >= 0; at += len) {
		ssize_t got;

		len = fuzz_piece(data[0] % 4, data + at, size - at);
		len = len > sizeof piece ? sizeof piece : len;
		memcpy(piece, data + at, len);
		frame_shift(piece, len, base);
		FUZZ_NEED(send(fds[1], piece, len, MSG_NOSIGNAL) == (ssize_t)len);
		link_run(&link, &ring, POLLIN | POLLOUT, data[0] & 1);
		ring_holds();
		got = recv(fds[1], answer, sizeof answer, MSG_DONTWAIT);
		if (got > 0 && link.fd >= 0 && frame_pending(&link.out) == 0)
			fuzz_sent(answer, (size_t)got);
	}
	if (link.fd >= 0)
		close(link.fd);
	close(fds[1]);
	return 0;
}
