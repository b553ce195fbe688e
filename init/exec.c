/* SPDX-License-Identifier: MIT */
/*
 * A program of the host's, on pipes or on a terminal of its own. Output is read only while none waits for the host, so
 * that what is held is one frame of each stream, however slow the host is.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "program.h"
#include "stdin.h"

#define HANGUP_S 1               /* from SIGHUP to SIGKILL, when the host has vanished */
#define REST_MAX (1 << 20)       /* what a pipe can hold: read when the program has ended and others still write */

struct exec {
	struct ctl *session;
	const struct wire_exec *what;
	struct stdin_flow input;
	pid_t pid;
	int output[2];           /* standard output and error, or the terminal and -1; -1: at its end */
	int theirs[3];           /* the program's descriptors 0 to 2, until it has them */
	int terminal;            /* the same description as output[0], or -1 */
	int signals;
	bool ended;              /* it is a zombie until this process ends, so that its number is nobody else's */
	size_t rest;             /* read since */
};

static struct exec exec;         /* zeroed, and too large for a stack */

/* --- the program ------------------------------------------------------------------------------------------------ */

/* Over the next text's length, or behind the frame; in a copy of its own, where both have done their work. */
static void terminate(const struct wire_text *texts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		((char *)(uintptr_t)texts[i].s)[texts[i].len] = '\0';
}

/* In the program's process. */
static int program_connect(void *arg)
{
	const struct exec *e = arg;

	terminate(&e->what->cwd, 1);
	terminate(e->what->args, e->what->argc);
	terminate(e->what->env, e->what->envc);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(e->theirs[fd], fd) < 0)
			return -errno;
	if (e->terminal >= 0 && ioctl(0, TIOCSCTTY, 0) < 0)
		return -errno;
	return 0;
}

/* ours is the end that this process has, not blocking. */
static int pipe_open(int *ours, int *their, bool input)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ours = ends[input];
	*their = ends[!input];
	ioctl(*ours, FIONBIO, &(int){ 1 });
	return 0;
}

static int terminal_open(struct exec *e)
{
	struct winsize size = { .ws_row = e->what->rows, .ws_col = e->what->cols };
	int user, unlocked = 0;

	e->terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (e->terminal < 0 || ioctl(e->terminal, TIOCSPTLCK, &unlocked) < 0)
		return -errno;
	user = ioctl(e->terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (user < 0 || fchown(user, e->what->uid, e->what->gid) < 0)
		return -errno;
	ioctl(e->terminal, TIOCSWINSZ, &size);
	for (int fd = 0; fd < 3; fd++)
		e->theirs[fd] = user;
	e->output[0] = e->terminal;
	return e->terminal;
}

/* Returns what the program's standard input is written to, or a negative errno. */
static int descriptors_open(struct exec *e)
{
	int input = -1, error;

	if (e->what->flags & WIRE_EXEC_TTY)
		return terminal_open(e);
	error = pipe_open(&input, &e->theirs[0], true);
	for (int i = 0; i < 2 && !error; i++)
		error = pipe_open(&e->output[i], &e->theirs[i + 1], false);
	return error ? error : input;
}

/* 0 or a negative errno. */
static int program_run(struct exec *e)
{
	static char *argv[WIRE_EXEC_MAX + 1], *envp[WIRE_EXEC_MAX + PROGRAM_ENV_MORE];
	const struct wire_exec *what = e->what;
	struct program program = { .argv = argv, .envp = envp, .cwd = what->cwd.s,
		.user = { .uid = what->uid, .gid = what->gid } };
	int input = descriptors_open(e);

	if (input < 0)
		return input;
	for (uint16_t i = 0; i < what->argc; i++)
		argv[i] = (char *)(uintptr_t)what->args[i].s;
	for (uint16_t i = 0; i < what->envc; i++)
		envp[i] = (char *)(uintptr_t)what->env[i].s;
	program_env_complete(envp, what->envc, what->uid);
	e->pid = program_start(&program, program_connect, e);
	for (int fd = 0; fd < 3; fd++)
		if (fd == 0 || e->terminal < 0)
			close(e->theirs[fd]);
	if (e->pid < 0)
		return e->pid;
	stdin_begin(&e->input, e->session, input, e->terminal >= 0);
	return 0;
}

/* --- the session ------------------------------------------------------------------------------------------------ */

static void send_signal(const struct exec *e, int number)
{
	pid_t group = e->pid;

	if (e->terminal >= 0)
		ioctl(e->terminal, TIOCGPGRP, &group);
	kill(-group, number);
}

/* Nobody reads what the program says any more, and nobody will ask what became of it. */
static void hang_up(void)
{
	static const struct timespec grace = { .tv_sec = HANGUP_S };
	sigset_t child;

	for (int i = 0; i < 2; i++)
		if (exec.output[i] >= 0)
			close(exec.output[i]);
	kill(-exec.pid, SIGHUP);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (!exec.ended)
		sigtimedwait(&child, NULL, &grace);
	kill(-exec.pid, SIGKILL);
}

static bool frame_take(const struct wire_control *frame)
{
	struct exec *e = &exec;

	switch (frame->type) {
	case WIRE_STDIN:
	case WIRE_STDIN_END:
		return stdin_take(&e->input, frame);
	case WIRE_RESIZE:
		ioctl(e->terminal, TIOCSWINSZ, &(struct winsize){ .ws_row = frame->resize.rows, .ws_col = frame->resize.cols });
		return e->terminal >= 0;
	case WIRE_EXEC_SIGNAL:
		send_signal(e, (int)frame->number);
		return true;
	default:
		return false;
	}
}

/* One frame of it, straight from the program into what is sent. */
static void output_read(struct exec *e, int i)
{
	struct wire_out out = frame_room(&e->session->out);
	ssize_t n;

	wire_begin(&out, i ? WIRE_STDERR : WIRE_STDOUT);
	n = read(e->output[i], out.buf + out.len, WIRE_PAYLOAD_MAX);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN) {
			close(e->output[i]);
			e->output[i] = -1;
		}
		return;
	}
	out.len += (size_t)n;
	wire_end(&out);
	frame_commit(&e->session->out, &out);
	frame_flush(&e->session->out, e->session->fd);
	if (e->ended)
		e->rest += (size_t)n;
}

static void signals_take(struct exec *e)
{
	struct signalfd_siginfo info;
	siginfo_t child = { 0 };

	/* The machine is being shut down: a shell that ignores SIGTERM must not hold it up. */
	while (read(e->signals, &info, sizeof info) == sizeof info)
		if (info.ssi_signo == SIGTERM)
			kill(-e->pid, SIGHUP);
	e->ended = waitid(P_PID, (id_t)e->pid, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid == e->pid;
}

enum { POLL_HOST, POLL_OUTPUT, POLL_ERROR, POLL_INPUT, POLL_SIGNALS, POLLED };

/* False: the program has ended, and the host has all that it said. */
static bool turn(struct exec *e)
{
	bool pending = frame_pending(&e->session->out) > 0;
	struct pollfd polled[POLLED] = {
		[POLL_HOST] = { e->session->fd, (short)(POLLIN | (pending ? POLLOUT : 0)), 0 },
		[POLL_OUTPUT] = { pending ? -1 : e->output[0], POLLIN, 0 },
		[POLL_ERROR] = { pending ? -1 : e->output[1], POLLIN, 0 },
		[POLL_INPUT] = { stdin_waits(&e->input) ? e->input.fd : -1, POLLOUT, 0 },
		[POLL_SIGNALS] = { e->ended ? -1 : e->signals, POLLIN, 0 },
	};
	bool last = e->ended && !pending;

	poll(polled, POLLED, last ? 0 : -1);
	if (last && (e->rest > REST_MAX || !(polled[POLL_OUTPUT].revents | polled[POLL_ERROR].revents)))
		return false;
	if (polled[POLL_SIGNALS].revents)
		signals_take(e);
	if (polled[POLL_HOST].revents & POLLOUT)
		frame_flush(&e->session->out, e->session->fd);
	for (int i = 0; i < 2; i++)
		if (polled[POLL_OUTPUT + i].revents && !frame_pending(&e->session->out))
			output_read(e, i);
	if (polled[POLL_HOST].revents & ~POLLOUT)
		ctl_hear(e->session, frame_take);
	stdin_run(&e->input, e->session);
	return true;
}

static void unstarted(struct ctl *session, struct wire_text program, int error)
{
	char text[WIRE_TEXT_MAX];

	snprintf(text, sizeof text, "%.*s: %s\n", (int)program.len, program.s, strerror(error));
	ctl_send(session, &(struct wire_control){ .type = WIRE_STDERR, .bytes = wire_text(text) });
	ctl_send(session, &(struct wire_control){ .type = WIRE_EXIT, .exit.code = error == ENOENT ? 127 : 126 });
}

void exec_run(struct ctl *session, const struct wire_control *verb)
{
	struct wire_control end = { .type = WIRE_EXIT };
	siginfo_t child;
	sigset_t wanted;
	int error;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	exec.session = session;
	exec.what = &verb->exec;
	exec.output[0] = exec.output[1] = exec.terminal = -1;
	exec.signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	error = program_run(&exec);
	if (error) {
		unstarted(session, verb->exec.args[0], -error);
		return;
	}
	session->abandon = hang_up;
	ctl_take(session, frame_take);       /* they may have come with the verb */
	stdin_run(&exec.input, session);
	while (turn(&exec))
		;
	waitid(P_PID, (id_t)exec.pid, &child, WEXITED | WNOWAIT);
	if (child.si_code == CLD_EXITED)
		end.exit.code = (uint32_t)child.si_status;
	else
		end.exit.signal = (uint32_t)child.si_status;
	ctl_send(session, &end);
}
