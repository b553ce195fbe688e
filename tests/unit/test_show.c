/* SPDX-License-Identifier: MIT */
/* Records as people see them, on a terminal and in a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/show.h"

static struct show show;
static struct outqueue out;

static int fresh(void **state)
{
	(void)state;
	show = (struct show){ 0 };
	outqueue_init(&out, -1);
	return 0;
}

static int done(void **state)
{
	(void)state;
	outqueue_finish(&out);
	return 0;
}

static void add(const char *json)
{
	struct client_record record;
	struct problem problem = { .text = "" };
	int result = client_record_read(&record, json, strlen(json), &problem);
	assert_string_equal(problem.text, "");
	assert_int_equal(result, 1);
	show_record(&show, &out, &record);
	client_record_free(&record);
}

static void expect(const char *text)
{
	outqueue_put(&out, "", 1);
	assert_string_equal(out.bytes.p, text);
}

static void test_line(void **state)
{
	(void)state;
	add("{\"stream\":\"kernel\",\"ns\":312000000,\"priority\":6,\"message\":\"Linux\\n SUBSYSTEM=acpi\"}");
	add("{\"stream\":\"console\",\"ns\":123456789012345,\"message\":\"\"}");
	expect("[   0.312] kernel  | Linux\n[123456.789] console | \n");
}

static void test_wall(void **state)
{
	(void)state;
	show.wall = true;
	add("{\"time\":\"2026-11-22T08:00:00.123456Z\",\"stream\":\"stdout\",\"ns\":1,\"message\":\"x\"}");
	expect("2026-11-22T08:00:00.123456Z stdout  | x\n");
}

static void test_syslog_lines(void **state)
{
	(void)state;
	add("{\"stream\":\"syslog\",\"ns\":0,\"message\":\"a\\nb\"}");
	expect("[   0.000] syslog  | a\n[   0.000] syslog  | b\n");
}

static void test_bytes_into_a_pipe(void **state)
{
	(void)state;
	add("{\"stream\":\"stdout\",\"ns\":0,\"message\":\"\\u001b[31mred\\u0007\"}");
	add("{\"stream\":\"stdout\",\"ns\":0,\"base64\":\"/wBh\"}");
	static const char text[] = "[   0.000] stdout  | \033[31mred\a\n[   0.000] stdout  | \xff\0a\n";
	assert_int_equal(out.bytes.end, sizeof text - 1);
	assert_memory_equal(out.bytes.p, text, sizeof text - 1);
}

static void test_bytes_on_a_terminal(void **state)
{
	(void)state;
	show.escape = true;
	/* ESC, BEL, a tab, CSI as a C1 control, and a letter that is no control. */
	add("{\"stream\":\"stdout\",\"ns\":0,\"message\":\"\\u001b[31m\\u0007\\t\\u009b\\u00e4\\u007f\"}");
	add("{\"stream\":\"stdout\",\"ns\":0,\"base64\":\"/wBh\"}");
	expect("[   0.000] stdout  | \\x1b[31m\\x07\t\\xc2\\x9b\xc3\xa4\\x7f\n[   0.000] stdout  | \\xff\\x00a\n");
}

static void test_partial(void **state)
{
	(void)state;
	add("{\"stream\":\"stdout\",\"ns\":0,\"partial\":true,\"message\":\"name? \"}");
	add("{\"stream\":\"stdout\",\"ns\":0,\"offset\":6,\"message\":\"rope\"}");
	add("{\"stream\":\"stdout\",\"ns\":0,\"partial\":true,\"message\":\"half\"}");
	add("{\"stream\":\"stderr\",\"ns\":0,\"message\":\"error\"}");
	add("{\"stream\":\"stdout\",\"ns\":0,\"offset\":4,\"partial\":true,\"message\":\" a line\"}");
	show_end(&show, &out);
	expect("[   0.000] stdout  | name? rope\n[   0.000] stdout  | half\n[   0.000] stderr  | error\n"
		"[   0.000] stdout  |  a line\n");
}

static void test_events(void **state)
{
	(void)state;
	static const struct { const char *json, *words; } events[] = {
		{ "\"event\":\"phase\",\"value\":1,\"text\":\"early\"", "phase early" },
		{ "\"event\":\"connect\",\"value\":104,\"text\":\"vsock:2:610\"",
			"connect to vsock:2:610: Connection reset by peer" },
		{ "\"event\":\"connect\",\"value\":0,\"text\":\"vsock:2:610\"", "connect to vsock:2:610: done" },
		{ "\"event\":\"clock\",\"value\":-5,\"text\":\"\"", "clock stepped by less than 0 s" },
		{ "\"event\":\"exited\",\"value\":7,\"text\":\"\"", "exited with 7" },
		{ "\"event\":\"killed\",\"value\":9,\"text\":\"\"", "killed by SIGKILL" },
		{ "\"event\":\"killed\",\"value\":4000000000,\"text\":\"\"", "killed by signal 4000000000" },
		{ "\"event\":\"unstarted\",\"value\":2,\"text\":\"/bin/x\"",
			"cannot start /bin/x: No such file or directory" },
		{ "\"event\":\"power\",\"value\":1,\"text\":\"\"", "machine ends" },
		{ "\"event\":\"failure\",\"value\":0,\"text\":\"x\"", "failure: x" },
		{ "\"event\":\"failure\",\"value\":28,\"text\":\"x\"", "failure: x: No space left on device" },
		{ "\"event\":\"power\",\"value\":1,\"text\":\"done\"", "machine ends: done" },
		{ "\"event\":\"brand-new\",\"value\":3,\"text\":\"x\"", "brand-new 3: x" },
		{ "\"lost\":{\"reason\":\"full\",\"records\":5,\"bytes\":300}",
			"lost: 5 records, 300 bytes: the guest's ring was full" },
		{ "\"lost\":{\"reason\":\"unheard-of\",\"records\":1,\"bytes\":0}", "lost: 1 records: unheard-of" },
	};
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		char json[256], text[256];
		snprintf(json, sizeof json, "{\"stream\":\"init\",\"ns\":1000000,%s}", events[i].json);
		snprintf(text, sizeof text, "[   0.001] init    | %s\n", events[i].words);
		fresh(NULL);
		add(json);
		expect(text);
		done(NULL);
	}
	fresh(NULL);
}

static void test_own_event(void **state)
{
	(void)state;
	add("{\"stream\":\"hawserd\",\"event\":\"refused\",\"text\":\"no good\"}");
	expect("[        ] hawserd | refused: no good\n");
}

static void test_colour(void **state)
{
	(void)state;
	show.colour = show.escape = true;
	add("{\"stream\":\"kernel\",\"ns\":0,\"priority\":3,\"message\":\"bad\"}");
	expect("\033[2m[   0.000] \033[0m\033[2mkernel \033[0m\033[2m | \033[0m\033[31mbad\033[0m\n");
}

static void test_serial(void **state)
{
	(void)state;
	show.escape = true;
	show_serial(&show, &out, "\ra\rb\r", 5);
	expect("[        ] serial  | a\\x0db\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line, fresh, done),
		cmocka_unit_test_setup_teardown(test_wall, fresh, done),
		cmocka_unit_test_setup_teardown(test_syslog_lines, fresh, done),
		cmocka_unit_test_setup_teardown(test_bytes_into_a_pipe, fresh, done),
		cmocka_unit_test_setup_teardown(test_bytes_on_a_terminal, fresh, done),
		cmocka_unit_test_setup_teardown(test_partial, fresh, done),
		cmocka_unit_test_setup_teardown(test_events, fresh, done),
		cmocka_unit_test_setup_teardown(test_own_event, fresh, done),
		cmocka_unit_test_setup_teardown(test_colour, fresh, done),
		cmocka_unit_test_setup_teardown(test_serial, fresh, done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
