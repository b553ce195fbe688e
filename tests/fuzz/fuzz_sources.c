/* SPDX-License-Identifier: MIT */
/*
 * What programs and the kernel of the guest send the relay, a datagram each: records of /dev/kmsg, messages of syslog,
 * notifications, events. The input is a list of them: the source, the length (two bytes), the bytes.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "../../init/source.h"
#include "../../vsock/log.h"
#include "fuzz.h"

static struct ring ring;
static struct sources sources = { .dev = -1 };
static int ends[SOURCES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set(0, NULL);
	FUZZ_NEED(ring_create(&ring, WIRE_RING_MIN) == 0 && ring_open(&ring) == 0);
	for (int i = 0; i < SOURCES; i++) {
		bool datagrams = i == SOURCE_KERNEL || i == SOURCE_SYSLOG || i == SOURCE_NOTIFY || i == SOURCE_EVENT;
		int fds[2], type = datagrams ? SOCK_DGRAM : SOCK_STREAM;

		fuzz_pair(type, fds);
		sources.fd[i] = fds[0];
		sources.held[i] = ends[i] = fds[1];
	}
	return 0;
}

/* All that came of it is valid on the wire. */
static void ring_empty(void)
{
	static uint8_t frame[2 * WIRE_FRAME_MAX];
	uint64_t sent = ring_state(&ring)->acked, next;

	while (ring_unsent(&ring, sent)) {
		struct wire_out out = { .buf = frame, .size = sizeof frame };
		struct frame_run run;

		next = ring_frame(&ring, sent, &out, &run);
		FUZZ_NEED(next > sent);
		wire_put_bytes(&out, run.bytes, run.len);
		fuzz_sent(frame, out.len);
		sent = next;
		FUZZ_NEED(ring_ack(&ring, sent, sent));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool close = false;

	for (size_t at = 0; at + 3 <= size;) {
		unsigned id = data[at] % SOURCES;
		size_t len = data[at + 1] | data[at + 2] << 8;
		bool blocked = false;

		at += 3;
		len = len < size - at ? len : size - at;
		send(ends[id], data + at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		source_read(&sources, (enum source_id)id, &ring, &close, &blocked);
		ring_empty();
		at += len;
	}
	source_answer_closers(&sources);
	return 0;
}
