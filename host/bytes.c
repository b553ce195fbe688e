/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define SIZE_MIN 4096

bool bytes_room(struct bytes *b, size_t len)
{
	size_t size = b->size ? b->size : SIZE_MIN;
	char *grown;

	if (len <= b->size - b->end)
		return true;
	if (b->start) {
		memmove(b->p, b->p + b->start, bytes_len(b));
		b->end -= b->start;
		b->start = 0;
	}
	while (size - b->end < len)
		size *= 2;
	if (size == b->size)
		return true;
	grown = realloc(b->p, size);
	if (!grown)
		return false;
	b->p = grown;
	b->size = size;
	return true;
}

bool bytes_put(struct bytes *b, const void *from, size_t len)
{
	if (!bytes_room(b, len))
		return false;
	memcpy(b->p + b->end, from, len);
	b->end += len;
	return true;
}

void bytes_take(struct bytes *b, size_t len)
{
	b->start += len;
	if (b->start == b->end)
		b->start = b->end = 0;
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){ 0 };
}
