/* SPDX-License-Identifier: MIT */
/*
 * note: a few bytes in a file below /run/hawser, from one process of /init to another, in the machine's own form; and
 * words to the kernel, in the files where it takes them.
 */
#ifndef INIT_NOTE_H
#define INIT_NOTE_H

#include <stdbool.h>
#include <stddef.h>

void note_write(const char *path, const void *bytes, size_t size);       /* that it failed is in the log */
bool note_read(const char *path, void *bytes, size_t size);              /* false: there is none */
bool note_tell(const char *path, const char *word);     /* false, with errno: it did not take it */

#endif
