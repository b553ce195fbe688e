/* SPDX-License-Identifier: MIT */
/* A queue of bytes: what goes in comes out, however it is cut up, and its memory does not grow with what has gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../host/bytes.h"

static unsigned char nth(size_t n)
{
	return (unsigned char)(n * 2654435761u >> 13);
}

static void in_and_out(void **state)
{
	struct bytes b = { 0 };
	size_t put = 0, taken = 0;
	unsigned char piece[3000];

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)rand() % sizeof piece;

		for (size_t k = 0; k < len; k++)
			piece[k] = nth(put + k);
		assert_true(bytes_put(&b, piece, len));
		put += len;
		assert_int_equal(bytes_len(&b), put - taken);
		/* Never empty for long, and never much in it. */
		len = bytes_len(&b) - (bytes_len(&b) < 5000 ? (size_t)rand() % (bytes_len(&b) + 1) : 0);
		for (size_t k = 0; k < len; k++)
			assert_int_equal((unsigned char)b.p[b.start + k], nth(taken + k));
		bytes_take(&b, len);
		taken += len;
	}
	assert_true(b.size <= 16384);
	bytes_free(&b);
	assert_null(b.p);
	assert_int_equal(bytes_len(&b), 0);
}

static void grows(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	assert_true(bytes_put(&b, "ab", 2));
	bytes_take(&b, 1);
	assert_true(bytes_room(&b, 1 << 20));
	assert_true(b.size - b.end >= 1 << 20);
	assert_int_equal(b.p[b.start], 'b');
	bytes_take(&b, 1);
	assert_int_equal(b.end, 0);
	bytes_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_and_out),
		cmocka_unit_test(grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
