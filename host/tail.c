/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "logline.h"
#include "store.h"
#include "tail.h"

#define BACK (64 << 10)          /* looked at at once on the way back */
#define CHUNK (512 << 10)        /* handed on at once; more than any line takes */
#define SLACK_S 60               /* a guest's clock may be ahead of the files' times */

_Static_assert(CHUNK > LOGLINE_JSON_MAX && CHUNK > LOGLINE_TEXT_MAX, "a line fits");

struct tail {
	const struct store *store;
	bool text;
	const char *name;        /* of the current file */
	int dir, fd;
	ino_t ino;               /* of the file that fd is: its name changes when it is rotated */
	off_t at;
	char *chunk, *json;
};

/* --- the files -------------------------------------------------------------------------------------------------- */

static void place(const struct tail *tail, unsigned file, char name[static 64])
{
	snprintf(name, 64, file ? "%s.%u" : "%s", tail->name, file);
}

/* The current file is 0. A descriptor, or -1. */
static int file_open(const struct tail *tail, unsigned file, struct stat *st)
{
	char name[64];
	int fd;

	place(tail, file, name);
	fd = openat(tail->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, st) || !S_ISREG(st->st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void file_take(struct tail *tail, int fd, const struct stat *st, off_t at)
{
	if (tail->fd >= 0)
		close(tail->fd);
	tail->fd = fd;
	tail->ino = st->st_ino;
	tail->at = at;
}

/* The next younger file. False: this is the current one. If this one was removed meanwhile, the oldest there is. */
static bool file_next(struct tail *tail)
{
	unsigned most = tail->store->home->max_files, file = 0;
	struct stat st;
	char name[64];
	int fd;

	for (; file <= most; file++) {
		place(tail, file, name);
		if (!fstatat(tail->dir, name, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == tail->ino)
			break;
	}
	while (file-- > 0) {
		fd = file_open(tail, file, &st);
		if (fd < 0)
			continue;        /* a crash in the middle of a rotation leaves a gap */
		file_take(tail, fd, &st, 0);
		return true;
	}
	return false;
}

/* --- the way back ----------------------------------------------------------------------------------------------- */

/*
 * Where the last *n entries of a file begin, or 0; *n is what is missing then. In the text form, a line that begins
 * with a tab belongs to the one before.
 */
static off_t entries_back(int fd, off_t size, bool text, uint32_t *n)
{
	char block[BACK], behind = '\t';

	for (off_t from, end = size; end > 0; end = from) {
		size_t len = end < BACK ? (size_t)end : BACK;
		char *newline = block + len;

		from = end - (off_t)len;
		if (pread(fd, block, len, from) != (ssize_t)len)
			break;
		while ((newline = memrchr(block, '\n', (size_t)(newline - block)))) {
			char first = newline + 1 < block + len ? newline[1] : behind;

			if (from + (newline - block) + 1 < size && !(text && first == '\t') && !--*n)
				return from + (newline - block) + 1;
		}
		behind = block[0];
	}
	*n -= size > 0;
	return 0;
}

/* False: there is nothing. */
static bool start(struct tail *tail, uint32_t n, uint64_t since)
{
	for (unsigned file = 0; n && file <= tail->store->home->max_files; file++) {
		struct stat st;
		int fd = file_open(tail, file, &st);

		if (fd < 0)
			continue;
		if ((uint64_t)st.st_mtime + SLACK_S < since) {
			close(fd);
			break;
		}
		file_take(tail, fd, &st, n == TAIL_ALL ? 0 : entries_back(fd, st.st_size, tail->text, &n));
	}
	return tail->fd >= 0;
}

/* --- the text form ------------------------------------------------------------------------------------------------ */

/* TIME STREAM[+] MESSAGE: see logline.h. The message is unfolded in place. */
static void put_entry(struct json_out *out, const char *vm, char *entry, size_t len)
{
	char *end = entry + len, *stream = memchr(entry, ' ', len), *message, *to;
	bool partial;

	if (!stream || !(message = memchr(stream + 1, ' ', (size_t)(end - stream - 1))))
		return;
	stream++;
	partial = message[-1] == '+';
	json_line_begin(out);
	json_put_text(out, "time", entry, (size_t)(stream - 1 - entry));
	json_put_string(out, "vm", vm);
	json_put_text(out, "stream", stream, (size_t)(message - stream) - partial);
	if (partial)
		json_put_bool(out, "partial", true);
	to = ++message;
	for (char *from = message; from < end; from++) {
		*to++ = *from;
		if (*from == '\n' && from + 1 < end && from[1] == '\t')
			from++;
	}
	json_put_data(out, "message", "base64", message, (size_t)(to - message));
	json_line_end(out);
}

static char *text_to_json(const char *vm, char *from, size_t size, size_t *len)
{
	struct json_out out = { .size = size * JSON_ESCAPED_MAX + 256 };
	char *end = from + size, *stop;

	/* An entry's frame is longer than its text form's by less than 100 bytes. */
	for (char *p = from; p < end; p++)
		out.size += *p == '\n' ? 256 : 0;
	out.buf = malloc(out.size);
	for (char *p = from; out.buf && p < end; p = stop + 1) {
		for (stop = p; (stop = memchr(stop, '\n', (size_t)(end - stop))); stop++)
			if (stop + 1 == end || stop[1] != '\t')
				break;
		if (!stop)
			break;
		put_entry(&out, vm, p, (size_t)(stop - p));
	}
	*len = out.buf ? out.len : 0;
	return out.buf;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

/* The length of the whole entries among len bytes: in the text form, what follows an entry tells that it is whole. */
static size_t whole(const char *bytes, size_t len, bool text, bool end)
{
	const char *newline = bytes + len;

	while ((newline = memrchr(bytes, '\n', (size_t)(newline - bytes)))) {
		bool last = newline + 1 == bytes + len;

		if (!text || (last ? end : newline[1] != '\t'))
			return (size_t)(newline + 1 - bytes);
	}
	return 0;
}

struct tail *tail_open(const struct store *store, uint32_t n, uint64_t since)
{
	struct tail *tail = calloc(1, sizeof *tail);

	if (!tail)
		return NULL;
	*tail = (struct tail){ .store = store, .text = !store->json.name, .fd = -1,
		.name = store->json.name ? store->json.name : store->text.name };
	tail->dir = openat(store->home->logs_fd, store->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	tail->chunk = malloc(CHUNK);
	if (tail->name && tail->dir >= 0 && tail->chunk && start(tail, n, since))
		return tail;
	tail_close(tail);
	return NULL;
}

const char *tail_next(struct tail *tail, size_t *len)
{
	free(tail->json);
	tail->json = NULL;
	do {
		ssize_t got = pread(tail->fd, tail->chunk, CHUNK, tail->at);

		*len = got > 0 ? whole(tail->chunk, (size_t)got, tail->text, got < CHUNK) : 0;
		tail->at += (off_t)*len;
	} while (!*len && file_next(tail));
	if (!*len || !tail->text)
		return tail->chunk;
	tail->json = text_to_json(tail->store->name, tail->chunk, *len, len);
	return tail->json;
}

void tail_close(struct tail *tail)
{
	if (!tail)
		return;
	if (tail->fd >= 0)
		close(tail->fd);
	if (tail->dir >= 0)
		close(tail->dir);
	free(tail->chunk);
	free(tail->json);
	free(tail);
}
