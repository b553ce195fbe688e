/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "names.h"

/* Where the name is, or would be. */
static size_t place_of(const struct names *names, const char *name, bool *found)
{
	size_t low = 0, high = names->n;

	*found = false;
	while (low < high && !*found) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, names->all[middle]);

		if (order > 0)
			low = middle + 1;
		else
			high = middle;
		*found = !order;
	}
	return high;
}

void *names_find(const struct names *names, const char *name)
{
	bool found;
	size_t place = place_of(names, name, &found);

	return found ? names->all[place] : NULL;
}

bool names_insert(struct names *names, void *entry)
{
	bool found;
	size_t place = place_of(names, entry, &found);

	if (names->n == names->size) {
		size_t size = names->size ? names->size * 2 : 16;
		void **all = realloc(names->all, size * sizeof *all);

		if (!all)
			return false;
		names->all = all;
		names->size = size;
	}
	memmove(names->all + place + 1, names->all + place, (names->n - place) * sizeof *names->all);
	names->all[place] = entry;
	names->n++;
	return true;
}

void names_remove(struct names *names, const void *entry)
{
	bool found;
	size_t place = place_of(names, entry, &found);

	if (found && names->all[place] == entry)
		memmove(names->all + place, names->all + place + 1, (--names->n - place) * sizeof *names->all);
}

void names_finish(struct names *names)
{
	free(names->all);
	*names = (struct names){ 0 };
}
