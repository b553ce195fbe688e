/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "arglist.h"

static bool grow(struct arglist *list)
{
	if (list->n + 2 <= list->size)
		return true;
	size_t size = list->size ? 2 * list->size : 32;
	char **v = realloc(list->v, size * sizeof *v);
	if (!v)
		return false;
	list->v = v;
	list->size = size;
	return true;
}

void arglist_add(struct arglist *list, const char *format, ...)
{
	va_list args;
	char *word;

	va_start(args, format);
	if (list->failed || !grow(list) || vasprintf(&word, format, args) < 0)
		list->failed = true;
	else {
		list->v[list->n++] = word;
		list->v[list->n] = NULL;
	}
	va_end(args);
}

void arglist_finish(struct arglist *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
	*list = (struct arglist){ 0 };
}
