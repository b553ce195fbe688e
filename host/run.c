/* SPDX-License-Identifier: MIT */
/*
 * A run goes through stages, in this order, and leaves each of them when a condition holds. All waiting is in one
 * place, round_once(), which looks at everything at once: so a helper's death, a signal and a full terminal are noticed
 * in every stage, and nothing sleeps.
 *
 *     STARTING   hawserd and vhost-device-vsock run          until both can be talked to
 *     ATTACHING  hawserd was told of the machine             until it has its sockets open
 *     RUNNING    QEMU runs                                   until it ends
 *     STOPPING   a signal came, and the guest was asked to   until QEMU ends, or the time is up
 *                end in good order
 *     ENDING     QEMU was told to end: a failure, a signal   until it has, by SIGKILL if need be
 *     DRAINING   QEMU has ended                              until hawserd has told us all that it had from the guest
 *     OVER       helpers are ended, files removed (janitor.h says how, and why nothing is ever left)
 *
 * STOPPING, ENDING and DRAINING can be skipped. A failure is kept, once, and decides the exit status; what it was is
 * said last, so that it is not lost above a long log.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "run.h"
#include "run_state.h"
#include "signals.h"

static const char *const helper_names[HELPERS] = { "hawserd", "vhost-device-vsock", "QEMU" };

uint64_t run_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void run_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- how it ends ------------------------------------------------------------------------------------------------- */

static void drain_begin(struct run *r)
{
	struct run_summary *s = &r->summary;
	bool more = r->client.fd >= 0 && s->booted && !s->ended && !s->cut;
	r->stage = more ? DRAINING : OVER;
	r->deadline = run_now() + DRAIN_MS * MS;
}

void run_end_begin(struct run *r)
{
	if (r->stage >= ENDING)
		return;
	if (!subprocess_running(&r->helpers[QEMU])) {
		drain_begin(r);
		return;
	}
	subprocess_signal(&r->helpers[QEMU], SIGTERM);
	r->stage = ENDING;
	r->deadline = run_now() + QEMU_TERM_MS * MS;
}

int run_fail(struct run *r, const struct subprocess *culprit, const char *format, ...)
{
	va_list args;
	if (!r->failed) {
		va_start(args, format);
		vsnprintf(r->failure, sizeof r->failure, format, args);
		va_end(args);
		r->failed = true;
		r->culprit = culprit;
	}
	run_end_begin(r);
	return -1;
}

/* --- what round_once() found ------------------------------------------------------------------------------------- */

void run_stop_begin(struct run *r)
{
	if (r->stage != RUNNING || !run_button(r)) {
		run_end_begin(r);
		return;
	}
	r->stage = STOPPING;
	r->deadline = run_now() + (r->config->stop_grace_ms + STOP_MORE_MS) * MS;
}

void run_interrupt(struct run *r, int signal)
{
	if (r->signal) {
		subprocess_signal(&r->helpers[QEMU], SIGKILL);
		r->stage = OVER;
		return;
	}
	r->signal = signal;
	run_print_note(&r->print, "SIG%s: ending the machine; again to kill it", sigabbrev_np(signal));
	run_stop_begin(r);
}

static void signals_read(struct run *r)
{
	struct signalfd_siginfo info;
	while (read(r->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGWINCH)
			run_terminal_resize(r);
		else
			run_interrupt(r, (int)info.ssi_signo);
	}
}

static void serial_read(struct run *r)
{
	struct subprocess *qemu = &r->helpers[QEMU];
	char buf[4096];
	ssize_t n = -1;
	while (qemu->out >= 0 && (n = read(qemu->out, buf, sizeof buf)) > 0)
		run_print_serial(&r->print, buf, (size_t)n);
	if (qemu->out >= 0 && n == 0)
		run_close(&qemu->out);
}

static void qemu_ended(struct run *r)
{
	struct subprocess *qemu = &r->helpers[QEMU];
	char how[64];
	serial_read(r);
	if (r->stage == RUNNING && (qemu->code != CLD_EXITED || qemu->status != 0))
		run_fail(r, qemu, "QEMU (pid %d) %s while the guest ran", (int)qemu->pid,
			subprocess_how(qemu, how, sizeof how));
	else if (r->stage <= ENDING)
		drain_begin(r);
}

/* One that ends by itself, and well, may have seen QEMU's end before us. */
static bool follows_qemu(struct run *r, const struct subprocess *p)
{
	struct pollfd ended = { r->helpers[QEMU].pidfd, POLLIN, 0 };
	bool runs = r->stage == RUNNING || r->stage == STOPPING;
	return p->code == CLD_EXITED && p->status == 0 && runs && poll(&ended, 1, DRAIN_MS) > 0;
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
		run_fail(r, p, "%s (pid %d) %s %s", p->name, (int)p->pid, subprocess_how(p, how, sizeof how),
			r->stage >= RUNNING ? "while the guest ran" : "before the guest was started");
}

static void ready_read(struct run *r)
{
	char byte;
	if (read(r->ready, &byte, 1) == 1)
		r->hawserd_ready = true;
	run_close(&r->ready);     /* an end without a byte: its pidfd says why */
}

static void device_look(struct run *r)
{
	char path[JANITOR_DIR_MAX + 16];
	snprintf(path, sizeof path, "%s/" MACHINE_SOCKET, r->janitor.dir);
	if (!machine_listening(path))
		return;
	r->device_ready = true;
	run_close(&r->inotify);
}

static void drain_passed(struct run *r)
{
	r->deadline = run_now() + DRAIN_MS * MS;
	if (run_output_full(r))
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
		run_print_note(&r->print, "the guest has said its end, and its machine still runs %d s later: ending "
			"it; see hawser.power in docs/CONFIG.md", POWER_MS / 1000);
		run_end_begin(r);
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
			run_fail(r, &r->helpers[HAWSERD], "hawserd was not ready within %d s", START_MS / 1000);
		else
			run_fail(r, &r->helpers[DEVICE], "vhost-device-vsock did not listen on %s/" MACHINE_SOCKET
				" within %d s", r->janitor.dir, START_MS / 1000);
		break;
	case ATTACHING:
		run_fail(r, &r->helpers[HAWSERD], "hawserd at %s/" CLIENT_SOCKET " did not answer within %d s",
			r->runtime, START_MS / 1000);
		break;
	case RUNNING:
		running_passed(r);
		break;
	case STOPPING:
		run_print_note(&r->print, "the guest was asked to end, and has not: ending its machine");
		run_end_begin(r);
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

/* --- the loop ---------------------------------------------------------------------------------------------------- */

enum place { P_SIGNALS, P_JANITOR, P_CLIENT, P_READY, P_INOTIFY, P_OUT, P_ERR, P_SERIAL, P_FEED, P_INPUT, P_ENDED,
	P_SAID = P_ENDED + HELPERS, PLACES = P_SAID + HELPERS };

static void places_set(const struct run *r, struct pollfd p[static PLACES])
{
	const int fds[PLACES] = {
		[P_SIGNALS] = r->signals, [P_JANITOR] = r->janitor.pidfd,
		[P_CLIENT] = run_output_full(r) ? -1 : r->client.fd,
		[P_READY] = r->ready, [P_INOTIFY] = r->inotify,
		[P_OUT] = outqueue_empty(&r->print.out) ? -1 : r->print.out.fd,
		[P_ERR] = outqueue_empty(&r->print.err) ? -1 : r->print.err.fd,
		[P_SERIAL] = r->helpers[QEMU].out, [P_INPUT] = run_feed_reads(r) ? STDIN_FILENO : -1,
	};
	for (int i = 0; i < PLACES; i++)
		p[i] = (struct pollfd){ fds[i], i == P_OUT || i == P_ERR ? POLLOUT : POLLIN, 0 };
	for (int i = 0; i < HELPERS; i++) {
		p[P_ENDED + i].fd = r->helpers[i].pidfd;
		p[P_SAID + i].fd = r->helpers[i].err;
	}
	p[P_FEED].fd = run_feed_fd(r, &p[P_FEED].events);
}

static void ready_tell(struct run *r)
{
	r->ready_told = true;
	run_print_note(&r->print, "ready after %.2f s", (double)(run_now() - r->began) / 1e9);
}

static void ready_watch(struct run *r)
{
	if (!r->ready_told && r->summary.fate.ready)
		ready_tell(r);
	if (r->ready_until && !r->ready_told && r->stage < ENDING && run_now() >= r->ready_until)
		run_fail(r, NULL, "the guest has not said READY=1 within %u s", r->o.wait_ready_s);
}

/* What comes first of the stage's deadline and the guest's for its word; 0: none. */
static uint64_t next_deadline(const struct run *r)
{
	uint64_t ready = r->ready_told || r->stage >= ENDING ? 0 : r->ready_until;
	return !ready || (r->deadline && r->deadline < ready) ? r->deadline : ready;
}

/* In ms, rounded up. Between bind() and listen() of vhost-device-vsock nothing wakes us: looked at every ms. */
static int patience(const struct run *r)
{
	uint64_t t = run_now();
	char path[JANITOR_DIR_MAX + 16];
	snprintf(path, sizeof path, "%s/" MACHINE_SOCKET, r->janitor.dir);
	if (r->inotify >= 0 && access(path, F_OK) == 0)
		return 1;
	uint64_t deadline = next_deadline(r);
	return !deadline ? -1 : deadline <= t ? 0 : (int)((deadline - t + MS - 1) / MS);
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
		run_client_read(r);
	if (p[P_FEED].revents)
		run_feed_event(r);
	if (p[P_INPUT].revents)
		run_feed_read(r);
	if (p[P_READY].revents)
		ready_read(r);
	if (p[P_INOTIFY].fd >= 0)
		device_look(r);
	for (int i = HELPERS; i-- > 0;)          /* QEMU first: others may end because it did */
		if (p[P_ENDED + i].revents)
			helper_ended(r, (enum helper)i);
	if (p[P_JANITOR].revents) {
		run_close(&r->janitor.pidfd);     /* or poll would return at once for ever */
		run_fail(r, NULL, "this run's janitor (pid %d) was killed; nothing else would clean up",
			(int)r->janitor.pid);
	}
	if (p[P_SIGNALS].revents)
		signals_read(r);
	reader_gone(r);
	run_print_flush(&r->print);
}

static void stage_advance(struct run *r)
{
	const struct run_summary *s = &r->summary;
	if (r->deadline && run_now() >= r->deadline)
		deadline_passed(r);
	ready_watch(r);
	if (r->stage == STARTING && r->hawserd_ready && r->device_ready)
		run_attach(r);
	run_feed_advance(r);
	if ((r->stage == RUNNING || r->stage == STOPPING) && s->ended != r->powering_off) {
		r->powering_off = s->ended;
		r->deadline = s->ended ? run_now() + POWER_MS * MS : 0;
	}
	if (r->stage == DRAINING && (s->ended || s->cut || r->client.fd < 0))
		r->stage = OVER;
}

/* --- the whole of it --------------------------------------------------------------------------------------------- */

static int finish(struct run *r)
{
	r->finished = run_now();
	run_feed_finish(r);
	run_helpers_end(r);
	int status = run_report(r);
	run_output_finish(r);
	for (int i = 0; i < HELPERS; i++)
		subprocess_finish(&r->helpers[i]);
	run_print_finish(&r->print);
	run_close(&r->signals);
	run_close(&r->ready);
	run_close(&r->inotify);
	vmconfig_destroy(r->config);
	char *const strings[] = { r->dir, r->kernel, r->initrd, r->qemu, r->device, r->hawserd, r->notify };
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
		free(strings[i]);
	return status;
}

int run_main(int argc, char *argv[])
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, 0 };
	static struct run r;     /* its buffers are large */
	char error[256];

	r = (struct run){ .began = run_now(), .ticks = ticks_read(), .client = { .fd = -1, .passed = -1 }, .signals = -1,
		.ready = -1, .inotify = -1, .janitor = { .pidfd = -1, .fd = -1 } };
	if (run_options_parse(&r.o, argc, argv, error, sizeof error) < 0) {
		fprintf(stderr, "hawser: %s\n", error);
		return FATE_FAILED;
	}
	if (r.o.help) {
		run_options_help(stdout);
		return 0;
	}
	if (getenv("NOTIFY_SOCKET")) {
		/* Ours, and not that of a hawserd that we start. */
		r.notify = strdup(getenv("NOTIFY_SOCKET"));
		unsetenv("NOTIFY_SOCKET");
	}
	r.ready_until = r.o.wait_ready_s ? r.began + r.o.wait_ready_s * 1000 * MS : 0;
	for (int i = 0; i < HELPERS; i++)
		subprocess_init(&r.helpers[i], helper_names[i]);
	if (run_print_init(&r.print, &r.o) < 0)
		run_fail(&r, NULL, "nothing was started");
	r.signals = signals_take(taken);
	if (r.signals < 0)
		run_fail(&r, NULL, "cannot take signals: %s", strerror(-r.signals));
	run_feed_init(&r);
	if (!r.failed && run_find(&r) == 0) {
		if (r.o.dry_run)
			run_dry(&r);
		else
			run_helpers_start(&r);
	}
	/* Everything may be there already: nothing would wake us. */
	for (stage_advance(&r); r.stage != OVER; stage_advance(&r))
		round_once(&r);
	return finish(&r);
}
