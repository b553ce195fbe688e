/* SPDX-License-Identifier: MIT */
/* tail: the last lines of a machine's log, read back from its files. */
#ifndef HOST_TAIL_H
#define HOST_TAIL_H

#include <stddef.h>

struct store;

/* At most n lines as JSON, on the heap; NULL with len 0: there are none, or they cannot be read. */
char *tail_read(const struct store *store, unsigned n, size_t *len);

#endif
