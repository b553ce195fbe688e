/* SPDX-License-Identifier: MIT */
/*
 * The argument in store.h, tried out: whatever dies, fails or is torn at whatever byte, after the guest has sent
 * again what was not acknowledged the files hold exactly what they would have held without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/store.h"
#include "../../vsock/log.h"

static char top[64];
static struct store_home home;
static struct store store;
static const uint8_t boot_id[16] = "0123456789abcde";

/* What followers were shown. */
static char shown[1 << 20];
static size_t shown_len;

static void show(struct store *from, const char *lines, size_t len)
{
	(void)from;
	assert_true(shown_len + len < sizeof shown);
	memcpy(shown + shown_len, lines, len);
	shown_len += len;
	shown[shown_len] = 0;
}

static void quiet(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int make_dir(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", top, name);
	assert_int_equal(mkdir(path, 0700), 0);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int setup(void **state)
{
	(void)state;
	/* Thousands of files come and go: in memory where there is such a place. */
	strcpy(top, access("/dev/shm", W_OK) ? "/tmp/test_store.XXXXXX" : "/dev/shm/test_store.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	log_set(LOG_LEVEL_INFO, quiet);
	home = (struct store_home){ .logs_fd = make_dir("logs"), .epochs_fd = make_dir("epochs"), .text = true,
		.json = true, .max_files = 3, .show = show };
	shown_len = 0;
	store_init(&store, &home, "vm", false);
	return store_load(&store);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	store_finish(&store);
	close(home.logs_fd);
	close(home.epochs_fd);
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static char *file_text(const char *name, size_t *len)
{
	static char text[4 << 20];
	char path[128];
	int fd;
	ssize_t n;

	snprintf(path, sizeof path, "%s/%s", top, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n] = 0;
	if (len)
		*len = (size_t)n;
	return text;
}

static void begin_epoch(void)
{
	assert_true(epoch_begin(&store.epoch, boot_id, 1700000000000000000));
	store_epoch_begun(&store);
	assert_int_equal(store_write(&store), 0);
	assert_int_equal(store_settle(&store), 0);
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

static uint8_t frame_bytes[WIRE_FRAME_MAX];
static struct wire_out out;

static void records_begin(uint64_t first)
{
	out = (struct wire_out){ .buf = frame_bytes, .size = sizeof frame_bytes };
	wire_begin(&out, WIRE_RECORDS);
	wire_put_u64(&out, first);
}

static void record_put(uint8_t stream, uint8_t kind, const void *data, size_t len, uint64_t ns)
{
	struct wire_record record = { .kind = kind, .stream = stream, .pri = WIRE_PRI_NONE, .ns = ns,
		.length = (uint32_t)len };
	uint8_t header[WIRE_RECORD_HEADER];

	wire_record_header(header, &record);
	wire_put_bytes(&out, header, sizeof header);
	wire_put_bytes(&out, data, len);
}

static const char *send_frame(void)
{
	static struct wire_log log;
	struct wire_frame frame;

	assert_true(wire_end(&out));
	assert_true(wire_split(out.buf, out.len, &frame) > 0);
	assert_null(wire_log_decode(&frame, &log));
	if (log.type == WIRE_END)
		return store_end(&store, &log);
	return (log.type == WIRE_LOST ? store_lost : store_records)(&store, &log);
}

static void stdout_text(uint64_t seq, const char *text)
{
	records_begin(seq);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, text, strlen(text), seq * 1000000000);
	assert_null(send_frame());
}

static int settle(void)
{
	int r = store_write(&store);

	return r ? r : store_settle(&store);
}

static void lost(uint64_t from, uint64_t to, uint32_t records, uint64_t bytes)
{
	struct wire_log log = { .type = WIRE_LOST, .lost = { .from = from, .to = to, .n = 1,
		.lost[0] = { WIRE_STREAM_STDOUT, WIRE_LOSS_FULL, records, bytes } } };

	out = (struct wire_out){ .buf = frame_bytes, .size = sizeof frame_bytes };
	assert_true(wire_log_encode(&out, &log));
}

/* LOST and END are encoded whole; send_frame ends only what records_begin began. */
static const char *send_encoded(void)
{
	static struct wire_log log;
	struct wire_frame frame;

	assert_true(wire_split(out.buf, out.len, &frame) > 0);
	assert_null(wire_log_decode(&frame, &log));
	return (log.type == WIRE_END ? store_end : store_lost)(&store, &log);
}

static const char *end(uint64_t next, uint64_t records, uint64_t bytes)
{
	struct wire_log log = { .type = WIRE_END, .end = { .next = next, .n = 1,
		.totals[0] = { WIRE_STREAM_STDOUT, records, bytes } } };

	out = (struct wire_out){ .buf = frame_bytes, .size = sizeof frame_bytes };
	assert_true(wire_log_encode(&out, &log));
	return send_encoded();
}

/* --- what the files look like ----------------------------------------------------------------------------------- */

static void text_and_json(void **state)
{
	struct wire_event event = { .code = WIRE_EVENT_EXITED, .value = 7 };
	uint8_t data[32];
	const char *json;

	(void)state;
	begin_epoch();
	store.watched = true;
	records_begin(0);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, "one\ntw", 6, 123456789);
	record_put(WIRE_STREAM_STDERR, WIRE_KIND_BYTES, "\xff\n", 2, 1000000000);
	record_put(WIRE_STREAM_KERNEL, WIRE_KIND_MESSAGE, "\x05\0\0\0\0\0\0\0up\n A=b", 15, 2000000000);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, "o\n", 2, 3000000000);
	record_put(WIRE_STREAM_INIT, WIRE_KIND_EVENT, data, wire_event_encode(data, sizeof data, &event), 4000000000);
	assert_null(send_frame());
	assert_int_equal(settle(), 0);
	assert_int_equal(store.durable, 5);
	assert_string_equal(file_text("logs/vm/text.log", NULL),
		"2023-11-14T22:13:20.123456Z stdout one\n"
		"2023-11-14T22:13:21.000000Z stderr \xff\n"
		"2023-11-14T22:13:22.000000Z kernel up\n\t A=b\n"
		"2023-11-14T22:13:20.123456Z stdout two\n"
		"2023-11-14T22:13:24.000000Z init [exited 7]\n");
	json = file_text("logs/vm/json.log", NULL);
	assert_non_null(strstr(json, "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"vm\":\"vm\","
		"\"boot\":\"30313233-3435-3637-3839-616263646500\",\"seq\":0,\"line\":1,\"stream\":\"stdout\","
		"\"ns\":123456789,\"message\":\"two\"}\n"));
	assert_non_null(strstr(json, "\"base64\":\"/w==\"}\n"));
	assert_non_null(strstr(json, "\"kernelSeq\":5,\"message\":\"up\\n A=b\"}\n"));
	assert_non_null(strstr(json, "\"event\":\"exited\",\"code\":17,\"value\":7,\"text\":\"\"}\n"));
	assert_string_equal(shown, json);
}

static void idle_lines_are_shown_once(void **state)
{
	(void)state;
	begin_epoch();
	store.watched = true;
	stdout_text(0, "a prompt> ");
	assert_int_equal(settle(), 0);
	assert_true(store_show_idle(&store));            /* it has just come */
	assert_int_equal(shown_len, 0);
	assert_false(store_show_idle(&store));
	assert_non_null(strstr(shown, "\"partial\":true,\"message\":\"a prompt> \"}"));
	shown_len = 0;
	stdout_text(1, "answer\n");
	assert_int_equal(settle(), 0);
	assert_non_null(strstr(shown, "\"offset\":10,"));
	assert_non_null(strstr(shown, "\"message\":\"answer\"}"));
	assert_non_null(strstr(file_text("logs/vm/json.log", NULL), "\"message\":\"a prompt> answer\"}"));
	assert_null(strstr(file_text("logs/vm/json.log", NULL), "partial"));
}

/* --- numbers ---------------------------------------------------------------------------------------------------- */

static void duplicates_are_dropped_and_counted(void **state)
{
	(void)state;
	begin_epoch();
	stdout_text(0, "zero\n");
	stdout_text(1, "one\n");
	assert_int_equal(settle(), 0);
	records_begin(0);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, "zero\n", 5, 0);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, "one\n", 4, 1000000000);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, "two\n", 4, 2000000000);
	assert_null(send_frame());
	assert_int_equal(settle(), 0);
	assert_int_equal(store.next, 3);
	assert_int_equal(store.streams[WIRE_STREAM_STDOUT].now.stored.records, 3);
	assert_int_equal(store.streams[WIRE_STREAM_STDOUT].now.stored.bytes, 13);
	assert_int_equal(store.streams[WIRE_STREAM_STDOUT].now.duplicate.records, 2);
	assert_int_equal(store.streams[WIRE_STREAM_STDOUT].now.duplicate.bytes, 9);
	assert_int_equal(store.streams[WIRE_STREAM_STDOUT].now.replayed.records, 2);
	assert_string_equal(file_text("logs/vm/text.log", NULL), "2023-11-14T22:13:20.000000Z stdout zero\n"
		"2023-11-14T22:13:21.000000Z stdout one\n2023-11-14T22:13:22.000000Z stdout two\n");
}

static void a_hole_is_an_error(void **state)
{
	(void)state;
	begin_epoch();
	records_begin(1);
	record_put(WIRE_STREAM_STDOUT, WIRE_KIND_BYTES, "x\n", 2, 0);
	assert_non_null(send_frame());
	lost(1, 2, 1, 2);
	assert_non_null(send_encoded());
	assert_non_null(end(1, 0, 0));
	assert_int_equal(store.next, 0);
}

static void losses_are_counted_once(void **state)
{
	const struct store_stream *stream = &store.streams[WIRE_STREAM_STDOUT];

	(void)state;
	begin_epoch();
	stdout_text(0, "kept\nopen");
	lost(1, 11, 10, 300);
	assert_null(send_encoded());
	assert_int_equal(settle(), 0);
	assert_int_equal(store.durable, 11);
	assert_null(send_encoded());             /* its acknowledgement was cut off */
	assert_int_equal(stream->now.lost[WIRE_LOSS_FULL].records, 10);
	assert_int_equal(stream->now.lost[WIRE_LOSS_FULL].bytes, 300);
	stdout_text(11, "after\n");
	assert_null(end(12, 12, 315));
	assert_int_equal(settle(), 0);
	assert_int_equal(store.accounting_errors, 0);
	assert_non_null(strstr(file_text("logs/vm/text.log", NULL), "stdout+ open\n"));
	assert_non_null(strstr(file_text("logs/vm/text.log", NULL),
		"hawserd lost 10 records, 300 bytes of stdout (full)\n"));
	assert_non_null(strstr(file_text("logs/vm/text.log", NULL), "stdout after\n"));
	assert_non_null(strstr(file_text("logs/vm/json.log", NULL),
		"\"seq\":1,\"stream\":\"stdout\",\"lost\":{\"reason\":\"full\",\"records\":10,\"bytes\":300}}\n"));
	lost(12, 13, 5, 5);
	assert_non_null(send_encoded());         /* five records do not fit between two numbers */
}

static void a_wrong_account_is_said(void **state)
{
	(void)state;
	begin_epoch();
	stdout_text(0, "ab\n");
	assert_null(end(1, 1, 4));
	assert_int_equal(settle(), 0);
	assert_int_equal(store.accounting_errors, 1);
	assert_non_null(strstr(file_text("logs/vm/text.log", NULL), " hawserd accounting: stdout: made 1 records, 4 bytes"));
}

static void an_end_shows_what_has_no_newline(void **state)
{
	(void)state;
	begin_epoch();
	stdout_text(0, "no newline");
	assert_null(end(1, 1, 10));
	assert_int_equal(settle(), 0);
	assert_non_null(strstr(file_text("logs/vm/text.log", NULL), "stdout+ no newline\n"));
	/* And it may go on after all. */
	stdout_text(1, ", but now\n");
	assert_null(end(2, 2, 20));
	assert_int_equal(settle(), 0);
	assert_int_equal(store.accounting_errors, 0);
	assert_non_null(strstr(file_text("logs/vm/json.log", NULL), "\"offset\":10,\"stream\":\"stdout\""));
}

/* --- deaths ----------------------------------------------------------------------------------------------------- */

#define SCRIPT 60

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

/* Record seq of the script, always the same: short and long lines, in pieces, on three streams. */
static size_t script_record(uint64_t seq, uint8_t *stream, uint8_t *kind, uint8_t data[static WIRE_RECORD_MAX])
{
	static const uint8_t streams[] = { WIRE_STREAM_STDOUT, WIRE_STREAM_STDERR, WIRE_STREAM_SYSLOG };
	size_t len;

	random_state = (uint32_t)seq * 77 + 5;
	*stream = streams[random_below(3)];
	*kind = *stream == WIRE_STREAM_SYSLOG ? random_below(2) ? WIRE_KIND_MESSAGE : WIRE_KIND_MESSAGE | WIRE_KIND_MORE
		: WIRE_KIND_BYTES;
	len = random_below(seq % 10 == 3 ? 4000 : 60);
	for (size_t i = 0; i < len; i++)
		data[i] = random_below(20) ? (uint8_t)('a' + random_below(26)) : '\n';
	return len;
}

/* Sends [from, to) as one batch. */
static void script_send(uint64_t from, uint64_t to)
{
	uint8_t stream, kind, data[WIRE_RECORD_MAX];

	records_begin(from);
	for (uint64_t seq = from; seq < to; seq++) {
		size_t len = script_record(seq, &stream, &kind, data);

		record_put(stream, kind, data, len, seq * 1000000);
	}
	assert_null(send_frame());
}

/* All of the script from the acknowledged number on, in batches of a size. 0, or the error that ended it. */
static int script_run(uint64_t to, uint64_t size)
{
	for (uint64_t seq = store.durable; seq < to;) {
		uint64_t until = seq + size < to ? seq + size : to;
		int r;

		script_send(seq, until);
		r = settle();
		if (r)
			return r;
		assert_int_equal(store.durable, until);
		seq = until;
	}
	return 0;
}

static char expected_text[1 << 20], expected_json[1 << 20];
static size_t expected_text_len, expected_json_len;
static struct store_count expected_stored[WIRE_STREAMS];

static void expect(void)
{
	const char *text;

	begin_epoch();
	assert_int_equal(script_run(SCRIPT, 7), 0);
	store_flush_lines(&store);
	assert_int_equal(settle(), 0);
	text = file_text("logs/vm/text.log", &expected_text_len);
	memcpy(expected_text, text, expected_text_len);
	text = file_text("logs/vm/json.log", &expected_json_len);
	memcpy(expected_json, text, expected_json_len);
	for (int s = 1; s < WIRE_STREAMS; s++)
		expected_stored[s] = store.streams[s].now.stored;
	assert_true(expected_text_len > 5000 && expected_text_len < sizeof expected_text);
}

/* As if nothing had been. The directories stay: to make and remove them takes longer than all the rest. */
static void again(void)
{
	char path[128];

	store_finish(&store);
	for (int i = 0; i < 10; i++) {
		snprintf(path, sizeof path, i ? "%s/logs/vm/text.log.%d" : "%s/logs/vm/text.log", top, i);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/logs/vm/json.log", top);
	unlink(path);
	snprintf(path, sizeof path, "%s/epochs/vm", top);
	unlink(path);
	store_init(&store, &home, "vm", false);
	assert_int_equal(store_load(&store), 0);
	begin_epoch();
}

static void assert_expected(void)
{
	size_t len;
	char *text;

	store_flush_lines(&store);
	assert_int_equal(settle(), 0);
	assert_int_equal(store.next, SCRIPT);
	text = file_text("logs/vm/text.log", &len);
	assert_int_equal(len, expected_text_len);
	assert_memory_equal(text, expected_text, len);
	text = file_text("logs/vm/json.log", &len);
	assert_int_equal(len, expected_json_len);
	assert_memory_equal(text, expected_json, len);
	for (int s = 1; s < WIRE_STREAMS; s++)
		assert_memory_equal(&store.streams[s].now.stored, &expected_stored[s], sizeof expected_stored[s]);
}

/* SIGKILL: what is in memory is gone, what was written stays. */
static void die(void)
{
	store_finish(&store);
	store_init(&store, &home, "vm", false);
	assert_int_equal(store_load(&store), 0);
}

static void death_between_any_two_batches(void **state)
{
	(void)state;
	expect();
	for (uint64_t at = 0; at <= SCRIPT; at++) {
		again();
		assert_int_equal(script_run(at, 5), 0);
		die();
		assert_int_equal(store.next, at);
		assert_int_equal(store.epoch.state, EPOCH_OPEN);
		assert_int_equal(script_run(SCRIPT, 7), 0);
		assert_expected();
	}
}

static void death_after_the_files_before_the_journal(void **state)
{
	(void)state;
	expect();
	for (uint64_t at = 0; at < SCRIPT; at++) {
		again();
		assert_int_equal(script_run(at, 3), 0);
		script_send(at, at + 1);
		assert_int_equal(store_write(&store), 0);
		die();
		assert_int_equal(store.next, at);
		assert_int_equal(script_run(SCRIPT, 7), 0);
		assert_expected();
	}
}

/* The kernel takes no byte beyond the limit: every write of text, JSON and journal is torn at every place. */
static void a_full_disk_at_every_byte(void **state)
{
	struct rlimit was, limit;
	unsigned errors = 0;

	(void)state;
	expect();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	signal(SIGXFSZ, SIG_IGN);
	for (size_t bytes = 200; bytes < expected_json_len + 100; bytes += bytes < 2000 ? 1 : 37) {
		int r;

		again();
		limit = (struct rlimit){ bytes, was.rlim_max };
		setrlimit(RLIMIT_FSIZE, &limit);
		r = script_run(SCRIPT, 4);
		setrlimit(RLIMIT_FSIZE, &was);
		if (r) {
			errors++;
			assert_int_equal(r, -EFBIG);
			if (errors % 2)
				assert_int_equal(store_load(&store), 0);
			else
				die();
		}
		assert_true(store.next <= SCRIPT);
		assert_int_equal(script_run(SCRIPT, 7), 0);
		assert_expected();
	}
	assert_true(errors > 100);
}

/* The journal is torn at every byte, as by a machine that lost its power, with the files ahead of it. */
static void a_torn_journal(void **state)
{
	char path[128];
	struct stat st;

	(void)state;
	expect();
	snprintf(path, sizeof path, "%s/epochs/vm", top);
	again();
	assert_int_equal(script_run(SCRIPT, 3), 0);
	snprintf(path, sizeof path, "%s/epochs/vm", top);
	assert_int_equal(stat(path, &st), 0);
	for (off_t size = st.st_size; size > 100; size -= 13) {
		assert_int_equal(truncate(path, size), 0);
		die();
		assert_true(store.next <= SCRIPT);
		if (store.epoch.state == EPOCH_NONE)
			break;                   /* not even the epoch is left: the guest boots again */
		assert_int_equal(script_run(SCRIPT, 3), 0);
		assert_expected();
		/* For the next round, so much journal again. */
		again();
		snprintf(path, sizeof path, "%s/epochs/vm", top);
		assert_int_equal(script_run(SCRIPT, 3), 0);
	}
}

static void garbage_in_place_of_the_journal(void **state)
{
	char path[128];
	int fd;

	(void)state;
	begin_epoch();
	stdout_text(0, "kept\n");
	assert_int_equal(settle(), 0);
	store_finish(&store);
	snprintf(path, sizeof path, "%s/epochs/vm", top);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "rubbish rubbish rubbish", 23), 23);
	close(fd);
	die();
	assert_int_equal(store.epoch.state, EPOCH_NONE);
	assert_non_null(strstr(file_text("logs/vm/text.log", NULL), "kept\n"));
}

static void a_full_journal_is_written_anew(void **state)
{
	struct stat st;
	char path[128];

	(void)state;
	begin_epoch();
	for (uint64_t seq = 0; seq < 3000; seq++) {
		stdout_text(seq, seq % 2 ? "end\n" : "begin ");
		assert_int_equal(settle(), 0);
	}
	snprintf(path, sizeof path, "%s/epochs/vm", top);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 100 << 10);
	die();
	assert_int_equal(store.next, 3000);
	assert_int_equal(store.streams[WIRE_STREAM_STDOUT].now.stored.bytes, 1500 * 10);
}

static void epochs_are_known_again(void **state)
{
	uint8_t token[WIRE_TOKEN];

	(void)state;
	begin_epoch();
	memcpy(token, store.epoch.token, sizeof token);
	store.epoch.state = EPOCH_LIVE;
	stdout_text(0, "x\n");
	assert_int_equal(settle(), 0);
	die();
	assert_int_equal(store.epoch.state, EPOCH_LIVE);
	assert_false(store.epoch.has_token);
	assert_true(epoch_proves(&store.epoch, token));
	assert_memory_equal(store.epoch.boot_id, boot_id, sizeof boot_id);
	assert_int_equal(store.epoch.offset_ns, 1700000000000000000);
	/* No token lies on the disk. */
	size_t len;
	char *journal = file_text("epochs/vm", &len);
	assert_null(memmem(journal, len, token, sizeof token));
}

/* --- rotation --------------------------------------------------------------------------------------------------- */

/* All that the files hold, the oldest first. */
static size_t rotated_text(char *to)
{
	size_t len = 0, n;

	for (int i = 9; i >= 0; i--) {
		char name[64];
		char *text;

		snprintf(name, sizeof name, i ? "logs/vm/text.log.%d" : "logs/vm/text.log", i);
		text = file_text(name, &n);
		memcpy(to + len, text, n);
		len += n;
	}
	to[len] = 0;
	return len;
}

static void rotation_loses_nothing(void **state)
{
	static char all[1 << 20];

	(void)state;
	expect();
	for (uint64_t at = 0; at <= SCRIPT; at += 3) {
		again();
		home.max_bytes = 2000;
		home.max_files = 9;
		assert_int_equal(script_run(at, 2), 0);
		die();
		assert_int_equal(script_run(SCRIPT, 2), 0);
		store_flush_lines(&store);
		assert_int_equal(settle(), 0);
		assert_int_equal(rotated_text(all), expected_text_len);
		assert_memory_equal(all, expected_text, expected_text_len);
		home.max_bytes = 0;
	}
}

/* The files were moved, the journal does not know it yet, and the new file has unacknowledged bytes. */
static void death_in_the_middle_of_a_rotation(void **state)
{
	static char all[1 << 20];
	uint64_t at = 20;
	int dir;

	(void)state;
	expect();
	again();
	assert_int_equal(script_run(at, 2), 0);
	home.max_files = 9;
	dir = openat(home.logs_fd, "vm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(sink_rotate(&store.text, dir, 9), 0);
	close(dir);
	script_send(at, at + 1);
	assert_int_equal(store_write(&store), 0);
	die();
	assert_int_equal(store.next, at);
	assert_int_equal(script_run(SCRIPT, 7), 0);
	store_flush_lines(&store);
	assert_int_equal(settle(), 0);
	assert_int_equal(rotated_text(all), expected_text_len);
	assert_memory_equal(all, expected_text, expected_text_len);
}

static uint64_t bytes_on_disk(const char *name)
{
	char path[128];
	struct stat st;
	uint64_t sum = 0;

	for (unsigned n = 0; n < 200; n++) {
		snprintf(path, sizeof path, n ? "%s/logs/vm/%s.%u" : "%s/logs/vm/%s", top, name, n);
		sum += stat(path, &st) ? 0 : (uint64_t)st.st_size;
	}
	return sum;
}

/* The oldest files go, the newest lines are there, and what went is counted. */
static void a_quota_is_kept(void **state)
{
	uint64_t text, json, written = 0;
	char line[32];

	(void)state;
	home.quota = 8000;
	home.max_files = 100;
	begin_epoch();
	for (uint64_t seq = 0; seq < 500; seq++) {
		snprintf(line, sizeof line, "line %u\n", (unsigned)seq);
		stdout_text(seq, line);
		assert_int_equal(settle(), 0);
		text = bytes_on_disk("text.log");
		json = bytes_on_disk("json.log");
		assert_true(text + json <= home.quota + 400);    /* and a batch */
		written = store.bytes_written;
	}
	assert_true(text + json > home.quota / 2);
	assert_true(text > 1000 && json > 1000);
	assert_true(store.quota_files > 3);
	assert_int_equal(store.quota_bytes + text + json, written);
	home.quota = 0;
	home.max_files = 3;
}

static void old_files_go(void **state)
{
	struct stat st;
	char path[128];

	(void)state;
	home.max_bytes = 1;
	home.max_files = 2;
	begin_epoch();
	for (uint64_t seq = 0; seq < 6; seq++) {
		stdout_text(seq, "a line\n");
		assert_int_equal(settle(), 0);
	}
	assert_int_equal(*file_text("logs/vm/text.log", NULL), 0);
	assert_non_null(strstr(file_text("logs/vm/text.log.1", NULL), "22:13:25"));
	assert_non_null(strstr(file_text("logs/vm/text.log.2", NULL), "22:13:24"));
	snprintf(path, sizeof path, "%s/logs/vm/text.log.3", top);
	assert_int_not_equal(stat(path, &st), 0);
	home.max_bytes = 0;
}

static void a_file_that_somebody_moved(void **state)
{
	char from[128], to[128];

	(void)state;
	begin_epoch();
	stdout_text(0, "before\n");
	assert_int_equal(settle(), 0);
	snprintf(from, sizeof from, "%s/logs/vm/text.log", top);
	snprintf(to, sizeof to, "%s/logs/vm/elsewhere", top);
	assert_int_equal(rename(from, to), 0);
	store_rest(&store);
	stdout_text(1, "after\n");
	assert_int_equal(settle(), 0);
	assert_string_equal(file_text("logs/vm/text.log", NULL), "2023-11-14T22:13:21.000000Z stdout after\n");
	die();
	assert_int_equal(store.next, 2);
	assert_string_equal(file_text("logs/vm/text.log", NULL), "2023-11-14T22:13:21.000000Z stdout after\n");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(text_and_json), CASE(idle_lines_are_shown_once), CASE(duplicates_are_dropped_and_counted),
		CASE(a_hole_is_an_error), CASE(losses_are_counted_once), CASE(a_wrong_account_is_said),
		CASE(an_end_shows_what_has_no_newline), CASE(death_between_any_two_batches),
		CASE(death_after_the_files_before_the_journal), CASE(a_full_disk_at_every_byte), CASE(a_torn_journal),
		CASE(garbage_in_place_of_the_journal), CASE(a_full_journal_is_written_anew),
		CASE(epochs_are_known_again), CASE(rotation_loses_nothing), CASE(death_in_the_middle_of_a_rotation),
		CASE(old_files_go), CASE(a_quota_is_kept), CASE(a_file_that_somebody_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
