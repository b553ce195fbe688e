/* SPDX-License-Identifier: MIT */
/* Whether a machine's description says how it is powered off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char dsdt[64] = "/tmp/hawser-dsdt-XXXXXX";
static int file;

#include "../../init/power.h"
#undef POWER_DSDT
#define POWER_DSDT dsdt
#include "../../init/power.c"

static int create(void **state)
{
	(void)state;
	file = mkstemp(dsdt);
	return file < 0;
}

static int destroy(void **state)
{
	(void)state;
	close(file);
	return unlink(dsdt);
}

/* A table of that size with the name at a place, or nowhere. */
static uint8_t detected(size_t size, size_t at)
{
	static char bytes[16384];

	memset(bytes, '_', size);
	if (at < size)
		memcpy(bytes + at, "_S5_", 4);
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(pwrite(file, bytes, size, 0), size);
	return power_detect();
}

static void test_everywhere(void **state)
{
	(void)state;
	for (size_t at = 0; at <= 8192; at += at > 4080 && at < 4110 ? 1 : 17)
		assert_int_equal(detected(8196, at), WIRE_POWER_OFF);
	assert_int_equal(detected(4, 0), WIRE_POWER_OFF);
}

static void test_nowhere(void **state)
{
	(void)state;
	assert_int_equal(detected(0, 1), WIRE_POWER_RESET);
	assert_int_equal(detected(3, 4), WIRE_POWER_RESET);
	assert_int_equal(detected(16384, 16384), WIRE_POWER_RESET);
	assert_int_equal(unlink(dsdt), 0);
	assert_int_equal(power_detect(), WIRE_POWER_RESET);
	file = open(dsdt, O_RDWR | O_CREAT, 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everywhere),
		cmocka_unit_test(test_nowhere),
	};

	return cmocka_run_group_tests(tests, create, destroy);
}
