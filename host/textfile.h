/* SPDX-License-Identifier: MIT */
/* textfile: a small file that a person wrote, read whole: no symbolic link, no FIFO, no half of a change. */
#ifndef HOST_TEXTFILE_H
#define HOST_TEXTFILE_H

#include <stddef.h>

#include "problem.h"

/*
 * The bytes of dirfd/name, on the heap, terminated by a NUL that len does not count. label names the file in messages.
 * NULL with the problem set.
 */
char *textfile_read(int dirfd, const char *name, const char *label, size_t max, size_t *len,
	struct problem *problem);

#endif
