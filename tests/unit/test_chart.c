/* SPDX-License-Identifier: MIT */
/* A boot's records as a picture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/chart.h"

#define MS 1000000ull

static struct chart chart;

static int fresh(void **state)
{
	(void)state;
	memset(&chart, 0, sizeof chart);
	return 0;
}

static int done(void **state)
{
	(void)state;
	chart_free(&chart);
	return 0;
}

static void add(const char *json)
{
	struct client_record record;
	struct problem problem = { .text = "" };

	assert_int_equal(client_record_read(&record, json, strlen(json), &problem), 1);
	assert_true(chart_add(&chart, &record));
	client_record_free(&record);
}

static void event(unsigned ms, const char *name, unsigned value, const char *text)
{
	char json[512];

	snprintf(json, sizeof json, "{\"vm\":\"web\",\"boot\":\"b1\",\"stream\":\"init\",\"ns\":%llu,\"event\":\"%s\","
		"\"value\":%u,\"text\":\"%s\"}", ms * MS, name, value, text);
	add(json);
}

static void boot(void)
{
	event(600, "phase", 0, "start");
	event(610, "phase", 1, "early");
	event(613, "phase", 5, "cid 42");
	event(615, "connect", 104, "vsock:2:610");
	event(640, "connect", 0, "vsock:2:610");
	event(650, "phase", 9, "handoff");
	event(700, "started", 27, "/usr/bin/web");
}

static char *drawn(void (*draw)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	draw(to);
	fclose(to);
	return text;
}

static void draw_text(FILE *to)
{
	chart_text(&chart, to, 80, false);
}

static void draw_svg(FILE *to)
{
	chart_svg(&chart, to);
}

static void test_bars_follow_each_other(void **state)
{
	static const struct { const char *name, *detail; unsigned from, to; bool bad; } bars[] = {
		{ "early", "", 600, 610, false }, { "cid", "42", 610, 613, false },
		{ "connect", "Connection reset by peer", 613, 615, true }, { "connect", "vsock:2:610", 615, 640, false },
		{ "handoff", "", 640, 650, false }, { "program", "/usr/bin/web", 650, 700, false },
	};

	(void)state;
	boot();
	assert_int_equal(chart.n_bars, sizeof bars / sizeof *bars);
	for (size_t i = 0; i < chart.n_bars; i++) {
		assert_string_equal(chart.bars[i].name, bars[i].name);
		assert_string_equal(chart.bars[i].detail, bars[i].detail);
		assert_int_equal(chart.bars[i].from_ns, bars[i].from * MS);
		assert_int_equal(chart.bars[i].to_ns, bars[i].to * MS);
		assert_int_equal(chart.bars[i].bad, bars[i].bad);
	}
}

static void test_parts_make_the_whole(void **state)
{
	static const unsigned ends[CHART_PARTS] = { 600, 650, 700, 900, 1000 };
	struct chart_bar parts[CHART_PARTS];

	(void)state;
	boot();
	event(900, "exited", 7, "");
	event(1000, "power", 0, "poweroff");
	chart_parts(&chart, parts);
	for (int i = 0; i < CHART_PARTS; i++) {
		assert_int_equal(parts[i].from_ns, i ? ends[i - 1] * MS : 0);
		assert_int_equal(parts[i].to_ns, ends[i] * MS);
	}
	assert_string_equal(chart.outcome, "exit 7");
	assert_true(chart.marks[0].bad);
}

static void test_what_did_not_come_is_empty(void **state)
{
	struct chart_bar parts[CHART_PARTS];

	(void)state;
	event(600, "phase", 0, "start");
	event(10600, "failure", 110, "no host: power off");
	chart_parts(&chart, parts);
	assert_int_equal(parts[1].to_ns, 10600 * MS);
	for (int i = 2; i < CHART_PARTS; i++)
		assert_int_equal(parts[i].to_ns, parts[i].from_ns);
	assert_true(chart.bars[0].bad);
	assert_string_equal(chart.bars[0].detail, "no host: power off");
}

static void test_a_program_started_again_runs(void **state)
{
	(void)state;
	boot();
	event(800, "killed", 9, "");
	event(900, "started", 30, "/usr/bin/web");
	event(1000, "ready", 0, "");
	assert_int_equal(chart.exit_ns, 0);
	assert_int_equal(chart.program_ns, 700 * MS);
	assert_int_equal(chart.n_marks, 3);
	assert_string_equal(chart.marks[0].name, "killed by signal 9");
	assert_string_equal(chart.marks[2].name, "ready");
}

static void test_another_boot_is_another_picture(void **state)
{
	(void)state;
	boot();
	add("{\"vm\":\"web\",\"boot\":\"b2\",\"stream\":\"kernel\",\"ns\":1,\"message\":\"Linux\"}");
	assert_int_equal(chart.n_bars, 0);
	assert_int_equal(chart.n_lines, 1);
	assert_false(chart_has_boot(&chart));
	assert_string_equal(chart.boot, "b2");
}

/* A host that is long in coming: the first attempts stay, and the last. */
static void test_many_attempts(void **state)
{
	(void)state;
	event(600, "phase", 0, "start");
	event(601, "phase", 1, "early");
	for (unsigned i = 0; i < 1000; i++)
		event(700 + i, "connect", 111, "vsock:2:610");
	event(1800, "connect", 0, "vsock:2:610");
	assert_int_equal(chart.n_bars, CHART_BARS);
	assert_string_equal(chart.bars[0].name, "early");
	assert_false(chart.bars[CHART_BARS - 1].bad);
	for (unsigned i = 0; i < 100; i++)
		event(2000 + i, "started", 1, "x");
	assert_int_equal(chart.n_marks, CHART_MARKS);
	free(drawn(draw_svg));
	free(drawn(draw_text));
}

static void test_lines_are_counted_over_time(void **state)
{
	unsigned bins[4];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		char json[120];

		snprintf(json, sizeof json, "{\"boot\":\"b1\",\"stream\":\"stdout\",\"ns\":%u,\"message\":\"x\"}",
			i < 700 ? i : 3999);
		add(json);
	}
	assert_int_equal(chart_bins(&chart, bins, 4), 700);
	assert_int_equal(bins[0], 700);
	assert_int_equal(bins[1] + bins[2], 0);
	assert_int_equal(bins[3], 300);
}

static void test_a_log_is_not_trusted(void **state)
{
	char *svg, *text;

	(void)state;
	event(600, "phase", 0, "start");
	event(610, "phase", 1, "</text><script>\\u001b[2J");
	event(611, "started", 1, "&\\u009b\\u001b");
	svg = drawn(draw_svg);
	text = drawn(draw_text);
	assert_null(strstr(svg, "<script"));
	assert_non_null(strstr(svg, "&lt;script"));
	assert_non_null(strstr(svg, "(&amp;??"));
	assert_null(strchr(text, 0x1b));
	free(svg);
	free(text);
}

static void test_text(void **state)
{
	char *text;

	(void)state;
	boot();
	event(900, "exited", 0, "");
	event(1000, "power", 0, "poweroff");
	text = drawn(draw_text);
	assert_non_null(strstr(text, "web: exit 0, 1000 ms, 0 lines of log\n"));
	assert_non_null(strstr(text, "  kernel       600 ms  \u2588"));
	assert_non_null(strstr(text, "  early       10.0 ms  \u2588"));
	assert_non_null(strstr(text, "Connection reset by peer\n"));
	assert_non_null(strstr(text, "900 ms  exit 0\n"));
	free(text);
}

static void test_durations(void **state)
{
	static const struct { uint64_t ns; const char *text; } durations[] = {
		{ 0, "0.00 ms" }, { 240000, "0.24 ms" }, { 33500000, "33.5 ms" }, { 632400000, "632 ms" },
		{ 9999 * MS, "9999 ms" }, { 12340 * MS, "12.3 s" },
	};
	char text[24];

	(void)state;
	for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
		assert_string_equal(chart_duration(text, durations[i].ns), durations[i].text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bars_follow_each_other), TEST(test_parts_make_the_whole), TEST(test_what_did_not_come_is_empty),
		TEST(test_a_program_started_again_runs), TEST(test_another_boot_is_another_picture), TEST(test_many_attempts),
		TEST(test_lines_are_counted_over_time), TEST(test_a_log_is_not_trusted), TEST(test_text), TEST(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
