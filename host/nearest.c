/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nearest.h"

#define WORD_MAX 48              /* longer words have no neighbours */

/* How many letters must be changed, added or left out to make b of a (Levenshtein), row by row. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], b_len = strlen(b);

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < b_len; j++) {
			size_t best = diagonal + (a[i] != b[j]);
			diagonal = row[j + 1];
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
		}
	}
	return row[b_len];
}

const char *nearest(const char *word, size_t n, const char *const candidates[])
{
	const char *best = NULL;
	size_t fewest = strlen(word) / 3 + 2;    /* "lgos" is 2 from "logs"; of "xyz" everything is far */

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = strlen(candidates[i]) > WORD_MAX ? fewest : distance(word, candidates[i]);
		if (d < fewest) {
			fewest = d;
			best = candidates[i];
		}
	}
	return best;
}
