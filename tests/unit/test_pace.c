/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../init/pace.h"

#define START 1000000000u
#define TRICKLE (PACE_TRICKLE - 1)
#define LITTLE (PACE_LITTLE - 1)
#define MIDDLING PACE_LITTLE
#define MUCH PACE_MUCH

static uint64_t now_ns;

/* A turn at the end of the rest; the next rest's length. */
static uint64_t turn(struct pace *pace, size_t bytes, bool more)
{
	now_ns = pace->until_ns;
	pace_turn(pace, now_ns, bytes, more);
	return pace->until_ns - now_ns;
}

static struct pace begin(void)
{
	struct pace pace;

	pace_init(&pace, START);
	return pace;
}

static void leaves_the_machine_to_its_boot(void **state)
{
	struct pace pace = begin();

	(void)state;
	assert_int_equal(pace.until_ns, START + PACE_FIRST_NS);
}

static void nothing_read_is_no_turn(void **state)
{
	struct pace pace = begin();

	(void)state;
	pace_turn(&pace, START + PACE_FIRST_NS + 7, 0, false);
	assert_int_equal(pace.until_ns, START + PACE_FIRST_NS);
}

static void little_rests_as_after_a_silence(void **state)
{
	struct pace pace = begin();

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(turn(&pace, LITTLE, false), PACE_REST_NS);
}

static void a_trickle_is_collected(void **state)
{
	struct pace pace = begin();

	(void)state;
	for (uint64_t rest = 2 * PACE_REST_NS; rest < PACE_TRICKLE_NS; rest *= 2)
		assert_int_equal(turn(&pace, TRICKLE, false), rest);
	assert_int_equal(turn(&pace, 1, false), PACE_TRICKLE_NS);
	assert_int_equal(turn(&pace, 1, false), PACE_TRICKLE_NS);
	/* A rest that brings enough for a frame is what it takes. */
	assert_int_equal(turn(&pace, PACE_TRICKLE, false), PACE_TRICKLE_NS);
	for (uint64_t rest = PACE_TRICKLE_NS / 2; rest >= PACE_REST_NS; rest /= 2)
		assert_int_equal(turn(&pace, PACE_ENOUGH, false), rest);
	assert_int_equal(turn(&pace, PACE_ENOUGH, false), PACE_REST_NS);
}

static void a_silence_forgets_all(void **state)
{
	struct pace pace = begin();

	(void)state;
	for (int i = 0; i < 5; i++)
		turn(&pace, 1, false);
	pace_turn(&pace, now_ns = pace.until_ns + 2 * PACE_TRICKLE_NS + 1, 1, false);
	assert_int_equal(pace.until_ns, now_ns + PACE_REST_NS);
}

static void full_pipes_shorten_the_rest_until_there_is_none(void **state)
{
	struct pace pace = begin();

	(void)state;
	for (uint64_t rest = PACE_REST_NS / 4; rest >= PACE_MIN_NS; rest /= 4)
		assert_int_equal(turn(&pace, MUCH, false), rest);
	assert_int_equal(turn(&pace, MUCH, false), 0);
	assert_int_equal(turn(&pace, MUCH, false), 0);
}

static void the_rest_stays_where_there_is_enough(void **state)
{
	struct pace pace = begin();
	uint64_t rest = turn(&pace, MUCH, false);

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(turn(&pace, MIDDLING, false), rest);
	assert_int_equal(turn(&pace, MUCH - 1, false), rest);
}

static void empty_pipes_lengthen_it_again(void **state)
{
	struct pace pace = begin();

	(void)state;
	while (turn(&pace, MUCH, false) > 0)
		;
	for (uint64_t rest = PACE_MIN_NS; rest < PACE_REST_NS; rest *= 2)
		assert_int_equal(turn(&pace, LITTLE, false), rest);
	assert_int_equal(turn(&pace, LITTLE, false), PACE_REST_NS);
	assert_int_equal(turn(&pace, LITTLE, false), PACE_REST_NS);
}

static void no_rest_when_something_was_left_behind(void **state)
{
	struct pace pace = begin();

	(void)state;
	assert_int_equal(turn(&pace, LITTLE, true), 0);
	assert_int_equal(turn(&pace, 0, true), 0);
	assert_int_equal(turn(&pace, MIDDLING, false), PACE_REST_NS / 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_the_machine_to_its_boot),
		cmocka_unit_test(nothing_read_is_no_turn),
		cmocka_unit_test(little_rests_as_after_a_silence),
		cmocka_unit_test(a_trickle_is_collected),
		cmocka_unit_test(a_silence_forgets_all),
		cmocka_unit_test(full_pipes_shorten_the_rest_until_there_is_none),
		cmocka_unit_test(the_rest_stays_where_there_is_enough),
		cmocka_unit_test(empty_pipes_lengthen_it_again),
		cmocka_unit_test(no_rest_when_something_was_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
