/* SPDX-License-Identifier: MIT */
/* status: all that hawserd knows of itself, as one line of JSON. */
#ifndef HOST_STATUS_H
#define HOST_STATUS_H

#include <stddef.h>

struct daemon;

/* On the heap; NULL: no memory. */
char *status_make(struct daemon *daemon, size_t *len);

#endif
