/* SPDX-License-Identifier: MIT */
/*
 * Dialling a host that does not answer, or answers badly. A Unix socket never leaves a connection half made, so dial.c
 * is compiled in here with address.c replaced by a socket pair whose state the test chooses.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../vsock/address.h"
#include "../../vsock/ready.h"

static int pair[2];
static int socket_result, connect_result;

static int fake_address_socket(const struct address *address, bool privileged)
{
	(void)address;
	assert_true(privileged);
	return socket_result;
}

static int fake_address_connect(int fd, const struct address *address)
{
	(void)address;
	assert_int_equal(fd, pair[0]);
	return connect_result;
}

#define address_socket fake_address_socket
#define address_connect fake_address_connect
#include "../../vsock/dial.c"

static const struct address to = { .kind = ADDRESS_VSOCK, .cid = 2, .port = 610 };

/* Full: it cannot be written, as a connection in the making cannot. */
static int setup(void **state)
{
	static const char junk[4096];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return -1;
	while (write(pair[0], junk, sizeof(junk)) > 0)
		;
	socket_result = pair[0];
	connect_result = -EINPROGRESS;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(pair[1]);
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static uint64_t ms_since(uint64_t began)
{
	return (ready_now_ns() - began) / 1000000;
}

static void no_answer(void **state)
{
	uint64_t began = ready_now_ns();

	(void)state;
	assert_int_equal(dial(&to, true, 60), -ETIMEDOUT);
	assert_true(ms_since(began) >= 60 && ms_since(began) < 5000);
	assert_false(is_open(pair[0]));
}

static void ignore(int sig)
{
	(void)sig;
}

/* Signals neither end the attempt nor make it longer. */
static void no_answer_and_signals(void **state)
{
	struct sigaction sa = { .sa_handler = ignore };
	struct itimerval storm = { { 0, 2000 }, { 0, 2000 } }, calm = { 0 };
	uint64_t began = ready_now_ns();

	(void)state;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &storm, NULL);
	assert_int_equal(dial(&to, true, 100), -ETIMEDOUT);
	setitimer(ITIMER_REAL, &calm, NULL);
	assert_true(ms_since(began) >= 100 && ms_since(began) < 5000);
	assert_false(is_open(pair[0]));
}

static void late_answer(void **state)
{
	char junk[65536];

	(void)state;
	assert_int_equal(dial_start(&to, true), pair[0]);
	while (read(pair[1], junk, sizeof(junk)) > 0)
		;
	assert_int_equal(dial(&to, true, 1000), pair[0]);
	close(pair[0]);
}

/* The other end goes away with bytes unread, which sets the error that a refused connection has. */
static void reset_while_connecting(void **state)
{
	(void)state;
	close(pair[1]);
	assert_int_equal(dial(&to, true, 1000), -ECONNRESET);
	assert_false(is_open(pair[0]));
}

static void refused_at_once(void **state)
{
	(void)state;
	connect_result = -ENODEV;
	assert_int_equal(dial(&to, true, 1000), -ENODEV);
	assert_false(is_open(pair[0]));
}

static void no_socket(void **state)
{
	(void)state;
	socket_result = -EAFNOSUPPORT;
	assert_int_equal(dial(&to, true, 1000), -EAFNOSUPPORT);
	close(pair[0]);
}

static void finish_without_a_socket(void **state)
{
	int not_a_socket = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(dial_finish(not_a_socket), -ENOTSOCK);
	assert_false(is_open(not_a_socket));
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(no_answer_and_signals, setup, teardown),
		cmocka_unit_test_setup_teardown(late_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_while_connecting, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(no_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(finish_without_a_socket, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
