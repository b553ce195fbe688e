/* SPDX-License-Identifier: MIT */
/* Who is served, and who proves what: the rules of "Epochs and the token" in docs/PROTOCOL.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/epoch.h"

static const uint8_t boot_a[16] = "aaaaaaaaaaaaaaa", boot_b[16] = "bbbbbbbbbbbbbbb";

static void a_new_boot_is_served(void **state)
{
	struct epoch epoch = { 0 };

	(void)state;
	assert_int_equal(epoch_judge(&epoch, boot_a), EPOCH_FRESH);
	assert_true(epoch_begin(&epoch, boot_a, 5));
	assert_int_equal(epoch.state, EPOCH_OPEN);
	assert_int_equal(epoch.offset_ns, 5);
	assert_memory_equal(epoch.boot_id, boot_a, 16);
}

static void before_delivery_the_same_boot_gets_the_same_token(void **state)
{
	struct epoch epoch = { 0 };
	uint8_t token[WIRE_TOKEN];
	bool changed;

	(void)state;
	assert_true(epoch_begin(&epoch, boot_a, 0));
	memcpy(token, epoch.token, sizeof token);
	epoch.committed = true;
	assert_int_equal(epoch_judge(&epoch, boot_a), EPOCH_AGAIN);
	assert_true(epoch_again(&epoch, &changed));
	assert_false(changed);
	assert_false(epoch.committed);           /* this time it was not */
	assert_memory_equal(epoch.token, token, sizeof token);
	/* Another boot id is another boot: the machine was reset before it was served. */
	assert_int_equal(epoch_judge(&epoch, boot_b), EPOCH_FRESH);
}

static void a_living_epoch_serves_nobody(void **state)
{
	struct epoch epoch = { 0 };

	(void)state;
	assert_true(epoch_begin(&epoch, boot_a, 0));
	epoch.state = EPOCH_LIVE;
	assert_int_equal(epoch_judge(&epoch, boot_a), EPOCH_ALIVE);
	assert_int_equal(epoch_judge(&epoch, boot_b), EPOCH_ALIVE);
	/* The same boot once more is a clone of it. */
	epoch.state = EPOCH_ENDED;
	assert_int_equal(epoch_judge(&epoch, boot_a), EPOCH_USED);
	assert_int_equal(epoch_judge(&epoch, boot_b), EPOCH_FRESH);
	epoch_over(&epoch);
	assert_int_equal(epoch_judge(&epoch, boot_a), EPOCH_USED);
	assert_int_equal(epoch_judge(&epoch, boot_b), EPOCH_FRESH);
}

static void only_the_token_proves(void **state)
{
	struct epoch epoch = { 0 };
	uint8_t token[WIRE_TOKEN] = { 0 };

	(void)state;
	assert_false(epoch_proves(&epoch, token));
	assert_true(epoch_begin(&epoch, boot_a, 0));
	assert_false(epoch_proves(&epoch, token));
	memcpy(token, epoch.token, sizeof token);
	assert_true(epoch_proves(&epoch, token));
	for (size_t bit = 0; bit < WIRE_TOKEN * 8; bit++) {
		token[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(epoch_proves(&epoch, token));
		token[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	epoch.state = EPOCH_ENDED;               /* its guest may have more to say */
	assert_true(epoch_proves(&epoch, token));
	epoch_over(&epoch);
	assert_false(epoch_proves(&epoch, token));
}

static void tokens_are_new_for_each_epoch(void **state)
{
	struct epoch epoch = { 0 };
	uint8_t token[WIRE_TOKEN];

	(void)state;
	assert_true(epoch_begin(&epoch, boot_a, 0));
	memcpy(token, epoch.token, sizeof token);
	assert_true(epoch_begin(&epoch, boot_b, 0));
	assert_false(epoch_proves(&epoch, token));
}

/* What a restart of hawserd leaves: the hash. */
static void after_a_restart(void **state)
{
	struct epoch before = { 0 }, epoch = { .state = EPOCH_OPEN };
	bool changed;

	(void)state;
	assert_true(epoch_begin(&before, boot_a, 0));
	memcpy(epoch.boot_id, before.boot_id, sizeof epoch.boot_id);
	memcpy(epoch.hash, before.hash, sizeof epoch.hash);
	assert_true(epoch_proves(&epoch, before.token));
	assert_int_equal(epoch_judge(&epoch, boot_a), EPOCH_AGAIN);
	assert_true(epoch_again(&epoch, &changed));
	assert_true(changed);
	assert_memory_not_equal(epoch.token, before.token, WIRE_TOKEN);
	assert_true(epoch_proves(&epoch, epoch.token));
	assert_true(epoch_proves(&epoch, before.token));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_boot_is_served),
		cmocka_unit_test(before_delivery_the_same_boot_gets_the_same_token),
		cmocka_unit_test(a_living_epoch_serves_nobody),
		cmocka_unit_test(only_the_token_proves),
		cmocka_unit_test(tokens_are_new_for_each_epoch),
		cmocka_unit_test(after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
