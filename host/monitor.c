/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../vsock/dial.h"
#include "../vsock/log.h"
#include "channel.h"
#include "handover.h"
#include "listen.h"
#include "monitor_inside.h"
#include "service.h"
#include "split.h"

enum { EXIT_SYSTEM = 111 };

/* --- the server, and who started us ----------------------------------------------------------------------------- */

static void take_notice(struct monitor *monitor, const struct split_notice *notice)
{
	int fd = monitor->config->ready_fd;

	if (notice->word == SERVICE_READY && !monitor->ready && fd >= 0) {
		if (write(fd, "\n", 1) != 1)
			log_warn_errno("--ready-fd %d", fd);
		close(fd);
	}
	monitor->ready |= notice->word == SERVICE_READY;
	service_tell(notice->word, notice->machines);
}

/* Its own channel: the server waits for the answer. */
static void asks_event(struct monitor *monitor)
{
	struct split_dialled answer = { .type = SPLIT_DIALLED };
	union split message;
	int fds[CHANNEL_FDS], r = split_receive(monitor->asks, &message, fds, false), fd;

	channel_drop(fds);
	if (r > 0 && message.type == SPLIT_DIAL) {
		struct address address = address_vsock(message.dial.cid, message.dial.port);

		fd = message.dial.cid ? dial_start(&address, false)
			: monitor_socket_dial(monitor, message.dial.reader, message.dial.name);
		answer.error = fd < 0 ? fd : 0;
		split_send(monitor->asks, &answer, &fd, fd >= 0, true);
		if (fd >= 0)
			close(fd);
	} else if (r > 0 || r == -EBADMSG) {
		kill(monitor->server, SIGKILL);
	}
}

static void server_event(struct monitor *monitor)
{
	union split message;
	int fds[CHANNEL_FDS], r = split_receive(monitor->channel, &message, fds, false);

	if (r > 0 && message.type == SPLIT_NOTICE) {
		take_notice(monitor, &message.notice);
	} else if (r > 0 && message.type == SPLIT_ATTACH && message.number.number && fds[0] >= 0) {
		monitor_reader_add(monitor, message.number.number, fds[0]);
		fds[0] = -1;
	} else if (r > 0 || r == -EBADMSG) {
		kill(monitor->server, SIGKILL);
	}
	channel_drop(fds);
}

static void signals_event(struct monitor *monitor)
{
	struct signalfd_siginfo info;

	while (read(monitor->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP) {
			kill(monitor->server, SIGHUP);
		} else if (info.ssi_signo != SIGCHLD) {
			monitor->stopping = true;
			kill(monitor->server, SIGTERM);
		}
	}
}

static int server_ended(const struct monitor *monitor, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_error("the server (pid %d) was killed by signal %d", (int)monitor->server, WTERMSIG(status));
	return EXIT_SYSTEM;
}

/* -1: the server lives. */
static int children_reap(struct monitor *monitor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == monitor->server)
			return server_ended(monitor, status);
		monitor_child_ended(monitor, pid, status);
	}
	return -1;
}

/* --- the whole of it -------------------------------------------------------------------------------------------- */

static void round_once(struct monitor *monitor)
{
	struct monitor_reader *reader;
	struct pollfd *p;
	size_t n = 3;
	int wait = monitor_readers_start(monitor);

	LIST_FOREACH(reader, &monitor->readers, of_monitor)
		n++;
	p = calloc(n, sizeof *p);
	if (!p)
		abort();         /* there is nothing better: whoever watches us starts us again */
	p[0] = (struct pollfd){ monitor->signals, POLLIN, 0 };
	p[1] = (struct pollfd){ monitor->channel, POLLIN, 0 };
	p[2] = (struct pollfd){ monitor->asks, POLLIN, 0 };
	n = 3;
	LIST_FOREACH(reader, &monitor->readers, of_monitor)
		p[n++] = (struct pollfd){ reader->channel, POLLIN, 0 };
	if (poll(p, n, wait) > 0) {
		n = 3;
		LIST_FOREACH(reader, &monitor->readers, of_monitor)
			if (p[n++].revents)
				monitor_reader_event(monitor, reader);
		if (p[1].revents & POLLIN)
			server_event(monitor);
		else if (p[1].revents)
			poll(NULL, 0, 1);        /* it is about to be reaped */
		if (p[2].revents & POLLIN)
			asks_event(monitor);
		if (p[0].revents)
			signals_event(monitor);
	}
	free(p);
}

pid_t monitor_fork(struct monitor *monitor, int *channel, int *asks)
{
	int ends[2], ask[2];
	pid_t self = getpid();
	sigset_t set;

	if (channel_pair(ends) || channel_pair(ask))
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	monitor->server = fork();
	if (monitor->server < 0)
		return -errno;
	if (!monitor->server) {
		close(ends[0]);
		close(ask[0]);
		*channel = ends[1];
		*asks = ask[1];
		prctl(PR_SET_NAME, "hawserd-server");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return getppid() == self ? 0 : -ESRCH;
	}
	close(ends[1]);
	close(ask[1]);
	monitor->channel = ends[0];
	monitor->asks = ask[0];
	monitor->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return monitor->signals < 0 ? -errno : monitor->server;
}

int monitor_run(struct monitor *monitor)
{
	int status;

	/* Of machines that went while nobody was here to see it. */
	binding_sweep(monitor->runtime_fd, monitor->config->port, LISTEN_SERVICES);
	if (monitor->vms_fd >= 0)
		monitor_reader_add(monitor, 0, monitor->vms_fd);
	while ((status = children_reap(monitor)) < 0)
		round_once(monitor);
	return status;
}

void monitor_finish(struct monitor *monitor)
{
	monitor_readers_finish(monitor);
	if (handover_keeps()) {
		binding_leave(&monitor->control);
		binding_leave(&monitor->scrape);
	}
	binding_close(&monitor->control, monitor->runtime_fd);
	binding_close(&monitor->scrape, monitor->scrape_dir);
}
