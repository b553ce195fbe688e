/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tailbuf.h"

void tailbuf_init(struct tailbuf *t, size_t size)
{
	*t = (struct tailbuf){ .size = size };
}

void tailbuf_add(struct tailbuf *t, const char *bytes, size_t len)
{
	if (!t->bytes && !(t->bytes = malloc(t->size)))
		return;
	if (len > t->size) {
		bytes += len - t->size;
		len = t->size;
		t->cut = true;
	}
	size_t first = t->size - t->end < len ? t->size - t->end : len;
	memcpy(t->bytes + t->end, bytes, first);
	memcpy(t->bytes, bytes + first, len - first);
	t->end = (t->end + len) % t->size;
	t->len += len;
	if (t->len > t->size) {
		t->len = t->size;
		t->cut = true;
	}
}

/* The bytes in one piece, without the broken line that a cut leaves at the beginning. */
static char *tailbuf_copy(const struct tailbuf *t, size_t *len)
{
	char *copy = t->len ? malloc(t->len) : NULL;
	if (!copy)
		return NULL;
	size_t start = (t->end + t->size - t->len) % t->size;
	size_t first = t->size - start < t->len ? t->size - start : t->len;
	memcpy(copy, t->bytes + start, first);
	memcpy(copy + first, t->bytes, t->len - first);
	*len = t->len;
	char *newline = t->cut ? memchr(copy, '\n', *len) : NULL;
	if (newline && newline + 1 < copy + *len) {
		*len -= (size_t)(newline + 1 - copy);
		memmove(copy, newline + 1, *len);
	}
	return copy;
}

static const char *last_lines(const char *bytes, size_t len, size_t max)
{
	const char *from = bytes + len;
	if (from > bytes && from[-1] == '\n')
		from--;
	for (; from > bytes; from--)
		if (from[-1] == '\n' && --max == 0)
			break;
	return from;
}

void tailbuf_lines(const struct tailbuf *t, size_t max, void (*line)(void *arg, const char *text, size_t len),
	void *arg)
{
	size_t len = 0;
	char *copy = tailbuf_copy(t, &len);
	if (!copy)
		return;
	const char *end = copy + len, *next;
	for (const char *p = max ? last_lines(copy, len, max) : copy; p < end; p = next) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;
		next = newline ? newline + 1 : end;
		while (stop > p && stop[-1] == '\r')
			stop--;
		line(arg, p, (size_t)(stop - p));
	}
	free(copy);
}

void tailbuf_finish(struct tailbuf *t)
{
	free(t->bytes);
	tailbuf_init(t, t->size);
}
