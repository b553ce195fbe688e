/* SPDX-License-Identifier: MIT */
/* docs/PROTOCOL.md itself: its test vectors, and its tables of types and codes. */
#include <stdio.h>

#include "wire_any.h"

#define PAGE "docs/PROTOCOL.md"
#define VECTORS_MAX 100

struct vector {
	char words[200];
	uint8_t bytes[2000];
	size_t len;
	struct wire_frame frame;
};

static struct vector vectors[VECTORS_MAX];
static size_t vectors_n;

static FILE *page_open(void)
{
	FILE *page = fopen(PAGE, "r");

	if (!page)
		fail_msg("no %s: run this from the top of the repository", PAGE);
	return page;
}

static int vectors_read(void **state)
{
	FILE *page = page_open();
	char line[8192];
	bool found = false;

	(void)state;
	while (fgets(line, sizeof(line), page)) {
		struct vector *v = &vectors[vectors_n];
		char *hex;

		found = found || !strncmp(line, "## Test vectors", 15);
		if (!found || strncmp(line, "    ", 4))
			continue;
		line[strcspn(line, "\n")] = 0;
		hex = strrchr(line, ' ') + 1;
		assert_true(hex[-2] == ':' && (size_t)(hex - line) < sizeof(v->words));
		snprintf(v->words, sizeof(v->words), "%.*s", (int)(hex - line) - 6, line + 4);
		v->len = any_bytes(v->bytes, sizeof(v->bytes), hex);
		assert_true(++vectors_n < VECTORS_MAX);
	}
	fclose(page);
	return 0;
}

static void decode_and_encode(void **state)
{
	(void)state;
	assert_true(vectors_n >= 33);
	for (size_t i = 0; i < vectors_n; i++) {
		struct vector *v = &vectors[i];
		const char *wrong;

		if (wire_split(v->bytes, v->len, &v->frame) != (int)v->len)
			fail_msg("%s: not one frame", v->words);
		wrong = any_check(v->frame.type, v->frame.payload, v->frame.length);
		if (wrong)
			fail_msg("%s: %s", v->words, wrong);
		assert_memory_equal(wire_type_name(v->frame.type), v->words, strcspn(v->words, " "));
	}
}

/* The one vector that is about others: "COMMIT of the 14 frames from HOSTNAME on". */
static void commit_sums_up(void **state)
{
	struct wire_boot boot = { 0 };
	uint32_t count = 0, crc = 0;
	bool on = false;

	(void)state;
	for (size_t i = 0; i < vectors_n && boot.type != WIRE_COMMIT; i++) {
		struct vector *v = &vectors[i];

		wire_split(v->bytes, v->len, &v->frame);
		on = on || v->frame.type == WIRE_HOSTNAME;
		if (!on)
			continue;
		assert_null(wire_boot_decode(&v->frame, &boot));
		if (boot.type == WIRE_COMMIT)
			break;
		count++;
		crc = wire_crc32(crc, v->bytes, v->len);
	}
	assert_int_equal(boot.type, WIRE_COMMIT);
	assert_int_equal(boot.commit.count, count);
	assert_int_equal(boot.commit.crc, crc);
}

static void expect(const char *words, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < vectors_n; i++) {
		if (strcmp(vectors[i].words, words))
			continue;
		assert_int_equal(len, vectors[i].len);
		assert_memory_equal(bytes, vectors[i].bytes, len);
		return;
	}
	fail_msg("no vector \"%s\"", words);
}

#define BUILD(words, encode, ...) do { \
	uint8_t built_[2000]; \
	struct wire_out out_ = { .buf = built_, .size = sizeof(built_) }; \
	assert_true(encode(&out_, __VA_ARGS__)); \
	expect(words, built_, out_.len); \
} while (0)
#define BOOT(words, ...) BUILD(words, wire_boot_encode, (&(struct wire_boot){ __VA_ARGS__ }))
#define LOG(words, ...) BUILD(words, wire_log_encode, (&(struct wire_log){ __VA_ARGS__ }))
#define CONTROL(words, ...) BUILD(words, wire_control_encode, (&(struct wire_control){ __VA_ARGS__ }))

#define TEXT(s) { s, sizeof(s) - 1 }
#define SIXTEEN(x) { x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7, \
	x + 8, x + 9, x + 10, x + 11, x + 12, x + 13, x + 14, x + 15 }

static void build_boot(void **state)
{
	struct wire_boot welcome = { .type = WIRE_WELCOME,
		.welcome = { .version = 1, .flags = 3, .wall_ns = 1700000000000000000, .token = SIXTEEN(0xa0) } };

	(void)state;
	for (uint8_t i = 0; i < WIRE_ENTROPY; i++)
		welcome.welcome.entropy[i] = i;
	BUILD("REFUSE code 5, text \"served\"", wire_refuse_encode, WIRE_REFUSE_EPOCH_ALIVE, "served");
	BOOT("HELLO boot id 00..0f, boot time 1500000000", WIRE_HELLO,
		.hello = { .version = WIRE_VERSION, .boot_id = SIXTEEN(0), .boot_ns = 1500000000 });
	BUILD("WELCOME flags 3, wall clock 1700000000000000000, token a0..af, entropy 00..3f", wire_boot_encode, &welcome);
	BOOT("HOSTNAME \"harbour\"", WIRE_HOSTNAME, .text = TEXT("harbour"));
	BOOT("ARG \"/bin/sh\"", WIRE_ARG, .text = TEXT("/bin/sh"));
	BOOT("ENV \"MODE=quiet\"", WIRE_ENV, .text = TEXT("MODE=quiet"));
	BOOT("USER uid 1000, gid 100, additional 7", WIRE_USER, .user = { .uid = 1000, .gid = 100, .n = 1, .groups = { 7 } });
	BOOT("SYSCTL kernel.panic = 5", WIRE_SYSCTL, .sysctl = { TEXT("kernel.panic"), TEXT("5") });
	BOOT("MOUNT /data tmpfs, source tmpfs, options size=1m,nosuid", WIRE_MOUNT,
		.mount = { TEXT("/data"), TEXT("tmpfs"), TEXT("tmpfs"), TEXT("size=1m,nosuid") });
	BOOT("WORKLOAD restart 1, at end 0, at most 3, signal 15, grace 2000", WIRE_WORKLOAD,
		.workload = { .restart = WIRE_RESTART_ON_FAILURE, .at_end = WIRE_AT_END_POWER_OFF, .restarts_max = 3,
			.stop_signal = 15, .stop_grace_ms = 2000 });
	BOOT("LOG ring 262144, drop oldest", WIRE_LOG, .log = { .ring = 262144, .full = WIRE_FULL_DROP });
	BOOT("DIR 0755 0:0 etc/app", WIRE_DIR, .node = { .mode = 0755, .path = TEXT("etc/app") });
	BOOT("FILE 0644 0:0 6 bytes etc/motd", WIRE_FILE, .node = { .mode = 0644, .size = 6, .path = TEXT("etc/motd") });
	BOOT("DATA \"ahoy!\\n\"", WIRE_DATA, .text = TEXT("ahoy!\n"));
	BOOT("SYMLINK 0:0 etc/now -> motd", WIRE_SYMLINK, .node = { .target = TEXT("motd"), .path = TEXT("etc/now") });
	BOOT("CREDENTIAL 0400 0:0 3 bytes db.key", WIRE_CREDENTIAL,
		.node = { .mode = 0400, .size = 3, .path = TEXT("db.key") });
	BOOT("DATA \"key\"", WIRE_DATA, .text = TEXT("key"));
	BOOT("COMMIT of the 14 frames from HOSTNAME on", WIRE_COMMIT, .commit = { .count = 14, .crc = 0xc16569a3 });
	BOOT("APPLIED at 1600000000", WIRE_APPLIED, .applied_ns = 1600000000);
}

/* One record from its parts, data given or encoded before. */
static size_t record(uint8_t *to, struct wire_record r)
{
	wire_record_header(to, &r);
	memcpy(to + WIRE_RECORD_HEADER, r.data, r.length);
	return WIRE_RECORD_HEADER + r.length;
}

static void records(const char *words, uint64_t first, const uint8_t *bytes, size_t len)
{
	uint8_t frame[2000];
	struct wire_out out = { .buf = frame, .size = sizeof(frame) };

	wire_begin(&out, WIRE_RECORDS);
	wire_put_u64(&out, first);
	wire_put_bytes(&out, bytes, len);
	assert_true(wire_end(&out));
	expect(words, frame, out.len);
}

static void build_records(void **state)
{
	static const uint8_t kernel[] = { 41, 0, 0, 0, 0, 0, 0, 0, 'o', 'k' };
	uint8_t bytes[500], data[100];
	size_t len;

	(void)state;
	len = record(bytes, (struct wire_record){ 3, WIRE_KIND_BYTES, WIRE_STREAM_STDOUT, WIRE_PRI_NONE, 2000000000,
		(const uint8_t *)"hi\n" });
	len += record(bytes + len, (struct wire_record){ sizeof(kernel), WIRE_KIND_MESSAGE, WIRE_STREAM_KERNEL, 6, 1000,
		kernel });
	records("RECORDS first 9: stdout bytes \"hi\\n\" at 2000000000, kernel message 41 \"ok\" at 1000", 9, bytes, len);

	len = wire_event_encode(data, sizeof(data), &(struct wire_event){ .code = WIRE_EVENT_EXITED, .value = 7 });
	len = record(bytes, (struct wire_record){ (uint32_t)len, WIRE_KIND_EVENT, WIRE_STREAM_INIT, WIRE_PRI_NONE, 3, data });
	records("RECORDS first 11: event exited, value 7, at 3", 11, bytes, len);

	len = wire_gap_encode(data, sizeof(data), &(struct wire_gap){ .reason = WIRE_LOSS_OVERRUN, .records = 5 });
	len = record(bytes, (struct wire_record){ (uint32_t)len, WIRE_KIND_GAP, WIRE_STREAM_KERNEL, WIRE_PRI_NONE, 4, data });
	records("RECORDS first 12: gap in the kernel stream, overrun, 5 records, bytes unknown, at 4", 12, bytes, len);
}

static void build_log(void **state)
{
	(void)state;
	LOG("LOG_HELLO token a0..af, first 7", WIRE_LOG_HELLO,
		.hello = { .version = WIRE_VERSION, .token = SIXTEEN(0xa0), .first = 7 });
	LOG("LOG_WELCOME next 9", WIRE_LOG_WELCOME, .welcome = { .version = WIRE_VERSION, .next = 9 });
	LOG("LOST 9 to 11: stdout full, 2 records, 300 bytes", WIRE_LOST,
		.lost = { 9, 11, 1, { { WIRE_STREAM_STDOUT, WIRE_LOSS_FULL, .records = 2, .bytes = 300 } } });
	LOG("ACK next 11", WIRE_ACK, .ack = 11);
	LOG("END next 12: stdout 3 records, 303 bytes", WIRE_END,
		.end = { 12, 1, { { WIRE_STREAM_STDOUT, .records = 3, .bytes = 303 } } });
	LOG("END_ACK next 12", WIRE_END_ACK, .ack = 12);
	LOG("BUTTON", WIRE_BUTTON, .ack = 0);
}

static void build_control(void **state)
{
	(void)state;
	CONTROL("CTL_HELLO token a0..af", WIRE_CTL_HELLO, .hello = { .version = WIRE_VERSION, .token = SIXTEEN(0xa0) });
	CONTROL("CTL_WELCOME verbs 9", WIRE_CTL_WELCOME, .welcome = { WIRE_VERSION, WIRE_VERB_EXEC | WIRE_VERB_PING });
	CONTROL("PONG 1000000000, 67108864, 50331648", WIRE_PONG, .pong = { 1000000000, 67108864, 50331648 });
	CONTROL("EXEC no terminal, 0:0, cwd /, arguments id -u, environment A=1", WIRE_EXEC,
		.exec = { .cwd = TEXT("/"), .argc = 2, .args = { TEXT("id"), TEXT("-u") }, .envc = 1, .env = { TEXT("A=1") } });
	CONTROL("PING", WIRE_PING, .number = 0);
	CONTROL("STDIN \"hi\"", WIRE_STDIN, .bytes = TEXT("hi"));
	CONTROL("STDIN_END", WIRE_STDIN_END, .number = 0);
	CONTROL("CREDIT 65536", WIRE_CREDIT, .number = 65536);
	CONTROL("RESIZE 24 rows, 80 columns", WIRE_RESIZE, .resize = { .rows = 24, .cols = 80 });
	CONTROL("EXEC_SIGNAL 15", WIRE_EXEC_SIGNAL, .number = 15);
	CONTROL("FEED", WIRE_FEED, .number = 0);
	CONTROL("STDOUT \"a\\n\"", WIRE_STDOUT, .bytes = TEXT("a\n"));
	CONTROL("STDERR \"b\\n\"", WIRE_STDERR, .bytes = TEXT("b\n"));
	CONTROL("SIGNAL 1", WIRE_SIGNAL, .number = 1);
	CONTROL("STOP grace 2000", WIRE_STOP, .number = 2000);
	CONTROL("DONE errno 0", WIRE_DONE, .number = 0);
	CONTROL("EXIT code 0, signal 9", WIRE_EXIT, .exit = { .code = 0, .signal = 9 });
}

static void decoded_records(void **state)
{
	struct wire_record r;
	struct wire_event event;
	struct wire_gap gap;
	struct wire_log log;
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n; i++) {
		struct vector *v = &vectors[i];

		wire_split(v->bytes, v->len, &v->frame);
		if (v->frame.type != WIRE_RECORDS)
			continue;
		seen++;
		assert_null(wire_log_decode(&v->frame, &log));
		assert_true(wire_record_next(&log.records.in, &r));
		if (log.records.first == 9) {
			assert_int_equal(log.records.count, 2);
			assert_int_equal(r.stream, WIRE_STREAM_STDOUT);
			assert_int_equal(r.ns, 2000000000);
			assert_int_equal(r.length, 3);
			assert_memory_equal(r.data, "hi\n", 3);
			assert_true(wire_record_next(&log.records.in, &r));
			assert_int_equal(r.kind, WIRE_KIND_MESSAGE);
			assert_int_equal(r.pri, 6);
		} else if (log.records.first == 11) {
			assert_true(wire_event_decode(&r, &event));
			assert_int_equal(event.code, WIRE_EVENT_EXITED);
			assert_int_equal(event.value, 7);
		} else {
			assert_true(wire_gap_decode(&r, &gap));
			assert_int_equal(gap.reason, WIRE_LOSS_OVERRUN);
			assert_int_equal(gap.records, 5);
		}
		assert_false(wire_record_next(&log.records.in, &r));
		assert_false(log.records.in.bad);
	}
	assert_int_equal(seen, 3);
}

/* --- the page's tables ------------------------------------------------------------------------------------------ */

/* Splits "| a | b | ..." in place; returns false when the line is no row of at least two cells. */
static bool row(char *line, char *cells[static 2])
{
	if (line[0] != '|' || line[1] == '-')
		return false;
	for (int i = 0; i < 2; i++) {
		char *end;

		line += strspn(line, "| ");
		cells[i] = line;
		line += strcspn(line, "|");
		if (!*line)
			return false;
		for (end = line; end > cells[i] && end[-1] == ' '; end--)
			;
		*line++ = 0;
		*end = 0;
	}
	return true;
}

static void tables(void **state)
{
	FILE *page = page_open();
	size_t types = 0, refusals = 0, reasons = 0, events = 0, known = 0;
	char line[8192], head[2][20] = { "", "" }, *cells[2];

	(void)state;
	while (fgets(line, sizeof(line), page)) {
		unsigned long number;
		char *end;

		if (!row(line, cells))
			continue;
		number = strtoul(cells[0], &end, 0);
		if (*end || end == cells[0]) {
			snprintf(head[0], sizeof(head[0]), "%s", cells[0]);
			snprintf(head[1], sizeof(head[1]), "%s", cells[1]);
		} else if (!strcmp(head[0], "type") && ++types) {
			assert_string_equal(wire_type_name((uint16_t)number), cells[1]);
		} else if (!strcmp(head[0], "code") && !strcmp(head[1], "name") && ++refusals) {
			assert_string_equal(wire_refuse_name((uint16_t)number), cells[1]);
		} else if (!strcmp(head[0], "reason") && ++reasons) {
			assert_string_equal(wire_loss_name((uint8_t)number), cells[1]);
		} else if (!strcmp(head[0], "code") && !strcmp(head[1], "event") && ++events) {
			assert_string_equal(wire_event_name((uint16_t)number), cells[1]);
		}
	}
	fclose(page);
	/* And nothing more is known than the page has. */
	for (uint32_t type = 0; type <= UINT16_MAX; type++)
		known += !!strcmp(wire_type_name((uint16_t)type), "unknown");
	assert_int_equal(types, known);
	assert_int_equal(refusals, WIRE_REFUSE_CODES - 1);
	assert_int_equal(reasons, WIRE_LOSSES - 1);
	known = 0;
	for (uint32_t code = 0; code <= UINT16_MAX; code++)
		known += !!strcmp(wire_event_name((uint16_t)code), "unknown");
	assert_int_equal(events, known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decode_and_encode),
		cmocka_unit_test(commit_sums_up),
		cmocka_unit_test(build_boot),
		cmocka_unit_test(build_records),
		cmocka_unit_test(build_log),
		cmocka_unit_test(build_control),
		cmocka_unit_test(decoded_records),
		cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests(tests, vectors_read, NULL);
}
