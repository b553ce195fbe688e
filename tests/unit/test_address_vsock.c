/* SPDX-License-Identifier: MIT */
/*
 * What address.c asks of the kernel for a vsock. Its source is compiled in here with every socket call replaced, so
 * that no test ever opens a vsock on the machine that builds.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include <cmocka.h>

/* What was asked, and what is to be answered. */
static struct {
	int domain, type, backlog, last_fd, options;
	unsigned binds;
	struct sockaddr_vm bound, connected, peer;
	uint32_t free_port;      /* the first that is not busy; 0: none is */
	int bind_error, connect_error, interrupts, accept_flags;
	struct timeval timeout;
} kernel;

static int fail_with(int error)
{
	errno = error;
	return error ? -1 : 0;
}

/* The kernel refuses flags it does not know. */
static void assert_clean(const struct sockaddr_vm *sa)
{
	struct sockaddr_vm clean = { .svm_family = AF_VSOCK, .svm_cid = sa->svm_cid, .svm_port = sa->svm_port };

	assert_memory_equal(sa, &clean, sizeof(clean));
}

static int fake_socket(int domain, int type, int protocol)
{
	assert_int_equal(protocol, 0);
	kernel.domain = domain;
	kernel.type = type;
	return kernel.last_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fake_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	assert_int_equal(fd, kernel.last_fd);
	assert_int_equal(level, AF_VSOCK);
	assert_int_equal(name, SO_VM_SOCKETS_CONNECT_TIMEOUT);
	assert_int_equal(len, sizeof(kernel.timeout));
	memcpy(&kernel.timeout, value, len);
	kernel.options++;
	return fail_with(ENOPROTOOPT);       /* of an old kernel, and harmless */
}

static int fake_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	assert_int_equal(fd, kernel.last_fd);
	assert_int_equal(len, sizeof(kernel.bound));
	memcpy(&kernel.bound, sa, len);
	assert_clean(&kernel.bound);
	kernel.binds++;
	if (kernel.bind_error)
		return fail_with(kernel.bind_error);
	return fail_with(kernel.free_port && kernel.bound.svm_port <= kernel.free_port ? 0 : EADDRINUSE);
}

static int fake_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	assert_int_equal(fd, kernel.last_fd);
	assert_int_equal(len, sizeof(kernel.connected));
	memcpy(&kernel.connected, sa, len);
	assert_clean(&kernel.connected);
	return fail_with(kernel.connect_error);
}

static int fake_listen(int fd, int backlog)
{
	assert_int_equal(fd, kernel.last_fd);
	kernel.backlog = backlog;
	return 0;
}

static int fake_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	(void)fd;
	assert_true(*len >= sizeof(kernel.peer));
	if (kernel.interrupts-- > 0) {
		*len = 0;
		return fail_with(EINTR);
	}
	kernel.accept_flags = flags;
	memcpy(sa, &kernel.peer, sizeof(kernel.peer));
	*len = sizeof(kernel.peer);
	return kernel.last_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
}

#define socket fake_socket
#define setsockopt fake_setsockopt
#define bind fake_bind
#define connect fake_connect
#define listen fake_listen
#define syscall(number, ...) fake_accept4(__VA_ARGS__)
#include "../../vsock/address.c"

static int reset(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.free_port = UINT32_MAX;
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void dial_unprivileged(void **state)
{
	struct address host = address_vsock(ADDRESS_CID_HOST, 610);
	int fd = address_socket(&host, false);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(kernel.domain, AF_VSOCK);
	assert_int_equal(kernel.type, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_int_equal(kernel.options, 1);
	assert_int_equal(kernel.timeout.tv_sec, 0);
	assert_int_equal(kernel.timeout.tv_usec, 500000);
	assert_int_equal(kernel.binds, 0);
	kernel.connect_error = EINPROGRESS;
	assert_int_equal(address_connect(fd, &host), -EINPROGRESS);
	assert_int_equal(kernel.connected.svm_family, AF_VSOCK);
	assert_int_equal(kernel.connected.svm_cid, 2);
	assert_int_equal(kernel.connected.svm_port, 610);
	kernel.connect_error = ENODEV;
	assert_int_equal(address_connect(fd, &host), -ENODEV);
	kernel.connect_error = 0;
	assert_int_equal(address_connect(fd, &host), 0);
	close(fd);
}

static void dial_privileged(void **state)
{
	struct address host = address_vsock(ADDRESS_CID_HOST, 610);
	int fd;

	(void)state;
	fd = address_socket(&host, true);
	assert_true(fd >= 0);
	assert_int_equal(kernel.bound.svm_family, AF_VSOCK);
	assert_int_equal(kernel.bound.svm_cid, VMADDR_CID_ANY);
	assert_int_equal(kernel.bound.svm_port, 1023);
	assert_int_equal(kernel.binds, 1);
	close(fd);

	/* From the next one, down to the first that is free. */
	kernel.binds = 0;
	kernel.free_port = 1000;
	fd = address_socket(&host, true);
	assert_true(fd >= 0);
	assert_int_equal(kernel.bound.svm_port, 1000);
	assert_int_equal(kernel.binds, 23);
	close(fd);
}

static void no_port_to_be_had(void **state)
{
	struct address host = address_vsock(ADDRESS_CID_HOST, 610);

	(void)state;
	kernel.free_port = 0;
	assert_int_equal(address_socket(&host, true), -EADDRINUSE);
	assert_int_equal(kernel.binds, 1023);
	assert_int_equal(kernel.bound.svm_port, 1000);   /* all around, and never 0 */
	assert_false(is_open(kernel.last_fd));

	kernel.binds = 0;
	kernel.bind_error = EACCES;                      /* not privileged: no other port will do */
	assert_int_equal(address_socket(&host, true), -EACCES);
	assert_int_equal(kernel.binds, 1);
	assert_false(is_open(kernel.last_fd));
}

static void listen_on_vsock(void **state)
{
	struct address any = address_vsock(ADDRESS_CID_ANY, 612);
	int fd = address_listen(&any);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(kernel.bound.svm_cid, VMADDR_CID_ANY);
	assert_int_equal(kernel.bound.svm_port, 612);
	assert_int_equal(kernel.binds, 1);
	assert_int_equal(kernel.backlog, SOMAXCONN);
	close(fd);
	kernel.bind_error = EADDRINUSE;
	assert_int_equal(address_listen(&any), -EADDRINUSE);
	assert_int_equal(kernel.binds, 2);
	assert_false(is_open(kernel.last_fd));
}

static void accept_from_vsock(void **state)
{
	struct address_peer peer;
	int fd;

	(void)state;
	kernel.peer = (struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = 42, .svm_port = 1019 };
	kernel.interrupts = 3;
	memset(&peer, 0xff, sizeof(peer));
	fd = address_accept(0, &peer);
	assert_int_equal(fd, kernel.last_fd);
	assert_int_equal(kernel.accept_flags, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_int_equal(peer.kind, ADDRESS_VSOCK);
	assert_int_equal(peer.cid, 42);
	assert_int_equal(peer.port, 1019);
	assert_int_equal(peer.uid, 0);
	close(fd);
}

/* A peer whom the kernel does not name is not let in. */
static void accept_from_nobody(void **state)
{
	struct address_peer peer;

	(void)state;
	kernel.peer = (struct sockaddr_vm){ .svm_family = AF_UNIX };
	assert_int_equal(address_accept(0, &peer), -ENOTSOCK);   /* SO_PEERCRED of what is no socket */
	assert_false(is_open(kernel.last_fd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(dial_unprivileged, reset),
		cmocka_unit_test_setup(dial_privileged, reset),
		cmocka_unit_test_setup(no_port_to_be_had, reset),
		cmocka_unit_test_setup(listen_on_vsock, reset),
		cmocka_unit_test_setup(accept_from_vsock, reset),
		cmocka_unit_test_setup(accept_from_nobody, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
