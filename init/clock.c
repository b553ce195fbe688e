/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define SECOND_NS 1000000000ll
#define POOL 64                  /* bytes of entropy taken at once */

uint64_t clock_boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void clock_sleep_ms(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

int32_t clock_set(uint64_t wall_ns)
{
	struct timespec now, then = { .tv_sec = (time_t)(wall_ns / SECOND_NS), .tv_nsec = (long)(wall_ns % SECOND_NS) };
	int64_t off;

	clock_gettime(CLOCK_REALTIME, &now);
	off = (int64_t)then.tv_sec - (int64_t)now.tv_sec;
	if (off >= -1 && off <= 1)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &then) < 0)
		return 0;
	return off > INT32_MAX ? INT32_MAX : off < INT32_MIN ? INT32_MIN : (int32_t)off;
}

int clock_entropy(const void *bytes, size_t len, bool credit)
{
	union { struct rand_pool_info info; unsigned char room[sizeof(struct rand_pool_info) + POOL]; } pool;
	int credited = 0;
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (len > POOL)
		len = POOL;
	pool.info.entropy_count = (int)len * 8;
	pool.info.buf_size = (int)len;
	memcpy(pool.info.buf, bytes, len);
	if (credit && ioctl(fd, RNDADDENTROPY, &pool) == 0)
		credited = (int)len;
	else if (write(fd, bytes, len) < 0)
		credited = 0;    /* mixing in is a gift: that it failed changes nothing */
	/* From here on the kernel's generator uses it; unknown to kernels before 4.14, which reseed by themselves. */
	ioctl(fd, RNDRESEEDCRNG);
	explicit_bzero(&pool, sizeof pool);
	close(fd);
	return credited;
}
