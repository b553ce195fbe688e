/* SPDX-License-Identifier: MIT */
/* nearest: the word that was probably meant. */
#ifndef HOST_NEAREST_H
#define HOST_NEAREST_H

#include <stddef.h>

/* Of n candidates the one with the fewest changes, if they are few for a word of its length; else NULL. */
const char *nearest(const char *word, size_t n, const char *const candidates[]);

#endif
