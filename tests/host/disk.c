/* SPDX-License-Identifier: MIT */
/*
 * disk: a disk that hangs or fails, for a program that is started with this as LD_PRELOAD. $DISK is a directory; a file
 * in it is a fault, and names by its content the files that have it, by a part of their path:
 *
 *     hang           fdatasync and fsync wait until the fault is gone
 *     sync           fdatasync and fsync fail with EIO
 *     write, full    write fails with EIO or ENOSPC, after half of the bytes when there is more than one
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static ssize_t (*real_write)(int fd, const void *bytes, size_t len);
static int (*real_fdatasync)(int fd), (*real_fsync)(int fd);

__attribute__((constructor)) static void find(void)
{
	*(void **)&real_write = dlsym(RTLD_NEXT, "write");
	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
}

static bool faulty(int fd, const char *fault)
{
	const char *dir = getenv("DISK");
	char link[32], path[4096], name[4096], word[256];
	ssize_t n;
	int file;

	snprintf(name, sizeof name, "%s/%s", dir ? dir : "/nonexistent", fault);
	file = open(name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	n = read(file, word, sizeof word - 1);
	close(file);
	word[n > 0 ? n : 0] = '\0';
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	return *word && strstr(path, word);
}

static int sync_or_not(int fd, int (*sync)(int fd))
{
	while (faulty(fd, "hang"))
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	if (!faulty(fd, "sync"))
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
	bool full = faulty(fd, "full");

	if (!full && !faulty(fd, "write"))
		return real_write(fd, bytes, len);
	if (len > 1)
		return real_write(fd, bytes, len / 2);
	errno = full ? ENOSPC : EIO;
	return -1;
}
