/* SPDX-License-Identifier: MIT */
/* hawserd: serves configuration and secrets to the guests of a host, and keeps their logs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "local.h"
#include "logs.h"
#include "scrape.h"

#define DRAIN_MS 500             /* at our end, the reader of standard output has so long to take what waits */

enum { EXIT_USAGE = 100, EXIT_SYSTEM = 111 };

static struct daemon daemon_state;
static int signals = -1;
static bool stopping, rescan;

/* --- the process ------------------------------------------------------------------------------------------------ */

/* Nobody but root looks into this process, and it leaves no core behind: it handles secrets. */
static void process_harden(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	umask(077);
}

/* A descriptor for each connection, and a few for each machine: as many as there may be. */
static void process_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == files.rlim_max)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static int process_tie(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM))
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;         /* it was faster */
}

static int signals_init(struct daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return -errno;
	return loop_add(&daemon->loop, signals, EPOLLIN, LOOP_SIGNAL, daemon);
}

static void signals_event(void)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP)
			rescan = true;
		else
			stopping = true;
	}
}

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

static int dirs_open(struct daemon *daemon, struct problem *problem)
{
	const struct daemonconfig *config = &daemon->config;

	daemon->runtime_fd = dir_make(config->runtime, problem);
	if (daemon->runtime_fd < 0)
		return -1;
	daemon->home.logs_fd = dir_make_below(config->state, "logs", problem);
	if (daemon->home.logs_fd < 0)
		return -1;
	daemon->home.epochs_fd = dir_make_below(config->state, "epochs", problem);
	if (daemon->home.epochs_fd < 0)
		return -1;
	/* Two would take each other's unacknowledged bytes for what a dead one has left. The lock goes with the process. */
	if (flock(daemon->home.epochs_fd, LOCK_EX | LOCK_NB))
		return problem_set(problem, config->state, 0, 0, "another hawserd uses it; end that one, or use another --state");
	daemon->once_fd = dir_make_below(config->state, "once", problem);
	return daemon->once_fd < 0 ? -1 : 0;
}

/* --- start and end ---------------------------------------------------------------------------------------------- */

static int secrets_init(struct daemon *daemon, struct problem *problem)
{
	int r = secret_init(&daemon->arena);

	if (r)
		return problem_set(problem, "memory for secrets", 0, 0, "%s", strerror(-r));
	if (!daemon->arena.locked)
		log_warn("no memory can be locked (RLIMIT_MEMLOCK): secrets may be swapped out");
	return 0;
}

/* Standard output for the lines of all machines. */
static int outlet_init(struct daemon *daemon, struct problem *problem)
{
	int r;

	if (!daemon->config.log_stdout)
		return 0;
	r = outlet_open(&daemon->outlet, &daemon->loop, STDOUT_FILENO, vm_outlet_moved);
	if (r < 0)
		return problem_set(problem, "standard output", 0, 0, "%s", strerror(-r));
	daemon->home.outlet = &daemon->outlet;
	return 0;
}

static int daemon_init(struct daemon *daemon, struct problem *problem)
{
	const struct daemonconfig *config = &daemon->config;
	int r;

	daemon->home.text = config->log_text;
	daemon->home.json = config->log_json;
	daemon->home.sync = config->log_sync == DAEMONCONFIG_SYNC_FDATASYNC;
	daemon->home.max_bytes = config->log_max_bytes;
	daemon->home.max_files = config->log_max_files;
	daemon->home.quota = config->log_bytes_vm;
	if (config->log_journal) {
		journald_init(&daemon->journald);
		daemon->home.journald = &daemon->journald;
	}
	daemon->home.show = local_show;
	daemon->commit.fire = vm_commit_group;
	daemon->sweep.fire = vms_sweep;
	daemon->outlet.fd = -1;
	daemon->vms_fd = daemon->runtime_fd = daemon->once_fd = -1;
	TAILQ_INIT(&daemon->hungry);
	LIST_INIT(&daemon->locals);
	for (int s = 0; s < LISTEN_SERVICES; s++)
		daemon->vsock[s].fd = -1;
	r = loop_init(&daemon->loop);
	if (!r)
		r = signals_init(daemon);
	if (r < 0)
		return problem_set(problem, "start", 0, 0, "%s", strerror(-r));
	daemon->started = loop_now(&daemon->loop);
	service_init(&daemon->service, &daemon->loop);
	daemon->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	vms_sweep(&daemon->sweep);
	return 0;
}

static int machines_open(struct daemon *daemon, struct problem *problem)
{
	int r = vms_init(daemon);

	if (r < 0)
		return problem_set(problem, daemon->config.vms, 0, 0, "%s", strerror(-r));
	vms_scan(daemon);
	return 0;
}

static int sockets_open(struct daemon *daemon, struct problem *problem)
{
	if (daemon->config.vsock && listener_open_vsock(daemon->vsock, daemon, problem))
		return -1;
	if (local_listen(daemon, problem))
		return -1;
	return scrape_listen(daemon, problem);
}

static void say_ready(struct daemon *daemon)
{
	int fd = daemon->config.ready_fd;

	if (fd >= 0) {
		if (write(fd, "\n", 1) != 1)
			log_warn_errno("--ready-fd %d", fd);
		close(fd);
	}
	service_ready(&daemon->service, daemon->vms.n);
	log_info("ready: %zu machines", daemon->vms.n);
}

static void handle(enum loop_kind kind, void *owner, uint32_t events)
{
	switch (kind) {
	case LOOP_FREE:
		break;
	case LOOP_SIGNAL:
		signals_event();
		break;
	case LOOP_INOTIFY:
		vms_inotify(owner);
		break;
	case LOOP_LISTENER:
		listener_event(owner);
		break;
	case LOOP_BOOT:
		boot_event(owner, events);
		break;
	case LOOP_LOGS:
		logs_event(owner, events);
		break;
	case LOOP_LOCAL_LISTENER:
		local_listener_event(owner);
		break;
	case LOOP_LOCAL:
		local_event(owner, events);
		break;
	case LOOP_OUTLET:
		outlet_event(owner);
		break;
	case LOOP_SCRAPE_LISTENER:
		scrape_listener_event(owner);
		break;
	case LOOP_SCRAPE:
		scrape_event(owner, events);
		break;
	}
}

static int serve(struct daemon *daemon)
{
	while (!stopping) {
		int r = loop_round(&daemon->loop, handle, -1);

		if (r < 0) {
			log_error("epoll: %s", strerror(-r));
			return EXIT_SYSTEM;
		}
		if (rescan) {
			rescan = false;
			log_info("looking at all machines again");
			service_reloading();
			vms_reopen(daemon);
			vms_scan(daemon);
			service_ready(&daemon->service, daemon->vms.n);
		}
	}
	return EXIT_SUCCESS;
}

/* Epochs outlive us, on disk; guests notice the cut, and come back to whoever serves then. */
static void daemon_finish(struct daemon *daemon)
{
	service_stopping();
	listener_close(daemon->vsock);
	local_finish(daemon);
	scrape_finish(daemon);
	if (daemon->home.outlet)
		outlet_drain(&daemon->outlet, DRAIN_MS);
	vms_finish(daemon);
	outlet_close(&daemon->outlet);
	secret_finish(&daemon->arena);
	loop_finish(&daemon->loop);
	daemonconfig_free(&daemon->config);
}

int main(int argc, char **argv)
{
	struct daemon *daemon = &daemon_state;
	pid_t parent = getppid();
	struct problem problem;
	int status;

	log_name("hawserd");
	switch (daemonconfig_read(&daemon->config, argc, argv, &problem)) {
	case DAEMONCONFIG_RUN:
		break;
	case DAEMONCONFIG_SHOWN:
		return EXIT_SUCCESS;
	case DAEMONCONFIG_USAGE:
		return EXIT_USAGE;
	case DAEMONCONFIG_WRONG:
		log_error("%s", problem.text);
		return EXIT_FAILURE;
	}
	log_set(daemon->config.log_level, NULL);
	process_harden();
	process_limits();
	if (daemon->config.check)
		return vms_check(&daemon->config) ? EXIT_FAILURE : EXIT_SUCCESS;
	if (daemon->config.die_with_parent && process_tie(parent))
		return EXIT_SYSTEM;

	if (daemon_init(daemon, &problem) || outlet_init(daemon, &problem) || secrets_init(daemon, &problem) ||
		dirs_open(daemon, &problem) || machines_open(daemon, &problem) || sockets_open(daemon, &problem)) {
		log_error("%s", problem.text);
		daemon_finish(daemon);
		return EXIT_SYSTEM;
	}
	say_ready(daemon);
	status = serve(daemon);
	daemon_finish(daemon);
	return status;
}
