/* SPDX-License-Identifier: MIT */
/* The command line of `hawser run`, and the words that were probably meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/logs_cmd.h"
#include "../../host/nearest.h"
#include "../../host/run_options.h"

static struct run_options o;
static char error[256];

static int parse(const char *const words[])
{
	int n = 0;
	while (words[n])
		n++;
	*error = '\0';
	return run_options_parse(&o, n, (char **)(uintptr_t)words, error, sizeof error);
}

#define PARSE(...) parse((const char *const[]){ "run", __VA_ARGS__, NULL })

static void test_all(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--accel=tcg", "--cid", "42", "dir", "--raw", "--vsock", "vhost", "--", "sh", "--raw"), 0);
	assert_string_equal(o.dir, "dir");
	assert_int_equal(o.accel, ACCEL_TCG);
	assert_int_equal(o.cid, 42);
	assert_true(o.raw && o.vsock == RUN_VSOCK_VHOST && !o.json);
	assert_int_equal(o.n_command, 2);
	assert_string_equal(o.command[1], "--raw");
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(PARSE("dir", "--"), 0);
	assert_int_equal(o.accel, ACCEL_AUTO);
	assert_int_equal(o.n_command, 0);
	assert_false(o.raw || o.json || o.quiet || o.serial);
	assert_int_equal(o.vsock, RUN_VSOCK_AUTO);
}

static void test_faults(void **state)
{
	(void)state;
	static const struct { const char *words[4], *error; } faults[] = {
		{ { "run", NULL }, "which machine? give its directory: hawser run VMDIR; see hawser run --help" },
		{ { "run", "--serail", "d", NULL },
			"unknown option --serail: did you mean --serial? See hawser run --help" },
		{ { "run", "--wxyz", "d", NULL }, "unknown option --wxyz; see hawser run --help" },
		{ { "run", "-x", "d", NULL }, "unknown option -x; see hawser run --help" },
		{ { "run", "--raw=1", "d", NULL }, "--raw takes no value" },
		{ { "run", "d", "--kernel", NULL }, "--kernel needs a value: --kernel FILE" },
		{ { "run", "d", "--accel=fast", NULL }, "--accel fast: must be auto, kvm or tcg" },
		{ { "run", "d", "--cid=2", NULL }, "--cid 2: must be a number from 3 to 4294967294" },
		{ { "run", "d", "--cid=0x9", NULL }, "--cid 0x9: must be a number from 3 to 4294967294" },
		{ { "run", "d", "sh", NULL }, "sh: one directory at a time; a command goes behind \"--\"" },
		{ { "run", "--raw", "--json", "d" }, "--raw, --json and --quiet exclude each other: give one of them" },
	};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		const char *words[5] = { 0 };
		memcpy(words, faults[i].words, sizeof faults[i].words);
		assert_int_equal(parse(words), -1);
		assert_string_equal(error, faults[i].error);
	}
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const words[] = { "run", "check", "logs", "status" };
	assert_string_equal(nearest("lgos", 4, words), "logs");
	assert_string_equal(nearest("chekc", 4, words), "check");
	assert_string_equal(nearest("satus", 4, words), "status");
	assert_null(nearest("xyzzy", 4, words));
	assert_null(nearest("a word that is far too long to be one of ours, whatever it is", 4, words));
}

static void test_since(void **state)
{
	(void)state;
	static const struct { const char *text, *point; } points[] = {
		{ "2026-11-22", "2026-11-22T00:00:00.000000Z" },
		{ "2026-11-22 08:15", "2026-11-22T08:15:00.000000Z" },
		{ "2026-11-22T08:15:30.5", "2026-11-22T08:15:30.500000Z" },
		{ "2026-11-22T09:15:30.5+01:00", "2026-11-22T08:15:30.000000Z" },
		{ "2026-11-22 23:15:30-05:30", "2026-11-23T04:45:30.000000Z" },
		{ "90 seconds ago", "2001-09-09T01:45:10.000000Z" },
		{ "2 hours", "2001-09-08T23:46:40.000000Z" },
		{ "1 min ago", "2001-09-09T01:45:40.000000Z" },
		{ "90s", "2001-09-09T01:45:10.000000Z" },
		{ "2h", "2001-09-08T23:46:40.000000Z" },
		{ "1d", "2001-09-08T01:46:40.000000Z" },
	};
	char point[LOGS_TIME];
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		assert_null(logs_cmd_since(point, points[i].text, 1000000000));
		assert_string_equal(point, points[i].point);
	}
	assert_non_null(logs_cmd_since(point, "yesterday", 0));
	assert_non_null(logs_cmd_since(point, "5 min hence", 0));
	assert_non_null(logs_cmd_since(point, "5", 0));
	assert_non_null(logs_cmd_since(point, "2026-11-22T08:00:30+0100", 0));
	assert_non_null(logs_cmd_since(point, "2026-11-22T08:00:30+-1:00", 0));
	assert_non_null(logs_cmd_since(point, "2026/11/22", 0));
	assert_non_null(logs_cmd_since(point, "5y", 0));
	assert_non_null(logs_cmd_since(point, "", 0));
}

static void test_priority(void **state)
{
	(void)state;
	assert_int_equal(logs_cmd_priority("err"), 3);
	assert_int_equal(logs_cmd_priority("warn"), 4);
	assert_int_equal(logs_cmd_priority("7"), 7);
	assert_int_equal(logs_cmd_priority("8"), -1);
	assert_int_equal(logs_cmd_priority(""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_priority),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
