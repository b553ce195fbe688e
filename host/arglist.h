/* SPDX-License-Identifier: MIT */
/* arglist: a command line, made word by word. */
#ifndef HOST_ARGLIST_H
#define HOST_ARGLIST_H

#include <stdbool.h>
#include <stddef.h>

struct arglist {
	char **v;                /* ends with NULL, once something was added */
	size_t n, size;
	bool failed;             /* memory ran out; to be asked once, at the end */
};

void arglist_add(struct arglist *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arglist_finish(struct arglist *list);

#endif
