/* SPDX-License-Identifier: MIT */
#include <errno.h>
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

#define READ_MAX (4 << 20)       /* no more of the files is looked at */

struct block {
	char *bytes;
	size_t len;
};

/* The end of the file, from the start of a line on, before what is there. False: older files are of no use. */
static bool read_end(int dirfd, const char *name, struct block *block)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	off_t most = (off_t)(READ_MAX - block->len), from;
	size_t got, skip = 0;
	struct stat st;
	char *bytes = NULL;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT;  /* a crash in the middle of a rotation leaves a gap */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !st.st_size) {
		close(fd);
		return true;
	}
	from = st.st_size > most ? st.st_size - most : 0;
	bytes = malloc((size_t)(st.st_size - from) + block->len);
	n = bytes ? pread(fd, bytes, (size_t)(st.st_size - from), from) : -1;
	close(fd);
	got = n > 0 ? (size_t)n : 0;
	if (from && got) {
		const char *newline = memchr(bytes, '\n', got);

		skip = newline ? (size_t)(newline + 1 - bytes) : got;
	}
	if (got > skip) {
		memmove(bytes, bytes + skip, got - skip);
		if (block->len)
			memcpy(bytes + got - skip, block->bytes, block->len);
		free(block->bytes);
		block->bytes = bytes;
		block->len += got - skip;
	} else {
		free(bytes);
	}
	return !from && n >= 0;
}

/* Where the last n entries begin. In the text form, a line that begins with a tab belongs to the one before. */
static size_t last_entries(const struct block *block, unsigned n, bool text)
{
	size_t at = block->len;

	while (at > 0 && n > 0) {
		at--;
		while (at > 0 && block->bytes[at - 1] != '\n')
			at--;
		if (!text || block->bytes[at] != '\t')
			n--;
	}
	return at;
}

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

char *tail_read(const struct store *store, unsigned n, size_t *len)
{
	bool text = !store->json.name;
	const char *name = text ? store->text.name : store->json.name;
	struct block block = { 0 };
	char *json;
	size_t from;
	int dir;

	*len = 0;
	if (!name)
		return NULL;
	dir = openat(store->home->logs_fd, store->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return NULL;
	/* The current file, then the rotated ones, until there are enough lines or too many bytes. */
	for (unsigned file = 0; file <= store->home->max_files; file++) {
		char place[64];

		snprintf(place, sizeof place, file ? "%s.%u" : "%s", name, file);
		if (!read_end(dir, place, &block))
			break;
		if (last_entries(&block, n, text) > 0)
			break;
	}
	close(dir);
	from = last_entries(&block, n, text);
	if (text) {
		json = text_to_json(store->name, block.bytes + from, block.len - from, len);
		free(block.bytes);
		return json;
	}
	*len = block.len - from;
	if (!*len) {
		free(block.bytes);
		return NULL;
	}
	memmove(block.bytes, block.bytes + from, *len);
	return block.bytes;
}
