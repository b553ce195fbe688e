/* SPDX-License-Identifier: MIT */
/* any: a frame of whatever session, for tests that treat all of them alike. */
#ifndef TEST_WIRE_ANY_H
#define TEST_WIRE_ANY_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../vsock/wire.h"

struct any {
	uint16_t type;
	union {
		struct wire_refuse refuse;
		struct wire_boot boot;
		struct wire_log log;
		struct wire_control control;
	};
};

/* Hex digits and 'text' in quotes, spaces between them. Returns how many bytes that makes. */
static inline size_t any_bytes(uint8_t *to, size_t size, const char *notation)
{
	size_t n = 0;

	while (*notation) {
		char hex[3] = { notation[0], notation[1] };

		assert_true(n < size);
		if (*notation == ' ') {
			notation++;
		} else if (*notation == '\'') {
			while (*++notation != '\'') {
				assert_true(*notation && n < size);
				to[n++] = (uint8_t)*notation;
			}
			notation++;
		} else {
			assert_true(isxdigit(hex[0]) && isxdigit(hex[1]));
			to[n++] = (uint8_t)strtoul(hex, NULL, 16);
			notation += 2;
		}
	}
	return n;
}

static inline const char *any_decode(const struct wire_frame *frame, struct any *any)
{
	any->type = frame->type;
	switch (frame->type >> 8) {
	case 0:
		return wire_refuse_decode(frame, &any->refuse) ? NULL : "refuse";
	case 1:
		return wire_boot_decode(frame, &any->boot);
	case 2:
		return wire_log_decode(frame, &any->log);
	case 3:
		return wire_control_decode(frame, &any->control);
	}
	return "no session";
}

/* The data of a record, encoded from its fields where it has any. */
static inline void any_put_data(struct wire_out *out, const struct wire_record *record)
{
	uint8_t data[WIRE_RECORD_MAX];
	struct wire_event event;
	struct wire_gap gap;
	size_t len = record->length;

	memcpy(data, record->data, len);
	if (record->kind == WIRE_KIND_EVENT) {
		assert_true(wire_event_decode(record, &event));
		len = wire_event_encode(data, sizeof(data), &event);
	} else if (record->kind == WIRE_KIND_GAP) {
		assert_true(wire_gap_decode(record, &gap));
		len = wire_gap_encode(data, sizeof(data), &gap);
	}
	wire_put_bytes(out, data, len);
}

static inline bool any_encode_records(struct wire_out *out, const struct wire_log *log)
{
	uint8_t header[WIRE_RECORD_HEADER];
	struct wire_in in = log->records.in;
	struct wire_record record;
	uint32_t n = 0;

	wire_begin(out, WIRE_RECORDS);
	wire_put_u64(out, log->records.first);
	for (; wire_record_next(&in, &record); n++) {
		wire_record_header(header, &record);
		wire_put_bytes(out, header, sizeof(header));
		any_put_data(out, &record);
	}
	assert_false(in.bad);
	assert_int_equal(n, log->records.count);
	return wire_end(out);
}

static inline bool any_encode(struct wire_out *out, const struct any *any)
{
	char text[WIRE_TEXT_MAX + 1];

	switch (any->type >> 8) {
	case 0:
		assert_true(wire_text_copy(text, sizeof(text), any->refuse.text));
		return wire_refuse_encode(out, any->refuse.code, text);
	case 1:
		return wire_boot_encode(out, &any->boot);
	case 2:
		return any->type == WIRE_RECORDS ? any_encode_records(out, &any->log) : wire_log_encode(out, &any->log);
	}
	return wire_control_encode(out, &any->control);
}

/*
 * Decodes a payload that lies in a heap block of exactly its size, so that the sanitizer sees a read beyond it; what
 * decodes must encode to the same bytes. Returns NULL or what is wrong.
 */
static inline const char *any_check(uint16_t type, const uint8_t *payload, size_t len)
{
	static struct any any;
	static uint8_t again[WIRE_FRAME_MAX];
	uint8_t *block = malloc(len ? len : 1);
	struct wire_frame frame = { type, (uint32_t)len, block };
	struct wire_out out = { .buf = again, .size = sizeof(again) };
	const char *wrong;

	assert_non_null(block);
	if (len)
		memcpy(block, payload, len);
	memset(&any, 0xa5, sizeof(any));
	wrong = any_decode(&frame, &any);
	/* A newer hello is the one thing that decodes and has more than it can say again. */
	if (!wrong && !(len >= 6 && (type & 0xff) <= 2 && (type & 0xff) && type != WIRE_REFUSE
			&& ((type & 0xff) == 1 ? payload[4] | payload[5] << 8 : payload[0] | payload[1] << 8) > WIRE_VERSION)) {
		assert_true(any_encode(&out, &any));
		assert_int_equal(out.len, WIRE_HEADER + len);
		assert_int_equal(again[4] | again[5] << 8, type);
		assert_memory_equal(again + WIRE_HEADER, block, len);
	}
	free(block);
	return wrong;
}

#endif
