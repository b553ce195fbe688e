/* SPDX-License-Identifier: MIT */
/* What every frame is made of: the header, numbers, texts, paths, names, the checksum, REFUSE. */
#include <stdio.h>

#include "wire_any.h"

static void header(void **state)
{
	uint8_t buf[WIRE_HEADER + 3];
	struct wire_frame frame;

	(void)state;
	memset(buf, 'x', sizeof(buf));
	wire_header(buf, WIRE_DATA, 3);
	assert_memory_equal(buf, "\x03\0\0\0\x22\x01\0\0xxx", sizeof(buf));
	for (size_t len = 0; len < sizeof(buf); len++)
		assert_int_equal(wire_split(buf, len, &frame), 0);
	assert_int_equal(wire_split(buf, sizeof(buf), &frame), sizeof(buf));
	assert_int_equal(frame.type, WIRE_DATA);
	assert_int_equal(frame.length, 3);
	assert_ptr_equal(frame.payload, buf + WIRE_HEADER);

	/* What follows is not looked at. */
	wire_header(buf, WIRE_PING, 0);
	assert_int_equal(wire_split(buf, sizeof(buf), &frame), WIRE_HEADER);
}

static void header_malformed(void **state)
{
	static uint8_t buf[WIRE_FRAME_MAX];
	struct wire_frame frame;

	(void)state;
	wire_header(buf, WIRE_DATA, WIRE_PAYLOAD_MAX);
	assert_int_equal(wire_split(buf, sizeof(buf) - 1, &frame), 0);
	assert_int_equal(wire_split(buf, sizeof(buf), &frame), WIRE_FRAME_MAX);
	/* Refused by the header alone, before there is a payload to read or to allocate. */
	wire_header(buf, WIRE_DATA, WIRE_PAYLOAD_MAX + 1);
	assert_int_equal(wire_split(buf, WIRE_HEADER - 1, &frame), 0);
	assert_int_equal(wire_split(buf, WIRE_HEADER, &frame), -1);
	wire_header(buf, WIRE_DATA, UINT32_MAX);
	assert_int_equal(wire_split(buf, WIRE_HEADER, &frame), -1);
	for (int i = 6; i < 8; i++) {
		wire_header(buf, WIRE_PING, 0);
		buf[i] = 0x80;
		assert_int_equal(wire_split(buf, WIRE_HEADER, &frame), -1);
	}
}

static void numbers(void **state)
{
	uint8_t buf[64];
	struct wire_out out = { .buf = buf, .size = sizeof(buf) };
	struct wire_frame frame;
	struct wire_in in;
	char bytes[3];

	(void)state;
	wire_begin(&out, WIRE_DATA);
	wire_put_u8(&out, 0xf1);
	wire_put_u16(&out, 0xf2e1);
	wire_put_u32(&out, 0xf4e3d2c1);
	wire_put_u64(&out, 0xf8e7d6c5b4a39281);
	wire_put_bytes(&out, "abc", 3);
	wire_put_str(&out, wire_text("de"));
	wire_put_bytes(&out, "fgh", 3);
	assert_true(wire_end(&out));
	assert_memory_equal(buf + WIRE_HEADER,
		"\xf1\xe1\xf2\xc1\xd2\xe3\xf4\x81\x92\xa3\xb4\xc5\xd6\xe7\xf8" "abc\2\0defgh", 25);

	assert_int_equal(wire_split(buf, out.len, &frame), out.len);
	in = wire_in(&frame);
	assert_int_equal(wire_get_u8(&in), 0xf1);
	assert_int_equal(wire_get_u16(&in), 0xf2e1);
	assert_int_equal(wire_get_u32(&in), 0xf4e3d2c1);
	assert_true(wire_get_u64(&in) == 0xf8e7d6c5b4a39281);
	wire_get_bytes(&in, bytes, 3);
	assert_memory_equal(bytes, "abc", 3);
	assert_true(wire_text_is(wire_get_str(&in), "de"));
	assert_false(wire_in_done(&in));
	assert_true(wire_text_is(wire_get_rest(&in), "fgh"));
	assert_true(wire_in_done(&in));
	assert_int_equal(wire_get_rest(&in).len, 0);
	assert_true(wire_in_done(&in));
}

static void reading_past_the_end(void **state)
{
	static const uint8_t payload[] = { 1, 2, 3, 4, 5, 6, 7 };
	struct wire_frame frame = { WIRE_DATA, sizeof(payload), payload };
	struct wire_in in = wire_in(&frame);
	char bytes[8] = "unread.";

	(void)state;
	assert_true(wire_get_u64(&in) == 0);
	assert_true(in.bad);
	/* One byte would still be there, but nothing after a failure counts. */
	assert_int_equal(wire_get_u8(&in), 0);
	wire_get_bytes(&in, bytes, sizeof(bytes));
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", sizeof(bytes));
	assert_int_equal(wire_get_str(&in).len, 0);
	assert_false(wire_in_done(&in));

	in = wire_in(&frame);        /* a str of 0x0201 bytes */
	assert_int_equal(wire_get_str(&in).len, 0);
	assert_true(in.bad);
}

static void writing_past_the_end(void **state)
{
	uint8_t buf[32];
	struct wire_out out = { .buf = buf, .size = 24 };
	struct wire_boot good = { .type = WIRE_HOSTNAME, .text = wire_text("harbour") };

	(void)state;
	memset(buf, '~', sizeof(buf));
	assert_true(wire_boot_encode(&out, &good));
	assert_int_equal(out.len, 15);
	assert_false(wire_boot_encode(&out, &good));
	assert_true(out.full);
	assert_int_equal(out.len, 15);
	/* Not even what would fit: it would be out of order. */
	good.text.len = 1;
	assert_false(wire_boot_encode(&out, &good));
	assert_int_equal(out.len, 15);
	assert_memory_equal(buf + 24, "~~~~~~~~", 8);
}

static void every_size_of_storage(void **state)
{
	struct wire_control exec = { .type = WIRE_EXEC, .exec = { .argc = 1, .envc = 1, .cwd = wire_text("/") } };

	(void)state;
	exec.exec.args[0] = wire_text("id");
	exec.exec.env[0] = wire_text("A=1");
	for (size_t size = 0; size <= 41; size++) {
		uint8_t *buf = malloc(size ? size : 1);
		struct wire_out out = { .buf = buf, .size = size };

		assert_non_null(buf);
		assert_int_equal(wire_control_encode(&out, &exec), size >= 40);
		assert_int_equal(out.len, size >= 40 ? 40 : 0);
		assert_int_equal(out.full, size < 40);
		free(buf);
	}
}

static void frame_too_large(void **state)
{
	static uint8_t buf[4 * WIRE_FRAME_MAX];
	static char text[70000];
	struct wire_out out = { .buf = buf, .size = sizeof(buf) };
	struct wire_boot boot = { .type = WIRE_DATA, .text = { text, WIRE_PAYLOAD_MAX } };

	(void)state;
	assert_true(wire_boot_encode(&out, &boot));
	assert_int_equal(out.len, WIRE_FRAME_MAX);
	boot.text.len++;
	assert_false(wire_boot_encode(&out, &boot));
	assert_false(out.full);
	assert_int_equal(out.len, WIRE_FRAME_MAX);
	/* A str beyond what its own length field holds. */
	wire_begin(&out, WIRE_SYMLINK);
	wire_put_str(&out, (struct wire_text){ text, sizeof(text) });
	assert_false(wire_end(&out));
	assert_int_equal(out.len, WIRE_FRAME_MAX);
	boot.text.len = 1;
	assert_true(wire_boot_encode(&out, &boot));
	assert_int_equal(out.len, WIRE_FRAME_MAX + 9);
}

static void texts(void **state)
{
	struct wire_text text = { "abcdef", 3 }, nul = { "a\0c", 3 }, empty = { NULL, 0 };
	char to[4] = "zzz";

	(void)state;
	assert_true(wire_text_is(text, "abc"));
	assert_false(wire_text_is(text, "abcd"));
	assert_false(wire_text_is(text, "ab"));
	assert_false(wire_text_is(text, "abd"));
	assert_false(wire_text_copy(to, 3, text));
	assert_true(wire_text_copy(to, 4, text));
	assert_string_equal(to, "abc");
	assert_true(wire_text_copy(to, 1, empty));
	assert_string_equal(to, "");
	assert_false(wire_text_copy(to, 0, empty));
	assert_true(wire_text_clean(text, 3, 3));
	assert_false(wire_text_clean(text, 4, 9));
	assert_false(wire_text_clean(text, 0, 2));
	assert_false(wire_text_clean(nul, 0, 9));
	assert_true(wire_text_clean(empty, 0, 0));
	assert_int_equal(wire_text("").len, 0);
}

static void paths(void **state)
{
	static const char *const good[] = {
		"a", "a/b", "etc/app/x", "...", ".a", "a.", "..a", "a..", "a/...", "a b", "-", "~",
	};
	static const char *const bad[] = {
		"", "/", ".", "..", "/a", "a/", "a//b", "//", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "a/b/", "a/b//",
	};
	static char path[WIRE_PATH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!wire_path_ok(wire_text(good[i])))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (wire_path_ok(wire_text(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	assert_false(wire_path_ok((struct wire_text){ "a\0b", 3 }));
	/* Only its own bytes count: what lies behind would make it good, or bad. */
	assert_false(wire_path_ok((struct wire_text){ "..a", 2 }));
	assert_false(wire_path_ok((struct wire_text){ "a/b", 2 }));
	assert_true(wire_path_ok((struct wire_text){ "a/..", 1 }));
	memset(path, 'p', sizeof(path));
	assert_true(wire_path_ok((struct wire_text){ path, WIRE_PATH_MAX }));
	assert_false(wire_path_ok((struct wire_text){ path, WIRE_PATH_MAX + 1 }));
}

/* Links, and whether their targets stay below the root. */
static void targets(void **state)
{
	static const struct { const char *path, *target; bool good; } links[] = {
		{ "now", "motd", true }, { "now", "a/b", true }, { "now", ".", true }, { "now", "./a", true },
		{ "now", "a//b", true }, { "now", "..a/x", true },
		{ "now", "a.", true }, { "now", "...", true }, { "now", "a.", true },
		{ "now", "a/..", true }, { "now", "a/../b", true }, { "now", "a/./..", true },
		{ "now", "..", false }, { "now", "../a", false }, { "now", "a/../..", false }, { "now", "a/../../a/b", false },
		{ "now", "./..", false }, { "now", "a//../..", false }, { "now", "../now/a/b/c", false },
		{ "a/now", "..", true }, { "a/now", "../b", true }, { "a/now", "../..", false }, { "a/now", "../../a", false },
		{ "a/b/now", "../../c", true }, { "a/b/now", "../../..", false }, { "a/b/now", "c/../../..", true },
		{ "a/b/now", "c/../../../..", false },
		{ "now", "/", false }, { "now", "/etc", false }, { "a/now", "/..", false }, { "now", "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (wire_target_ok(wire_text(links[i].path), wire_text(links[i].target)) != links[i].good)
			fail_msg("%s -> %s", links[i].path, links[i].target);
	/* Only its own bytes count. */
	assert_true(wire_target_ok(wire_text("now"), (struct wire_text){ "a/../..", 4 }));
	assert_true(wire_target_ok(wire_text("now"), (struct wire_text){ "..a", 3 }));
	assert_false(wire_target_ok(wire_text("now"), (struct wire_text){ "..a", 2 }));
	assert_false(wire_target_ok((struct wire_text){ "now/a", 3 }, wire_text("..")));
	assert_false(wire_target_ok(wire_text("now"), (struct wire_text){ "a\0b", 3 }));
}

static void names(void **state)
{
	char name[WIRE_NAME_MAX + 1];

	(void)state;
	/* Each byte alone, and in the middle. */
	for (int c = 0; c < 256; c++) {
		char one = (char)c, three[] = { 'a', (char)c, 'z' };
		bool good = c < 128 && (isalnum(c) || c == '_' || c == '-' || c == '.');

		assert_int_equal(wire_name_ok((struct wire_text){ three, 3 }), good);
		assert_int_equal(wire_name_ok((struct wire_text){ &one, 1 }), good && c != '.');
	}
	assert_false(wire_name_ok(wire_text("")));
	assert_false(wire_name_ok(wire_text("..")));
	assert_true(wire_name_ok(wire_text("...")));
	assert_true(wire_name_ok(wire_text(".-")));
	memset(name, 'n', sizeof(name));
	assert_true(wire_name_ok((struct wire_text){ name, WIRE_NAME_MAX }));
	assert_false(wire_name_ok((struct wire_text){ name, WIRE_NAME_MAX + 1 }));
}

/* The definition, a bit at a time. */
static uint32_t crc_slow(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	return ~crc;
}

static void checksum(void **state)
{
	uint8_t bytes[600];

	(void)state;
	assert_int_equal(wire_crc32(0, "", 0), 0);
	assert_int_equal(wire_crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(wire_crc32(0, "The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
	for (int b = 0; b < 256; b++) {
		bytes[0] = (uint8_t)b;
		assert_int_equal(wire_crc32(0, bytes, 1), crc_slow(bytes, 1));
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i * 7 + i / 3);
	for (size_t from = 0; from < 8; from++)
		for (size_t len = 0; len < sizeof(bytes) - from; len++)
			assert_int_equal(wire_crc32(0, bytes + from, len), crc_slow(bytes + from, len));
}

static void checksum_spent(void **state)
{
	static const size_t lengths[] = { 8, 9, 10, 11, 12, 13, 15, 16, 2407, 2408, 2409, 2415, 2416, 4815, 4816, 32766,
		32767, 32768 };
	static uint8_t bytes[8 + 32768], spent[sizeof(bytes)];
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
	for (size_t from = 0; from < 8; from++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
			size_t len = lengths[i];
			uint32_t before = wire_crc32(0, bytes, i), crc;

			memcpy(spent, bytes, sizeof(spent));
			crc = wire_crc32_spend(before, spent + from, len);
			assert_int_equal(crc, wire_crc32(before, bytes + from, len));
			/* It kept to the bytes it was given. */
			assert_memory_equal(spent, bytes, from);
			assert_memory_equal(spent + from + len, bytes + from + len, sizeof(bytes) - from - len);
		}
}

static void checksum_in_parts(void **state)
{
	uint8_t bytes[67];
	uint32_t whole, odd = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(251 * i);
	whole = crc_slow(bytes, sizeof(bytes));
	for (size_t a = 0; a <= sizeof(bytes); a++)
		for (size_t b = a; b <= sizeof(bytes); b++) {
			uint32_t crc = wire_crc32(0, bytes, a);

			crc = wire_crc32(crc, bytes + a, b - a);
			assert_int_equal(wire_crc32(crc, bytes + b, sizeof(bytes) - b), whole);
		}
	for (size_t at = 0, n = 1; at < sizeof(bytes); at += n, n = n % 7 + 2)
		odd = wire_crc32(odd, bytes + at, n < sizeof(bytes) - at ? n : sizeof(bytes) - at);
	assert_int_equal(odd, whole);
}

static void refuse(void **state)
{
	uint8_t buf[WIRE_FRAME_MAX];
	struct wire_out out = { .buf = buf, .size = sizeof(buf) };
	struct wire_refuse refuse;
	struct wire_frame frame;
	char text[WIRE_TEXT_MAX + 100];

	(void)state;
	memset(text, 't', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_true(wire_refuse_encode(&out, WIRE_REFUSE_BUSY, text));
	wire_split(buf, out.len, &frame);
	assert_true(wire_refuse_decode(&frame, &refuse));
	assert_int_equal(refuse.code, WIRE_REFUSE_BUSY);
	assert_int_equal(refuse.text.len, WIRE_TEXT_MAX);
	/* The same bytes under another type are not REFUSE. */
	frame.type = WIRE_DATA;
	assert_false(wire_refuse_decode(&frame, &refuse));

	assert_false(wire_refuse_encode(&out, 0, ""));
	assert_false(wire_refuse_encode(&out, WIRE_REFUSE_CODES, ""));
	assert_false(out.full);
	assert_true(wire_refuse_encode(&out, WIRE_REFUSE_REVOKED, ""));
}

/* A text that is cut is still UTF-8. */
static void refuse_cut(void **state)
{
	static const struct { size_t ascii; const char *sequence; size_t kept; } cases[] = {
		{ 500, "x", 512 },
		{ 510, "\xc3\xa9", 512 }, { 511, "\xc3\xa9", 511 },
		{ 509, "\xe2\x82\xac", 512 }, { 510, "\xe2\x82\xac", 510 }, { 511, "\xe2\x82\xac", 511 },
		{ 508, "\xf0\x9f\x9a\xa2", 512 }, { 509, "\xf0\x9f\x9a\xa2", 509 }, { 511, "\xf0\x9f\x9a\xa2", 511 },
		{ 500, "\x80", 509 },       /* never UTF-8: cut anywhere, not thrown away */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t buf[WIRE_FRAME_MAX];
		struct wire_out out = { .buf = buf, .size = sizeof(buf) };
		char text[600];

		memset(text, 'a', cases[i].ascii);
		text[cases[i].ascii] = 0;
		while (strlen(text) < 520)
			strcat(text, cases[i].sequence);
		assert_true(wire_refuse_encode(&out, WIRE_REFUSE_BUSY, text));
		assert_int_equal(out.len - WIRE_HEADER - 4, cases[i].kept);
	}
}

static void names_of_codes(void **state)
{
	(void)state;
	assert_string_equal(wire_refuse_name(0), "unknown");
	assert_string_equal(wire_refuse_name(WIRE_REFUSE_CODES), "unknown");
	assert_string_equal(wire_refuse_name(UINT16_MAX), "unknown");
	assert_string_equal(wire_stream_name(0), "unknown");
	assert_string_equal(wire_stream_name(WIRE_STREAM_STDERR), "stderr");
	assert_string_equal(wire_stream_name(WIRE_STREAMS), "unknown");
	assert_string_equal(wire_loss_name(WIRE_LOSSES), "unknown");
	assert_string_equal(wire_event_name(999), "unknown");
	assert_string_equal(wire_type_name(0), "unknown");
}

static void event_cut(void **state)
{
	uint8_t buf[2000], exact[24];
	char text[1500];
	struct wire_event event = { .code = WIRE_EVENT_STATUS, .value = -7, .text = { text, sizeof(text) } }, got;
	struct wire_record record = { .data = buf };

	(void)state;
	memset(text, 's', sizeof(text));
	record.length = (uint32_t)wire_event_encode(buf, sizeof(buf), &event);
	assert_int_equal(record.length, 8 + WIRE_EVENT_TEXT_MAX);
	assert_true(wire_event_decode(&record, &got));
	assert_int_equal(got.value, -7);
	assert_int_equal(got.text.len, WIRE_EVENT_TEXT_MAX);

	assert_int_equal(wire_event_encode(exact, sizeof(exact), &event), sizeof(exact));
	assert_int_equal(wire_event_encode(exact, 8, &event), 8);
	assert_int_equal(wire_event_encode(exact, 7, &event), 0);
	/* A text of the workload may hold a NUL, which no text on the wire does. */
	text[5] = 0;
	record.length = (uint32_t)wire_event_encode(buf, sizeof(buf), &event);
	assert_int_equal(record.length, 8 + 5);
	assert_true(wire_event_decode(&record, &got));
	event.text = (struct wire_text){ NULL, 0 };
	assert_int_equal(wire_event_encode(buf, sizeof(buf), &event), 8);
}

static void gap_sizes(void **state)
{
	uint8_t buf[24];
	struct wire_gap gap = { .reason = WIRE_LOSS_RELAY, .records = 1, .bytes = 2 };

	(void)state;
	assert_int_equal(wire_gap_encode(buf, 23, &gap), 0);
	assert_int_equal(wire_gap_encode(buf, 24, &gap), 24);
	gap.reason = WIRE_LOSSES;
	assert_int_equal(wire_gap_encode(buf, 24, &gap), 0);
	gap.reason = 0;
	assert_int_equal(wire_gap_encode(buf, 24, &gap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header),
		cmocka_unit_test(header_malformed),
		cmocka_unit_test(numbers),
		cmocka_unit_test(reading_past_the_end),
		cmocka_unit_test(writing_past_the_end),
		cmocka_unit_test(every_size_of_storage),
		cmocka_unit_test(frame_too_large),
		cmocka_unit_test(texts),
		cmocka_unit_test(paths),
		cmocka_unit_test(targets),
		cmocka_unit_test(names),
		cmocka_unit_test(checksum),
		cmocka_unit_test(checksum_spent), cmocka_unit_test(checksum_in_parts),
		cmocka_unit_test(refuse),
		cmocka_unit_test(refuse_cut),
		cmocka_unit_test(names_of_codes),
		cmocka_unit_test(event_cut),
		cmocka_unit_test(gap_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
