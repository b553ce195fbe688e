/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accel.h"
#include "findfile.h"
#include "run_state.h"
#include "ticks.h"

static void machine_set(struct run *r)
{
	uint32_t cid = r->o.cid ? r->o.cid : r->config->cid;
	r->machine = (struct machine){
		.qemu = r->qemu, .kernel = r->kernel, .initrd = r->initrd,
		.q35 = r->o.vmm == VMM_QEMU_Q35, .vhost = r->vhost, .verbose = r->o.serial,
		.cid = cid ? cid : RUN_CID_DEFAULT, .memory_mib = r->config->memory_mib, .cpus = r->config->cpus,
		.dir = r->janitor.dir, .secrets = machine_has_secrets(r->dir),
		.kernel_args = { r->config->kernel_args, r->o.append },
	};
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
		run_print_note(&r->print, "using TCG, which is slower: %s (remembered until this host boots "
			"again; --accel kvm tries KVM anyway)", why);
	r->machine.kvm = accel == ACCEL_KVM;
	return accel < 0 ? -1 : 0;       /* a signal came, which is for round_once() to read */
}

int run_helper_start(struct run *r, enum helper which, struct arglist *args, int pass)
{
	struct subprocess *p = &r->helpers[which];
	const char *program = args->n ? args->v[0] : p->name;
	/* In the run's directory: a core dump there does not stay behind. */
	struct subprocess_io io = { .apart = which == QEMU, .pass = pass, .dir = r->janitor.dir };
	int result = args->failed ? -ENOMEM : subprocess_start(p, &r->janitor, args->v, &io);
	if (result < 0)
		run_fail(r, NULL, "cannot start %s: %s", program, strerror(-result));
	arglist_finish(args);
	return result < 0 ? -1 : 0;
}

/* A private hawserd does not read the system's settings. It listens on AF_VSOCK only for a machine that needs it. */
static int hawserd_settings(struct run *r, const char *file)
{
	FILE *f = fopen(file, "we");
	bool ok = f && fprintf(f, "{ \"vsock\": %s }\n", r->machine.vhost ? "true" : "false") > 0;
	if ((f && fclose(f) != 0) || !ok)
		return run_fail(r, NULL, "cannot write %s: %s", file, strerror(errno));
	return 0;
}

static int hawserd_start_own(struct run *r)
{
	static const char *const dirs[][2] = { { "--runtime", "run" }, { "--state", "state" }, { "--vms", "vms" } };
	struct arglist args = { 0 };
	char path[sizeof r->own_runtime + 8];
	int ends[2];

	if (!(r->hawserd = findfile_sibling("hawserd")))
		return run_fail(r, NULL, "cannot find the program hawserd beside this one, in ../sbin or in $PATH: build "
			"it (make), or start one and name its runtime directory with --runtime");
	snprintf(path, sizeof path, "%s/hawserd.json", r->janitor.dir);
	if (run_vsock_check(r) < 0 || hawserd_settings(r, path) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return run_fail(r, NULL, "cannot make a pipe: %s", strerror(errno));
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
	int result = run_helper_start(r, HAWSERD, &args, ends[1]);
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
		return run_fail(r, NULL, "no hawserd answers at %s/" CLIENT_SOCKET ": %s; start one (hawserd --runtime "
			"%s), or leave --runtime out", r->runtime, strerror(-result), r->runtime);
	return hawserd_start_own(r);
}

int run_qemu_start(struct run *r)
{
	struct arglist args = { 0 };
	r->machine.tsc_khz = ticks_even() ? ticks_khz(r->ticks, ticks_read()) : 0;
	machine_qemu_args(&r->machine, &args);
	return run_helper_start(r, QEMU, &args, -1);
}

int run_helpers_start(struct run *r)
{
	int result = janitor_start(&r->janitor);
	if (result < 0)
		return run_fail(r, NULL, "cannot make a directory for this run in $XDG_RUNTIME_DIR, $TMPDIR or "
			"/tmp: %s", strerror(-result));
	machine_set(r);
	if (accel_set(r) < 0 || hawserd_find(r) < 0 || run_vsock_start(r) < 0)
		return -1;
	r->deadline = run_now() + START_MS * MS;
	return 0;
}

void run_helpers_end(struct run *r)
{
	struct pollfd p = { .events = POLLIN };
	uint64_t end = run_now() + HELPER_TERM_MS * MS;

	client_close(&r->client);        /* detaches the machine */
	subprocess_signal(&r->helpers[QEMU], SIGKILL);
	subprocess_signal(&r->helpers[HAWSERD], SIGTERM);
	subprocess_signal(&r->helpers[DEVICE], SIGTERM);
	for (int i = 0; i < HELPERS; i++) {
		uint64_t t = run_now();
		p.fd = r->helpers[i].pidfd;
		if (p.fd >= 0 && poll(&p, 1, t < end ? (int)((end - t) / MS) : 0) > 0)
			subprocess_reap(&r->helpers[i]);
	}
	janitor_finish(&r->janitor);
	for (int i = 0; i < HELPERS; i++)
		subprocess_reap(&r->helpers[i]);         /* whom the janitor had to kill */
}
