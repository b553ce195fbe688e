/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sink.h"

#define NAME_MAX_BYTES 64

void sink_init(struct sink *sink, const char *name)
{
	*sink = (struct sink){ .name = name, .fd = -1 };
}

void sink_close(struct sink *sink)
{
	if (sink->fd >= 0)
		close(sink->fd);
	sink->fd = -1;
}

struct sink_mark sink_mark(const struct sink *sink)
{
	return (struct sink_mark){ sink->ino, sink->size };
}

static int file_open(int dirfd, const char *name, int flags, struct stat *st)
{
	/* O_NONBLOCK so that a FIFO in its place is an error, not a wait for a reader. */
	int fd = openat(dirfd, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		return -errno;
	if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

int sink_open(struct sink *sink, int dirfd)
{
	struct stat st;
	int fd;

	if (!sink->name || sink->fd >= 0)
		return 0;
	fd = file_open(dirfd, sink->name, O_CREAT, &st);
	if (fd < 0)
		return fd;
	sink->fd = fd;
	sink->ino = st.st_ino;
	sink->size = (uint64_t)st.st_size;
	return 0;
}

static int cut(int fd, uint64_t size, struct stat *st)
{
	/* Never made longer: a file that somebody emptied would get a hole. */
	if ((uint64_t)st->st_size <= size)
		return 0;
	if (ftruncate(fd, (off_t)size))
		return -errno;
	st->st_size = (off_t)size;
	return 0;
}

/* The mark's file was moved away and the note of it was lost: the new one holds nothing that anybody was told of. */
static int recover_rotated(struct sink *sink, int dirfd, struct sink_mark mark)
{
	char name[NAME_MAX_BYTES];
	struct stat st;
	int fd, r = 0;

	snprintf(name, sizeof name, "%s.1", sink->name);
	fd = file_open(dirfd, name, 0, &st);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (st.st_ino == mark.ino) {
		r = cut(fd, mark.size, &st);
		if (!r && ftruncate(sink->fd, 0))
			r = -errno;
		sink->size = 0;
	}
	close(fd);
	return r;
}

int sink_recover(struct sink *sink, int dirfd, struct sink_mark mark)
{
	struct stat st;
	int r;

	if (!sink->name)
		return 0;
	sink_close(sink);
	r = sink_open(sink, dirfd);
	if (r || !mark.ino)
		return r;
	if (sink->ino != mark.ino)
		return recover_rotated(sink, dirfd, mark);
	if (fstat(sink->fd, &st))
		return -errno;
	r = cut(sink->fd, mark.size, &st);
	sink->size = (uint64_t)st.st_size;
	return r;
}

int sink_write(struct sink *sink, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = write(sink->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
		sink->size += (uint64_t)n;
		sink->unsynced = true;
	}
	return 0;
}

int sink_sync(struct sink *sink)
{
	if (sink->fd < 0 || !sink->unsynced)
		return 0;
	if (fdatasync(sink->fd))
		return -errno;
	sink->unsynced = false;
	return 0;
}

/* The first place that is free, or the last: up to there the files move, so that a gap left by a crash is filled. */
static unsigned free_place(const struct sink *sink, int dirfd, unsigned files)
{
	char name[NAME_MAX_BYTES];
	unsigned n = 1;

	for (; n < files; n++) {
		snprintf(name, sizeof name, "%s.%u", sink->name, n);
		if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW))
			break;
	}
	return n;
}

int sink_rotate(struct sink *sink, int dirfd, unsigned files)
{
	char from[NAME_MAX_BYTES], to[NAME_MAX_BYTES];

	for (unsigned n = free_place(sink, dirfd, files); n > 0; n--) {
		snprintf(to, sizeof to, "%s.%u", sink->name, n);
		snprintf(from, sizeof from, n > 1 ? "%s.%u" : "%s", sink->name, n - 1);
		if (renameat(dirfd, from, dirfd, to) && errno != ENOENT)
			return -errno;
	}
	sink_close(sink);
	return sink_open(sink, dirfd);
}

static uint64_t rotated_bytes(const struct sink *sink, int dirfd, unsigned n)
{
	char name[NAME_MAX_BYTES];
	struct stat st;

	snprintf(name, sizeof name, "%s.%u", sink->name, n);
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) ? 0 : (uint64_t)st.st_size;
}

uint64_t sink_rotated_bytes(const struct sink *sink, int dirfd, unsigned files)
{
	uint64_t sum = 0;

	for (unsigned n = 1; sink->name && n <= files; n++)
		sum += rotated_bytes(sink, dirfd, n);
	return sum;
}

uint64_t sink_drop_oldest(struct sink *sink, int dirfd, unsigned files)
{
	char name[NAME_MAX_BYTES];

	for (unsigned n = files; sink->name && n > 0; n--) {
		uint64_t bytes = rotated_bytes(sink, dirfd, n);

		snprintf(name, sizeof name, "%s.%u", sink->name, n);
		if (bytes && !unlinkat(dirfd, name, 0))
			return bytes;
	}
	return 0;
}
