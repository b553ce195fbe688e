/* SPDX-License-Identifier: MIT */
/* hawser: the command line a person types. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chart_cmd.h"
#include "check.h"
#include "exec_cmd.h"
#include "logs_cmd.h"
#include "nearest.h"
#include "run.h"
#include "status_cmd.h"
#include "verbs_cmd.h"
#include "vm_cmd.h"
#include "wait_cmd.h"

#ifndef HAWSER_VERSION
#define HAWSER_VERSION "0.1"
#endif

#define USAGE_FAILED 2

static const struct command {
	const char *name, *help;
	int (*main)(int argc, char *argv[]);     /* argv[0] is the command's name */
} commands[] = {
	{ "run", "boot a machine, show its log, end as its program does", run_main },
	{ "check", "validate a machine's directory without running it", check_main },
	{ "logs", "show a machine's log", logs_cmd_main },
	{ "chart", "draw what a machine's boot was made of", chart_cmd_main },
	{ "wait", "until a machine has ended, or is ready", wait_cmd_main },
	{ "status", "show which machines are up", status_cmd_main },
	{ "revoke", "close a machine's access to its configuration", vm_cmd_main },
	{ "rearm", "open it again, and its one-shot credentials", vm_cmd_main },
	{ "exec", "run a program in a machine that is up", exec_cmd_main },
	{ "ping", "ask a machine for a sign of life", ping_cmd_main },
	{ "signal", "send a signal to a machine's program", signal_cmd_main },
	{ "stop", "end a machine in good order", stop_cmd_main },
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

static void help(FILE *out)
{
	fputs("usage: hawser COMMAND ...\n\n"
		"Boots and looks after microVMs that have no network, over one vsock.\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\nhawser COMMAND --help says more, and so does hawser(1).\n", out);
}

static int unknown(const char *name)
{
	const char *names[N_COMMANDS];
	for (size_t i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	const char *near = nearest(name, N_COMMANDS, names);
	if (near)
		fprintf(stderr, "hawser: unknown command %s: did you mean %s? See hawser --help\n", name, near);
	else
		fprintf(stderr, "hawser: unknown command %s; see hawser --help\n", name);
	return USAGE_FAILED;
}

/* A descriptor opened later must never be taken for one of these. */
static void standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char *argv[])
{
	standard_descriptors();
	if (argc < 2) {
		help(stderr);
		return USAGE_FAILED;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("hawser " HAWSER_VERSION);
		return 0;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	return unknown(argv[1]);
}
