/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "janitor.h"
#include "subprocess.h"

#define SAID_SIZE 4096

void subprocess_init(struct subprocess *p, const char *name)
{
	*p = (struct subprocess){ .name = name, .pidfd = -1, .out = -1, .err = -1 };
	tailbuf_init(&p->said, SAID_SIZE);
}

static void signals_default(void)
{
	sigset_t none;
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);      /* SIGKILL, SIGSTOP and libc's own: EINVAL */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* main() sees to it that 0 to 2 are open, so all others are above, and are not overwritten here. */
static bool descriptors_set(int out, int err, int pass)
{
	int null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		return false;
	return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && (pass < 0 || fcntl(pass, F_SETFD, 0) == 0);
}

/* gate: the run's word comes here, and the errno of a failure goes back. execve closes it. */
static _Noreturn void become(pid_t parent, int gate, int out, int err, const struct subprocess_io *io,
	char *const argv[])
{
	char go;
	int error;

	setpgid(0, 0);
	/* The parent may have died before the prctl; then there is another one by now. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(125);
	if (recv(gate, &go, 1, 0) != 1)
		_exit(125);
	if (descriptors_set(out, err, io->pass) && (!io->dir || chdir(io->dir) == 0)) {
		signals_default();
		execv(argv[0], argv);
	}
	error = errno;
	send(gate, &error, sizeof error, MSG_NOSIGNAL);
	_exit(125);
}

/* Waits until the program runs (the gate closes) or says why it cannot. */
static int gate_pass(int gate)
{
	int error = 0;
	ssize_t n;
	if (send(gate, "", 1, MSG_NOSIGNAL) < 0)
		return -errno;
	do
		n = recv(gate, &error, sizeof error, 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof error ? -error : n == 0 ? 0 : -errno;
}

static int pipe_make(int ends[2])
{
	return pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int subprocess_start(struct subprocess *p, struct janitor *janitor, char *const argv[],
	const struct subprocess_io *io)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, gate[2] = { -1, -1 }, result;
	pid_t parent = getpid();

	if ((result = pipe_make(err)) < 0 || (io->apart && (result = pipe_make(out)) < 0))
		goto end;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0 || (p->pid = fork()) < 0) {
		result = -errno;
		goto end;
	}
	if (p->pid == 0) {
		close(gate[0]);
		close(janitor->fd);
		become(parent, gate[1], io->apart ? out[1] : err[1], err[1], io, argv);
	}
	close_if(&gate[1]);
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0)
		result = -errno;
	else if ((result = janitor_tell(janitor, p->pidfd)) == 0)
		result = gate_pass(gate[0]);
	close_if(&gate[0]);
	if (result < 0) {
		waitpid(p->pid, NULL, 0);        /* past a closed gate, or after a failed execve, it exits by itself */
		close_if(&p->pidfd);
		p->pid = 0;
		goto end;
	}
	p->out = out[0];
	p->err = err[0];
	out[0] = err[0] = -1;
end:
	if (p->pid < 0)
		p->pid = 0;
	close_if(&out[0]);
	close_if(&out[1]);
	close_if(&err[0]);
	close_if(&err[1]);
	close_if(&gate[0]);
	close_if(&gate[1]);
	return result;
}

bool subprocess_running(const struct subprocess *p)
{
	return p->pid > 0 && !p->ended;
}

void subprocess_listen(struct subprocess *p)
{
	char buf[4096];
	ssize_t n = -1;
	while (p->err >= 0 && ((n = read(p->err, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			tailbuf_add(&p->said, buf, (size_t)n);
	if (p->err >= 0 && n == 0)
		close_if(&p->err);
}

void subprocess_reap(struct subprocess *p)
{
	siginfo_t info = { 0 };
	if (!subprocess_running(p) || waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	p->ended = true;
	p->code = info.si_code;
	p->status = info.si_status;
	close_if(&p->pidfd);
	subprocess_listen(p);
}

void subprocess_signal(const struct subprocess *p, int signal)
{
	if (subprocess_running(p))
		pidfd_send_signal(p->pidfd, signal, NULL, 0);
}

const char *subprocess_how(const struct subprocess *p, char *text, size_t size)
{
	if (!p->ended)
		snprintf(text, size, "still runs");
	else if (p->code == CLD_EXITED)
		snprintf(text, size, "ended with status %d", p->status);
	else
		snprintf(text, size, "was killed by SIG%s", sigabbrev_np(p->status) ? sigabbrev_np(p->status) : "?");
	return text;
}

void subprocess_finish(struct subprocess *p)
{
	close_if(&p->out);
	close_if(&p->err);
	close_if(&p->pidfd);
	tailbuf_finish(&p->said);
}
