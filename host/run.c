/* SPDX-License-Identifier: MIT */
/*
 * A run goes through stages, in this order, and leaves each of them when a condition holds. All waiting is in one
 * place, round_once(), which looks at everything at once: so a helper's death, a signal and a full terminal are noticed
 * in every stage, and nothing sleeps.
 *
 *     STARTING   hawserd and vhost-device-vsock run          until both can be talked to
 *     ATTACHING  hawserd was told of the machine             until it has its sockets open
 *     RUNNING    QEMU runs                                   until it ends
 *     ENDING     QEMU was told to end: a failure, a signal   until it has, by SIGKILL if need be
 *     DRAINING   QEMU has ended                              until hawserd has told us all that it had from the guest
 *     OVER       helpers are ended, files removed (janitor.h says how, and why nothing is ever left)
 *
 * ENDING and DRAINING can be skipped. A failure is kept, once, and decides the exit status; what it was is said last,
 * so that it is not lost above a long log.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "accel.h"
#include "client.h"
#include "findfile.h"
#include "janitor.h"
#include "machine.h"
#include "run.h"
#include "run_options.h"
#include "run_print.h"
#include "run_summary.h"
#include "source.h"
#include "subprocess.h"
#include "vmconfig.h"

#define MS 1000000ull
#define START_MS 10000           /* for helpers to start, and for hawserd to answer */
#define QEMU_TERM_MS 2000        /* from SIGTERM to SIGKILL */
#define DRAIN_MS 500             /* for bytes on their way; then vhost-device-vsock is ended, and once more */
#define QUIET_MS 10000           /* from QEMU's start to a word on a guest that has not dialled */
#define POWER_MS 5000            /* from the guest's END to its machine's */
#define HELPER_TERM_MS 500       /* for hawserd and vhost-device-vsock to end by themselves */
#define REQUEST_MAX (1 << 20)
#define CID_DEFAULT 3

enum stage { STARTING, ATTACHING, RUNNING, ENDING, DRAINING, OVER };
enum helper { HAWSERD, DEVICE, QEMU, HELPERS };
static const char *const helper_names[HELPERS] = { "hawserd", "vhost-device-vsock", "QEMU" };

struct run {
	struct run_options o;
	struct run_print print;
	struct run_summary summary;
	char *dir;                       /* VMDIR, absolute */
	struct vmconfig *config;
	char name[VMCONFIG_NAME_MAX + 1];
	char *kernel, *initrd, *qemu, *device, *hawserd;
	struct machine machine;

	struct janitor janitor;
	struct subprocess helpers[HELPERS];
	struct client client;
	const char *runtime;             /* hawserd's */
	char own_runtime[JANITOR_DIR_MAX + 8];
	int signals, ready, inotify;     /* descriptors; -1: not (or not any more) open */
	bool hawserd_ready, device_ready, device_told;   /* told: DRAINING has ended it */
	bool powering_off;               /* the guest has said END */

	enum stage stage;
	uint64_t began, deadline;        /* CLOCK_MONOTONIC, ns; 0: no deadline */
	uint64_t finished;
	int signal;                      /* that ended the run; 0: none */
	const struct subprocess *culprit;        /* whose words explain the failure */
	bool failed;
	char failure[1024];
};

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- how it ends ------------------------------------------------------------------------------------------------ */

static void drain_begin(struct run *r)
{
	struct run_summary *s = &r->summary;
	bool more = r->client.fd >= 0 && s->booted && !s->ended && !s->cut;
	r->stage = more ? DRAINING : OVER;
	r->deadline = now() + DRAIN_MS * MS;
}

static void end_begin(struct run *r)
{
	if (r->stage >= ENDING)
		return;
	if (!subprocess_running(&r->helpers[QEMU])) {
		drain_begin(r);
		return;
	}
	subprocess_signal(&r->helpers[QEMU], SIGTERM);
	r->stage = ENDING;
	r->deadline = now() + QEMU_TERM_MS * MS;
}

/* Keeps the first failure, and ends the run. Returns -1. */
__attribute__((format(printf, 3, 4)))
static int fail(struct run *r, const struct subprocess *culprit, const char *format, ...)
{
	va_list args;
	if (!r->failed) {
		va_start(args, format);
		vsnprintf(r->failure, sizeof r->failure, format, args);
		va_end(args);
		r->failed = true;
		r->culprit = culprit;
	}
	end_begin(r);
	return -1;
}

/* --- before anything is started --------------------------------------------------------------------------------- */

static int name_set(struct run *r)
{
	const char *slash = strrchr(r->dir, '/');
	const char *name = r->o.name ? r->o.name : slash ? slash + 1 : r->dir;
	if (!vmconfig_name_ok(name))
		return fail(r, NULL, "%s is no name for a machine: it must be 1 to %d letters, digits, \".\", \"_\" and \"-\"; "
			"give one with --name", *name ? name : r->dir, VMCONFIG_NAME_MAX);
	snprintf(r->name, sizeof r->name, "%s", name);
	r->print.name = r->name;
	return 0;
}

/* Reads the directory as hawserd will, so that its faults are told here, and before anything is started. */
static int directory_check(struct run *r)
{
	struct problem problem = { .text = "" };
	int dirfd = open(r->o.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || !(r->dir = realpath(r->o.dir, NULL))) {
		int error = errno;
		close_if(&dirfd);
		return fail(r, NULL, "cannot open the machine's directory %s: %s", r->o.dir, strerror(error));
	}
	r->config = vmconfig_load(dirfd, r->o.dir, &problem);
	struct source *source = NULL;
	if (r->config && r->o.n_command && !vmconfig_set_args(r->config, r->o.n_command, r->o.command))
		problem_set(&problem, "--", 0, 0, "the command cannot take the place of the one in vm.json: is it too long?");
	else if (r->config)
		source = source_create(r->config, dirfd, r->o.dir, true, &problem);
	close(dirfd);
	if (!source)
		return fail(r, NULL, "%s", problem.text);
	source_destroy(source);
	return name_set(r);
}

/* A file that was named, or that belongs to us. */
static int file_find(struct run *r, char **path, const char *given, const char *option, const char *name)
{
	*path = given ? realpath(given, NULL) : findfile_data(name);
	if (*path && access(*path, R_OK) == 0)
		return 0;
	if (given)
		return fail(r, NULL, "cannot read %s, the file of --%s: %s", given, option, strerror(errno));
	return fail(r, NULL, "there is no %s beside this program or in ../share/hawser: build it (make), or name another "
		"with --%s", name, option);
}

static int files_find(struct run *r)
{
	const char *name;
	if (file_find(r, &r->kernel, r->o.kernel, "kernel", "vmlinux") < 0 ||
		file_find(r, &r->initrd, r->o.initrd, "initrd", "initramfs.cpio") < 0)
		return -1;
	if (!(r->qemu = machine_qemu_find(&name)))
		return fail(r, NULL, "cannot find the program %s: install it (Debian: qemu-system-x86), or set HAWSER_QEMU to "
			"its path", name);
	if (!r->o.vhost && !(r->device = machine_device_find(&name)))
		return fail(r, NULL, "cannot find the program %s: run scripts/fetch vhost-device-vsock, set "
			"HAWSER_VHOST_DEVICE_VSOCK to its path, or use --vsock vhost", name);
	if (r->o.vhost && access("/dev/vhost-vsock", R_OK | W_OK) < 0)
		return fail(r, NULL, "--vsock vhost: cannot use /dev/vhost-vsock: %s; load the module vhost_vsock and have "
			"write access to the device, or leave the option out", strerror(errno));
	return 0;
}

static int machine_set(struct run *r)
{
	uint32_t cid = r->o.cid ? r->o.cid : r->config->cid;
	/* The kernel's CIDs belong to the whole host, so a number out of the air could be another machine's. */
	if (!cid && r->o.vhost)
		return fail(r, NULL, "--vsock vhost needs an address for the guest: \"hawser\": { \"cid\": N } in %s/vm.json, "
			"or --cid N", r->o.dir);
	r->machine = (struct machine){
		.qemu = r->qemu, .kernel = r->kernel, .initrd = r->initrd,
		.vhost = r->o.vhost, .verbose = r->o.serial,
		.cid = cid ? cid : CID_DEFAULT, .memory_mib = r->config->memory_mib, .cpus = r->config->cpus,
		.dir = r->janitor.dir, .kernel_args = { r->config->kernel_args, r->o.append },
	};
	return 0;
}

static int accel_set(struct run *r)
{
	char why[512];
	int accel = (int)r->o.accel;
	if (accel == ACCEL_AUTO)
		accel = accel_find(&r->machine, &r->janitor, r->signals, why, sizeof why);
	else
		*why = '\0';
	if (*why)
		run_print_note(&r->print, "using TCG, which is slower, until the next boot of this host: %s. "
			"--accel kvm tries KVM anyway", why);
	r->machine.kvm = accel == ACCEL_KVM;
	return accel < 0 ? -1 : 0;       /* a signal came, which is for round_once() to read */
}

/* --- helpers ---------------------------------------------------------------------------------------------------- */

static int helper_start(struct run *r, enum helper which, struct arglist *args, int pass)
{
	struct subprocess *p = &r->helpers[which];
	const char *program = args->n ? args->v[0] : p->name;
	/* In the run's directory: a core dump there does not stay behind. */
	struct subprocess_io io = { .apart = which == QEMU, .pass = pass, .dir = r->janitor.dir };
	int result = args->failed ? -ENOMEM : subprocess_start(p, &r->janitor, args->v, &io);
	if (result < 0)
		fail(r, NULL, "cannot start %s: %s", program, strerror(-result));
	arglist_finish(args);
	return result < 0 ? -1 : 0;
}

static int device_start(struct run *r)
{
	struct arglist args = { 0 };
	r->device_ready = r->o.vhost;
	if (r->o.vhost)
		return 0;
	r->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->inotify < 0 || inotify_add_watch(r->inotify, r->janitor.dir, IN_CREATE) < 0)
		return fail(r, NULL, "cannot watch %s: %s", r->janitor.dir, strerror(errno));
	machine_device_args(&r->machine, r->device, &args);
	return helper_start(r, DEVICE, &args, -1);
}

/* A private hawserd does not read the system's settings. It listens on AF_VSOCK only for a machine that needs it. */
static int hawserd_settings(struct run *r, const char *file)
{
	FILE *f = fopen(file, "we");
	bool ok = f && fprintf(f, "{ \"vsock\": %s }\n", r->o.vhost ? "true" : "false") > 0;
	if ((f && fclose(f) != 0) || !ok)
		return fail(r, NULL, "cannot write %s: %s", file, strerror(errno));
	return 0;
}

static int hawserd_start_own(struct run *r)
{
	static const char *const dirs[][2] = { { "--runtime", "run" }, { "--state", "state" }, { "--vms", "vms" } };
	struct arglist args = { 0 };
	char path[sizeof r->own_runtime + 8];
	int ends[2];

	if (!(r->hawserd = findfile_sibling("hawserd")))
		return fail(r, NULL, "cannot find the program hawserd beside this one, in ../sbin or in $PATH: build it (make), or start one "
			"and name its runtime directory with --runtime");
	snprintf(path, sizeof path, "%s/hawserd.json", r->janitor.dir);
	if (hawserd_settings(r, path) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail(r, NULL, "cannot make a pipe: %s", strerror(errno));
	r->ready = ends[0];
	snprintf(r->own_runtime, sizeof r->own_runtime, "%s/run", r->janitor.dir);
	r->runtime = r->own_runtime;
	arglist_add(&args, "%s", r->hawserd);
	arglist_add(&args, "--config");
	arglist_add(&args, "%s", path);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", r->janitor.dir, dirs[i][1]);
		mkdir(path, 0700);       /* hawserd says it when one is not there */
		arglist_add(&args, "%s", dirs[i][0]);
		arglist_add(&args, "%s", path);
	}
	arglist_add(&args, "--ready-fd");
	arglist_add(&args, "%d", ends[1]);
	arglist_add(&args, "--die-with-parent");
	int result = helper_start(r, HAWSERD, &args, ends[1]);
	close(ends[1]);
	return result;
}

/* One that runs already, or one of our own. */
static int hawserd_find(struct run *r)
{
	r->runtime = r->o.runtime ? r->o.runtime : CLIENT_RUNTIME;
	int result = r->o.own_hawserd ? -ENOENT : client_connect(&r->client, r->runtime);
	if (result == 0) {
		r->hawserd_ready = true;
		return 0;
	}
	if (r->o.runtime && !r->o.own_hawserd)
		return fail(r, NULL, "no hawserd answers at %s/" CLIENT_SOCKET ": %s; start one (hawserd --runtime %s), or leave "
			"--runtime out", r->runtime, strerror(-result), r->runtime);
	return hawserd_start_own(r);
}

static int qemu_start(struct run *r)
{
	struct arglist args = { 0 };
	machine_qemu_args(&r->machine, &args);
	return helper_start(r, QEMU, &args, -1);
}

static int helpers_start(struct run *r)
{
	int result = janitor_start(&r->janitor);
	if (result < 0)
		return fail(r, NULL, "cannot make a directory for this run in $XDG_RUNTIME_DIR, $TMPDIR or /tmp: %s",
			strerror(-result));
	if (machine_set(r) < 0 || accel_set(r) < 0 || device_start(r) < 0 || hawserd_find(r) < 0)
		return -1;
	r->deadline = now() + START_MS * MS;
	return 0;
}

/* --- hawserd's side of it --------------------------------------------------------------------------------------- */

static int attach(struct run *r)
{
	int result = r->client.fd >= 0 ? 0 : client_connect(&r->client, r->runtime);
	if (result < 0)
		return fail(r, &r->helpers[HAWSERD], "cannot connect to hawserd at %s/" CLIENT_SOCKET ": %s", r->runtime,
			strerror(-result));
	char base[JANITOR_DIR_MAX + 16];
	struct json_out out = { .buf = malloc(REQUEST_MAX), .size = REQUEST_MAX };
	if (!out.buf)
		return fail(r, NULL, "out of memory");
	snprintf(base, sizeof base, "%s/" MACHINE_BASE, r->janitor.dir);
	json_line_begin(&out);
	json_put_string(&out, "op", "attach");
	json_put_string(&out, "dir", r->dir);
	json_put_string(&out, "name", r->name);
	if (r->machine.vhost)
		json_put_u64(&out, "cid", r->machine.cid);
	else
		json_put_string(&out, "socket", base);
	if (r->o.n_command) {
		json_put_open(&out, "args", '[');
		for (size_t i = 0; i < r->o.n_command; i++)
			json_put_string(&out, NULL, r->o.command[i]);
		json_put_close(&out, ']');
	}
	json_put_bool(&out, "follow", true);
	json_put_bool(&out, "ephemeral", true);
	result = json_line_end(&out) ? client_send(&r->client, &out) : -EMSGSIZE;
	free(out.buf);
	if (result < 0)
		return fail(r, &r->helpers[HAWSERD], "cannot ask hawserd at %s/" CLIENT_SOCKET ": %s", r->runtime,
			strerror(-result));
	r->stage = ATTACHING;
	r->deadline = now() + START_MS * MS;
	return 0;
}

static void answer(struct run *r, const char *line, size_t len)
{
	struct problem problem;
	if (client_answer_read(line, len, &problem) < 0)
		fail(r, &r->helpers[HAWSERD], "hawserd does not take this machine: %s%s", problem.text,
			r->helpers[HAWSERD].pid ? "" : "; --private starts a hawserd for this run alone");
	else if (qemu_start(r) == 0) {
		r->stage = RUNNING;
		r->deadline = now() + QUIET_MS * MS;
	}
}

static void record(struct run *r, const char *line, size_t len)
{
	struct client_record record;
	struct problem problem;
	int result = client_record_read(&record, line, len, &problem);
	if (result < 0)
		run_print_say(&r->print, "hawserd sent a line that is no record, which is left out: %s", problem.text);
	else if (result > 0) {
		run_summary_add(&r->summary, &record);
		run_print_record(&r->print, &record, line, len);
	}
	client_record_free(&record);
}

static void client_lines(struct run *r)
{
	const char *line;
	size_t len;
	while (client_line(&r->client, &line, &len)) {
		if (r->stage == ATTACHING)
			answer(r, line, len);
		else
			record(r, line, len);
	}
}

/* A private hawserd that dies closes the connection a moment before its pidfd says so, and that says more. */
static void client_lost(struct run *r, int error)
{
	struct subprocess *p = &r->helpers[HAWSERD];
	struct pollfd died = { p->pidfd, POLLIN, 0 };
	client_close(&r->client);
	if (r->stage >= ENDING)
		return;
	if (subprocess_running(p) && poll(&died, 1, HELPER_TERM_MS) > 0)
		return;
	fail(r, p, "hawserd at %s/" CLIENT_SOCKET " closed the connection%s%s", r->runtime, error ? ": " : "",
		error ? strerror(error) : "");
}

static void client_read(struct run *r)
{
	int result = client_fill(&r->client);
	if (r->stage == DRAINING)
		r->deadline = now() + DRAIN_MS * MS;     /* as long as something comes */
	client_lines(r);
	if (result <= 0)
		client_lost(r, -result);
}

/* --- what round() found ----------------------------------------------------------------------------------------- */

static void signal_read(struct run *r)
{
	struct signalfd_siginfo info;
	while (read(r->signals, &info, sizeof info) == sizeof info) {
		int number = (int)info.ssi_signo;
		if (r->signal) {
			subprocess_signal(&r->helpers[QEMU], SIGKILL);
			r->stage = OVER;
			return;
		}
		r->signal = number;
		run_print_note(&r->print, "SIG%s: ending the machine; again to kill it", sigabbrev_np(number));
		end_begin(r);
	}
}

static void serial_read(struct run *r)
{
	struct subprocess *qemu = &r->helpers[QEMU];
	char buf[4096];
	ssize_t n;
	while (qemu->out >= 0 && (n = read(qemu->out, buf, sizeof buf)) > 0)
		run_print_serial(&r->print, buf, (size_t)n);
	if (qemu->out >= 0 && n == 0)
		close_if(&qemu->out);
}

static void qemu_ended(struct run *r)
{
	struct subprocess *qemu = &r->helpers[QEMU];
	char how[64];
	serial_read(r);
	if (r->stage == RUNNING && (qemu->code != CLD_EXITED || qemu->status != 0))
		fail(r, qemu, "QEMU (pid %d) %s while the guest ran", (int)qemu->pid, subprocess_how(qemu, how, sizeof how));
	else if (r->stage <= ENDING)
		drain_begin(r);
}

/* One that ends by itself, and well, may have seen QEMU's end before us. */
static bool follows_qemu(struct run *r, const struct subprocess *p)
{
	struct pollfd ended = { r->helpers[QEMU].pidfd, POLLIN, 0 };
	return p->code == CLD_EXITED && p->status == 0 && r->stage == RUNNING && poll(&ended, 1, DRAIN_MS) > 0;
}

static void helper_ended(struct run *r, enum helper which)
{
	struct subprocess *p = &r->helpers[which];
	char how[64];
	subprocess_reap(p);
	if (!p->ended)
		return;
	if (which == QEMU)
		qemu_ended(r);
	else if (r->stage < ENDING && !follows_qemu(r, p))
		fail(r, p, "%s (pid %d) %s %s", p->name, (int)p->pid, subprocess_how(p, how, sizeof how),
			r->stage == RUNNING ? "while the guest ran" : "before the guest was started");
}

static void ready_read(struct run *r)
{
	char byte;
	if (read(r->ready, &byte, 1) == 1)
		r->hawserd_ready = true;
	close_if(&r->ready);     /* an end without a byte: its pidfd says why */
}

static void device_look(struct run *r)
{
	char path[JANITOR_DIR_MAX + 16];
	snprintf(path, sizeof path, "%s/" MACHINE_SOCKET, r->janitor.dir);
	if (!machine_listening(path))
		return;
	r->device_ready = true;
	close_if(&r->inotify);
}

static bool is_full(const struct run *r)
{
	return outqueue_full(&r->print.out) || outqueue_full(&r->print.err);
}

static void drain_passed(struct run *r)
{
	r->deadline = now() + DRAIN_MS * MS;
	if (is_full(r))
		return;          /* it is our own reader who is slow */
	if (r->device_told || !subprocess_running(&r->helpers[DEVICE])) {
		r->stage = OVER;
		return;
	}
	/* Its sockets close with it; hawserd reads what is in them, and then sees their end. */
	r->device_told = true;
	subprocess_signal(&r->helpers[DEVICE], SIGTERM);
}

static void running_passed(struct run *r)
{
	if (r->powering_off) {
		run_print_note(&r->print, "the guest has said its end, and its machine still runs %d s later: ending it; see "
			"hawser.power in docs/CONFIG.md", POWER_MS / 1000);
		end_begin(r);
	} else if (!r->summary.booted)
		run_print_note(&r->print, "the guest has not asked for its configuration in the %d s since its start; "
			"--serial shows its console", QUIET_MS / 1000);
}

static void deadline_passed(struct run *r)
{
	r->deadline = 0;
	switch (r->stage) {
	case STARTING:
		if (!r->hawserd_ready)
			fail(r, &r->helpers[HAWSERD], "hawserd was not ready within %d s", START_MS / 1000);
		else
			fail(r, &r->helpers[DEVICE], "vhost-device-vsock did not listen on %s/" MACHINE_SOCKET " within %d s",
				r->janitor.dir, START_MS / 1000);
		break;
	case ATTACHING:
		fail(r, &r->helpers[HAWSERD], "hawserd at %s/" CLIENT_SOCKET " did not answer within %d s", r->runtime,
			START_MS / 1000);
		break;
	case RUNNING:
		running_passed(r);
		break;
	case ENDING:
		subprocess_signal(&r->helpers[QEMU], SIGKILL);
		break;
	case DRAINING:
		drain_passed(r);
		break;
	case OVER:
		break;
	}
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

enum place { P_SIGNALS, P_JANITOR, P_CLIENT, P_READY, P_INOTIFY, P_OUT, P_ERR, P_SERIAL, P_ENDED,
	P_SAID = P_ENDED + HELPERS, PLACES = P_SAID + HELPERS };

static void places_set(const struct run *r, struct pollfd p[static PLACES])
{
	const int fds[PLACES] = {
		[P_SIGNALS] = r->signals, [P_JANITOR] = r->janitor.pidfd, [P_CLIENT] = is_full(r) ? -1 : r->client.fd,
		[P_READY] = r->ready, [P_INOTIFY] = r->inotify,
		[P_OUT] = outqueue_empty(&r->print.out) ? -1 : r->print.out.fd,
		[P_ERR] = outqueue_empty(&r->print.err) ? -1 : r->print.err.fd,
		[P_SERIAL] = r->helpers[QEMU].out,
	};
	for (int i = 0; i < PLACES; i++)
		p[i] = (struct pollfd){ fds[i], i == P_OUT || i == P_ERR ? POLLOUT : POLLIN, 0 };
	for (int i = 0; i < HELPERS; i++) {
		p[P_ENDED + i].fd = r->helpers[i].pidfd;
		p[P_SAID + i].fd = r->helpers[i].err;
	}
}

/* In ms, rounded up. Between bind() and listen() of vhost-device-vsock nothing wakes us: looked at every ms. */
static int patience(const struct run *r)
{
	uint64_t t = now();
	char path[JANITOR_DIR_MAX + 16];
	snprintf(path, sizeof path, "%s/" MACHINE_SOCKET, r->janitor.dir);
	if (r->inotify >= 0 && access(path, F_OK) == 0)
		return 1;
	return !r->deadline ? -1 : r->deadline <= t ? 0 : (int)((r->deadline - t + MS - 1) / MS);
}

static void reader_gone(struct run *r)
{
	if (r->print.out.error != EPIPE || r->signal)
		return;
	r->signal = SIGPIPE;     /* as any program in a pipeline would end: at once, and without a word */
	r->stage = OVER;
}

static void round_once(struct run *r)
{
	struct pollfd p[PLACES];
	places_set(r, p);
	if (poll(p, PLACES, patience(r)) < 0)
		return;          /* EINTR cannot be: all signals are blocked or at their default */
	if (p[P_OUT].revents)
		outqueue_write(&r->print.out);
	if (p[P_ERR].revents)
		outqueue_write(&r->print.err);
	if (p[P_SERIAL].revents)
		serial_read(r);
	for (int i = 0; i < HELPERS; i++)
		if (p[P_SAID + i].revents)
			subprocess_listen(&r->helpers[i]);
	if (p[P_CLIENT].revents && r->client.fd >= 0)
		client_read(r);
	if (p[P_READY].revents)
		ready_read(r);
	if (p[P_INOTIFY].fd >= 0)
		device_look(r);
	for (int i = HELPERS; i-- > 0;)          /* QEMU first: others may end because it did */
		if (p[P_ENDED + i].revents)
			helper_ended(r, (enum helper)i);
	if (p[P_JANITOR].revents) {
		close_if(&r->janitor.pidfd);     /* or poll would return at once for ever */
		fail(r, NULL, "this run's janitor (pid %d) was killed; nothing else would clean up", (int)r->janitor.pid);
	}
	if (p[P_SIGNALS].revents)
		signal_read(r);
	reader_gone(r);
	run_print_flush(&r->print);
}

static void stage_advance(struct run *r)
{
	const struct run_summary *s = &r->summary;
	if (r->deadline && now() >= r->deadline)
		deadline_passed(r);
	if (r->stage == STARTING && r->hawserd_ready && r->device_ready)
		attach(r);
	if (r->stage == RUNNING && s->ended != r->powering_off) {
		r->powering_off = s->ended;
		r->deadline = s->ended ? now() + POWER_MS * MS : 0;
	}
	if (r->stage == DRAINING && (s->ended || s->cut || r->client.fd < 0))
		r->stage = OVER;
}

/* --- after it --------------------------------------------------------------------------------------------------- */

static void helpers_end(struct run *r)
{
	struct pollfd p = { .events = POLLIN };
	uint64_t end = now() + HELPER_TERM_MS * MS;

	client_close(&r->client);        /* detaches the machine */
	subprocess_signal(&r->helpers[QEMU], SIGKILL);
	subprocess_signal(&r->helpers[HAWSERD], SIGTERM);
	subprocess_signal(&r->helpers[DEVICE], SIGTERM);
	for (int i = 0; i < HELPERS; i++) {
		uint64_t t = now();
		p.fd = r->helpers[i].pidfd;
		if (p.fd >= 0 && poll(&p, 1, t < end ? (int)((end - t) / MS) : 0) > 0)
			subprocess_reap(&r->helpers[i]);
	}
	janitor_finish(&r->janitor);
}

/* What is to be said when the guest ended by itself, and nobody knows how its program did. */
static void unknown_explain(struct run *r)
{
	const struct run_summary *s = &r->summary;
	if (!s->applied && s->refused[0])
		fail(r, NULL, "the guest did not get its configuration: %s", s->refused);
	else if (!s->booted)
		fail(r, NULL, "the guest ended without having asked for its configuration: its serial console says more");
	else if (!s->connected)
		fail(r, NULL, "the guest ended before its log came through: its serial console says more");
	else if (!s->ended)
		fail(r, NULL, "the guest ended in the middle of its log, without a word on its program's end: a panic, or a reset");
	else
		fail(r, NULL, "the guest ended in good order, but its program never did, or never ran");
}

static int report(struct run *r)
{
	struct run_summary *s = &r->summary;
	bool started = r->helpers[QEMU].pid > 0;
	if (r->signal == SIGPIPE)
		return 128 + SIGPIPE;
	if (started && !r->failed && !r->signal && s->outcome == RUN_UNKNOWN)
		unknown_explain(r);
	show_end(&r->print.show_out, &r->print.out);
	if (started && (!s->connected || (!s->ended && !r->signal)))
		run_print_serial_kept(&r->print);
	if (r->failed) {
		if (r->culprit)
			run_print_said(&r->print, r->culprit->name, &r->culprit->said);
		run_print_say(&r->print, "%s", r->failure);
	}
	if (started) {
		char line[512];
		struct run_facts facts = { r->name, r->machine.kvm ? "kvm" : "tcg", r->machine.cid,
			(double)(r->finished - r->began) / 1e9 };
		run_print_note(&r->print, "%s", run_summary_line(s, &facts, line, sizeof line));
	}
	return r->signal ? 128 + r->signal : r->failed ? RUN_FAILED : run_summary_status(s);
}

/* Everything is ended and removed by now: who does not read keeps nothing but this process, and that until a signal. */
static void output_finish(struct run *r)
{
	struct outqueue *queues[] = { &r->print.out, &r->print.err };
	for (int i = 0; i < 2; i++)
		while (!outqueue_empty(queues[i])) {
			struct pollfd p[] = { { r->signals, POLLIN, 0 }, { queues[i]->fd, POLLOUT, 0 } };
			if (poll(p, 2, -1) < 0 || p[0].revents)
				return;
			outqueue_write(queues[i]);
		}
}

static int finish(struct run *r)
{
	r->finished = now();
	helpers_end(r);
	int status = report(r);
	output_finish(r);
	for (int i = 0; i < HELPERS; i++)
		subprocess_finish(&r->helpers[i]);
	run_print_finish(&r->print);
	close_if(&r->signals);
	close_if(&r->ready);
	close_if(&r->inotify);
	vmconfig_destroy(r->config);
	char *const strings[] = { r->dir, r->kernel, r->initrd, r->qemu, r->device, r->hawserd };
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		free(strings[i]);
	return status;
}

static void signals_take(struct run *r)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action;
	sigset_t set;
	sigemptyset(&set);
	/* What we were told to ignore (nohup, a shell's background) stays ignored. */
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (sigaction(taken[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signals < 0)
		fail(r, NULL, "cannot take signals: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
}

int run_main(int argc, char *argv[])
{
	struct run r = { .began = now(), .client.fd = -1, .signals = -1, .ready = -1, .inotify = -1,
		.janitor = { .pidfd = -1, .fd = -1 } };
	char error[256];

	if (run_options_parse(&r.o, argc, argv, error, sizeof error) < 0) {
		fprintf(stderr, "hawser: %s\n", error);
		return RUN_FAILED;
	}
	if (r.o.help) {
		run_options_help(stdout);
		return 0;
	}
	for (int i = 0; i < HELPERS; i++)
		subprocess_init(&r.helpers[i], helper_names[i]);
	if (run_print_init(&r.print, &r.o) < 0)
		fail(&r, NULL, "nothing was started");
	signals_take(&r);
	if (!r.failed && directory_check(&r) == 0 && files_find(&r) == 0)
		helpers_start(&r);
	while (r.stage != OVER) {
		round_once(&r);
		stage_advance(&r);
	}
	return finish(&r);
}
