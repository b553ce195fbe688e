/* SPDX-License-Identifier: MIT */
/*
 * Mutations that leave frames whole: a payload is changed, a frame goes, comes, comes again, moves or gets another
 * type; and then COMMIT counts what is there, and RECORDS and LOST follow one another. One time in four the bytes are
 * changed as they are, and nothing is put right.
 */
#include <string.h>

#include "fuzz.h"

#define FRAMES 256

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static const uint16_t types[] = {
	WIRE_REFUSE, WIRE_HELLO, WIRE_WELCOME, WIRE_HOSTNAME, WIRE_ARG, WIRE_ENV, WIRE_CWD, WIRE_USER, WIRE_SYSCTL,
	WIRE_MOUNT, WIRE_WORKLOAD, WIRE_LOG, WIRE_POWER, WIRE_CONTROL, WIRE_HANDOFF, WIRE_DIR, WIRE_FILE, WIRE_DATA,
	WIRE_SYMLINK, WIRE_CREDENTIAL, WIRE_COMMIT, WIRE_APPLIED, WIRE_LOG_HELLO, WIRE_LOG_WELCOME, WIRE_RECORDS,
	WIRE_LOST, WIRE_ACK, WIRE_END, WIRE_END_ACK, WIRE_CTL_HELLO, WIRE_CTL_WELCOME, WIRE_PING, WIRE_PONG, WIRE_EXEC,
	WIRE_STDIN, WIRE_STDIN_END, WIRE_CREDIT, WIRE_RESIZE, WIRE_EXEC_SIGNAL, WIRE_STDOUT, WIRE_STDERR, WIRE_EXIT,
	WIRE_SIGNAL, WIRE_STOP, WIRE_DONE,
};

static size_t at[FRAMES + 1];    /* where frames begin, and the last one ends */
static unsigned n;
static uint8_t copy[1 << 20];
static unsigned state;

static unsigned any(unsigned below)
{
	state = state * 1103515245 + 12345;
	return below ? (state >> 8) % below : 0;
}

static void frames_find(const uint8_t *data, size_t size)
{
	struct wire_frame frame;
	int whole;

	at[0] = 1;
	for (n = 0; n < FRAMES && (whole = wire_split(data + at[n], size - at[n], &frame)) > 0; n++)
		at[n + 1] = at[n] + (size_t)whole;
}

/* Puts `with` in the place of data[from, to). The size, which stays as it was when there is no room. */
static size_t put(uint8_t *data, size_t size, size_t max_size, size_t from, size_t to, const uint8_t *with, size_t len)
{
	if (size - (to - from) + len > max_size)
		return size;
	memmove(data + from + len, data + to, size - to);
	memcpy(data + from, with, len);
	return size - (to - from) + len;
}

static size_t payload_change(uint8_t *data, size_t size, size_t max_size)
{
	unsigned i = any(n);
	size_t len = at[i + 1] - at[i] - WIRE_HEADER, room = WIRE_PAYLOAD_MAX;
	uint8_t *frame = copy;

	memcpy(frame, data + at[i], WIRE_HEADER + len);
	if (room > max_size - size + len)
		room = max_size - size + len;
	len = LLVMFuzzerMutate(frame + WIRE_HEADER, len, room);
	wire_header(frame, (uint16_t)(data[at[i] + 4] | data[at[i] + 5] << 8), (uint32_t)len);
	return put(data, size, max_size, at[i], at[i + 1], frame, WIRE_HEADER + len);
}

static size_t frame_new(uint8_t *data, size_t size, size_t max_size)
{
	size_t len = any(4) ? any(64) : any(2000);
	unsigned i;

	wire_header(copy, types[any(sizeof types / sizeof *types)], (uint32_t)len);
	for (size_t j = 0; j < len; j++)
		copy[WIRE_HEADER + j] = any(3) ? (uint8_t)any(4) : (uint8_t)any(256);
	i = any(n + 1);
	return put(data, size, max_size, at[i], at[i], copy, WIRE_HEADER + len);
}

static size_t frame_again(uint8_t *data, size_t size, size_t max_size)
{
	unsigned i = any(n), to = any(n + 1);
	size_t len = at[i + 1] - at[i];

	memcpy(copy, data + at[i], len);
	return put(data, size, max_size, at[to], at[to], copy, len);
}

static size_t frame_drop(uint8_t *data, size_t size, size_t max_size)
{
	unsigned i = any(n);

	return put(data, size, max_size, at[i], at[i + 1], copy, 0);
}

static size_t type_change(uint8_t *data, size_t size, size_t max_size)
{
	unsigned i = any(n);
	size_t len = at[i + 1] - at[i] - WIRE_HEADER;

	(void)max_size;
	wire_header(data + at[i], types[any(sizeof types / sizeof *types)], (uint32_t)len);
	return size;
}

static void put_u64(uint8_t *to, uint64_t v)
{
	struct wire_out out = { .buf = to, .size = 8 };

	wire_put_u64(&out, v);
}

/* COMMIT says what is there; records and losses begin where those before them end. */
static void put_right(uint8_t *data, size_t size)
{
	uint32_t count = 0, crc = 0;
	uint64_t next = 0;

	frames_find(data, size);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *payload = data + at[i] + WIRE_HEADER;
		struct wire_frame frame;
		struct wire_log log;

		wire_split(data + at[i], at[i + 1] - at[i], &frame);
		if (frame.type == WIRE_WELCOME) {
			count = crc = 0;
			continue;
		}
		if (frame.type == WIRE_COMMIT && frame.length == 8) {
			put_u64(payload, (uint64_t)crc << 32 | count);
			continue;
		}
		count++;
		crc = wire_crc32(crc, data + at[i], at[i + 1] - at[i]);
		if (wire_log_decode(&frame, &log))
			continue;
		if (frame.type == WIRE_RECORDS) {
			put_u64(payload, next);
			next += log.records.count;
		} else if (frame.type == WIRE_LOST) {
			uint64_t span = (log.lost.to - log.lost.from) % 1000;

			put_u64(payload, next);
			put_u64(payload + 8, next += span ? span : 1);
		} else if (frame.type == WIRE_END) {
			put_u64(payload, next);
		}
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static size_t (*const ways[])(uint8_t *, size_t, size_t) = {
		payload_change, payload_change, payload_change, payload_change, frame_new, frame_again, frame_drop, type_change,
	};

	state = seed;
	if (size && max_size < sizeof copy)
		frames_find(data, size);
	if (!size || max_size >= sizeof copy || n == 0 || any(4) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	for (unsigned i = any(3) + 1; i > 0 && n > 0; i--) {
		size = ways[any(sizeof ways / sizeof *ways)](data, size, max_size);
		frames_find(data, size);
	}
	if (any(4))
		put_right(data, size);
	return size;
}
