/* SPDX-License-Identifier: MIT */
/*
 * sink: an append-only file that rotates, and that can be set back to where it is known to be right.
 *
 * The current file is NAME; rotation moves it to NAME.1, that to NAME.2, and so on. Which file an offset belongs to
 * is said by its inode number, because a crash can come between the renaming and the note of it.
 */
#ifndef HOST_SINK_H
#define HOST_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the journal knows of a sink: this file held this many bytes. */
struct sink_mark {
	uint64_t ino, size;
};

struct sink {
	const char *name;        /* a constant; NULL: this sink is not wanted */
	int fd;                  /* -1: not open */
	uint64_t ino, size;
	bool unsynced;
};

void sink_init(struct sink *sink, const char *name);
/* Opens or makes the file below dirfd, following no symlink. 0, or a negative errno. */
int sink_open(struct sink *sink, int dirfd);
void sink_close(struct sink *sink);
struct sink_mark sink_mark(const struct sink *sink);

/*
 * Opens the sink and takes off what was written after the mark: nobody was told that it is there. A mark of another
 * file than NAME or NAME.1 means that somebody moved or removed the file; what is there then stays as it is. 0, or a
 * negative errno.
 */
int sink_recover(struct sink *sink, int dirfd, struct sink_mark mark);
/* All bytes, or a negative errno; then some of them may be there. */
int sink_write(struct sink *sink, const void *bytes, size_t len);
int sink_sync(struct sink *sink);
/* Moves the files up by one, keeping at most files old ones, and starts a new one. 0, or a negative errno. */
int sink_rotate(struct sink *sink, int dirfd, unsigned files);

/* Bytes of all rotated files. */
uint64_t sink_rotated_bytes(const struct sink *sink, int dirfd, unsigned files);
/* Removes the oldest rotated file. Its bytes, or 0: there is none, or it cannot be removed. */
uint64_t sink_drop_oldest(struct sink *sink, int dirfd, unsigned files);

#endif
