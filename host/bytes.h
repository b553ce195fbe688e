/* SPDX-License-Identifier: MIT */
/* bytes: a queue of bytes in one piece of memory that grows. All zeros is an empty one. */
#ifndef HOST_BYTES_H
#define HOST_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct bytes {
	char *p;
	size_t start, end, size;         /* p[start, end) waits; size: of p */
};

static inline size_t bytes_len(const struct bytes *b)
{
	return b->end - b->start;
}

/* Room for so many more at p + end; what waits may move. False: no memory, and nothing has changed. */
bool bytes_room(struct bytes *b, size_t len);
bool bytes_put(struct bytes *b, const void *from, size_t len);   /* False: as above */
void bytes_take(struct bytes *b, size_t len);            /* the first of them are done with */
void bytes_free(struct bytes *b);                        /* an empty one again */

#endif
