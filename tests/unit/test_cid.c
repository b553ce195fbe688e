/* SPDX-License-Identifier: MIT */
/* cid.c with the kernel replaced: /dev/vsock of the machine that builds is none of our business. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include <cmocka.h>

#define MISSING(error) (-(int64_t)(error))       /* the open fails */
#define BROKEN(error) (-(int64_t)(error) - 1000) /* the ioctl does */

/* What /dev/vsock says at each reading; the last goes on for ever. */
static const int64_t *script;
static size_t script_n, readings;
static int last_fd;

static int64_t now_says(void)
{
	return script[readings < script_n ? readings : script_n - 1];
}

static int fake_open(const char *path, int flags)
{
	int64_t says = now_says();

	assert_string_equal(path, "/dev/vsock");
	assert_int_equal(flags, O_RDONLY | O_CLOEXEC);
	if (says < 0 && says > -1000) {
		readings++;
		errno = (int)-says;
		return -1;
	}
	return last_fd = openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
}

static int fake_ioctl(int fd, unsigned long request, uint32_t *cid)
{
	int64_t says = now_says();

	assert_int_equal(fd, last_fd);
	assert_int_equal(request, IOCTL_VM_SOCKETS_GET_LOCAL_CID);
	readings++;
	if (says < 0) {
		errno = (int)(-says - 1000);
		return -1;
	}
	*cid = (uint32_t)says;
	return 0;
}

#define open fake_open
#define ioctl fake_ioctl
#include "../../vsock/cid.c"

#define SCRIPT(...) do { \
	static const int64_t script_[] = { __VA_ARGS__ }; \
	script = script_; \
	script_n = sizeof(script_) / sizeof(*script_); \
	readings = 0; \
} while (0)

static void guests(void **state)
{
	(void)state;
	assert_false(cid_is_guest(0));
	assert_false(cid_is_guest(1));
	assert_false(cid_is_guest(2));
	assert_true(cid_is_guest(3));
	assert_true(cid_is_guest(0x80000000));
	assert_true(cid_is_guest(0xfffffffe));
	assert_false(cid_is_guest(0xffffffff));
}

static void reading(void **state)
{
	uint32_t cid = 77;

	(void)state;
	SCRIPT(42);
	assert_int_equal(cid_read(&cid), 0);
	assert_int_equal(cid, 42);
	assert_int_equal(fcntl(last_fd, F_GETFD), -1);
	SCRIPT(ADDRESS_CID_ANY);
	assert_int_equal(cid_read(&cid), 0);
	assert_int_equal(cid, ADDRESS_CID_ANY);
	SCRIPT(MISSING(ENOENT));
	assert_int_equal(cid_read(&cid), -ENOENT);
	SCRIPT(MISSING(ENODEV));
	assert_int_equal(cid_read(&cid), -ENODEV);
	SCRIPT(BROKEN(ENOTTY));
	assert_int_equal(cid_read(&cid), -ENOTTY);
	assert_int_equal(fcntl(last_fd, F_GETFD), -1);
}

/* No driver, no device, loopback, the host's own, and at last a guest's. */
static void waiting(void **state)
{
	uint64_t began = ready_now_ns();
	uint32_t cid = 0;

	(void)state;
	SCRIPT(MISSING(ENOENT), MISSING(ENODEV), BROKEN(EIO), ADDRESS_CID_ANY, 1, 2, 0, 5);
	assert_int_equal(cid_wait(&cid, began + 10000000000u), 0);
	assert_int_equal(cid, 5);
	assert_int_equal(readings, 8);
	assert_true(ready_now_ns() - began >= 7 * 4000000u);     /* it rested in between */
	assert_true(ready_now_ns() - began < 5000000000u);
}

static void too_late(void **state)
{
	uint64_t began = ready_now_ns();
	uint32_t cid = 77;

	(void)state;
	SCRIPT(1);
	assert_int_equal(cid_wait(&cid, began + 100000000), -ETIMEDOUT);
	assert_int_equal(cid, 1);
	assert_true(readings > 1 && readings <= 25);
	assert_true(ready_now_ns() >= began + 100000000);
	SCRIPT(MISSING(ENOENT));
	assert_int_equal(cid_wait(&cid, 0), -ETIMEDOUT);
	assert_int_equal(cid, ADDRESS_CID_ANY);
	assert_int_equal(readings, 1);
	/* A deadline that has passed is no reason to refuse what is there. */
	SCRIPT(3);
	assert_int_equal(cid_wait(&cid, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests),
		cmocka_unit_test(reading),
		cmocka_unit_test(waiting),
		cmocka_unit_test(too_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
