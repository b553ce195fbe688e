/* SPDX-License-Identifier: MIT */
/* problem: what is wrong with an input, where, and how to mend it. One line a person can act on; never a secret. */
#ifndef HOST_PROBLEM_H
#define HOST_PROBLEM_H

struct problem {
	char text[512];          /* "FILE:LINE:COLUMN: what; how to mend it", or "FILE: ..." where there is no line */
};

/* line 0: the problem is with the file as a whole. Cuts what does not fit. Returns -1, so it can end a function. */
int problem_set(struct problem *problem, const char *file, unsigned line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

#endif
