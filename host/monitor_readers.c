/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "channel.h"
#include "handover.h"
#include "listen.h"
#include "monitor_inside.h"
#include "reader.h"
#include "split.h"

#define RESTART_NS 1000000000ull /* a reader is started so often at most */

enum { EXIT_SYSTEM = 111 };

struct monitor_binding {
	LIST_ENTRY(monitor_binding) of_monitor;
	uint32_t reader;                 /* who asked for it */
	bool used;                       /* by the reader that runs now */
	int dir;                         /* that the socket is in */
	char *name, *base;
	struct binding sockets[LISTEN_SERVICES];
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

static void binding_destroy(struct monitor_binding *b, bool leave)
{
	for (int s = 0; s < LISTEN_SERVICES; s++)
		if (leave)
			binding_leave(&b->sockets[s]);
		else
			binding_close(&b->sockets[s], b->dir);
	if (b->dir >= 0)
		close(b->dir);
	LIST_REMOVE(b, of_monitor);
	free(b->name);
	free(b->base);
	free(b);
}

static struct monitor_binding *binding_find(const struct monitor *monitor, uint32_t reader, const char *name)
{
	struct monitor_binding *b;

	LIST_FOREACH(b, &monitor->bindings, of_monitor)
		if (b->reader == reader && !strcmp(b->name, name))
			return b;
	return NULL;
}

static struct monitor_binding *binding_make(struct monitor *monitor, uint32_t reader, const struct split_bind *ask,
	struct problem *problem)
{
	struct monitor_binding *b = calloc(1, sizeof *b);
	char path[SPLIT_BASE + 16];
	int r;

	if (!b) {
		problem_set(problem, ask->base, 0, 0, "%s", strerror(ENOMEM));
		return NULL;
	}
	*b = (struct monitor_binding){ .reader = reader, .name = strdup(ask->name), .base = strdup(ask->base) };
	for (int s = 0; s < LISTEN_SERVICES; s++)
		b->sockets[s].fd = -1;
	LIST_INSERT_HEAD(&monitor->bindings, b, of_monitor);
	b->dir = r = binding_dir_open(ask->base, ask->follow, problem);
	for (unsigned s = 0; r >= 0 && s < LISTEN_SERVICES; s++) {
		snprintf(path, sizeof path, "%s_%u", ask->base, monitor->config->port + s);
		r = binding_open(&b->sockets[s], b->dir, path, problem);
	}
	if (r >= 0 && b->name && b->base)
		return b;
	if (r >= 0)
		problem_set(problem, ask->base, 0, 0, "%s", strerror(ENOMEM));
	binding_destroy(b, false);
	return NULL;
}

/* The same sockets again for a reader that was started again: its guests may be connecting to them. */
static void take_bind(struct monitor *monitor, struct monitor_reader *reader, const struct split_bind *ask)
{
	struct monitor_binding *b = binding_find(monitor, reader->number, ask->name);
	struct split_bound answer = { .type = SPLIT_BOUND };
	struct problem problem = { "" };
	int fds[LISTEN_SERVICES];

	if (b && strcmp(b->base, ask->base)) {
		binding_destroy(b, false);
		b = NULL;
	}
	if (!b)
		b = binding_make(monitor, reader->number, ask, &problem);
	if (b) {
		b->used = true;
		for (int s = 0; s < LISTEN_SERVICES; s++)
			fds[s] = b->sockets[s].fd;
	}
	memcpy(answer.problem, problem.text, sizeof answer.problem);
	split_send(reader->channel, &answer, fds, b ? LISTEN_SERVICES : 0, true);
}

/*
 * What a reader has not asked for again is of machines that are gone; all: the reader is not needed any more. That of
 * the settings is needed until our end, which its sockets may outlive; attached machines go with their tool.
 */
static void bindings_sweep(struct monitor *monitor, uint32_t reader, bool all)
{
	struct monitor_binding *b = LIST_FIRST(&monitor->bindings), *next;

	for (; b; b = next) {
		next = LIST_NEXT(b, of_monitor);
		if (b->reader == reader && (all || !b->used))
			binding_destroy(b, all && !reader && handover_keeps());
	}
}

int monitor_socket_dial(const struct monitor *monitor, uint32_t reader, const char *name)
{
	const struct monitor_binding *b = binding_find(monitor, reader, name);

	return b ? binding_dial(b->dir, b->base) : -ENOENT;
}

static void bindings_unmark(struct monitor *monitor, uint32_t reader)
{
	struct monitor_binding *b;

	LIST_FOREACH(b, &monitor->bindings, of_monitor)
		if (b->reader == reader)
			b->used = false;
}

/* --- readers ---------------------------------------------------------------------------------------------------- */

/* In the child: only what a reader begins with, in its place. */
static void child_exec(pid_t parent, const int from[static READER_FDS - READER_SERVER])
{
	int high[READER_FDS - READER_SERVER];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_SYSTEM);
	for (int i = 0; i < READER_FDS - READER_SERVER; i++)
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, READER_FDS);
	for (int i = 0; i < READER_FDS - READER_SERVER; i++)
		if (high[i] < 0 || dup2(high[i], READER_SERVER + i) < 0)
			_exit(EXIT_SYSTEM);
	close_range(READER_FDS, ~0u, 0);
	execv("/proc/self/exe", (char *[]){ "hawserd", READER_OPTION, NULL });
	_exit(EXIT_SYSTEM);
}

static int setup_send(const struct monitor *monitor, const struct monitor_reader *reader)
{
	const struct daemonconfig *config = monitor->config;
	struct split_setup setup = { .type = SPLIT_SETUP, .port = config->port, .log_level = config->log_level,
		.server = monitor->server, .uid = config->reader.uid, .gid = config->reader.gid,
		.change_user = monitor->change_user, .attached = reader->number };

	setup.vsock = config->vsock;
	snprintf(setup.dir, sizeof setup.dir, "%s", config->vms);
	snprintf(setup.runtime, sizeof setup.runtime, "%s", config->runtime);
	return split_send(reader->channel, &setup, NULL, 0, true);
}

static int reader_start(struct monitor *monitor, struct monitor_reader *reader)
{
	const struct split_number channel = { SPLIT_CHANNEL, reader->number };
	int ours[2], server[2];
	pid_t self = getpid();

	if (channel_pair(ours) < 0)
		return -errno;
	if (channel_pair(server) < 0) {
		close(ours[0]);
		close(ours[1]);
		return -errno;
	}
	reader->started = now();
	reader->pid = fork();
	if (!reader->pid)
		child_exec(self, (int[]){ server[1], ours[1], reader->dir });
	close(ours[1]);
	close(server[1]);
	reader->channel = ours[0];
	bindings_unmark(monitor, reader->number);
	if (reader->pid > 0 && !setup_send(monitor, reader))
		split_send(monitor->channel, &channel, server, 1, true);
	close(server[0]);
	if (reader->pid >= 0)
		return 0;
	reader->pid = 0;
	close(reader->channel);
	reader->channel = -1;
	return -EAGAIN;
}

void monitor_reader_add(struct monitor *monitor, uint32_t number, int dir)
{
	struct monitor_reader *reader = calloc(1, sizeof *reader);

	if (!reader) {
		close(dir);
		return;
	}
	*reader = (struct monitor_reader){ .number = number, .dir = dir, .channel = -1 };
	LIST_INSERT_HEAD(&monitor->readers, reader, of_monitor);
	if (reader_start(monitor, reader))
		log_error("no reader of directories can be started; trying again every second");
}

static void channel_close(struct monitor_reader *reader)
{
	if (reader->channel >= 0)
		close(reader->channel);
	reader->channel = -1;
}

static void reader_remove(struct monitor *monitor, struct monitor_reader *reader)
{
	bindings_sweep(monitor, reader->number, true);
	LIST_REMOVE(reader, of_monitor);
	channel_close(reader);
	if (reader->dir >= 0)
		close(reader->dir);
	free(reader);
}

/* A reader ends by itself when the server has closed its channel: then nobody needs it any more. */
static void reader_ended(struct monitor *monitor, struct monitor_reader *reader, int status)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		reader_remove(monitor, reader);
		return;
	}
	log_error("the reader of directories (pid %d) %s %d; it is started again", (int)reader->pid,
		WIFSIGNALED(status) ? "was killed by signal" : "ended with status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (reader->decrypting)
		kill(reader->decrypting, SIGKILL);
	reader->pid = reader->decrypting = 0;
	channel_close(reader);
}

/* In the child: the key is found by the program itself, or named by the environment; nothing else is. */
static void child_decrypt(const char *credential, int in, int out)
{
	static const char key[] = "SYSTEMD_CREDENTIAL_SECRET";
	char name[sizeof "--name=" + WIRE_NAME_MAX], place[PATH_MAX];
	char *argv[] = { (char *)"systemd-creds", (char *)"decrypt", name, (char *)"-", (char *)"-", NULL };
	char *envp[] = { NULL, NULL };
	sigset_t none;

	snprintf(name, sizeof name, "--name=%s", credential);
	if (getenv(key)) {
		snprintf(place, sizeof place, "%s=%s", key, getenv(key));
		envp[0] = place;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(EXIT_SYSTEM);
	close_range(3, ~0u, 0);
	execve("/usr/bin/systemd-creds", argv, envp);
	_exit(127);
}

/* The pipe's end to read from, or a negative errno. */
static int decrypt_start(struct monitor_reader *reader, const char *name, int file)
{
	int ends[2];

	if (reader->decrypting || file < 0 || !wire_name_ok(wire_text(name)))
		return -EINVAL;
	if (access("/usr/bin/systemd-creds", X_OK))
		return -errno;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	reader->decrypting = fork();
	if (!reader->decrypting)
		child_decrypt(name, file, ends[1]);
	close(ends[1]);
	if (reader->decrypting > 0)
		return ends[0];
	reader->decrypting = 0;
	close(ends[0]);
	return -EAGAIN;
}

static void take_decrypt(struct monitor_reader *reader, const char *name, int file)
{
	int fd = decrypt_start(reader, name, file);
	const struct split_status answer = { SPLIT_DECRYPTING, fd < 0 ? fd : 0 };

	split_send(reader->channel, &answer, &fd, fd >= 0, true);
	if (fd >= 0)
		close(fd);
}

static void decrypt_ended(struct monitor_reader *reader, int status)
{
	const struct split_status answer = { SPLIT_DECRYPTED, WIFEXITED(status) ? WEXITSTATUS(status) : -1 };

	reader->decrypting = 0;
	if (reader->channel >= 0)
		split_send(reader->channel, &answer, NULL, 0, true);
}

void monitor_reader_event(struct monitor *monitor, struct monitor_reader *reader)
{
	union split message;
	int fds[CHANNEL_FDS], r;
	struct monitor_binding *b;

	r = split_receive(reader->channel, &message, fds, false);
	if (r == -EAGAIN)
		return;
	if (r > 0 && message.type == SPLIT_BIND) {
		take_bind(monitor, reader, &message.bind);
	} else if (r > 0 && message.type == SPLIT_UNBIND) {
		b = binding_find(monitor, reader->number, message.name.name);
		if (b)
			binding_destroy(b, false);
	} else if (r > 0 && message.type == SPLIT_DECRYPT) {
		take_decrypt(reader, message.credential.name, fds[0]);
	} else if (r > 0 && message.type == SPLIT_SCANNED) {
		bindings_sweep(monitor, reader->number, false);
		if (!reader->number)
			handover_finish();
	} else if (r > 0 || r == -EBADMSG) {
		kill(reader->pid, SIGKILL);
	} else {
		channel_close(reader);   /* it has ended; waitpid says how */
	}
	channel_drop(fds);
}

int monitor_readers_start(struct monitor *monitor)
{
	struct monitor_reader *reader;
	int wait = -1;

	LIST_FOREACH(reader, &monitor->readers, of_monitor) {
		uint64_t due = reader->started + RESTART_NS, at = now();

		if (reader->pid || monitor->stopping)
			continue;
		if (at >= due && !reader_start(monitor, reader))
			continue;
		due = at >= due ? RESTART_NS : due - at;
		if (wait < 0 || (uint64_t)wait > due / 1000000)
			wait = (int)(due / 1000000) + 1;
	}
	return wait;
}

void monitor_child_ended(struct monitor *monitor, pid_t pid, int status)
{
	struct monitor_reader *reader;

	LIST_FOREACH(reader, &monitor->readers, of_monitor)
		if (reader->pid == pid || reader->decrypting == pid)
			break;
	if (reader && reader->pid == pid)
		reader_ended(monitor, reader, status);
	else if (reader)
		decrypt_ended(reader, status);
}

void monitor_readers_finish(struct monitor *monitor)
{
	struct monitor_reader *reader;

	while ((reader = LIST_FIRST(&monitor->readers))) {
		if (reader->pid && !kill(reader->pid, SIGKILL))
			waitpid(reader->pid, NULL, 0);
		reader_remove(monitor, reader);
	}
}
