/* SPDX-License-Identifier: MIT */
/* entries: the names in a directory, without a heap. */
#ifndef INIT_ENTRIES_H
#define INIT_ENTRIES_H

/* Called for each name but "." and ".."; what it returns adds up. */
typedef unsigned entries_visit(int dirfd, const char *name, void *arg);

/* The sum of all visits; entries that come or go meanwhile may be seen or not. Starts at the directory's beginning. */
unsigned entries_each(int dirfd, entries_visit *visit, void *arg);

#endif
