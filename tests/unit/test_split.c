/* SPDX-License-Identifier: MIT */
/* What hawserd's processes say to each other: whole, of the right size, every text ended, descriptors with it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/channel.h"
#include "../../host/split.h"

static int ends[2];

static int setup(void **state)
{
	(void)state;
	return channel_pair(ends);
}

static int teardown(void **state)
{
	(void)state;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static void comes_whole_with_its_descriptors(void **state)
{
	struct split_machine sent = { .type = SPLIT_MACHINE, .cid = 77, .served = 1, .name = "vm", .base = "/run/vm" };
	int fds[CHANNEL_FDS], pipes[2];
	union split got;
	char byte;

	(void)state;
	assert_int_equal(split_receive(ends[1], &got, fds, false), -EAGAIN);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(split_send(ends[0], &sent, pipes, 2, false), 0);
	assert_int_equal(split_send(ends[0], &(struct split_word){ SPLIT_SCANNED }, NULL, 0, false), 0);
	assert_int_equal(split_receive(ends[1], &got, fds, false), 1);
	assert_memory_equal(&got.machine, &sent, sizeof sent);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	close(pipes[0]);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(pipes[1]);
	channel_drop(fds);
	assert_int_equal(fds[0], -1);
	assert_int_equal(split_receive(ends[1], &got, fds, false), 1);
	assert_int_equal(got.type, SPLIT_SCANNED);
	assert_int_equal(fds[0], -1);
	close(ends[0]);
	assert_int_equal(split_receive(ends[1], &got, fds, false), 0);
	ends[0] = -1;
}

static void every_type_is_valid_as_it_is_made(void **state)
{
	union split message;

	(void)state;
	for (uint32_t type = 1; type < SPLIT_TYPES; type++) {
		memset(&message, 0, sizeof message);
		message.type = type;
		assert_true(split_size(type) >= sizeof type && split_size(type) <= sizeof message);
		/* Those with a name need one. */
		if (!split_valid(&message, split_size(type)))
			memcpy((char *)&message + (type == SPLIT_MACHINE_OF ? offsetof(struct split_machine_of, name)
				: type == SPLIT_MACHINE ? offsetof(struct split_machine, name)
				: type == SPLIT_DIAL ? offsetof(struct split_dial, name)
				: type == SPLIT_BIND ? offsetof(struct split_bind, name)
				: type == SPLIT_PREPARE ? offsetof(struct split_session, name)
				: offsetof(struct split_name, name)), "vm", 3);
		assert_true(split_valid(&message, split_size(type)));
		assert_false(split_valid(&message, split_size(type) - 1));
		assert_false(split_valid(&message, split_size(type) + 1));
	}
	assert_int_equal(split_size(0), 0);
	assert_int_equal(split_size(SPLIT_TYPES), 0);
	assert_int_equal(split_size(UINT32_MAX), 0);
}

static void what_makes_no_sense_is_no_message(void **state)
{
	static const char *const names[] = { "", "..", "a/b", ".", "a\nb" };
	struct split_name gone = { .type = SPLIT_GONE };
	struct split_session cut = { .type = SPLIT_CUT };
	int fds[CHANNEL_FDS], fd = dup(0);
	union split got;
	uint8_t large[sizeof got + 1] = { SPLIT_SCANNED };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		strcpy(gone.name, names[i]);
		assert_int_equal(split_send(ends[0], &gone, NULL, 0, false), 0);
		assert_int_equal(split_receive(ends[1], &got, fds, false), -EBADMSG);
	}
	memset(gone.name, 'a', sizeof gone.name);
	assert_int_equal(split_send(ends[0], &gone, NULL, 0, false), 0);
	assert_int_equal(split_receive(ends[1], &got, fds, false), -EBADMSG);
	memset(cut.text, 'a', sizeof cut.text);
	assert_int_equal(split_send(ends[0], &cut, &fd, 1, false), 0);
	assert_int_equal(split_receive(ends[1], &got, fds, false), -EBADMSG);
	assert_int_equal(fds[0], -1);
	close(fd);
	assert_int_equal(channel_send(ends[0], large, sizeof large, NULL, 0, false), 0);
	assert_int_equal(split_receive(ends[1], &got, fds, false), -EMSGSIZE);
	assert_int_equal(channel_send(ends[0], large, 3, NULL, 0, false), 0);
	assert_int_equal(split_receive(ends[1], &got, fds, false), -EBADMSG);
}

/* Nobody waits for one that does not read, unless he says so. */
static void a_full_channel_is_said(void **state)
{
	struct split_session session = { .type = SPLIT_PREPARE, .name = "vm" };
	int r, fds[CHANNEL_FDS];
	union split got;

	(void)state;
	while (!(r = split_send(ends[0], &session, NULL, 0, false)))
		session.session++;
	assert_int_equal(r, -EAGAIN);
	assert_true(session.session > 10);
	for (uint64_t i = 0; i < session.session; i++) {
		assert_int_equal(split_receive(ends[1], &got, fds, true), 1);
		assert_int_equal(got.session.session, i);
	}
	assert_int_equal(split_receive(ends[1], &got, fds, false), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(comes_whole_with_its_descriptors, setup, teardown),
		cmocka_unit_test(every_type_is_valid_as_it_is_made),
		cmocka_unit_test_setup_teardown(what_makes_no_sense_is_no_message, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_channel_is_said, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
