/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <string.h>

#include "nearest.h"

#define WORD_MAX 64              /* longer words have no neighbours */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	return a < b ? (a < c ? a : c) : b < c ? b : c;
}

/* How many letters have to be changed, added, left out, or swapped with their neighbour; upper and lower case count
   as the same. The row before last is kept for the swap. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2];
	size_t a_len = strlen(a), b_len = strlen(b);

	for (size_t j = 0; j <= b_len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *oldest = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);

			row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
					y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_len];
}

void nearest_consider(const char *word, const char *candidate, const char **best, unsigned *far)
{
	size_t len = strlen(candidate);
	unsigned d;

	if (strlen(word) > WORD_MAX || len > WORD_MAX)
		return;
	d = distance(word, candidate);
	if (d < *far && d <= (len + 2) / 3) {
		*best = candidate;
		*far = d;
	}
}

const char *nearest(const char *word, size_t n, const char *const candidates[])
{
	const char *best = NULL;
	unsigned far = NEAREST_FAR;

	for (size_t i = 0; i < n; i++)
		nearest_consider(word, candidates[i], &best, &far);
	return best;
}
