/* SPDX-License-Identifier: MIT */
/* names: a table of what has a machine's name, sorted by it. */
#ifndef HOST_NAMES_H
#define HOST_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* An entry begins with its name: char[VMCONFIG_NAME_MAX + 1]. The entries are the caller's. */
struct names {
	void **all;
	size_t n, size;
};

void *names_find(const struct names *names, const char *name);
bool names_insert(struct names *names, void *entry);     /* false: no memory */
void names_remove(struct names *names, const void *entry);       /* one that is not there is nothing to do */
void names_finish(struct names *names);

#endif
