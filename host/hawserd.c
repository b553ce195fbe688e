/* SPDX-License-Identifier: MIT */
/*
 * hawserd: serves configuration and secrets to the guests of a host, and keeps their logs. Three kinds of processes,
 * which split.h tells of: what is here is how they begin, and the server.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "control.h"
#include "daemon.h"
#include "handover.h"
#include "local.h"
#include "logs.h"
#include "monitor.h"
#include "prepare.h"
#include "reader.h"
#include "sandbox.h"
#include "scrape.h"
#include "vmcheck.h"

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

/* --- start and end ---------------------------------------------------------------------------------------------- */

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
	daemon->home.make_room = vm_files_make_room;
	vm_files_init(daemon);
	daemon->commit.fire = vm_commit_group;
	daemon->sweep.fire = vms_sweep;
	daemon->starving.fire = listener_starving;
	daemon->outlet.fd = -1;
	LIST_INIT(&daemon->readers);
	LIST_INIT(&daemon->controls);
	LIST_INIT(&daemon->locals);
	r = loop_init(&daemon->loop);
	if (!r)
		r = signals_init(daemon);
	if (r < 0)
		return problem_set(problem, "start", 0, 0, "%s", strerror(-r));
	daemon->started = loop_now(&daemon->loop);
	daemon->spare_fd = listener_spare(daemon);
	vms_sweep(&daemon->sweep);
	return 0;
}

/* Its threads have the rights that we have now, and get those system calls that we get later. */
static int syncer_init(struct daemon *daemon, struct problem *problem)
{
	int r;

	if (!daemon->home.sync)
		return 0;
	r = syncer_start(&daemon->syncer);
	if (r < 0)
		return problem_set(problem, "threads for the disk", 0, 0, "%s", strerror(-r));
	daemon->home.syncer = &daemon->syncer;
	r = loop_add(&daemon->loop, daemon->syncer.fd, EPOLLIN, LOOP_SYNCER, daemon);
	return r < 0 ? problem_set(problem, "threads for the disk", 0, 0, "%s", strerror(-r)) : 0;
}

/* From here on, who breaks the server has the logs, the epochs, and what guests send, but no machine's directory. */
static int confine(struct daemon *daemon, bool change_user, struct problem *problem)
{
	const struct user *user = &daemon->config.server;
	const struct sandbox_path paths[] = { { daemon->home.logs_fd, SANDBOX_WRITE },
		{ daemon->home.epochs_fd, SANDBOX_WRITE }, { daemon->once_fd, SANDBOX_WRITE },
		{ daemon->revoked_fd, SANDBOX_WRITE }, { daemon->audit.dir, SANDBOX_WRITE } };
	int r = change_user ? sandbox_user(user->uid, user->gid, false) : 0;

	if (r)
		return problem_set(problem, "start", 0, 0, "cannot become user %u: %s", (unsigned)user->uid, strerror(-r));
	daemon->landlock = sandbox_files(paths, sizeof paths / sizeof *paths);
	if (syncer_init(daemon, problem))
		return -1;
	daemon->seccomp = sandbox_calls(SANDBOX_SERVER);
	if (!daemon->landlock)
		log_info("this kernel has no Landlock: the server may open every file that its user may");
	if (!daemon->seccomp)
		log_info("this kernel has no seccomp: every system call is open to the server");
	r = sink_open(&daemon->audit.sink, daemon->audit.dir);
	return r < 0 ? problem_set(problem, AUDIT_FILE, 0, 0, "cannot be written by user %u: %s; give it its directory",
		(unsigned)geteuid(), strerror(-r)) : 0;
}

static int sockets_adopt(struct daemon *daemon, bool settings, struct problem *problem)
{
	int r = daemon->config.vsock ? listener_adopt(daemon->vsock, daemon, NULL, daemon->vsock_fds) : 0;

	/* As long as the reader has not named all machines, a guest would be nobody. */
	if (!r && daemon->config.vsock)
		listener_hold(daemon->vsock);
	if (!r)
		r = local_init(daemon);
	if (!r)
		r = scrape_init(daemon);
	if (!r)
		r = readers_init(daemon, settings);
	return r ? problem_set(problem, "start", 0, 0, "%s", strerror(-r)) : 0;
}

void daemon_up(struct daemon *daemon)
{
	listener_resume(daemon);
	local_resume(daemon);
	service_ready(&daemon->service, daemon->vms.names.n);
	log_info("ready: %zu machines", daemon->vms.names.n);
}

void daemon_stop(void)
{
	stopping = true;
}

static void handle(enum loop_kind kind, void *owner, uint32_t events)
{
	switch (kind) {
	case LOOP_FREE:
		break;
	case LOOP_SIGNAL:
		signals_event();
		break;
	case LOOP_INOTIFY:       /* a reader's */
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
	case LOOP_CONTROL:
		control_event(owner, events);
		break;
	case LOOP_OUTLET:
		outlet_event(owner);
		break;
	case LOOP_SYNCER:
		vm_synced(owner);
		break;
	case LOOP_SCRAPE_LISTENER:
		scrape_listener_event(owner);
		break;
	case LOOP_SCRAPE:
		scrape_event(owner, events);
		break;
	case LOOP_CHANNEL:
		readers_event(owner);
		break;
	case LOOP_MONITOR:
		readers_monitor_event(owner);
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
			service_reloading(&daemon->service);
			vms_reopen(daemon);
			audit_reopen(&daemon->audit);
			if (!readers_rescan(daemon))
				service_ready(&daemon->service, daemon->vms.names.n);
		}
	}
	return EXIT_SUCCESS;
}

/* Epochs outlive us, on disk; guests notice the cut, and come back to whoever serves then. */
static void daemon_finish(struct daemon *daemon)
{
	service_stopping(&daemon->service);
	listener_close(daemon->vsock);
	local_finish(daemon);
	scrape_finish();
	if (daemon->home.outlet)
		outlet_drain(&daemon->outlet, DRAIN_MS);
	vms_finish(daemon);
	if (daemon->home.syncer)
		syncer_stop(&daemon->syncer);
	readers_finish(daemon);
	outlet_close(&daemon->outlet);
	audit_finish(&daemon->audit);
	loop_finish(&daemon->loop);
	daemonconfig_free(&daemon->config);
}

static int server_main(struct daemon *daemon, const struct monitor *monitor)
{
	struct problem problem;
	int status;

	if (daemon_init(daemon, &problem) || outlet_init(daemon, &problem) ||
			sockets_adopt(daemon, monitor->vms_fd >= 0, &problem) || confine(daemon, monitor->change_user, &problem)) {
		log_error("%s", problem.text);
		return EXIT_SYSTEM;
	}
	handover_close();
	close(monitor->runtime_fd);
	if (monitor->vms_fd >= 0)
		close(monitor->vms_fd);
	else
		daemon_up(daemon);
	status = serve(daemon);
	daemon_finish(daemon);
	return status;
}

/* The monitor's, which forks the server. */
static int monitor_main(struct daemon *daemon)
{
	struct monitor monitor = { 0 };
	struct problem problem;
	pid_t server;
	int status;

	handover_init();
	if (prepare(daemon, &monitor, &problem)) {
		log_error("%s", problem.text);
		monitor_finish(&monitor);
		return EXIT_SYSTEM;
	}
	server = monitor_fork(&monitor, &daemon->monitor, &daemon->asks);
	daemon->service.monitor = daemon->monitor;
	if (!server)
		return server_main(daemon, &monitor);
	if (server > 0)
		status = monitor_run(&monitor);
	else
		status = EXIT_SYSTEM;
	monitor_finish(&monitor);
	daemonconfig_free(&daemon->config);
	return status;
}

int main(int argc, char **argv)
{
	struct daemon *daemon = &daemon_state;
	pid_t parent = getppid();
	struct problem problem;

	if (argc == 2 && !strcmp(argv[1], READER_OPTION))
		return reader_main();
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
		return vmcheck_all(daemon->config.vms) ? EXIT_FAILURE : EXIT_SUCCESS;
	if (daemon->config.die_with_parent && process_tie(parent))
		return EXIT_SYSTEM;
	return monitor_main(daemon);
}
