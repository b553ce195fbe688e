/* SPDX-License-Identifier: MIT */
/* nearest: the word that was probably meant. */
#ifndef HOST_NEAREST_H
#define HOST_NEAREST_H

#include <limits.h>
#include <stddef.h>

#define NEAREST_FAR UINT_MAX     /* for *far, before the first candidate */

/* Of n candidates the one with the fewest changes, if it is at most a third of its letters away; else NULL. */
const char *nearest(const char *word, size_t n, const char *const candidates[]);
/* One candidate at a time: the nearest so far is in *best (NULL at first), and its distance in *far. */
void nearest_consider(const char *word, const char *candidate, const char **best, unsigned *far);

#endif
