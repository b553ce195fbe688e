/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"

bool terminal_variable_add(struct wire_exec *what, const char *text)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text || what->envc == WIRE_EXEC_MAX)
		return false;
	what->env[what->envc++] = wire_text(text);
	return true;
}

struct wire_control terminal_size(void)
{
	struct winsize size = { 0 };

	ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
	return (struct wire_control){ .type = WIRE_RESIZE, .resize = { .rows = size.ws_row, .cols = size.ws_col } };
}

static bool has_term(const struct wire_exec *what)
{
	for (uint16_t i = 0; i < what->envc; i++)
		if (what->env[i].len >= 5 && memcmp(what->env[i].s, "TERM=", 5) == 0)
			return true;
	return false;
}

bool terminal_describe(struct terminal *terminal, struct wire_exec *what)
{
	struct wire_control size = terminal_size();
	const char *name = getenv("TERM");

	if (tcgetattr(STDIN_FILENO, &terminal->before) < 0)
		return false;
	what->flags |= WIRE_EXEC_TTY;
	what->rows = size.resize.rows;
	what->cols = size.resize.cols;
	snprintf(terminal->variable, sizeof terminal->variable, "TERM=%s", name && *name ? name : "linux");
	if (!has_term(what))
		terminal_variable_add(what, terminal->variable);
	return true;
}

void terminal_raw(struct terminal *terminal)
{
	struct termios raw = terminal->before;

	if (terminal->raw)
		return;
	cfmakeraw(&raw);
	terminal->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

void terminal_restore(struct terminal *terminal)
{
	if (terminal->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	terminal->raw = false;
}
