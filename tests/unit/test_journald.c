/* SPDX-License-Identifier: MIT */
/* Entries of the systemd journal: their fields, and what is said when nobody takes them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/journald.h"

static char dir[] = "/tmp/test_journald.XXXXXX", path[64];
static int listener = -1;
static struct journald journald;
static const struct logline_who who = { .vm = "vm", .boot = "0b", .offset_ns = 0 };

/* Of the last entry: its fields with a | behind each. */
static char seen[4096];
static int sent, answer;

static int fake_send(const struct iovec *fields, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		assert_true(len + fields[i].iov_len + 2 < sizeof seen);
		memcpy(seen + len, fields[i].iov_base, fields[i].iov_len);
		len += fields[i].iov_len;
		seen[len++] = '|';
	}
	seen[len] = 0;
	sent++;
	return answer;
}

static int setup(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)state;
	strcpy(dir + sizeof dir - 7, "XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/socket", dir);
	strcpy(sa.sun_path, path);
	listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	journald_init(&journald);
	assert_string_equal(journald.path, "/run/systemd/journal/socket");
	journald.path = path;
	journald.send = fake_send;
	sent = answer = 0;
	return bind(listener, (struct sockaddr *)&sa, sizeof sa);
}

static int teardown(void **state)
{
	(void)state;
	journald_end(&journald);
	close(listener);
	unlink(path);
	return rmdir(dir);
}

static const struct line_piece piece = { .bytes = (const uint8_t *)"a\xff\033", .len = 3, .index = 2, .seq = 7,
	.ns = 1500000, .pri = 3 << 3 | 4, .stream = WIRE_STREAM_SYSLOG, .kind = WIRE_KIND_MESSAGE };

static void fields(void **state)
{
	struct line_piece other = piece;
	const struct logline_note own = { .kind = LOGLINE_OWN, .event = "unclean", .text = { "why", 3 } };
	const struct logline_note lost = { .kind = LOGLINE_LOST, .has_seq = true, .seq = 9, .stream = WIRE_STREAM_STDOUT,
		.reason = WIRE_LOSS_FULL, .records = 5, .bytes = 50 };
	const struct logline_note event = { .kind = LOGLINE_EVENT, .has_seq = true, .has_ns = true, .seq = 1,
		.pri = WIRE_PRI_NONE, .stream = WIRE_STREAM_INIT, .event = "exited", .value = -7 };

	(void)state;
	assert_int_equal(journald_piece(&journald, &who, &piece), 0);
	assert_string_equal(seen, "SYSLOG_IDENTIFIER=vm|SYSLOG_TIMESTAMP=1970-01-01T00:00:00.001500Z|HAWSER_VM=vm|"
		"HAWSER_BOOT_ID=0b|HAWSER_STREAM=syslog|HAWSER_SEQ=7|HAWSER_LINE=2|HAWSER_NS=1500000|PRIORITY=4|"
		"SYSLOG_FACILITY=3|MESSAGE=a\xff\033|");
	other.stream = WIRE_STREAM_STDOUT;
	other.pri = WIRE_PRI_NONE;
	other.partial = true;
	other.offset = 65536;
	assert_int_equal(journald_piece(&journald, &who, &other), 0);
	assert_non_null(strstr(seen, "|HAWSER_OFFSET=65536|HAWSER_PARTIAL=1|PRIORITY=6|MESSAGE="));
	assert_int_equal(journald_note(&journald, &who, &own), 0);
	assert_non_null(strstr(seen, "|HAWSER_STREAM=hawserd|HAWSER_EVENT=unclean|PRIORITY=5|MESSAGE=unclean: why|"));
	assert_int_equal(journald_note(&journald, &who, &lost), 0);
	assert_non_null(strstr(seen, "|HAWSER_STREAM=stdout|HAWSER_SEQ=9|HAWSER_LOST_REASON=full|HAWSER_LOST_RECORDS=5|"
		"HAWSER_LOST_BYTES=50|PRIORITY=4|MESSAGE=lost 5 records, 50 bytes of stdout (full)|"));
	assert_int_equal(journald_note(&journald, &who, &event), 0);
	assert_non_null(strstr(seen, "|HAWSER_EVENT=exited|HAWSER_VALUE=-7|PRIORITY=6|MESSAGE=[exited -7]|"));
	assert_int_equal(journald_end(&journald), 0);
	assert_int_equal(sent, 5);
}

static void nobody_there(void **state)
{
	(void)state;
	assert_int_equal(journald_piece(&journald, &who, &piece), 0);
	unlink(path);
	assert_int_equal(journald_end(&journald), -ENOENT);      /* may not have been taken */
	assert_int_equal(journald_piece(&journald, &who, &piece), -ENOENT);
	assert_int_equal(journald_probe(&journald), -ENOENT);
	assert_int_equal(sent, 1);
}

static void refused(void **state)
{
	(void)state;
	answer = -ECONNREFUSED;
	assert_int_equal(journald_piece(&journald, &who, &piece), -ECONNREFUSED);
	assert_int_equal(journald_end(&journald), 0);
	close(listener);
	listener = -1;
	assert_int_equal(journald_piece(&journald, &who, &piece), -ECONNREFUSED);
	assert_int_equal(sent, 1);
}

static void no_room(void **state)
{
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)state;
	strcpy(sa.sun_path, path);
	while (sendto(other, "x", 1, 0, (struct sockaddr *)&sa, sizeof sa) == 1)
		;
	assert_int_equal(journald_piece(&journald, &who, &piece), -ETIMEDOUT);
	assert_int_equal(sent, 0);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fields, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
