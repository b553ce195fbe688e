/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "daemon.h"
#include "handover.h"
#include "monitor.h"
#include "prepare.h"
#include "scrape.h"

#define LOCK_TRIES 100           /* of 10 ms each */

/* --- directories ------------------------------------------------------------------------------------------------ */

/* Makes what is missing on the way, for us alone. A descriptor, or -1 with the problem set. */
static int dir_make(const char *path, struct problem *problem)
{
	char *part = strdup(path);
	int fd;

	for (char *slash = part; slash && (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		mkdir(part, 0755);       /* what matters is said by the last one */
		*slash = '/';
	}
	free(part);
	mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? problem_set(problem, path, 0, 0, "%s", strerror(errno)) : fd;
}

static int dir_make_below(const char *path, const char *name, struct problem *problem)
{
	char *whole;
	int fd;

	if (asprintf(&whole, "%s/%s", path, name) < 0)
		return problem_set(problem, path, 0, 0, "%s", strerror(ENOMEM));
	fd = dir_make(whole, problem);
	free(whole);
	return fd;
}

/* Two would take each other's unacknowledged bytes for what a dead one has left. The lock goes with all processes. */
static int state_lock(const struct daemon *daemon, struct problem *problem)
{
	/* Those of one that was killed are about to end. */
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(daemon->home.epochs_fd, LOCK_EX | LOCK_NB))
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return problem_set(problem, daemon->config.state, 0, 0,
		"another hawserd uses it; end that one, or use another --state");
}

/* One of the administrator's, which is the server's when it is new. */
static int audit_dir_make(const struct daemonconfig *config, struct problem *problem)
{
	bool made = !mkdir(config->audit, 0700);

	if (made && !geteuid() && chown(config->audit, config->server.uid, config->server.gid))
		return problem_set(problem, config->audit, 0, 0, "%s", strerror(errno));
	return dir_make(config->audit, problem);
}

static int dirs_open(struct daemon *daemon, struct monitor *monitor, struct problem *problem)
{
	const struct daemonconfig *config = &daemon->config;
	int audit_dir;

	monitor->runtime_fd = dir_make(config->runtime, problem);
	if (monitor->runtime_fd < 0)
		return -1;
	daemon->home.logs_fd = dir_make_below(config->state, "logs", problem);
	if (daemon->home.logs_fd < 0)
		return -1;
	daemon->home.epochs_fd = dir_make_below(config->state, "epochs", problem);
	if (daemon->home.epochs_fd < 0 || state_lock(daemon, problem))
		return -1;
	daemon->once_fd = dir_make_below(config->state, "once", problem);
	if (daemon->once_fd < 0)
		return -1;
	daemon->revoked_fd = dir_make_below(config->state, "revoked", problem);
	if (daemon->revoked_fd < 0)
		return -1;
	audit_dir = config->audit ? audit_dir_make(config, problem) : dir_make_below(config->state, "audit", problem);
	if (audit_dir < 0)
		return -1;
	audit_init(&daemon->audit, audit_dir, config->log_sync == DAEMONCONFIG_SYNC_FDATASYNC, config->log_max_bytes,
		config->log_max_files);
	monitor->vms_fd = open(config->vms, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (monitor->vms_fd < 0)
		log_warn_errno("%s: only machines that tools attach are served", config->vms);
	return 0;
}

static const struct user *given_to;

static int entry_give(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return lchown(path, given_to->uid, given_to->gid) ? -1 : 0;
}

/*
 * The state belongs to the server's user. What is there of a time when it did not is given to him, once: later on, he
 * could have put in there what is not his to be given.
 */
static int state_give(struct daemon *daemon, struct problem *problem)
{
	static const char names[][8] = { "logs", "epochs", "once", "revoked", "audit" };
	const int fds[] = { daemon->home.logs_fd, daemon->home.epochs_fd, daemon->once_fd, daemon->revoked_fd,
		daemon->audit.dir };
	size_t n = sizeof fds / sizeof *fds - (daemon->config.audit ? 1 : 0);

	given_to = &daemon->config.server;
	for (size_t i = 0; i < n; i++) {
		char path[PATH_MAX + 16];
		struct stat st;

		snprintf(path, sizeof path, "%s/%s", daemon->config.state, names[i]);
		if (fstat(fds[i], &st) || (st.st_uid != given_to->uid && nftw(path, entry_give, 16, FTW_PHYS)))
			return problem_set(problem, path, 0, 0, "cannot be given to user %u: %s", (unsigned)given_to->uid,
				strerror(errno));
	}
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------------------------- */

/* AF_VSOCK's listeners, while ports below 1024 can still be had. */
static int vsock_open(const struct daemonconfig *config, int fds[static LISTEN_SERVICES], struct problem *problem)
{
	for (uint32_t s = 0; s < LISTEN_SERVICES; s++) {
		struct address address = address_vsock(ADDRESS_CID_ANY, config->port + s);
		char text[ADDRESS_TEXT];

		fds[s] = config->vsock ? handover_vsock(config->port + s) : -1;
		if (fds[s] < 0 && config->vsock)
			fds[s] = address_listen(&address);
		if (fds[s] < 0 && config->vsock)
			return problem_set(problem, address_format(&address, text), 0, 0, "cannot listen: %s", strerror(-fds[s]));
	}
	return 0;
}

int prepare(struct daemon *daemon, struct monitor *monitor, struct problem *problem)
{
	const struct daemonconfig *config = &daemon->config;
	char path[PATH_MAX + 16];

	monitor->config = config;
	monitor->change_user = !geteuid();
	monitor->control.fd = monitor->scrape.fd = monitor->runtime_fd = monitor->scrape_dir = -1;
	LIST_INIT(&monitor->readers);
	LIST_INIT(&monitor->bindings);
	daemon->owner = geteuid();
	if (monitor->change_user && daemonconfig_users(&daemon->config, problem))
		return -1;
	if (dirs_open(daemon, monitor, problem) || (monitor->change_user && state_give(daemon, problem)))
		return -1;
	snprintf(path, sizeof path, "%s/control.sock", config->runtime);
	if (vsock_open(config, daemon->vsock_fds, problem) ||
			binding_open(&monitor->control, monitor->runtime_fd, path, problem) ||
			scrape_listen(config->metrics, &monitor->scrape, &monitor->scrape_dir, problem))
		return -1;
	daemon->control = monitor->control.fd;
	daemon->scrape = monitor->scrape.fd;
	service_init(&daemon->service, &daemon->loop);
	return 0;
}
