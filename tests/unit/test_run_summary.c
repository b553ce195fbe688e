/* SPDX-License-Identifier: MIT */
/* What a run's records add up to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/run_summary.h"

static struct run_summary s;

static int fresh(void **state)
{
	(void)state;
	s = (struct run_summary){ 0 };
	return 0;
}

static void add(const char *json)
{
	struct client_record record;
	struct problem problem;
	assert_int_equal(client_record_read(&record, json, strlen(json), &problem), 1);
	run_summary_add(&s, &record);
	client_record_free(&record);
}

static void event(const char *name, unsigned value)
{
	char json[128];
	snprintf(json, sizeof json, "{\"stream\":\"init\",\"ns\":5,\"event\":\"%s\",\"value\":%u,\"text\":\"\"}", name,
		value);
	add(json);
}

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(run_summary_status(&s), 125);
	event("exited", 7);
	assert_int_equal(run_summary_status(&s), 7);
	event("restart", 1);
	event("started", 44);
	assert_int_equal(run_summary_status(&s), 125);
	event("killed", 9);
	assert_int_equal(run_summary_status(&s), 137);
	event("oom", 9);
	assert_int_equal(run_summary_status(&s), 137);
	event("unstarted", 2);
	assert_int_equal(run_summary_status(&s), 127);
	event("unstarted", 13);
	assert_int_equal(run_summary_status(&s), 126);
}

/* PID 1 that is watched by nobody ends with its machine. */
static void test_status_of_no_program(void **state)
{
	(void)state;
	event("power", 1);
	assert_int_equal(run_summary_status(&s), 125);
	add("{\"stream\":\"hawserd\",\"event\":\"end\",\"text\":\"\"}");
	assert_int_equal(run_summary_status(&s), 0);
	event("exit-status", 9);
	assert_int_equal(run_summary_status(&s), 9);
	event("exited", 3);
	event("exit-status", 4);
	assert_int_equal(run_summary_status(&s), 3);
	s = (struct run_summary){ 0 };
	event("failure", 0);
	event("power", 1);
	add("{\"stream\":\"hawserd\",\"event\":\"end\",\"text\":\"\"}");
	assert_int_equal(run_summary_status(&s), 125);
}

static void test_ready(void **state)
{
	(void)state;
	event("started", 44);
	assert_false(s.fate.ready);
	event("ready", 0);
	assert_true(s.fate.ready);
	event("restart", 1);
	assert_false(s.fate.ready);
}

static void test_counts(void **state)
{
	(void)state;
	add("{\"stream\":\"stdout\",\"ns\":1,\"message\":\"abc\",\"partial\":true}");
	add("{\"stream\":\"stdout\",\"ns\":1,\"message\":\"de\",\"offset\":3}");
	add("{\"stream\":\"kernel\",\"ns\":1,\"message\":\"\"}");
	add("{\"stream\":\"stdout\",\"ns\":1,\"lost\":{\"reason\":\"full\",\"records\":5,\"bytes\":300}}");
	add("{\"stream\":\"hawserd\",\"event\":\"boot\",\"text\":\"not counted\"}");
	assert_int_equal(s.lines, 2);
	assert_int_equal(s.bytes, 3 + 3 + 1);
	assert_int_equal(s.lost, 5);
}

static void test_life(void **state)
{
	(void)state;
	add("{\"stream\":\"hawserd\",\"event\":\"boot\",\"text\":\"\"}");
	assert_true(s.booted && !s.connected);
	add("{\"stream\":\"hawserd\",\"event\":\"log-connected\",\"text\":\"\"}");
	add("{\"stream\":\"hawserd\",\"event\":\"log-cut\",\"text\":\"\"}");
	assert_true(s.connected && s.cut);
	add("{\"stream\":\"hawserd\",\"event\":\"log-connected\",\"text\":\"\"}");
	assert_false(s.cut);
	add("{\"stream\":\"hawserd\",\"event\":\"end\",\"text\":\"\"}");
	assert_true(s.ended);
	add("{\"stream\":\"hawserd\",\"event\":\"refused\",\"text\":\"why\"}");
	assert_string_equal(s.refused, "refused: why");
}

static void test_guest_cannot_speak_for_hawserd(void **state)
{
	(void)state;
	add("{\"stream\":\"init\",\"ns\":1,\"event\":\"end\",\"text\":\"\"}");
	add("{\"stream\":\"stdout\",\"ns\":1,\"message\":\"exited 0\"}");
	assert_false(s.ended);
	assert_int_equal(s.fate.outcome, FATE_UNKNOWN);
}

static void test_sentence(void **state)
{
	(void)state;
	char line[256];
	struct run_facts facts = { "hello", "tcg", 3, 0.713 };
	assert_string_equal(run_summary_line(&s, &facts, line, sizeof line),
		"exit unknown; CID 3, 0 lines, 0 B, 0 lost, tcg, 0.71 s");
	add("{\"stream\":\"init\",\"ns\":48000000,\"event\":\"phase\",\"value\":1,\"text\":\"early\"}");
	add("{\"stream\":\"init\",\"ns\":48900000,\"event\":\"phase\",\"value\":9,\"text\":\"handoff\"}");
	event("exited", 0);
	s.lines = 214;
	s.bytes = 11571;
	assert_string_equal(run_summary_line(&s, &facts, line, sizeof line),
		"exit 0; CID 3, kernel 0.048 s, init 0.9 ms, 214 lines, 11.3 KiB, 0 lost, tcg, 0.71 s");
	s.fate.outcome = FATE_KILLED;
	s.fate.value = 9;
	s.lines = 1;
	s.bytes = 3 << 20;
	assert_string_equal(run_summary_line(&s, &facts, line, sizeof line),
		"killed by SIGKILL; CID 3, kernel 0.048 s, init 0.9 ms, 1 line, 3.0 MiB, 0 lost, tcg, 0.71 s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_status, fresh),
		cmocka_unit_test_setup(test_status_of_no_program, fresh),
		cmocka_unit_test_setup(test_ready, fresh),
		cmocka_unit_test_setup(test_counts, fresh),
		cmocka_unit_test_setup(test_life, fresh),
		cmocka_unit_test_setup(test_guest_cannot_speak_for_hawserd, fresh),
		cmocka_unit_test_setup(test_sentence, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
