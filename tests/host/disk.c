/* SPDX-License-Identifier: MIT */
/*
 * disk: a disk that hangs or fails, for a program that is started with this as LD_PRELOAD. $DISK is a file of four
 * texts of 256 bytes, one for each fault: a part of the path of the files that have it, or nothing.
 *
 *     0 hang         fdatasync and fsync wait until the fault is gone
 *     1 sync         fdatasync and fsync fail with EIO
 *     2 write        write fails with EIO, after half of the bytes when there is more than one
 *     3 full         the same with ENOSPC
 *
 * The file is mapped at the start: later, the program may not be able to open it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { HANG, SYNC, WRITE, FULL, FAULTS };

static char (*faults)[256];
static ssize_t (*real_write)(int fd, const void *bytes, size_t len);
static int (*real_fdatasync)(int fd), (*real_fsync)(int fd);

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("DISK");
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *faults * FAULTS, PROT_READ, MAP_SHARED, fd, 0);

	faults = map == MAP_FAILED ? NULL : map;
	if (fd >= 0)
		close(fd);
	*(void **)&real_write = dlsym(RTLD_NEXT, "write");
	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
}

static bool faulty(int fd, int fault)
{
	char link[32], path[4096];
	ssize_t n;

	if (!faults || !faults[fault][0])
		return false;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlinkat(AT_FDCWD, link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	return strstr(path, faults[fault]);
}

static int sync_or_not(int fd, int (*sync)(int fd))
{
	while (faulty(fd, HANG))
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	if (!faulty(fd, SYNC))
		return sync(fd);
	errno = EIO;
	return -1;
}

int fdatasync(int fd)
{
	return sync_or_not(fd, real_fdatasync);
}

int fsync(int fd)
{
	return sync_or_not(fd, real_fsync);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	bool full = faulty(fd, FULL);

	if (!full && !faulty(fd, WRITE))
		return real_write(fd, bytes, len);
	if (len > 1)
		return real_write(fd, bytes, len / 2);
	errno = full ? ENOSPC : EIO;
	return -1;
}
