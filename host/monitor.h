/* SPDX-License-Identifier: MIT */
/*
 * monitor: the first process of hawserd (split.h). It keeps the rights it was started with, so it does little: it
 * makes sockets at paths that a reader names, connects to guests, starts readers, says that hawserd is ready, and
 * passes signals on.
 */
#ifndef HOST_MONITOR_H
#define HOST_MONITOR_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "binding.h"
#include "daemonconfig.h"

struct monitor_reader;
struct monitor_binding;

struct monitor {
	const struct daemonconfig *config;
	int vms_fd, runtime_fd;          /* vms_fd -1: no directory of machines */
	struct binding control;          /* the socket for tools */
	struct binding scrape;           /* the one for metrics; name empty: not of Unix */
	int scrape_dir;
	bool change_user;                /* we are root: the others are not to be */
	pid_t server;
	int channel, asks;               /* to it; it waits for answers on the second */
	int signals;
	bool ready, stopping;
	LIST_HEAD(, monitor_reader) readers;
	LIST_HEAD(, monitor_binding) bindings;
};

/* Forks. In the server, 0, and *channel and *asks are its ends; in the monitor, its pid; or a negative errno. */
pid_t monitor_fork(struct monitor *monitor, int *channel, int *asks);
/* Until the server has ended. The exit status of hawserd. */
int monitor_run(struct monitor *monitor);
/* Removes the files of sockets. */
void monitor_finish(struct monitor *monitor);

#endif
