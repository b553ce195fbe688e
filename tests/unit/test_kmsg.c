/* SPDX-License-Identifier: MIT */
/* Records of /dev/kmsg, as kernels write them and as none does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../init/kmsg.h"
#include "random.h"

/* The record lies at the end of its memory, so that a read beyond it is seen. */
static bool parse(const char *s, size_t len, struct kmsg *kmsg, char text[static KMSG_MAX + 1])
{
	char *copy = malloc(len ? len : 1);
	bool good;

	assert_non_null(copy);
	memcpy(copy, s, len);
	memset(kmsg, 0xee, sizeof *kmsg);
	good = kmsg_parse(kmsg, copy, len);
	if (good) {
		assert_true(kmsg->text > copy && kmsg->len <= len && kmsg->text + kmsg->len <= copy + len);
		memcpy(text, kmsg->text, kmsg->len);
		text[kmsg->len] = '\0';
	}
	free(copy);
	return good;
}

static const struct sample {
	const char *record;
	unsigned pri;
	uint64_t seq, us;
	bool fragment;
	const char *text;
} samples[] = {
	{ "5,0,0,-;Linux version 6.12.0 (gcc 12.2.0) #1 SMP\n", 5, 0, 0, false,
		"Linux version 6.12.0 (gcc 12.2.0) #1 SMP" },
	{ "6,339,5140900,-;NET: Registered PF_VSOCK protocol family\n", 6, 339, 5140900, false,
		"NET: Registered PF_VSOCK protocol family" },
	/* A dictionary: lines that begin with a blank. */
	{ "7,160,424069,-;pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)\n"
		" SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n", 7, 160, 424069, false,
		"pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)\n"
		" SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00" },
	/* A fragment of a line, and what goes on with it. */
	{ "4,340,5690716,c;udevd[80]: start\n", 4, 340, 5690716, true, "udevd[80]: start" },
	{ "4,341,5690716,+;ed version 181\n", 4, 341, 5690716, false, "ed version 181" },
	/* Fields of kernels to come, and CONFIG_PRINTK_CALLER's. */
	{ "6,1,2,-,caller=T1;printk: x\n", 6, 1, 2, false, "printk: x" },
	{ "6,1,2,c,caller=C0,more=3,;x\n", 6, 1, 2, true, "x" },
	/* From user space, by way of /dev/kmsg: facility user, 1. */
	{ "12,451,1000000,-;init: hello\n", 12, 451, 1000000, false, "init: hello" },
	{ "191,1,1,-;local7.debug\n", 191, 1, 1, false, "local7.debug" },
	/* What is not printable comes escaped; the text may hold all that the header is made of. */
	{ "6,7,8,-;a\\x0ab;c,d;e\n", 6, 7, 8, false, "a\\x0ab;c,d;e" },
	{ "6,7,8,-;\n", 6, 7, 8, false, "" },
	{ "6,7,8,-;", 6, 7, 8, false, "" },
	{ "6,7,8,-;no newline", 6, 7, 8, false, "no newline" },
	{ "6,7,8,-;two\n\n", 6, 7, 8, false, "two\n" },
	{ "0,18446744073709551615,18446744073709551615,-;x\n", 0, UINT64_MAX, UINT64_MAX, false, "x" },
	{ "4094,1,1,-;x", 4094, 1, 1, false, "x" },
	{ "0006,0007,0008,-;x", 6, 7, 8, false, "x" },
};
#define SAMPLES (sizeof samples / sizeof *samples)

static void good(void **state)
{
	char text[KMSG_MAX + 1];
	struct kmsg kmsg;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];

		if (!parse(s->record, strlen(s->record), &kmsg, text))
			fail_msg("%s", s->record);
		assert_int_equal(kmsg.pri, s->pri);
		assert_int_equal(kmsg.seq, s->seq);
		assert_int_equal(kmsg.us, s->us);
		assert_int_equal(kmsg.fragment, s->fragment);
		assert_string_equal(text, s->text);
		assert_int_equal(kmsg.len, strlen(s->text));
	}
}

static void bad(void **state)
{
	static const char *const records[] = {
		"", "\n", ";", ",,,;", "6", "6,", "6,7", "6,7,", "6,7,8", "6,7,8,", "6,7,8,-", "6,7,8;x", "6,7;x",
		"6;x", "6,7,8,;x",
		",7,8,-;x", "6,,8,-;x", "6,7,,-;x", "-6,7,8,-;x", "+6,7,8,-;x", " 6,7,8,-;x",
		"6 ,7,8,-;x", "6,0x7,8,-;x", "6,7,8.0,-;x", "a,7,8,-;x", "6,7,8,- no semicolon\n",
		"4095,7,8,-;x", "65542,7,8,-;x",
		"18446744073709551622,7,8,-;x", "6,18446744073709551616,8,-;x", "6,7,18446744073709551616,-;x",
		"6,99999999999999999999,8,-;x", "6,184467440737095516150,8,-;x",
	};
	char text[KMSG_MAX + 1];
	struct kmsg kmsg;

	(void)state;
	for (size_t i = 0; i < sizeof records / sizeof *records; i++)
		if (parse(records[i], strlen(records[i]), &kmsg, text))
			fail_msg("'%s' is taken", records[i]);
}

/* A NUL is a byte as any other: in the text it stays, in the header it is wrong. */
static void nul(void **state)
{
	char text[KMSG_MAX + 1];
	struct kmsg kmsg;

	(void)state;
	assert_true(parse("6,7,8,-;a\0b\n", 12, &kmsg, text));
	assert_int_equal(kmsg.len, 3);
	assert_memory_equal(text, "a\0b", 3);
	assert_false(parse("6\0,7,8,-;a\n", 11, &kmsg, text));
}

/* Cut at every byte: either nothing, or the same header and the beginning of the same text. */
static void cut(void **state)
{
	char text[KMSG_MAX + 1];
	struct kmsg kmsg;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		size_t header = (size_t)(strchr(s->record, ';') - s->record) + 1;

		for (size_t len = 0; len < strlen(s->record); len++) {
			assert_int_equal(parse(s->record, len, &kmsg, text), len >= header);
			if (len < header)
				continue;
			assert_int_equal(kmsg.pri, s->pri);
			assert_int_equal(kmsg.seq, s->seq);
			assert_int_equal(kmsg.us, s->us);
			assert_true(kmsg.len == len - header || kmsg.len + 1 == len - header);
			assert_memory_equal(text, s->text, kmsg.len);
		}
	}
}

static void longest(void **state)
{
	static char record[KMSG_MAX], text[KMSG_MAX + 1];
	struct kmsg kmsg;
	int n = snprintf(record, sizeof record, "6,339,5140900,-;");

	(void)state;
	memset(record + n, 'k', sizeof record - (size_t)n);
	assert_true(parse(record, sizeof record, &kmsg, text));
	assert_int_equal(kmsg.len, sizeof record - (size_t)n);
	record[KMSG_MAX - 1] = '\n';
	assert_true(parse(record, sizeof record, &kmsg, text));
	assert_int_equal(kmsg.len, sizeof record - (size_t)n - 1);
}

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
	return random_below(&seed, below);
}

/* What is taken after a change says what a second reading, by other means, says. */
static void mutations(void **state)
{
	static const char alphabet[] = "0123456789,;-+c\n =\0\xff";
	char record[128], text[KMSG_MAX + 1];
	unsigned taken = 0;
	struct kmsg kmsg;

	(void)state;
	seed = 0x6c06;
	for (int round = 0; round < 60000; round++) {
		const char *from = samples[draw(SAMPLES)].record;
		size_t len = strlen(from) < 100 ? strlen(from) : 100;
		unsigned long long pri, seq, us;
		char flag = '\0';        /* which ends sscanf's text, and is as good a flag as any */

		memcpy(record, from, len);
		for (uint32_t n = 1 + draw(3); n > 0; n--)
			record[draw((uint32_t)len)] = alphabet[draw(sizeof alphabet - 1)];
		len -= draw(4) ? 0 : draw((uint32_t)len);
		if (!parse(record, len, &kmsg, text))
			continue;
		taken++;
		record[len] = '\0';
		assert_true(sscanf(record, "%llu,%llu,%llu,%c", &pri, &seq, &us, &flag) >= 3);
		assert_int_equal(kmsg.pri, pri);
		assert_int_equal(kmsg.seq, seq);
		assert_int_equal(kmsg.us, us);
		assert_int_equal(kmsg.fragment, flag == 'c');
		assert_memory_equal(text, (const char *)memchr(record, ';', len) + 1, kmsg.len);
	}
	assert_true(taken > 6000 && taken < 54000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(nul),
		cmocka_unit_test(cut),
		cmocka_unit_test(longest),
		cmocka_unit_test(mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
