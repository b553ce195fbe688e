/* SPDX-License-Identifier: MIT */
/* Locked memory: slots are whole, apart, and wiped when they are given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/secret.h"

static void slots_are_wiped(void **state)
{
	struct secret_arena arena;
	uint8_t *slots[SECRET_SLOTS], *again;
	unsigned n = 0;

	(void)state;
	assert_int_equal(secret_init(&arena), 0);
	while (n < SECRET_SLOTS && (slots[n] = secret_take(&arena))) {
		for (size_t i = 0; i < SECRET_SIZE; i++)
			assert_int_equal(slots[n][i], 0);
		memset(slots[n], (int)n + 1, SECRET_SIZE);
		n++;
	}
	assert_int_equal(n, arena.n);
	assert_null(secret_take(&arena));
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(slots[i][SECRET_SIZE - 1], i + 1);
	secret_give(&arena, slots[n / 2]);
	again = secret_take(&arena);
	assert_ptr_equal(again, slots[n / 2]);
	for (size_t i = 0; i < SECRET_SIZE; i++)
		assert_int_equal(again[i], 0);
	secret_give(&arena, NULL);
	secret_finish(&arena);
	assert_null(arena.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(slots_are_wiped) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
