/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "apply.h"
#include "event.h"
#include "feed.h"
#include "note.h"
#include "notify.h"
#include "oom.h"
#include "power.h"
#include "program.h"
#include "root.h"
#include "source.h"
#include "tool.h"

#define ARGS_MAX 4096            /* arguments, and variables */
#define RESTART_MIN_MS 100       /* the pause before a restart, doubled each time */
#define RESTART_MAX_MS 10000

struct workload {
	char *text;              /* all strings, each ended by a NUL */
	size_t len;
	char *argv[ARGS_MAX + 1], *envp[ARGS_MAX + PROGRAM_ENV_MORE];
	size_t argc, envc;
	struct program program;
	struct wire_workload policy;
	bool stopping;
};

static struct workload w;

/* What holds where no record says otherwise. */
static void workload_init(void)
{
	w.program = (struct program){ .argv = w.argv, .envp = w.envp, .cwd = "/" };
	w.policy = (struct wire_workload){ .restart = WIRE_RESTART_NO, .at_end = WIRE_AT_END_POWER_OFF,
		.stop_signal = SIGTERM, .stop_grace_ms = 2000 };
}

/* --- what to run ------------------------------------------------------------------------------------------------ */

static char *keep(struct wire_text text)
{
	char *s = w.text + w.len;

	memcpy(s, text.s, text.len);
	s[text.len] = '\0';
	w.len += text.len + 1;
	return s;
}

static bool record_take(const struct wire_boot *record)
{
	switch (record->type) {
	case WIRE_ARG:
		return w.argc < ARGS_MAX && (w.argv[w.argc++] = keep(record->text));
	case WIRE_ENV:
		return w.envc < ARGS_MAX && (w.envp[w.envc++] = keep(record->text));
	case WIRE_CWD:
		return (w.program.cwd = keep(record->text));
	case WIRE_USER:
		w.program.user = record->user;
		return true;
	case WIRE_WORKLOAD:
		w.policy = record->workload;
		return true;
	default:
		return false;
	}
}

/* The records that apply() left. 0, -ENOENT when no program is configured, or another negative errno. */
static int workload_read(void)
{
	const uint8_t *bytes;
	int fd = open(APPLY_WORKLOAD, O_RDONLY | O_CLOEXEC);
	off_t end = lseek(fd, 0, SEEK_END);
	size_t at = 0, size = (size_t)end;

	if (end <= 0)
		return -ENOENT;
	bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	/* Each string is shorter than its frame, even with its NUL. */
	w.text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	close(fd);
	if (bytes == MAP_FAILED || w.text == MAP_FAILED)
		return -ENOMEM;
	while (at < size) {
		struct wire_frame frame;
		struct wire_boot record;
		int n = wire_split(bytes + at, size - at, &frame);

		if (n <= 0 || wire_boot_decode(&frame, &record) || !record_take(&record))
			return -EBADMSG;
		at += (size_t)n;
	}
	return w.argc ? 0 : -ENOENT;
}

static void env_complete(void)
{
	/* systemd would rather use what it is given than look for the address itself. */
	if (!root_is_systemd() || access(APPLY_CREDENTIALS_INITRD "/" NOTIFY_CREDENTIAL, F_OK) < 0)
		w.envc = program_env_add(w.envp, w.envc, "NOTIFY_SOCKET=" NOTIFY_SOCKET);
	program_env_complete(w.envp, w.envc, w.program.user.uid);
}

/* --- running it -------------------------------------------------------------------------------------------------- */

/* A stream of its own. It belongs to the program's user, who can then open /dev/stdout like on any machine. */
static int output_open(const char *path, int fd)
{
	int fifo = open(path, O_WRONLY | O_CLOEXEC);

	if (fifo < 0)
		return -errno;
	if (fchown(fifo, w.program.user.uid, w.program.user.gid) < 0 || dup2(fifo, fd) < 0)
		return -errno;
	return 0;
}

/* What the host feeds it with, or nothing. */
static int input_open(void)
{
	int feed = open(FEED_PATH, O_RDONLY | O_CLOEXEC);
	int fd = feed < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : feed, error;

	error = fd < 0 || (feed >= 0 && fchown(feed, w.program.user.uid, w.program.user.gid) < 0) || dup2(fd, 0) < 0
		? -errno : 0;
	close(fd);
	return error;
}

static int descriptors_open(void *arg)
{
	int error = input_open();

	(void)arg;
	if (error)
		return error;
	oom_group_enter();
	/* Who runs the program may say how it is; nobody else but root. */
	if (chown(NOTIFY_SOCKET, w.program.user.uid, w.program.user.gid) < 0)
		log_warn_errno(NOTIFY_SOCKET);
	error = output_open(SOURCE_STDOUT_PATH, 1);
	return error ? error : output_open(SOURCE_STDERR_PATH, 2);
}

/* Returns the process, or a negative errno with the reason told to the host. */
static pid_t start(void)
{
	pid_t pid = program_start(&w.program, descriptors_open, NULL);

	if (pid < 0)
		event_send(WIRE_EVENT_UNSTARTED, -pid, w.argv[0]);
	else
		event_send(WIRE_EVENT_STARTED, (int32_t)pid, w.argv[0]);
	return pid;
}

/* Waits for the program's end; SIGTERM to us is its stop signal, and SIGKILL after the grace. */
static int watch(pid_t pid)
{
	struct timespec grace = { .tv_sec = w.policy.stop_grace_ms / 1000,
		.tv_nsec = (long)(w.policy.stop_grace_ms % 1000) * 1000000 };
	siginfo_t info;
	sigset_t wanted;
	int status;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, TOOL_SIGNAL);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		int signal = w.stopping ? sigtimedwait(&wanted, &info, &grace) : sigwaitinfo(&wanted, &info);

		if (signal == SIGTERM && !w.stopping) {
			w.stopping = true;
			kill(pid, (int)w.policy.stop_signal);
		} else if (signal == TOOL_SIGNAL && info.si_code == SI_QUEUE) {
			kill(pid, info.si_int);
		} else if (signal < 0 && errno == EAGAIN) {
			kill(pid, SIGKILL);
		}
	}
	return status;
}

static void report(int status, unsigned ooms)
{
	if (WIFSIGNALED(status))
		event_send(oom_kills() > ooms ? WIRE_EVENT_OOM : WIRE_EVENT_KILLED, WTERMSIG(status), NULL);
	else
		event_send(WIRE_EVENT_EXITED, WEXITSTATUS(status), NULL);
}

static bool again(bool failed, unsigned restarts)
{
	if (w.stopping || w.policy.restart == WIRE_RESTART_NO || (w.policy.restarts_max && restarts >= w.policy.restarts_max))
		return false;
	return failed || w.policy.restart == WIRE_RESTART_ALWAYS;
}

/* False when the machine is ended meanwhile. */
static bool pause_take(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	w.stopping = sigtimedwait(&term, NULL, &t) == SIGTERM;
	return !w.stopping;
}

int workload_become(const char *init)
{
	int error;

	workload_init();
	error = workload_read();
	/* Another root's init is called as the configuration says, or by its name; where its output goes is its business. */
	if (init && error == -ENOENT) {
		w.argv[0] = (char *)init;
		error = 0;
	} else if (!init && !error) {
		error = descriptors_open(NULL);
	}
	env_complete();
	if (!error)
		error = program_exec(&w.program, init);
	event_send(WIRE_EVENT_UNSTARTED, -error, init ? init : w.argv[0]);
	return error;
}

static int run(void)
{
	unsigned pause_ms = RESTART_MIN_MS;

	for (unsigned restarts = 0;; restarts++) {
		bool failed = true;
		unsigned ooms = oom_kills();
		pid_t pid;

		if (restarts > 0)
			event_send(WIRE_EVENT_RESTART, (int32_t)restarts, NULL);
		pid = start();
		if (pid > 0) {
			int status = watch(pid);

			report(status, ooms);
			failed = status != 0;
		}
		if (!again(failed, restarts))
			return failed;
		if (!pause_take(pause_ms))
			return failed;
		pause_ms = pause_ms * 2 < RESTART_MAX_MS ? pause_ms * 2 : RESTART_MAX_MS;
	}
}

int workload_main(void)
{
	struct tool_supervisor self = { .pid = getpid() };
	int error, failed;
	sigset_t all;

	workload_init();
	error = workload_read();
	if (error == -ENOENT)
		return 0;        /* no program is configured: the machine is inittab's alone */
	if (error) {
		errno = -error;
		log_error_errno("%s", APPLY_WORKLOAD);
		return 1;
	}
	env_complete();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* For the shutdown, which has us stop the program before it stops everything else. */
	self.grace_ms = w.policy.stop_grace_ms;
	note_write(TOOL_SUPERVISOR, &self, sizeof self);
	failed = run();
	unlink(TOOL_SUPERVISOR);
	if (w.stopping || w.policy.at_end == WIRE_AT_END_STAY)
		return failed;
	power_ask(w.policy.at_end == WIRE_AT_END_REBOOT ? POWER_REBOOT : POWER_OFF);
	kill(1, w.policy.at_end == WIRE_AT_END_REBOOT ? SIGTERM : SIGUSR2);
	return failed;
}
