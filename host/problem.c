/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "problem.h"

int problem_set(struct problem *problem, const char *file, unsigned line, unsigned column, const char *format, ...)
{
	char text[sizeof problem->text];         /* the arguments may point into the problem */
	int saved = errno, n, more;
	va_list args;

	n = line ? snprintf(text, sizeof text, "%s:%u:%u: ", file, line, column) :
		snprintf(text, sizeof text, "%s: ", file);
	if (n < 0 || (size_t)n >= sizeof text)
		n = sizeof text - 1;
	va_start(args, format);
	more = vsnprintf(text + n, sizeof text - n, format, args);
	va_end(args);
	if (more < 0)
		text[n] = '\0';

	/* File names and keys are quoted in here: they must not break the line, or steer a terminal. U+0080 to U+009F can. */
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < ' ' || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	/* A cut must not leave half a character. */
	if (more >= 0 && (size_t)(n + more) >= sizeof text)
		for (n = sizeof text - 1; n > 0 && (text[n - 1] & 0x80); n--)
			text[n - 1] = '\0';
	memcpy(problem->text, text, sizeof text);
	errno = saved;
	return -1;
}
