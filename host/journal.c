/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"

#define JOURNAL_END 1                    /* the entry that closes a transaction: u32 checksum of those before it */
#define JOURNAL_SIZE_MAX (64u << 20)     /* no journal of ours is larger: another file is in its place */
#define COMPACT_STEP (64u << 10)         /* so much is appended before it is written anew */

/* Large enough for the largest state: a line of 64 KiB in each stream. */
static uint8_t transaction[640 << 10];
static struct wire_out out;

void journal_init(struct journal *journal)
{
	*journal = (struct journal){ .fd = -1 };
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

int journal_open(struct journal *journal, int dirfd, const char *name)
{
	struct stat st;
	int fd;

	if (journal->fd >= 0)
		return 0;
	fd = openat(dirfd, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > JOURNAL_SIZE_MAX) {
		close(fd);
		return -EINVAL;
	}
	journal->fd = fd;
	journal->size = (uint64_t)st.st_size;
	/* What was appended before it was closed counts, too; at the first time nobody knows what of it that was. */
	if (!journal->compact_at)
		journal->compact_at = COMPACT_STEP;
	return 0;
}

static int read_all(int fd, uint8_t *buf, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = pread(fd, buf + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += (size_t)n;
	}
	return 0;
}

/* The size of the whole transaction at p, with its last entry; 0: there is none. */
static size_t transaction_size(const uint8_t *p, size_t len)
{
	struct wire_frame frame;
	size_t at = 0;
	int n;

	while ((n = wire_split(p + at, len - at, &frame)) > 0) {
		struct wire_in in = wire_in(&frame);

		if (frame.type == JOURNAL_END)
			return wire_get_u32(&in) == wire_crc32(0, p, at) && wire_in_done(&in) ? at + (size_t)n : 0;
		at += (size_t)n;
	}
	return 0;
}

static bool hand_out(const uint8_t *p, size_t len, journal_entry *entry, void *context)
{
	struct wire_frame frame;
	int n;

	for (; (n = wire_split(p, len, &frame)) > 0; p += n, len -= (size_t)n)
		if (frame.type != JOURNAL_END && !entry(context, &frame))
			return false;
	return true;
}

int journal_replay(struct journal *journal, journal_entry *entry, void *context)
{
	uint8_t *all = malloc(journal->size + 1);
	size_t at = 0, n;
	int r;

	if (!all)
		return -ENOMEM;
	r = read_all(journal->fd, all, journal->size);
	while (!r && (n = transaction_size(all + at, journal->size - at))) {
		r = hand_out(all + at, n, entry, context) ? 0 : -EBADMSG;
		at += n;
	}
	free(all);
	if (!r && at < journal->size) {
		if (ftruncate(journal->fd, (off_t)at))
			return -errno;
		journal->size = at;
	}
	return r;
}

struct wire_out *journal_begin(void)
{
	out = (struct wire_out){ .buf = transaction, .size = sizeof transaction };
	return &out;
}

const uint8_t *journal_end(size_t *len)
{
	uint32_t crc = wire_crc32(0, out.buf, out.len);

	wire_begin(&out, JOURNAL_END);
	wire_put_u32(&out, crc);
	if (!wire_end(&out) || out.full)
		return NULL;
	*len = out.len;
	return out.buf;
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, bytes + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += (size_t)n;
	}
	return 0;
}

int journal_append(struct journal *journal, const uint8_t *bytes, size_t len)
{
	int r = write_all(journal->fd, bytes, len);

	if (!r)
		journal->size += len;
	else if (ftruncate(journal->fd, (off_t)journal->size))
		journal_close(journal);  /* it ends in a torn transaction, which the next replay takes off */
	return r;
}

int journal_replace(struct journal *journal, const uint8_t *bytes, size_t len, int dirfd, const char *name, bool sync)
{
	char spare[300];
	int fd, r;

	snprintf(spare, sizeof spare, ".%s.new", name);
	fd = openat(dirfd, spare, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, bytes, len);
	if (!r && sync && fdatasync(fd))
		r = -errno;
	if (!r && renameat(dirfd, spare, dirfd, name))
		r = -errno;
	if (!r && sync && fsync(dirfd))
		r = -errno;
	if (r) {
		close(fd);
		unlinkat(dirfd, spare, 0);
		return r;
	}
	journal_close(journal);
	*journal = (struct journal){ .fd = fd, .size = len, .compact_at = len + COMPACT_STEP };
	return 0;
}

int journal_sync(struct journal *journal)
{
	return journal->fd >= 0 && fdatasync(journal->fd) ? -errno : 0;
}
