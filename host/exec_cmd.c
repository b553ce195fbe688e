/* SPDX-License-Identifier: MIT */
/*
 * One loop between our descriptors and the session. What is held is bounded: standard input is read only as the guest
 * gives credit for it, the session only while what it said before can be written.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "exec_cmd.h"
#include "outqueue.h"
#include "remote.h"
#include "signals.h"
#include "terminal.h"

#define FAILED 125               /* we, and not the program */

static const char usage[] =
	"usage: hawser exec [-t] [-u UID[:GID]] [-w DIR] [-e NAME=VALUE]... [--runtime DIR] VM [--] COMMAND...\n"
	"\n"
	"Runs a program in a running machine, with our standard input, output and error.\n"
	"\n"
	"  -t, --tty              on a terminal: hawser exec -t VM sh is a shell\n"
	"  -u, --user UID[:GID]   as this user (default 0:0)\n"
	"  -w, --workdir DIR      in this directory (default /)\n"
	"  -e, --env NAME=VALUE   with this variable, too\n"
	"  --runtime DIR          the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: the program's; 128 and the signal's number when it was killed; 126 or 127 when it could not be\n"
	"started; 125 when it is not known.\n";

struct exec {
	struct wire_control what;        /* EXEC */
	const char *vm, *runtime;
	struct remote remote;
	struct outqueue out, err;
	uint32_t credit;                 /* bytes of standard input that the guest takes */
	bool input_ended;
	int signals;
	int interrupted;                 /* the signal that came first; 0: none */
	int status;                      /* -1: not known yet */
	bool tty;
	struct terminal terminal;        /* ours */
};

static struct exec exec;

/* --- the command line ------------------------------------------------------------------------------------------- */

static int complain(const char *what, const char *word)
{
	fprintf(stderr, "hawser exec: %s%s%s; see hawser exec --help\n", word ? word : "", word ? ": " : "", what);
	return FAILED;
}

static bool number_parse(const char **text, uint32_t *number)
{
	char *end;
	unsigned long n = strtoul(*text, &end, 10);

	if (**text < '0' || **text > '9' || n > UINT32_MAX)
		return false;
	*text = end;
	*number = (uint32_t)n;
	return true;
}

static bool user_parse(struct wire_exec *what, const char *text)
{
	if (!number_parse(&text, &what->uid))
		return false;
	what->gid = what->uid;
	if (*text == ':' && (text++, !number_parse(&text, &what->gid)))
		return false;
	return !*text;
}

/* 0: go on; -1: done; else the exit status. */
static int option_take(struct exec *e, int c)
{
	struct wire_exec *what = &e->what.exec;

	switch (c) {
	case 't':
		e->tty = true;
		return 0;
	case 'u':
		return user_parse(what, optarg) ? 0 : complain("must be UID or UID:GID, in numbers", optarg);
	case 'w':
		what->cwd = wire_text(optarg);
		return *optarg == '/' && what->cwd.len <= WIRE_PATH_MAX ? 0 : complain("must be an absolute path", optarg);
	case 'e':
		return terminal_variable_add(what, optarg) ? 0 : complain("must be NAME=VALUE, at most 256 times", optarg);
	case 'r':
		e->runtime = optarg;
		return 0;
	case 'h':
		fputs(usage, stdout);
		return -1;
	default:
		fputs("See hawser exec --help\n", stderr);
		return FAILED;
	}
}

static int parse(struct exec *e, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "tty", no_argument, NULL, 't' }, { "user", required_argument, NULL, 'u' },
		{ "workdir", required_argument, NULL, 'w' }, { "env", required_argument, NULL, 'e' },
		{ "runtime", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	struct wire_exec *what = &e->what.exec;

	e->what.type = WIRE_EXEC;
	what->cwd = wire_text("/");
	/* Options behind the machine belong to its program. */
	for (int c; (c = getopt_long(argc, argv, "+tu:w:e:h", longs, NULL)) != -1;) {
		int status = option_take(e, c);
		if (status)
			return status;
	}
	argv += optind;
	if (!*argv)
		return complain("which machine, and what is to run in it?", NULL);
	e->vm = *argv++;
	if (*argv && strcmp(*argv, "--") == 0)
		argv++;
	if (!*argv)
		return complain("what is to run in it?", e->vm);
	for (; *argv; argv++) {
		if (what->argc == WIRE_EXEC_MAX)
			return complain("at most 256 words", e->vm);
		what->args[what->argc++] = wire_text(*argv);
	}
	return 0;
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static void fail(struct exec *e, const char *format, ...)
{
	va_list args;

	terminal_restore(&e->terminal);
	fprintf(stderr, "hawser exec: %s: ", e->vm);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	e->status = FAILED;
}

static void message_take(struct exec *e, const struct wire_control *message)
{
	switch (message->type) {
	case WIRE_STDOUT:
		outqueue_put(&e->out, message->bytes.s, message->bytes.len);
		break;
	case WIRE_STDERR:
		outqueue_put(&e->err, message->bytes.s, message->bytes.len);
		break;
	case WIRE_CREDIT:
		e->credit += message->number;
		break;
	case WIRE_EXIT:
		e->status = message->exit.signal ? 128 + (int)message->exit.signal : (int)message->exit.code;
		break;
	default:
		fail(e, "the guest sends %s, which has no place here", wire_type_name(message->type));
	}
}

static void session_read(struct exec *e)
{
	static struct wire_control message;
	struct problem problem;
	int state = frame_fill(&e->remote.in, e->remote.fd), got = 0;

	while (e->status < 0 && (got = remote_next(&e->remote, &message, &problem)) > 0)
		message_take(e, &message);
	if (got < 0)
		fail(e, "%s", problem.text);
	else if (e->status < 0 && state == FRAME_CUT)
		fail(e, "the connection was cut: the machine has ended, or what is between us and it");
}

/* A signal to us is one to the program; the second that asks for an end ends us. */
static void signal_take(struct exec *e, int number)
{
	struct wire_control message = { .type = WIRE_EXEC_SIGNAL, .number = (uint32_t)number };

	if (number == SIGWINCH) {
		message = terminal_size();
	} else if (number != SIGUSR1 && number != SIGUSR2) {
		if (e->interrupted || e->tty) {
			e->status = 128 + number;        /* the guest hangs up on the program */
			return;
		}
		e->interrupted = number;
	}
	if (number != SIGWINCH || e->tty)
		remote_put(&e->remote, &message);
}

static void signals_read(struct exec *e)
{
	struct signalfd_siginfo info;

	while (e->status < 0 && read(e->signals, &info, sizeof info) == sizeof info)
		signal_take(e, (int)info.ssi_signo);
}

enum { P_SESSION, P_INPUT, P_OUT, P_ERR, P_SIGNALS, PLACES };

static void turn(struct exec *e)
{
	bool pending = frame_pending(&e->remote.out) > 0, full = outqueue_full(&e->out) || outqueue_full(&e->err);
	bool input = !e->input_ended && e->credit && !pending;
	struct pollfd p[PLACES] = {
		[P_SESSION] = { e->remote.fd, (short)((full ? 0 : POLLIN) | (pending ? POLLOUT : 0)), 0 },
		[P_INPUT] = { input ? STDIN_FILENO : -1, POLLIN, 0 },
		[P_OUT] = { outqueue_empty(&e->out) ? -1 : STDOUT_FILENO, POLLOUT, 0 },
		[P_ERR] = { outqueue_empty(&e->err) ? -1 : STDERR_FILENO, POLLOUT, 0 },
		[P_SIGNALS] = { e->signals, POLLIN, 0 },
	};

	/* A connection that has ended would wake us for ever while our reader is slow. */
	if (full && !pending)
		p[P_SESSION].fd = -1;
	if (poll(p, PLACES, -1) < 0)
		return;
	if (p[P_OUT].revents)
		outqueue_write(&e->out);
	if (p[P_ERR].revents)
		outqueue_write(&e->err);
	if (p[P_SIGNALS].revents)
		signals_read(e);
	if (p[P_INPUT].revents)
		e->input_ended = !remote_put_input(&e->remote, &e->credit, NULL);
	if (p[P_SESSION].revents & (POLLIN | POLLHUP | POLLERR) && !full)
		session_read(e);
	frame_flush(&e->remote.out, e->remote.fd);
	if (e->out.error == EPIPE && e->status < 0)
		e->status = 128 + SIGPIPE;
}

int exec_cmd_main(int argc, char *argv[])
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, 0 };
	struct exec *e = &exec;
	int status = parse(e, argc, argv);

	if (status)
		return status < 0 ? 0 : status;
	if (e->tty && !terminal_describe(&e->terminal, &e->what.exec))
		return complain("standard input is no terminal", "-t");
	if (!remote_open(&e->remote, e->runtime, e->vm, "exec"))
		return FAILED;
	remote_put(&e->remote, &e->what);
	if (!frame_pending(&e->remote.out)) {
		remote_close(&e->remote);
		return complain("the words and variables are more than 32 KiB", e->vm);
	}
	e->status = -1;
	outqueue_init(&e->out, STDOUT_FILENO);
	outqueue_init(&e->err, STDERR_FILENO);
	e->signals = signals_take(taken);
	if (e->signals < 0)
		fail(e, "cannot take signals: %s", strerror(-e->signals));
	if (e->tty)
		terminal_raw(&e->terminal);
	frame_flush(&e->remote.out, e->remote.fd);
	while (e->status < 0)
		turn(e);
	remote_close(&e->remote);
	outqueue_drain(&e->out);
	outqueue_drain(&e->err);
	terminal_restore(&e->terminal);
	outqueue_finish(&e->out);
	outqueue_finish(&e->err);
	return e->status;
}
