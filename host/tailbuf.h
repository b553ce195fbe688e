/* SPDX-License-Identifier: MIT */
/* tailbuf: the last bytes of a stream that nobody may want, in bounded memory. */
#ifndef HOST_TAILBUF_H
#define HOST_TAILBUF_H

#include <stdbool.h>
#include <stddef.h>

struct tailbuf {
	char *bytes;             /* NULL until something was added */
	size_t size, len, end;   /* the newest byte is the one before bytes[end] */
	bool cut;                /* older bytes are gone */
};

void tailbuf_init(struct tailbuf *t, size_t size);
void tailbuf_add(struct tailbuf *t, const char *bytes, size_t len);
/* Calls line for each of the last max lines (0: all), oldest first, without the newline and a \r before it. */
void tailbuf_lines(const struct tailbuf *t, size_t max, void (*line)(void *arg, const char *text, size_t len),
	void *arg);
void tailbuf_finish(struct tailbuf *t);

#endif
