/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <signal.h>

#include "run_state.h"
#include "show.h"

/* What is to be said when the guest ended by itself, and nobody knows how its program did. */
static void unknown_explain(struct run *r)
{
	const struct run_summary *s = &r->summary;
	if (!s->applied && s->refused[0])
		run_fail(r, NULL, "the guest did not get its configuration: %s", s->refused);
	else if (!s->booted)
		run_fail(r, NULL, "the guest ended without having asked for its configuration: its serial console says "
			"more");
	else if (!s->connected)
		run_fail(r, NULL, "the guest ended before its log came through: its serial console says more");
	else if (!s->ended)
		run_fail(r, NULL, "the guest ended in the middle of its log, without a word on its program's end: a "
			"panic, or a reset");
	else
		run_fail(r, NULL, "the guest ended in good order, but its program never did, or never ran");
}

int run_report(struct run *r)
{
	struct run_summary *s = &r->summary;
	bool started = r->helpers[QEMU].pid > 0;
	if (r->signal == SIGPIPE)
		return 128 + SIGPIPE;
	if (started && !r->failed && !r->signal && run_summary_status(s) == FATE_FAILED && s->fate.outcome == FATE_UNKNOWN)
		unknown_explain(r);
	if (started && r->ready_until && !r->ready_told && !r->failed && !r->signal && run_summary_status(s) == 0)
		run_fail(r, NULL, "the guest ended, and never said READY=1");
	show_end(r->print.log_show, r->print.log_to);
	if (started && (!s->connected || (!s->ended && !r->signal)))
		run_print_serial_kept(&r->print);
	if (r->failed) {
		if (r->culprit)
			run_print_said(&r->print, r->culprit->name, &r->culprit->said);
		run_print_say(&r->print, "%s", r->failure);
	}
	if (s->lost && (r->o.raw || r->o.quiet))
		run_print_say(&r->print, "%llu records of the guest's log were lost: docs/LOGS.md says how that is avoided",
			(unsigned long long)s->lost);
	if (started) {
		char line[512];
		struct run_facts facts = { r->name, r->machine.kvm ? "kvm" : "tcg", r->machine.cid,
			(double)(r->finished - r->began) / 1e9 };
		run_print_note(&r->print, "%s", run_summary_line(s, &facts, line, sizeof line));
	}
	/* A program that was asked to end, and did so by itself, has its own status. */
	bool own = s->ended && s->fate.outcome == FATE_EXITED;
	if (r->signal && (r->failed || !own))
		return 128 + r->signal;
	return r->failed ? FATE_FAILED : started ? run_summary_status(s) : 0;
}

/* Everything is ended and removed by now: who does not read keeps nothing but this process, and that until a signal. */
void run_output_finish(struct run *r)
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
