/* SPDX-License-Identifier: MIT */
/* terminal: ours, on standard input, while a program in a guest has one of its own that stands for it. */
#ifndef HOST_TERMINAL_H
#define HOST_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "../vsock/wire.h"

struct terminal {
	bool raw;                        /* its settings are to be restored */
	struct termios before;
	char variable[256];              /* TERM=... */
};

/* Fills in what the program's will be like: EXEC's flag, size and, where it has none, $TERM. False: we have none. */
bool terminal_describe(struct terminal *terminal, struct wire_exec *what);
/* RESIZE. */
struct wire_control terminal_size(void);
/* Every byte as it is typed, until it is restored; both can be called in any state. */
void terminal_raw(struct terminal *terminal);
void terminal_restore(struct terminal *terminal);

/* Adds NAME=value to what a program in a guest is started with. False: not of that form, or no place. */
bool terminal_variable_add(struct wire_exec *what, const char *text);

#endif
