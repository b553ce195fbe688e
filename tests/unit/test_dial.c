/* SPDX-License-Identifier: MIT */
/* Dialling a host that is there, that is not, and that comes later; Unix sockets stand for it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../vsock/dial.h"
#include "../../vsock/ready.h"

static char directory[] = "/tmp/hawser-unit-XXXXXX";
static struct address host;

static int setup(void **state)
{
	char path[100];

	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/host", directory);
	return address_unix(&host, path) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

static int forget(void **state)
{
	(void)state;
	unlink(host.path);
	return 0;
}

/* The lowest free descriptor: the same before and after, unless something leaks. */
static int lowest_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void there(void **state)
{
	int listener = address_listen(&host), fd = dial(&host, false, DIAL_TIMEOUT_MS), peer;
	struct address_peer who;
	char c = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	peer = address_accept(listener, &who);
	assert_true(peer >= 0);
	assert_int_equal(write(fd, "?", 1), 1);
	assert_int_equal(read(peer, &c, 1), 1);
	assert_int_equal(c, '?');
	close(peer);
	close(fd);
	close(listener);
}

static void in_steps(void **state)
{
	int listener = address_listen(&host), fd = dial_start(&host, true);
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(poll(&pfd, 1, 1000), 1);
	assert_int_equal(dial_finish(fd), fd);
	close(fd);
	close(listener);
}

/* In a guest without a console descriptor 0 is free, and a good one. */
static void descriptor_0(void **state)
{
	int saved = fcntl(0, F_DUPFD_CLOEXEC, 10), listener, fd, accepted;
	struct address_peer who;

	(void)state;
	close(0);
	listener = address_listen(&host);
	listener = listener ? listener : fcntl(listener, F_DUPFD_CLOEXEC, 10);
	close(0);
	fd = dial(&host, false, DIAL_TIMEOUT_MS);
	accepted = fd ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	close(0);
	close(accepted);
	accepted = address_accept(listener, &who);
	dup2(saved, 0);
	close(saved);
	close(listener);
	assert_true(listener >= 10);
	assert_int_equal(fd, 0);
	assert_int_equal(accepted, 0);
}

static void nobody(void **state)
{
	int before = lowest_fd();
	struct address_peer who;

	(void)state;
	assert_int_equal(dial(&host, false, DIAL_TIMEOUT_MS), -ENOENT);
	assert_int_equal(dial_start(&host, false), -ENOENT);
	close(address_listen(&host));
	assert_int_equal(dial(&host, false, DIAL_TIMEOUT_MS), -ECONNREFUSED);
	assert_int_equal(lowest_fd(), before);
	assert_int_equal(address_accept(-1, &who), -EBADF);
}

static void backlog_full(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), first, before;

	(void)state;
	strcpy(sa.sun_path, host.path);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 0), 0);
	first = dial(&host, false, 50);
	assert_true(first >= 0);
	before = lowest_fd();
	assert_int_equal(dial(&host, false, 50), -EAGAIN);
	assert_int_equal(lowest_fd(), before);
	close(first);
	close(listener);
}

static void appears_later(void **state)
{
	struct backoff backoff;
	unsigned attempts = 0;
	uint64_t deadline_ns = ready_deadline(10000);
	int fd = -1, status;
	char c = 0;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		struct address_peer who;
		int listener;

		usleep(80000);
		listener = address_listen(&host);
		ready_wait(listener, POLLIN, READY_NEVER);
		fd = address_accept(listener, &who);
		_exit(write(fd, "!", 1) == 1 ? 0 : 1);
	}
	backoff_init(&backoff, 4711);
	while (fd < 0 && ready_now_ns() < deadline_ns) {
		attempts++;
		fd = dial(&host, false, DIAL_TIMEOUT_MS);
		if (fd < 0)
			usleep(backoff_next(&backoff) * 1000);
	}
	assert_true(fd >= 0);
	/* At most sixteen: even half pauses add up to 80 ms long before. */
	assert_true(attempts >= 2 && attempts <= 16);
	assert_int_equal(ready_wait(fd, POLLIN, deadline_ns), 1);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, '!');
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- back-off --------------------------------------------------------------------------------------------------- */

static void pauses(void **state)
{
	static const unsigned expected[] = { 10, 20, 40, 80, 160, 320, 500, 500, 500 };
	struct backoff backoff;

	(void)state;
	for (uint32_t seed = 0; seed < 200; seed++) {
		backoff_init(&backoff, seed);
		for (int again = 0; again < 2; again++) {
			for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
				unsigned ms = backoff_next(&backoff);

				assert_true(ms <= expected[i] && ms >= expected[i] / 2);
			}
			backoff_reset(&backoff);
		}
	}
}

static void slow_pauses(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, 1);
	for (int i = 0; i < 100; i++) {
		unsigned ms = backoff_slow(&backoff);

		assert_true(ms <= 500 && ms >= 250);
	}
	assert_true(backoff_next(&backoff) >= 250);      /* it does not begin anew after */
	backoff_reset(&backoff);
	assert_true(backoff_next(&backoff) <= 10);
}

/* Guests that start together do not knock together. */
static void jitter(void **state)
{
	unsigned lowest = 1000, highest = 0, differ = 0;
	struct backoff a, b;

	(void)state;
	backoff_init(&a, 1);
	backoff_init(&b, 2);
	for (int i = 0; i < 1000; i++) {
		unsigned ms = backoff_slow(&a);

		lowest = ms < lowest ? ms : lowest;
		highest = ms > highest ? ms : highest;
		differ += ms != backoff_slow(&b);
	}
	assert_true(lowest < 260 && highest > 490);
	assert_true(differ > 900);
	backoff_init(&a, 0);
	assert_true(a.random != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(there, forget),
		cmocka_unit_test_teardown(in_steps, forget),
		cmocka_unit_test_teardown(descriptor_0, forget),
		cmocka_unit_test_teardown(nobody, forget),
		cmocka_unit_test_teardown(backlog_full, forget),
		cmocka_unit_test_teardown(appears_later, forget),
		cmocka_unit_test(pauses),
		cmocka_unit_test(slow_pauses),
		cmocka_unit_test(jitter),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
