/* SPDX-License-Identifier: MIT */
/* What a program says of itself, to a sink and to descriptor 2. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../vsock/log.h"

static struct {
	enum log_level level;
	char line[2 * LOG_LINE_MAX];
	int lines;
} seen;

static void sink(enum log_level level, const char *line)
{
	seen.level = level;
	snprintf(seen.line, sizeof(seen.line), "%s", line);
	seen.lines++;
	errno = EBADMSG;         /* a sink may fail; the caller of the log never sees it */
}

static int to_sink(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	log_set(LOG_LEVEL_DEBUG, sink);
	log_name(NULL);
	return 0;
}

static void lines(void **state)
{
	(void)state;
	log_info("%s is %d", "it", 7);
	assert_string_equal(seen.line, "it is 7");
	assert_int_equal(seen.level, LOG_LEVEL_INFO);
	log_warn("careful");
	assert_int_equal(seen.level, LOG_LEVEL_WARN);
	log_error("%s", "");
	assert_string_equal(seen.line, "");
	assert_int_equal(seen.level, LOG_LEVEL_ERROR);
	log_debug("100%%");
	assert_string_equal(seen.line, "100%");
	assert_int_equal(seen.level, LOG_LEVEL_DEBUG);
	assert_int_equal(seen.lines, 4);
}

static void levels(void **state)
{
	static const enum log_level all[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

	(void)state;
	for (int threshold = 0; threshold < 4; threshold++) {
		log_set(all[threshold], sink);
		seen.lines = 0;
		for (int i = 0; i < 4; i++) {
			log_line(all[i], "x");
			log_line_errno(all[i], "x");
		}
		assert_int_equal(seen.lines, 2 * (threshold + 1));
	}
}

static void parse_levels(void **state)
{
	(void)state;
	assert_int_equal(log_level_parse("error"), LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("warn"), LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("info"), LOG_LEVEL_INFO);
	assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse(""), -1);
	assert_int_equal(log_level_parse("inf"), -1);
	assert_int_equal(log_level_parse("infos"), -1);
	assert_int_equal(log_level_parse("INFO"), -1);
	assert_int_equal(log_level_parse("6"), -1);
}

static void keeps_errno(void **state)
{
	(void)state;
	errno = EXDEV;
	log_info("x");
	assert_int_equal(errno, EXDEV);
	log_warn_errno("x");
	assert_int_equal(errno, EXDEV);
	errno = 0;
	log_error("x");
	assert_int_equal(errno, 0);
	log_error_errno("x");
	assert_int_equal(errno, 0);
	log_set(LOG_LEVEL_ERROR, sink);
	errno = EXDEV;
	log_info("dropped");
	assert_int_equal(errno, EXDEV);
}

static void errno_text(void **state)
{
	(void)state;
	errno = ENOENT;
	log_error_errno("open %s", "/x");
	assert_string_equal(seen.line, "open /x: No such file or directory");
	errno = ENOENT;
	log_error("open %s", "/x");
	assert_string_equal(seen.line, "open /x");
	errno = 0;
	log_error_errno("open %s", "/x");
	assert_string_equal(seen.line, "open /x");
	errno = EACCES;
	log_error("%m");
	assert_string_equal(seen.line, "Permission denied");
}

static void long_lines(void **state)
{
	char text[2 * LOG_LINE_MAX];

	(void)state;
	for (size_t len = LOG_LINE_MAX - 40; len < LOG_LINE_MAX + 40; len++) {
		size_t kept = len < LOG_LINE_MAX ? len : LOG_LINE_MAX - 1;

		memset(text, 'l', len);
		text[len] = 0;
		log_info("%s", text);
		assert_int_equal(strlen(seen.line), kept);
		assert_memory_equal(seen.line, text, kept);
		errno = ENOENT;
		log_error_errno("%s", text);
		assert_true(strlen(seen.line) < LOG_LINE_MAX);
		assert_memory_equal(seen.line, text, kept);
	}
}

/* A text of the other side cannot make a line of its own, nor speak to a terminal. */
static void control_characters(void **state)
{
	(void)state;
	log_warn("refused: %s", "a\nhawserd: all is well\r\033[2J\x7f\tb");
	assert_string_equal(seen.line, "refused: a?hawserd: all is well??[2J??b");
	log_warn("%s", "Küste ⚓");
	assert_string_equal(seen.line, "Küste ⚓");
}

/* --- the default sink ------------------------------------------------------------------------------------------- */

static int pair[2], stderr_saved;

/* To another number, so that nothing arrives by way of the one next to 2. */
static int replace(int fd, int to)
{
	dup3(fd, to, O_CLOEXEC);
	close(fd);
	return to;
}

/* Packets: each write is one. cmocka itself says what fails on descriptor 2, so that is put back before asserting. */
static void capture(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	stderr_saved = fcntl(2, F_DUPFD_CLOEXEC, 10);
	assert_true(stderr_saved >= 10);
	pair[0] = replace(pair[0], 20);
	assert_int_equal(dup2(pair[0], 2), 2);
	log_set(LOG_LEVEL_INFO, NULL);
}

static void restore(void)
{
	dup2(stderr_saved, 2);
	close(stderr_saved);
	close(pair[0]);
}

static void assert_packet(const char *expected)
{
	char got[4 * LOG_LINE_MAX];
	ssize_t n = recv(pair[1], got, sizeof(got), 0);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(got, expected, (size_t)n);
}

static void one_write_a_line(void **state)
{
	char got[10];

	(void)state;
	capture();
	log_info("without a name");
	log_name("hawserd");
	log_info("line %d", 1);
	log_debug("below the level");
	errno = ENOENT;
	log_error_errno("open");
	restore();
	assert_packet("without a name\n");
	assert_packet("hawserd: line 1\n");
	assert_packet("hawserd: open: No such file or directory\n");
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), 0);
	close(pair[1]);
}

static void long_line_with_a_name(void **state)
{
	static char text[3000], got[4 * LOG_LINE_MAX];
	ssize_t n;

	(void)state;
	memset(text, 'l', sizeof(text) - 1);
	capture();
	log_name("hawserd");
	log_info("%s", text);
	restore();
	n = recv(pair[1], got, sizeof(got), 0);
	assert_int_equal(n, 9 + LOG_LINE_MAX - 1 + 1);
	assert_memory_equal(got, "hawserd: lll", 12);
	assert_int_equal(got[n - 1], '\n');
	close(pair[1]);
}

static void nobody_listens(void **state)
{
	int with_closed, with_full;

	(void)state;
	capture();
	close(2);
	errno = EXDEV;
	log_error("to nobody");
	with_closed = errno;
	dup2(pair[0], 2);
	for (int i = 0; i < 5000; i++) {         /* not blocking: full at some time */
		errno = EXDEV;
		log_error("again and again");
		with_full = errno;
	}
	restore();
	close(pair[1]);
	assert_int_equal(with_closed, EXDEV);
	assert_int_equal(with_full, EXDEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(lines, to_sink),
		cmocka_unit_test_setup(levels, to_sink),
		cmocka_unit_test_setup(parse_levels, to_sink),
		cmocka_unit_test_setup(keeps_errno, to_sink),
		cmocka_unit_test_setup(errno_text, to_sink),
		cmocka_unit_test_setup(long_lines, to_sink),
		cmocka_unit_test_setup(control_characters, to_sink),
		cmocka_unit_test_setup(one_write_a_line, to_sink),
		cmocka_unit_test_setup(long_line_with_a_name, to_sink),
		cmocka_unit_test_setup(nobody_listens, to_sink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
