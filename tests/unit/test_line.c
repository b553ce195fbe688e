/* SPDX-License-Identifier: MIT */
/* Lines come out whole and once, however their bytes were cut into records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/line.h"

struct out {
	uint8_t *bytes;          /* all pieces, a newline behind those that are not partial */
	size_t len, size;
	unsigned pieces, partial;
	struct line_piece last;
	uint64_t seqs[64], offsets[64];
	uint32_t indexes[64], lens[64];
};

static void put(struct out *out, const void *bytes, size_t len)
{
	if (out->len + len > out->size) {
		out->size = (out->len + len) * 2;
		out->bytes = realloc(out->bytes, out->size);
		assert_non_null(out->bytes);
	}
	if (len)
		memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void emit(void *context, const struct line_piece *piece)
{
	struct out *out = context;

	put(out, piece->bytes, piece->len);
	if (!piece->partial)
		put(out, "\n", 1);
	if (out->pieces < 64) {
		out->seqs[out->pieces] = piece->seq;
		out->offsets[out->pieces] = piece->offset;
		out->indexes[out->pieces] = piece->index;
		out->lens[out->pieces] = piece->len;
	}
	out->pieces++;
	out->partial += piece->partial;
	out->last = *piece;
}

static void feed_len(struct line *line, struct out *out, uint64_t seq, const void *bytes, size_t len)
{
	struct wire_record record = { .kind = WIRE_KIND_BYTES, .stream = WIRE_STREAM_STDOUT, .pri = WIRE_PRI_NONE,
		.ns = seq * 10, .length = (uint32_t)len, .data = bytes };

	assert_true(line_feed(line, &record, seq, emit, out));
}

static void feed(struct line *line, struct out *out, uint64_t seq, const char *text)
{
	feed_len(line, out, seq, text, strlen(text));
}

static void finish(struct line *line, struct out *out)
{
	line_clear(line);
	free(out->bytes);
}

static void assert_bytes(const struct out *out, const char *text)
{
	assert_int_equal(out->len, strlen(text));
	assert_memory_equal(out->bytes, text, out->len);
}

static void lines_of_one_record(void **state)
{
	struct line line = { 0 };
	struct out out = { 0 };

	(void)state;
	feed(&line, &out, 7, "one\n\nthree\n");
	assert_bytes(&out, "one\n\nthree\n");
	assert_int_equal(out.pieces, 3);
	assert_int_equal(out.indexes[0], 0);
	assert_int_equal(out.indexes[2], 2);
	assert_int_equal(out.seqs[2], 7);
	assert_false(line_open(&line));
	assert_int_equal(line.size, 0);          /* nothing was copied */
	finish(&line, &out);
}

static void a_line_over_many_records_has_the_first_one_s_number(void **state)
{
	struct line line = { 0 };
	struct out out = { 0 };

	(void)state;
	feed(&line, &out, 1, "a\nb");
	feed(&line, &out, 2, "c");
	feed(&line, &out, 3, "");
	feed(&line, &out, 4, "d\ne\n");
	assert_bytes(&out, "a\nbcd\ne\n");
	assert_int_equal(out.seqs[1], 1);
	assert_int_equal(out.indexes[1], 1);
	assert_int_equal(out.lens[1], 3);
	assert_int_equal(out.seqs[2], 4);
	assert_int_equal(out.indexes[2], 1);
	finish(&line, &out);
}

static void a_flushed_line_goes_on(void **state)
{
	struct line line = { 0 };
	struct out out = { 0 };

	(void)state;
	feed(&line, &out, 1, "login: ");
	line_flush(&line, WIRE_STREAM_STDOUT, emit, &out);
	assert_int_equal(out.partial, 1);
	line_flush(&line, WIRE_STREAM_STDOUT, emit, &out);
	assert_int_equal(out.pieces, 1);         /* there is nothing new */
	feed(&line, &out, 2, "root\n");
	assert_bytes(&out, "login: root\n");
	assert_int_equal(out.offsets[1], 7);
	assert_int_equal(out.seqs[1], 2);
	finish(&line, &out);
}

static void long_lines_are_split(void **state)
{
	static uint8_t x[LINE_BYTES_MAX + 1];
	struct line line = { 0 };
	struct out out = { 0 };

	(void)state;
	memset(x, 'x', sizeof x);
	/* Exactly the limit is not split. */
	for (int i = 0; i < 4; i++)
		feed_len(&line, &out, (uint64_t)i, x, LINE_BYTES_MAX / 4);
	assert_int_equal(out.pieces, 0);
	feed(&line, &out, 4, "\n");
	assert_int_equal(out.pieces, 1);
	assert_int_equal(out.lens[0], LINE_BYTES_MAX);
	/* One more is. */
	for (int i = 0; i < 4; i++)
		feed_len(&line, &out, 10 + (uint64_t)i, x, LINE_BYTES_MAX / 4);
	feed(&line, &out, 14, "y\n");
	assert_int_equal(out.pieces, 3);
	assert_int_equal(out.partial, 1);
	assert_int_equal(out.lens[1], LINE_BYTES_MAX);
	assert_int_equal(out.seqs[1], 10);
	assert_int_equal(out.lens[2], 1);
	assert_int_equal(out.seqs[2], 14);
	assert_int_equal(out.offsets[2], LINE_BYTES_MAX);
	assert_int_equal(out.len, 2 * LINE_BYTES_MAX + 3);
	finish(&line, &out);
}

/* The same bytes cut in any way give the same lines. */
static void cuts_do_not_matter(void **state)
{
	static uint8_t bytes[200000];
	uint32_t random = 1;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++) {
		random = random * 1664525 + 1013904223;
		bytes[i] = random >> 24 < 4 && i % 100000 > 90000 ? '\n' : (uint8_t)(random >> 16 | 0x80);
	}
	bytes[sizeof bytes - 1] = '\n';
	for (int round = 0; round < 50; round++) {
		struct line line = { 0 };
		struct out out = { 0 };

		for (size_t at = 0, n; at < sizeof bytes; at += n) {
			random = random * 1664525 + 1013904223;
			n = (random >> 8) % (round % 2 ? 16384 : 50) + 1;
			n = n < sizeof bytes - at ? n : sizeof bytes - at;
			feed_len(&line, &out, at, bytes + at, n);
		}
		assert_int_equal(out.len, sizeof bytes);
		assert_memory_equal(out.bytes, bytes, sizeof bytes);
		finish(&line, &out);
	}
}

static void messages_in_parts(void **state)
{
	struct line line = { 0 };
	struct out out = { 0 };
	struct wire_record record = { .kind = WIRE_KIND_MESSAGE | WIRE_KIND_MORE, .stream = WIRE_STREAM_SYSLOG, .pri = 13,
		.length = 4, .data = (const uint8_t *)"a\nb " };

	(void)state;
	assert_true(line_feed(&line, &record, 1, emit, &out));
	record.kind = WIRE_KIND_MESSAGE;
	assert_true(line_feed(&line, &record, 2, emit, &out));
	assert_bytes(&out, "a\nb a\nb \n");
	assert_int_equal(out.pieces, 1);
	assert_int_equal(out.last.pri, 13);
	assert_int_equal(out.last.seq, 1);
	finish(&line, &out);
}

static void kernel_messages_have_the_kernel_s_number(void **state)
{
	struct line line = { 0 };
	struct out out = { 0 };
	struct wire_record record = { .kind = WIRE_KIND_MESSAGE | WIRE_KIND_FRAGMENT, .stream = WIRE_STREAM_KERNEL, .pri = 6,
		.length = 10, .data = (const uint8_t *)"\x29\0\0\0\0\0\0\0ok" };

	(void)state;
	assert_true(line_feed(&line, &record, 1, emit, &out));
	assert_bytes(&out, "ok\n");
	assert_int_equal(out.last.kernel_seq, 41);
	assert_int_equal(out.last.kind, WIRE_KIND_MESSAGE | WIRE_KIND_FRAGMENT);
	/* In parts, each begins with the number. */
	record.kind = WIRE_KIND_MESSAGE | WIRE_KIND_MORE;
	assert_true(line_feed(&line, &record, 2, emit, &out));
	record.kind = WIRE_KIND_MESSAGE;
	assert_true(line_feed(&line, &record, 3, emit, &out));
	assert_bytes(&out, "ok\nokok\n");
	assert_int_equal(out.last.kernel_seq, 41);
	finish(&line, &out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_one_record),
		cmocka_unit_test(a_line_over_many_records_has_the_first_one_s_number),
		cmocka_unit_test(a_flushed_line_goes_on),
		cmocka_unit_test(long_lines_are_split),
		cmocka_unit_test(cuts_do_not_matter),
		cmocka_unit_test(messages_in_parts),
		cmocka_unit_test(kernel_messages_have_the_kernel_s_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
