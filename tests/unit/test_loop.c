/* SPDX-License-Identifier: MIT */
/* Descriptors that go in the middle of a round, and timers in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/loop.h"

static struct loop loop;
static int pipes[2][2], slots[2];
static unsigned handled;

static int setup(void **state)
{
	(void)state;
	handled = 0;
	return loop_init(&loop) || pipe(pipes[0]) || pipe(pipes[1]);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	loop_finish(&loop);
	return 0;
}

/* Whoever comes first removes the other, as a session does that replaces another one. */
static void remove_the_other(enum loop_kind kind, void *owner, uint32_t events)
{
	int me = *(int *)owner;

	assert_int_equal(kind, LOOP_BOOT);
	assert_true(events & EPOLLIN);
	handled++;
	loop_remove(&loop, slots[!me]);
	/* The slot is taken again at once: the old event must not reach the new owner. */
	slots[!me] = loop_add(&loop, pipes[!me][1], 0, LOOP_LOGS, NULL);
	assert_true(slots[!me] > 0);
}

static void an_event_of_one_that_is_gone_is_dropped(void **state)
{
	static int me[2] = { 0, 1 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		slots[i] = loop_add(&loop, pipes[i][0], EPOLLIN, LOOP_BOOT, &me[i]);
		assert_true(slots[i] > 0);
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
	}
	assert_int_equal(loop_round(&loop, remove_the_other, 0), 0);
	assert_int_equal(handled, 1);
}

static void count(enum loop_kind kind, void *owner, uint32_t events)
{
	(void)kind;
	(void)owner;
	(void)events;
	handled++;
}

static void slots_are_used_again(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		int slot = loop_add(&loop, pipes[0][0], EPOLLIN, LOOP_LOCAL, NULL);

		assert_true(slot > 0);
		loop_remove(&loop, slot);
	}
	assert_true(loop.n_slots <= 64);
	assert_int_equal(write(pipes[0][1], "x", 1), 1);
	assert_int_equal(loop_round(&loop, count, 0), 0);
	assert_int_equal(handled, 0);
}

static struct timer timers[200];
static size_t order[200], fired;

static void fire(struct timer *timer)
{
	order[fired++] = (size_t)(timer - timers);
}

static void timers_fire_in_order(void **state)
{
	uint64_t last = 0;
	uint32_t random = 7;

	(void)state;
	fired = 0;
	for (size_t i = 0; i < 200; i++) {
		timers[i] = (struct timer){ .fire = fire };
		random = random * 1664525 + 1013904223;
		timer_set(&loop, &timers[i], (random >> 16) % 20 * LOOP_MS);
	}
	for (size_t i = 0; i < 200; i += 3)
		timer_stop(&loop, &timers[i]);
	for (size_t i = 0; i < 200; i += 6)
		timer_set(&loop, &timers[i], 25 * LOOP_MS);      /* again, or for the second time */
	while (loop.n_timers)
		assert_int_equal(loop_round(&loop, count, -1), 0);
	for (size_t i = 0; i < fired; i++) {
		assert_true(order[i] % 3 || !(order[i] % 6));
		assert_true(timers[order[i]].at >= last);
		last = timers[order[i]].at;
	}
	assert_int_equal(fired, 200 - 67 + 34);
}

/* Only when there was something to wake up for: how long nothing happens says nothing. */
static void a_round_that_comes_late_is_counted(void **state)
{
	struct timer timer = { .fire = fire };

	(void)state;
	timer_set(&loop, &timer, LOOP_MS);
	assert_int_equal(loop_round(&loop, count, -1), 0);
	assert_int_equal(loop.stalls, 0);
	timer_set(&loop, &timer, LOOP_MS);
	usleep(600000);
	assert_int_equal(loop_round(&loop, count, -1), 0);
	assert_int_equal(loop.stalls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_of_one_that_is_gone_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(slots_are_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_fire_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_round_that_comes_late_is_counted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
