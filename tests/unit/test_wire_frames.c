/* SPDX-License-Identifier: MIT */
/* Every type of frame, cut, lengthened and spoilt at each place where docs/PROTOCOL.md has a rule. */
#include <stdio.h>

#include "wire_any.h"
#include "wire_samples.h"

struct payload {
	uint8_t bytes[WIRE_PAYLOAD_MAX + 1];
	size_t len;
};

static void sample_payload(const struct sample *sample, struct payload *p)
{
	p->len = any_bytes(p->bytes, sizeof(p->bytes), sample->payload);
}

static const char *check(uint16_t type, const struct payload *p)
{
	return any_check(type, p->bytes, p->len);
}

static void accepted(uint16_t type, const struct payload *p, const char *what, size_t n)
{
	const char *wrong = check(type, p);

	if (wrong)
		fail_msg("%s refused, %s %zu: %s", wire_type_name(type), what, n, wrong);
}

static void refused(uint16_t type, const struct payload *p, const char *what, size_t n)
{
	const char *wrong = check(type, p);

	if (!wrong)
		fail_msg("%s accepted, %s %zu", wire_type_name(type), what, n);
	assert_true(strlen(wrong) > 2 && strlen(wrong) < 60);
}

static void every_type_has_a_sample(void **state)
{
	static struct payload p;

	(void)state;
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		bool sampled = false;

		for (size_t i = 0; i < SAMPLES; i++)
			sampled = sampled || samples[i].type == type;
		if (sampled == !strcmp(wire_type_name((uint16_t)type), "unknown"))
			fail_msg("type %04x: sampled %d", type, sampled);
	}
	for (size_t i = 0; i < SAMPLES; i++) {
		sample_payload(&samples[i], &p);
		accepted(samples[i].type, &p, "sample", i);
	}
}

static void cut_at_every_byte(void **state)
{
	static struct payload p;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		size_t whole;

		sample_payload(s, &p);
		whole = p.len;
		for (p.len = 0; p.len < whole; p.len++) {
			if (s->step && p.len >= s->min && (p.len - s->min) % s->step == 0)
				accepted(s->type, &p, "cut at", p.len);
			else
				refused(s->type, &p, "cut at", p.len);
		}
	}
}

static void one_byte_too_many(void **state)
{
	static struct payload p;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];

		sample_payload(s, &p);
		p.bytes[p.len++] = 'x';
		if (s->step == 1)
			accepted(s->type, &p, "with an x behind sample", i);
		else
			refused(s->type, &p, "with an x behind sample", i);
		p.bytes[p.len - 1] = 0;
		if (s->blob)
			accepted(s->type, &p, "with a 0 behind sample", i);
		else
			refused(s->type, &p, "with a 0 behind sample", i);
	}
}

static void zero_fields(void **state)
{
	static struct payload p;
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t r = 0; r < 2; r++)
			for (size_t at = 0; at < samples[i].zero[r].len; at++, seen++) {
				sample_payload(&samples[i], &p);
				assert_int_equal(p.bytes[samples[i].zero[r].at + at], 0);
				p.bytes[samples[i].zero[r].at + at] = seen % 2 ? 1 : 0x80;
				refused(samples[i].type, &p, "zero field at", samples[i].zero[r].at + at);
			}
	assert_true(seen > 50);
}

static void nul_in_texts(void **state)
{
	static struct payload p;
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t r = 0; r < 5; r++)
			for (size_t at = 0; at < samples[i].text[r].len; at++, seen++) {
				sample_payload(&samples[i], &p);
				p.bytes[samples[i].text[r].at + at] = 0;
				refused(samples[i].type, &p, "NUL at", samples[i].text[r].at + at);
			}
	assert_true(seen > 50);
}

static void str_past_the_payload(void **state)
{
	static struct payload p;
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];

		if (!s->str && !s->first_str)
			continue;
		seen++;
		sample_payload(s, &p);
		/* One more than there is, all that the field can say, and one that swallows the lengths behind it. */
		for (size_t over = p.len - s->str - 1; over <= UINT16_MAX; over += over < 100 ? 1 : 65) {
			p.bytes[s->str] = (uint8_t)over;
			p.bytes[s->str + 1] = (uint8_t)(over >> 8);
			refused(s->type, &p, "str of", over);
		}
	}
	assert_int_equal(seen, 5);
}

static void magic(void **state)
{
	static const uint16_t hellos[] = { WIRE_HELLO, WIRE_LOG_HELLO, WIRE_CTL_HELLO };
	static struct payload p;

	(void)state;
	for (size_t h = 0; h < 3; h++)
		for (size_t i = 0; i < SAMPLES; i++)
			for (size_t at = 0; samples[i].type == hellos[h] && at < 4; at++) {
				sample_payload(&samples[i], &p);
				p.bytes[at] ^= 0x20;
				refused(hellos[h], &p, "magic spoilt at", at);
			}
}

/* Hellos and welcomes may grow: then, and only then, there may be more. */
static void newer_versions(void **state)
{
	static const struct { uint16_t type; size_t at; } cases[] = {
		{ WIRE_HELLO, 4 }, { WIRE_WELCOME, 0 }, { WIRE_LOG_HELLO, 4 }, { WIRE_LOG_WELCOME, 0 }, { WIRE_CTL_HELLO, 4 },
		{ WIRE_CTL_WELCOME, 0 },
	};
	static struct payload p;

	(void)state;
	for (size_t c = 0; c < 6; c++)
		for (size_t i = 0; i < SAMPLES; i++) {
			if (samples[i].type != cases[c].type)
				continue;
			sample_payload(&samples[i], &p);
			p.bytes[cases[c].at] = 0;
			accepted(cases[c].type, &p, "version", 0);
			p.bytes[cases[c].at] = 2;
			accepted(cases[c].type, &p, "version", 2);
			p.bytes[p.len++] = 'x';
			accepted(cases[c].type, &p, "version 2 longer by", 1);
			p.bytes[cases[c].at] = 1;
			refused(cases[c].type, &p, "version 1 longer by", 1);
			p.bytes[cases[c].at] = 0;
			refused(cases[c].type, &p, "version 0 longer by", 1);
			p.bytes[cases[c].at + 1] = 0xff;
			accepted(cases[c].type, &p, "version 0xff00 longer by", 1);
			p.len -= 2;
			refused(cases[c].type, &p, "version 0xff00 shorter by", 1);
		}
}

static void newer_fields_are_read(void **state)
{
	uint8_t payload[40] = "HWSR\2\0\0\0" "0123456789abcdef" "\7\0\0\0\0\0\0\0" "future!";
	struct wire_frame frame = { WIRE_HELLO, sizeof(payload), payload };
	struct wire_boot boot;

	(void)state;
	assert_null(wire_boot_decode(&frame, &boot));
	assert_int_equal(boot.hello.version, 2);
	assert_memory_equal(boot.hello.boot_id, "0123456789abcdef", 16);
	assert_int_equal(boot.hello.boot_ns, 7);
}

static void unknown_types(void **state)
{
	static struct payload p;
	static struct any any;

	(void)state;
	p.len = 8;
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		struct wire_frame frame = { (uint16_t)type, 8, p.bytes };

		if (strcmp(wire_type_name((uint16_t)type), "unknown"))
			continue;
		assert_false(wire_refuse_decode(&frame, &any.refuse));
		assert_string_equal(wire_boot_decode(&frame, &any.boot), "unknown type");
		assert_string_equal(wire_log_decode(&frame, &any.log), "unknown type");
		assert_string_equal(wire_control_decode(&frame, &any.control), "unknown type");
	}
}

static void types_of_other_sessions(void **state)
{
	static struct payload p;
	static struct any any;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct wire_frame frame = { samples[i].type, 0, p.bytes };

		sample_payload(&samples[i], &p);
		frame.length = (uint32_t)p.len;
		assert_int_equal(frame.type >> 8 == 0, wire_refuse_decode(&frame, &any.refuse));
		assert_int_equal(frame.type >> 8 == 1, !wire_boot_decode(&frame, &any.boot));
		assert_int_equal(frame.type >> 8 == 2, !wire_log_decode(&frame, &any.log));
		assert_int_equal(frame.type >> 8 == 3, !wire_control_decode(&frame, &any.control));
	}
}

/* --- values ----------------------------------------------------------------------------------------------------- */

/* In the first sample of the type whose first byte is first (-1: any), the number at an offset is set. */
static const struct {
	uint16_t type;
	int first;
	size_t at, width;
	uint32_t value;
	bool good;
} values[] = {
	{ WIRE_REFUSE, -1, 0, 2, 0, false },
	{ WIRE_REFUSE, -1, 0, 2, 1, true },
	{ WIRE_REFUSE, -1, 0, 2, 12, true },
	{ WIRE_REFUSE, -1, 0, 2, 13, false },
	{ WIRE_REFUSE, -1, 0, 2, 0x0105, false },
	{ WIRE_WELCOME, -1, 2, 2, 0, true },
	{ WIRE_WELCOME, -1, 2, 2, 4, false },
	{ WIRE_WELCOME, -1, 2, 2, 0x8001, false },
	{ WIRE_WORKLOAD, -1, 0, 1, 2, true },
	{ WIRE_WORKLOAD, -1, 0, 1, 3, false },
	{ WIRE_WORKLOAD, -1, 1, 1, 2, true },
	{ WIRE_WORKLOAD, -1, 1, 1, 3, false },
	{ WIRE_WORKLOAD, -1, 4, 4, 0, false },
	{ WIRE_WORKLOAD, -1, 4, 4, 1, true },
	{ WIRE_WORKLOAD, -1, 4, 4, 64, true },
	{ WIRE_WORKLOAD, -1, 4, 4, 65, false },
	{ WIRE_WORKLOAD, -1, 4, 4, 0x0100000f, false },
	{ WIRE_LOG, -1, 0, 4, 65536, true },
	{ WIRE_LOG, -1, 0, 4, 65535, false },
	{ WIRE_LOG, -1, 0, 4, 61440, false },
	{ WIRE_LOG, -1, 0, 4, 65537, false },
	{ WIRE_LOG, -1, 0, 4, 65536 + 2048, false },
	{ WIRE_LOG, -1, 0, 4, 65536 + 4096, true },
	{ WIRE_LOG, -1, 0, 4, 16777216, true },
	{ WIRE_LOG, -1, 0, 4, 16777216 + 4096, false },
	{ WIRE_LOG, -1, 0, 4, 0, false },
	{ WIRE_LOG, -1, 4, 1, 0, true },
	{ WIRE_LOG, -1, 4, 1, 2, false },
	{ WIRE_POWER, -1, 0, 1, 0, true },
	{ WIRE_POWER, -1, 0, 1, 3, false },
	{ WIRE_CONTROL, -1, 0, 4, 0, true },
	{ WIRE_CONTROL, -1, 0, 4, 16, true },
	{ WIRE_CONTROL, -1, 0, 4, 32, false },
	{ WIRE_CONTROL, -1, 0, 4, 0x8000000f, false },
	{ WIRE_HANDOFF, 0, 0, 1, 1, true },
	{ WIRE_HANDOFF, 0, 0, 1, 2, false },         /* switch_root without its texts */
	{ WIRE_HANDOFF, 0, 0, 1, 3, false },
	{ WIRE_HANDOFF, 2, 0, 1, 0, false },         /* texts without switch_root */
	{ WIRE_HANDOFF, 0, 1, 1, 0, true },
	{ WIRE_HANDOFF, 0, 1, 1, 2, false },
	{ WIRE_HANDOFF, 0, 1, 1, 0x81, false },
	{ WIRE_HANDOFF, 2, 20, 1, 'i', false },      /* init is not absolute */
	{ WIRE_CWD, -1, 0, 1, 's', false },
	{ WIRE_MOUNT, -1, 2, 1, 'd', false },
	{ WIRE_ENV, -1, 0, 1, '=', false },
	{ WIRE_ENV, -1, 1, 1, 'A', false },
	{ WIRE_DIR, -1, 0, 4, 07777, true },
	{ WIRE_DIR, -1, 0, 4, 010000, false },
	{ WIRE_DIR, -1, 0, 4, 0x800001ed, false },
	{ WIRE_DIR, -1, 12, 1, '/', false },
	{ WIRE_DIR, -1, 14, 1, '/', false },
	{ WIRE_FILE, -1, 0, 4, 07777, true },
	{ WIRE_FILE, -1, 0, 4, 0100644, false },
	{ WIRE_FILE, -1, 12, 4, UINT32_MAX, true },
	{ WIRE_FILE, -1, 16, 4, UINT32_MAX, true },
	{ WIRE_FILE, -1, 20, 1, '/', false },
	{ WIRE_SYMLINK, -1, 13, 1, '/', false },
	{ WIRE_SYMLINK, -1, 10, 1, '/', false },     /* to an absolute path */
	{ WIRE_SYMLINK, -1, 10, 4, 0x6e2f2e2e, false },      /* to ../ */
	{ WIRE_CREDENTIAL, -1, 0, 4, 010000, false },
	{ WIRE_CREDENTIAL, -1, 12, 4, 0, true },
	{ WIRE_CREDENTIAL, -1, 12, 4, 1048576, true },
	{ WIRE_CREDENTIAL, -1, 12, 4, 1048577, false },
	{ WIRE_CREDENTIAL, -1, 12, 4, UINT32_MAX, false },
	{ WIRE_CREDENTIAL, -1, 18, 1, '/', false },
	{ WIRE_CREDENTIAL, -1, 18, 1, 0xc3, false },
	{ WIRE_LOST, -1, 8, 1, 10, true },
	{ WIRE_LOST, -1, 8, 1, 9, false },
	{ WIRE_LOST, -1, 8, 1, 8, false },
	{ WIRE_LOST, -1, 16, 1, 0, false },
	{ WIRE_LOST, -1, 16, 1, 1, true },
	{ WIRE_LOST, -1, 16, 1, 6, true },
	{ WIRE_LOST, -1, 16, 1, 7, false },
	{ WIRE_LOST, -1, 33, 1, 0, false },
	{ WIRE_LOST, -1, 33, 1, 1, true },
	{ WIRE_LOST, -1, 33, 1, 5, false },
	{ WIRE_END, -1, 8, 1, 0, false },
	{ WIRE_END, -1, 32, 1, 6, true },
	{ WIRE_END, -1, 32, 1, 7, false },
	{ WIRE_CTL_WELCOME, -1, 4, 4, 15, true },
	{ WIRE_CTL_WELCOME, -1, 4, 4, 31, true },
	{ WIRE_CTL_WELCOME, -1, 4, 4, 32, false },
	{ WIRE_EXEC, -1, 0, 4, 0, true },
	{ WIRE_EXEC, -1, 0, 4, 2, false },
	{ WIRE_EXEC, -1, 0, 4, 0x80000000, false },
	{ WIRE_EXEC, -1, 18, 1, '.', false },
	{ WIRE_EXEC, -1, 19, 2, 0, false },
	{ WIRE_EXEC, -1, 19, 2, 1, false },
	{ WIRE_EXEC, -1, 19, 2, 3, false },
	{ WIRE_EXEC, -1, 19, 2, UINT16_MAX, false },
	{ WIRE_EXEC, -1, 29, 2, 0, false },
	{ WIRE_EXEC, -1, 29, 2, 2, false },
	{ WIRE_EXEC, -1, 33, 1, '=', false },
	{ WIRE_EXEC, -1, 34, 1, 'A', false },
};

static void value_of_each_field(void **state)
{
	static struct payload p;

	(void)state;
	for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++) {
		size_t i = 0;

		for (;; i++) {
			assert_true(i < SAMPLES);
			sample_payload(&samples[i], &p);
			if (samples[i].type == values[v].type && (values[v].first < 0 || p.bytes[0] == values[v].first))
				break;
		}
		for (size_t b = 0; b < values[v].width; b++)
			p.bytes[values[v].at + b] = (uint8_t)(values[v].value >> 8 * b);
		if (values[v].good)
			accepted(values[v].type, &p, "values, line", v);
		else
			refused(values[v].type, &p, "values, line", v);
	}
}

/* --- sizes ------------------------------------------------------------------------------------------------------ */

/* A payload made of a head, len bytes of a field, and a tail; with str, the field's length stands in front of it. */
static const struct {
	uint16_t type;
	const char *head, *tail;
	bool str;
	const char *begin;       /* of the field, which goes on with 'a' */
	size_t min, max;
} sizes[] = {
	{ WIRE_REFUSE, "0100 0000", "", false, "", 0, 512 },
	{ WIRE_HOSTNAME, "", "", false, "", 1, 64 },
	{ WIRE_ARG, "", "", false, "", 0, WIRE_PAYLOAD_MAX },
	{ WIRE_ENV, "", "", false, "A=", 2, WIRE_PAYLOAD_MAX },
	{ WIRE_CWD, "", "", false, "/", 1, 4095 },
	{ WIRE_SYSCTL, "", "'v'", true, "", 1, 255 },
	{ WIRE_SYSCTL, "0100 's'", "", false, "", 0, 4096 },
	{ WIRE_MOUNT, "", "0100 't' 0000 0000", true, "/", 1, 4095 },
	{ WIRE_MOUNT, "0100 '/'", "0000 0000", true, "", 1, 63 },
	{ WIRE_MOUNT, "0100 '/' 0100 't'", "0000", true, "", 0, 4095 },
	{ WIRE_MOUNT, "0100 '/' 0100 't' 0000", "", true, "", 0, 4095 },
	{ WIRE_HANDOFF, "02000000", "0000 0000 0100 '/'", true, "", 1, 63 },
	{ WIRE_HANDOFF, "02000000 0100 't'", "0000 0100 '/'", true, "", 0, 4095 },
	{ WIRE_HANDOFF, "02000000 0100 't' 0000", "0100 '/'", true, "", 0, 4095 },
	{ WIRE_HANDOFF, "02000000 0100 't' 0000 0000", "", true, "/", 1, 4095 },
	{ WIRE_DIR, "000000000000000000000000", "", false, "", 1, 4095 },
	{ WIRE_FILE, "0000000000000000000000000000000000000000", "", false, "", 1, 4095 },
	{ WIRE_DATA, "", "", false, "", 1, WIRE_PAYLOAD_MAX },
	{ WIRE_SYMLINK, "0000000000000000", "'p'", true, "", 1, 4095 },
	{ WIRE_SYMLINK, "0000000000000000 0100 't'", "", false, "", 1, 4095 },
	{ WIRE_CREDENTIAL, "00000000000000000000000000000000", "", false, "", 1, 255 },
	{ WIRE_EXEC, "00000000 0000 0000 00000000 00000000", "0100 0000 0000", true, "/", 1, 4095 },
	{ WIRE_EXEC, "00000000 0000 0000 00000000 00000000 0100 '/' 0100", "0000", true, "", 0, WIRE_PAYLOAD_MAX - 25 },
	{ WIRE_EXEC, "00000000 0000 0000 00000000 00000000 0100 '/' 0100 0000 0100", "", true, "A=", 2,
		WIRE_PAYLOAD_MAX - 27 },
	{ WIRE_STDIN, "", "", false, "", 1, WIRE_PAYLOAD_MAX },
	{ WIRE_STDOUT, "", "", false, "", 1, WIRE_PAYLOAD_MAX },
	{ WIRE_STDERR, "", "", false, "", 1, WIRE_PAYLOAD_MAX },
};

static bool sized(struct payload *p, size_t row, size_t len)
{
	p->len = any_bytes(p->bytes, sizeof(p->bytes), sizes[row].head);
	if (sizes[row].str) {
		p->bytes[p->len++] = (uint8_t)len;
		p->bytes[p->len++] = (uint8_t)(len >> 8);
	}
	if (p->len + len > sizeof(p->bytes))
		return false;
	memset(p->bytes + p->len, 'a', len);
	memcpy(p->bytes + p->len, sizes[row].begin, len < strlen(sizes[row].begin) ? len : strlen(sizes[row].begin));
	p->len += len;
	p->len += any_bytes(p->bytes + p->len, sizeof(p->bytes) - p->len, sizes[row].tail);
	return p->len <= WIRE_PAYLOAD_MAX;
}

static void size_of_each_text(void **state)
{
	static struct payload p;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_true(sized(&p, i, sizes[i].min));
		accepted(sizes[i].type, &p, "least of sizes, line", i);
		assert_true(sized(&p, i, sizes[i].max));
		accepted(sizes[i].type, &p, "most of sizes, line", i);
		if (sizes[i].min && sized(&p, i, sizes[i].min - 1))
			refused(sizes[i].type, &p, "less than least of sizes, line", i);
		if (sizes[i].max < WIRE_PAYLOAD_MAX - 100) {
			assert_true(sized(&p, i, sizes[i].max + 1));
			refused(sizes[i].type, &p, "more than most of sizes, line", i);
		}
	}
}

static void number_of_entries(void **state)
{
	static const struct { uint16_t type; const char *head, *entry; size_t min, max; } counts[] = {
		{ WIRE_USER, "00000000 00000000", "05000000", 0, 32 },
		{ WIRE_LOST, U64("00") U64("09"), "05 02 0000 01000000" U64("00"), 1, 64 },
		{ WIRE_END, U64("00"), "05 00000000000000" U64("00") U64("00"), 0, 16 },
		{ WIRE_RECORDS, U64("00"), "00000000 00 05 ff0f" U64("00"), 1, 2047 },
	};
	static struct payload p;

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		for (size_t n = 0; n <= counts[i].max + 1; n++) {
			p.len = any_bytes(p.bytes, sizeof(p.bytes), counts[i].head);
			if (p.len + n * 16 > WIRE_PAYLOAD_MAX)
				continue;
			for (size_t k = 0; k < n; k++)
				p.len += any_bytes(p.bytes + p.len, sizeof(p.bytes) - p.len, counts[i].entry);
			if (n >= counts[i].min && n <= counts[i].max)
				accepted(counts[i].type, &p, "entries", n);
			else
				refused(counts[i].type, &p, "entries", n);
		}
}

static void number_of_arguments(void **state)
{
	static struct payload p;

	(void)state;
	for (unsigned argc = 0; argc <= 257; argc += argc == 1 ? 254 : 1)
		for (unsigned envc = 0; envc <= 257; envc += envc == 1 ? 254 : 1) {
			struct wire_out out = { .buf = p.bytes, .size = sizeof(p.bytes) };

			for (int i = 0; i < 4; i++)
				wire_put_u32(&out, 0);
			wire_put_str(&out, wire_text("/"));
			wire_put_u16(&out, (uint16_t)argc);
			for (unsigned i = 0; i < argc; i++)
				wire_put_str(&out, wire_text("-"));
			wire_put_u16(&out, (uint16_t)envc);
			for (unsigned i = 0; i < envc; i++)
				wire_put_str(&out, wire_text("A=1"));
			p.len = out.len;
			if (argc >= 1 && argc <= 256 && envc <= 256)
				accepted(WIRE_EXEC, &p, "arguments", argc);
			else
				refused(WIRE_EXEC, &p, "arguments", argc);
		}
}

/* --- records ---------------------------------------------------------------------------------------------------- */

static void one_record(struct payload *p, uint8_t kind, uint8_t stream, const void *data, uint32_t len, uint32_t said)
{
	struct wire_record record = { .kind = kind, .stream = stream, .pri = 6, .ns = 1, .length = said };

	memset(p->bytes, 0, 8);
	wire_record_header(p->bytes + 8, &record);
	memcpy(p->bytes + 8 + WIRE_RECORD_HEADER, data, len);
	p->len = 8 + WIRE_RECORD_HEADER + len;
}

/* Which streams each kind comes from; all 256 kinds and streams. */
static void kinds_and_streams(void **state)
{
	static const uint8_t data[24] = { 1 };       /* an event, a gap, and anything */
	static struct payload p;
	static const char *const streams[] = { "356", "124", "1", "123456" };

	(void)state;
	for (unsigned kind = 0; kind < 256; kind++)
		for (unsigned stream = 0; stream < 256; stream++) {
			unsigned plain = kind & 0x3f;
			bool flags_ok = plain == WIRE_KIND_MESSAGE || kind == plain;
			bool good = plain < 4 && flags_ok && stream >= 1 && stream <= 9
				&& strchr(streams[plain], (int)('0' + stream));

			/* An event may have a text, which data as 16 NULs is not. */
			one_record(&p, (uint8_t)kind, (uint8_t)stream, data, plain == 2 ? 8 : 24, plain == 2 ? 8 : 24);
			if (good)
				accepted(WIRE_RECORDS, &p, "kind and stream", kind << 8 | stream);
			else
				refused(WIRE_RECORDS, &p, "kind and stream", kind << 8 | stream);
		}
}

static void size_of_records(void **state)
{
	static uint8_t data[WIRE_RECORD_MAX + 1];
	static struct payload p;

	(void)state;
	one_record(&p, WIRE_KIND_BYTES, WIRE_STREAM_STDOUT, data, 16384, 16384);
	accepted(WIRE_RECORDS, &p, "record of", 16384);
	one_record(&p, WIRE_KIND_BYTES, WIRE_STREAM_STDOUT, data, 16385, 16385);
	refused(WIRE_RECORDS, &p, "record of", 16385);
	one_record(&p, WIRE_KIND_BYTES, WIRE_STREAM_STDOUT, data, 5, 6);
	refused(WIRE_RECORDS, &p, "record short by", 1);
	one_record(&p, WIRE_KIND_BYTES, WIRE_STREAM_STDOUT, data, 5, 4);
	refused(WIRE_RECORDS, &p, "record long by", 1);
	one_record(&p, WIRE_KIND_BYTES, WIRE_STREAM_STDOUT, data, 5, UINT32_MAX);
	refused(WIRE_RECORDS, &p, "record of", UINT32_MAX);
	one_record(&p, WIRE_KIND_MESSAGE, WIRE_STREAM_KERNEL, data, 8, 8);
	accepted(WIRE_RECORDS, &p, "kernel message of", 8);
	one_record(&p, WIRE_KIND_MESSAGE, WIRE_STREAM_KERNEL, data, 7, 7);
	refused(WIRE_RECORDS, &p, "kernel message of", 7);
	one_record(&p, WIRE_KIND_EVENT, WIRE_STREAM_INIT, data, 7, 7);
	refused(WIRE_RECORDS, &p, "event of", 7);
	memset(data + 8, 't', 1025);
	one_record(&p, WIRE_KIND_EVENT, WIRE_STREAM_INIT, data, 8 + 1024, 8 + 1024);
	accepted(WIRE_RECORDS, &p, "event text of", 1024);
	one_record(&p, WIRE_KIND_EVENT, WIRE_STREAM_INIT, data, 8 + 1025, 8 + 1025);
	refused(WIRE_RECORDS, &p, "event text of", 1025);
	data[0] = 0xff;
	data[1] = 0xff;
	one_record(&p, WIRE_KIND_EVENT, WIRE_STREAM_INIT, data, 8, 8);
	accepted(WIRE_RECORDS, &p, "event code", UINT16_MAX);
}

static void reasons_of_gaps(void **state)
{
	uint8_t data[25] = { 0 };
	static struct payload p;

	(void)state;
	for (int reason = 0; reason < 256; reason++) {
		data[0] = (uint8_t)reason;
		one_record(&p, WIRE_KIND_GAP, WIRE_STREAM_SYSLOG, data, 24, 24);
		if (reason >= 1 && reason <= 4)
			accepted(WIRE_RECORDS, &p, "reason", (size_t)reason);
		else
			refused(WIRE_RECORDS, &p, "reason", (size_t)reason);
	}
	data[0] = 1;
	for (uint32_t len = 0; len <= 25; len++) {
		one_record(&p, WIRE_KIND_GAP, WIRE_STREAM_SYSLOG, data, len, len);
		if (len == 24)
			accepted(WIRE_RECORDS, &p, "gap of", len);
		else
			refused(WIRE_RECORDS, &p, "gap of", len);
	}
}

/* The frame is judged as a whole: one bad record among good ones, wherever it is. */
static void one_bad_record(void **state)
{
	static struct payload p;

	(void)state;
	for (unsigned bad = 0; bad < 10; bad++) {
		p.len = any_bytes(p.bytes, sizeof(p.bytes), U64("05"));
		for (unsigned i = 0; i < 10; i++)
			p.len += any_bytes(p.bytes + p.len, sizeof(p.bytes) - p.len, "01000000 00 05 ff0f" U64("01") "'x'");
		accepted(WIRE_RECORDS, &p, "good records", 10);
		p.bytes[8 + 17 * bad + 5] = 7;
		refused(WIRE_RECORDS, &p, "bad record", bad);
	}
}

/* Bytes that did not come in a frame: those of a ring, say. */
static void records_alone(void **state)
{
	static struct payload p;
	struct wire_record record;
	struct wire_frame frame = { 0, 0, p.bytes };
	struct wire_in in;

	(void)state;
	for (uint8_t stream = 6; stream <= 7; stream++) {
		p.len = any_bytes(p.bytes, sizeof(p.bytes), "01000000 00 05 ff0f" U64("01") "'x'");
		p.len += any_bytes(p.bytes + p.len, sizeof(p.bytes) - p.len, "01000000 00 06 ff0f" U64("01") "'y'");
		p.bytes[17 + 5] = stream;
		frame.length = (uint32_t)p.len;
		in = wire_in(&frame);
		assert_true(wire_record_next(&in, &record));
		assert_int_equal(record.data[0], 'x');
		assert_int_equal(wire_record_next(&in, &record), stream == 6);
		assert_int_equal(in.bad, stream == 7);
		assert_false(wire_record_next(&in, &record));
	}
}

/* --- encoders --------------------------------------------------------------------------------------------------- */

#define TEXT(s) { s, sizeof(s) - 1 }

/* What a reader would refuse cannot be sent: nothing is written, and it is not for want of room. */
static void encoders_refuse(void **state)
{
	static const struct wire_boot boots[] = {
		{ .type = WIRE_REFUSE }, { .type = WIRE_ACK }, { .type = WIRE_HOSTNAME },
		{ .type = WIRE_ENV, .text = TEXT("=x") }, { .type = WIRE_ENV, .text = TEXT("PATH") },
		{ .type = WIRE_CWD, .text = TEXT("srv") }, { .type = WIRE_HOSTNAME, .text = TEXT("a\0b") },
		{ .type = WIRE_USER, .user = { .n = WIRE_GROUPS_MAX + 1 } }, { .type = WIRE_USER, .user = { .n = UINT32_MAX } },
		{ .type = WIRE_WORKLOAD, .workload = { .stop_signal = 65 } },
		{ .type = WIRE_LOG, .log = { .ring = 65537 } }, { .type = WIRE_POWER, .power = WIRE_POWERS },
		{ .type = WIRE_CONTROL, .verbs = 32 }, { .type = WIRE_HANDOFF, .handoff = { .mode = WIRE_HANDOFF_SWITCH_ROOT } },
		{ .type = WIRE_DIR, .node = { .mode = 0755, .path = TEXT("/etc") } },
		{ .type = WIRE_FILE, .node = { .mode = 0100644, .path = TEXT("etc") } },
		{ .type = WIRE_SYMLINK, .node = { .path = TEXT("etc") } },
		{ .type = WIRE_CREDENTIAL, .node = { .path = TEXT("..") } },
		{ .type = WIRE_CREDENTIAL, .node = { .size = WIRE_CREDENTIAL_MAX + 1, .path = TEXT("a") } },
		{ .type = WIRE_CREDENTIAL, .node = { .size = 1ull << 32, .path = TEXT("a") } },
		{ .type = WIRE_DATA }, { .type = WIRE_WELCOME, .welcome = { .version = 1, .flags = 4 } },
	};
	static const struct wire_log logs[] = {
		{ .type = WIRE_RECORDS }, { .type = WIRE_HELLO }, { .type = WIRE_LOST, .lost = { .to = 1 } },
		{ .type = WIRE_LOST, .lost = { .to = 1, .n = WIRE_LOST_MAX + 1 } },
		{ .type = WIRE_LOST, .lost = { .to = 1, .n = 1 } },
		{ .type = WIRE_LOST, .lost = { .n = 1, .lost = { { 1, 1 } } } },
		{ .type = WIRE_END, .end = { .n = WIRE_TOTALS_MAX + 1 } }, { .type = WIRE_END, .end = { .n = 1 } },
	};
	static const struct wire_control controls[] = {
		{ .type = WIRE_APPLIED }, { .type = WIRE_STDIN }, { .type = WIRE_EXEC, .exec = { .cwd = TEXT("/") } },
		{ .type = WIRE_EXEC, .exec = { .cwd = TEXT("/"), .argc = WIRE_EXEC_MAX + 1 } },
		{ .type = WIRE_EXEC, .exec = { .cwd = TEXT("/"), .argc = 1, .envc = UINT16_MAX } },
		{ .type = WIRE_EXEC, .exec = { .argc = 1 } },
		{ .type = WIRE_EXEC, .exec = { .cwd = TEXT("/"), .argc = 1, .envc = 1 } },
		{ .type = WIRE_CTL_WELCOME, .welcome = { 1, 32 } },
	};
	static uint8_t buf[2 * WIRE_FRAME_MAX];
	struct wire_out out = { .buf = buf, .size = sizeof(buf) };

	(void)state;
	for (size_t i = 0; i < sizeof(boots) / sizeof(*boots); i++)
		if (wire_boot_encode(&out, &boots[i]))
			fail_msg("boots, line %zu", i);
	for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++)
		if (wire_log_encode(&out, &logs[i]))
			fail_msg("logs, line %zu", i);
	for (size_t i = 0; i < sizeof(controls) / sizeof(*controls); i++)
		if (wire_control_encode(&out, &controls[i]))
			fail_msg("controls, line %zu", i);
	assert_int_equal(out.len, 0);
	assert_false(out.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_a_sample),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(one_byte_too_many),
		cmocka_unit_test(zero_fields),
		cmocka_unit_test(nul_in_texts),
		cmocka_unit_test(str_past_the_payload),
		cmocka_unit_test(magic),
		cmocka_unit_test(newer_versions),
		cmocka_unit_test(newer_fields_are_read),
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(types_of_other_sessions),
		cmocka_unit_test(value_of_each_field),
		cmocka_unit_test(size_of_each_text),
		cmocka_unit_test(number_of_entries),
		cmocka_unit_test(number_of_arguments),
		cmocka_unit_test(kinds_and_streams),
		cmocka_unit_test(size_of_records),
		cmocka_unit_test(reasons_of_gaps),
		cmocka_unit_test(one_bad_record),
		cmocka_unit_test(records_alone),
		cmocka_unit_test(encoders_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
