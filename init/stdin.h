/* SPDX-License-Identifier: MIT */
/*
 * stdin: what the host sends as a program's standard input, on its way there: as much as the credit allows, and no
 * more than that is ever held.
 */
#ifndef INIT_STDIN_H
#define INIT_STDIN_H

#include "ctl.h"

#define STDIN_WINDOW 65536       /* bytes held, and credit out, together at most: what a pipe takes at once */

struct stdin_flow {
	int fd;                  /* not blocking; -1: the program has closed it, or has the end */
	bool terminal;           /* its end is a character, and fd stays open */
	bool ended;              /* STDIN_END has come */
	uint32_t credit;         /* that the host still has */
	uint32_t owed;           /* that it gets back */
	size_t start, end;       /* bytes[start, end) is held */
	uint8_t bytes[STDIN_WINDOW + 1];
};

/* Gives the first credit. flow is zeroed; fd is the flow's from now on. */
void stdin_begin(struct stdin_flow *flow, struct ctl *session, int fd, bool terminal);
/* STDIN or STDIN_END: false when that is against the order. */
bool stdin_take(struct stdin_flow *flow, const struct wire_control *frame);
/* What is held, as far as it goes without waiting; then credit for it. Closes fd behind the end. */
void stdin_run(struct stdin_flow *flow, struct ctl *session);
bool stdin_waits(const struct stdin_flow *flow);         /* for fd to take more */

#endif
