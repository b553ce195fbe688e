/* SPDX-License-Identifier: MIT */
/* Kernel command lines: what they set, and every complaint, to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../init/options.h"
#include "../../vsock/log.h"
#include "../../vsock/wire.h"

static char complaints[4096];

static void complain(const char *word, size_t len, const char *why)
{
	size_t at = strlen(complaints);

	snprintf(complaints + at, sizeof complaints - at, "%.*s %s\n", (int)len, word, why);
}

/* The line lies at the end of its memory, so that a read beyond it is seen. */
static struct options parse_bytes(const char *line, size_t len)
{
	struct options options;
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, line, len);
	complaints[0] = '\0';
	options_init(&options);
	options_parse(&options, copy, len, complain);
	free(copy);
	return options;
}

/* What differs from the defaults. */
static void describe(const struct options *o, char text[static 256])
{
	static const char *const failures[] = { "poweroff", "reboot", "shell", "continue" };
	static const char *const powers[] = { "detect", "poweroff", "reset" };
	char all[7][32];
	bool differs[] = { o->host_cid != 2, o->port != 610, o->deadline_s != 30, o->ring_kib != 256,
		o->on_failure != POLICY_POWEROFF, o->power != WIRE_POWER_DETECT, o->log != LOG_LEVEL_INFO };

	assert_true(o->on_failure < 4 && o->power < 3);
	snprintf(all[0], sizeof *all, " host=%u", o->host_cid);
	snprintf(all[1], sizeof *all, " port=%u", o->port);
	snprintf(all[2], sizeof *all, " deadline=%u", o->deadline_s);
	snprintf(all[3], sizeof *all, " ring=%u", o->ring_kib);
	snprintf(all[4], sizeof *all, " on_failure=%s", failures[o->on_failure]);
	snprintf(all[5], sizeof *all, " power=%s", powers[o->power]);
	snprintf(all[6], sizeof *all, " log=%u", o->log);
	text[0] = '\0';
	for (size_t i = 0; i < 7; i++)
		if (differs[i])
			strcat(text, all[i] + (text[0] == '\0'));
}

static void assert_line(const char *line, const char *expected, const char *complained)
{
	struct options options = parse_bytes(line, strlen(line));
	char text[256];

	describe(&options, text);
	if (strcmp(text, expected) || strcmp(complaints, complained))
		fail_msg("'%s': %s, not %s; '%s', not '%s'", line, text, expected, complaints, complained);
}

static void good(void **state)
{
	static const char *const lines[][2] = {
		{ "", "" },
		{ " \t\n", "" },
		{ "console=ttyS0 panic=-1 root=/dev/vda ro quiet", "" },
		{ "hawserd.host=9 xhawser.port=1 hawser=3 hawser", "" },
		{ "HAWSER.host=9", "" },
		{ "hawser.host=3", "host=3" },
		{ "hawser.host=0", "host=0" },
		{ "hawser.host=4294967294", "host=4294967294" },
		{ "hawser.port=1", "port=1" },
		{ "hawser.port=1021", "port=1021" },
		{ "hawser.deadline=1", "deadline=1" },
		{ "hawser.deadline=86400", "deadline=86400" },
		{ "hawser.ring=64", "ring=64" },
		{ "hawser.ring=16384", "ring=16384" },
		{ "hawser.ring=0000000068", "ring=68" },
		{ "hawser.on_failure=poweroff", "" },
		{ "hawser.on_failure=reboot", "on_failure=reboot" },
		{ "hawser.on_failure=shell", "on_failure=shell" },
		{ "hawser.on_failure=continue", "on_failure=continue" },
		{ "hawser.power=detect", "" },
		{ "hawser.power=poweroff", "power=poweroff" },
		{ "hawser.power=reset", "power=reset" },
		{ "hawser.log=error", "log=3" },
		{ "hawser.log=warn", "log=4" },
		{ "hawser.log=info", "" },
		{ "hawser.log=debug", "log=7" },
		/* All of them, with every blank there is. */
		{ "quiet hawser.host=5\thawser.port=7  hawser.deadline=9 \n hawser.ring=128 hawser.on_failure=shell "
			"hawser.power=reset hawser.log=debug\n", "host=5 port=7 deadline=9 ring=128 on_failure=shell power=reset log=7" },
		/* The last one counts. */
		{ "hawser.port=5 hawser.log=warn hawser.port=6 hawser.log=error", "port=6 log=3" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		assert_line(lines[i][0], lines[i][1], "");
}

static void ends_at_two_dashes(void **state)
{
	(void)state;
	assert_line("hawser.port=5 -- hawser.port=6 hawser.bad=1", "port=5", "");
	assert_line("-- hawser.port=6", "", "");
	assert_line("--", "", "");
	assert_line("--x hawser.port=5", "port=5", "");
	assert_line("- --- hawser.port=5", "port=5", "");
	assert_line("a=-- hawser.port=5 --", "port=5", "");
	assert_line("x=\"a -- b\" hawser.port=5", "port=5", "");
}

static void quotes(void **state)
{
	(void)state;
	/* Blanks in quotes end no word, so what they hold is no option. */
	assert_line("dyndbg=\"file x hawser.port=6 +p\" hawser.port=5", "port=5", "");
	assert_line("\"dyndbg=file hawser.port=6\" hawser.port=5", "port=5", "");
	assert_line("a=\"b\"\"c hawser.port=6\" hawser.port=5", "port=5", "");
	/* The kernel takes the quotes off a word, and off a value. */
	assert_line("\"hawser.port=5\"", "port=5", "");
	assert_line("hawser.port=\"5\"", "port=5", "");
	assert_line("hawser.on_failure=\"reboot\" \"hawser.log=warn\"",
		"on_failure=reboot log=4", "");
	assert_line("hawser.log=\"warn error\"", "",
		"hawser.log=\"warn error\" is one of error, warn, info, debug\n");
	assert_line("hawser.port=\"\"", "", "hawser.port=\"\" needs a port from 1 to 1021\n");
	assert_line("hawser.port=\"", "", "hawser.port=\" needs a port from 1 to 1021\n");
	assert_line("\" hawser.port=5", "", "");
	assert_line("\" \" hawser.port=5", "port=5", "");
	assert_line("\"\" hawser.port=5", "port=5", "");
	assert_line("\"", "", "");
}

static void bad(void **state)
{
	static const char *const host = "needs a CID from 0 to 4294967294",
		*const port = "needs a port from 1 to 1021", *const deadline = "needs seconds from 1 to 86400",
		*const ring = "needs KiB from 64 to 16384, a multiple of 4",
		*const failure = "is one of poweroff, reboot, shell, continue",
		*const power = "is one of detect, poweroff, reset", *const log = "is one of error, warn, info, debug",
		*const unknown = "is not an option of hawser";
	const struct { const char *word, *why; } cases[] = {
		{ "hawser.host=4294967295", host }, { "hawser.host=9999999999", host },
		{ "hawser.host=4294967296", host }, { "hawser.host=18446744073709551618", host },
		{ "hawser.host=00000000002", host }, { "hawser.host=", host }, { "hawser.host", host },
		{ "hawser.host=-1", host }, { "hawser.host=+1", host }, { "hawser.host=0x3", host },
		{ "hawser.host=3a", host }, { "hawser.host=a", host }, { "hawser.host==3", host },
		{ "hawser.port=0", port }, { "hawser.port=1022", port }, { "hawser.port=4294967306", port },
		{ "hawser.port=610,", port },
		{ "hawser.deadline=0", deadline }, { "hawser.deadline=86401", deadline },
		{ "hawser.deadline=1.5", deadline }, { "hawser.deadline=30s", deadline }, { "hawser.ring=63", ring },
		{ "hawser.ring=60", ring }, { "hawser.ring=66", ring }, { "hawser.ring=16388", ring },
		{ "hawser.ring=64k", ring }, { "hawser.on_failure=", failure }, { "hawser.on_failure", failure },
		{ "hawser.on_failure=panic", failure }, { "hawser.on_failure=rebootx", failure },
		{ "hawser.on_failure=reboo", failure }, { "hawser.on_failure=Shell", failure },
		{ "hawser.on_failure=0", failure }, { "hawser.power=off", power }, { "hawser.power=", power },
		{ "hawser.log=notice", log }, { "hawser.log=7", log }, { "hawser.log=", log },
		{ "hawser.", unknown }, { "hawser.=5", unknown }, { "hawser.hos=3", unknown },
		{ "hawser.hosts=3", unknown }, { "hawser.host =3", host }, { "hawser.on-failure=shell", unknown },
		{ "hawser.Port=3", unknown }, { "hawser.x", unknown },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[128], expected[256];
		size_t word = strcspn(cases[i].word, " ");

		snprintf(line, sizeof line, "quiet %s ro", cases[i].word);
		snprintf(expected, sizeof expected, "%.*s %s\n", (int)word, cases[i].word, cases[i].why);
		assert_line(line, "", expected);
		assert_line(cases[i].word, "", expected);
	}
	/* Each is named, and what was good before stays. */
	assert_line("hawser.port=5 hawser.port=x hawser.nothing hawser.log=loud", "port=5",
		"hawser.port=x needs a port from 1 to 1021\nhawser.nothing is not an option of hawser\n"
		"hawser.log=loud is one of error, warn, info, debug\n");
	/* In quotes, it is named without them. */
	assert_line("\"hawser.port=0\"", "", "hawser.port=0 needs a port from 1 to 1021\n");
}

/* A line that was cut anywhere, and lines of all kinds of bytes: options stay such as there are. */
static void any_bytes(void **state)
{
	static const char alphabet[] = "  \"\"==--..hawserpotlngdicfu_0123456789\t\n\0\xff";
	static const char whole[] =
		"quiet hawser.host=12 \"hawser.port=77\" hawser.log=\"warn\" x=\"a b\" hawser.ring=128";
	uint32_t seed = 0x0b7;
	char line[200];

	(void)state;
	for (size_t len = 0; len < sizeof whole; len++)
		parse_bytes(whole, len);
	for (int round = 0; round < 40000; round++) {
		struct options o;
		char text[256];
		size_t len;

		seed = seed * 1664525 + 1013904223;
		len = seed >> 25;
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525 + 1013904223;
			line[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
			if (seed >> 30 == 0 && i + 12 < len) {
				memcpy(line + i, " hawser.port=", 13);
				i += 12;
			}
		}
		o = parse_bytes(line, len);
		describe(&o, text);
		assert_true(o.port >= 1 && o.port <= 1021 && o.deadline_s == 30 && o.ring_kib == 256);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(ends_at_two_dashes),
		cmocka_unit_test(quotes),
		cmocka_unit_test(bad),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
