/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_state.h"

#define REQUEST_MAX (512 << 10)  /* as hawserd has it */

int run_attach(struct run *r)
{
	int result = r->client.fd >= 0 ? 0 : client_connect(&r->client, r->runtime);
	if (result < 0)
		return run_fail(r, &r->helpers[HAWSERD], "cannot connect to hawserd at %s/" CLIENT_SOCKET ": %s",
			r->runtime, strerror(-result));
	char base[JANITOR_DIR_MAX + 16];
	struct json_out out = { .buf = malloc(REQUEST_MAX), .size = REQUEST_MAX };
	if (!out.buf)
		return run_fail(r, NULL, "out of memory");
	snprintf(base, sizeof base, "%s/" MACHINE_BASE, r->janitor.dir);
	json_line_begin(&out);
	json_put_string(&out, "op", "attach");
	json_put_string(&out, "dir", r->dir);
	json_put_string(&out, "name", r->name);
	if (r->machine.vhost)
		json_put_u64(&out, "cid", r->machine.cid);
	else
		json_put_string(&out, "socket", base);
	if (r->o.n_command && !r->tty) {
		json_put_open(&out, "args", '[');
		for (size_t i = 0; i < r->o.n_command; i++)
			json_put_string(&out, NULL, r->o.command[i]);
		json_put_close(&out, ']');
	}
	json_put_bool(&out, "follow", true);
	json_put_bool(&out, "ephemeral", true);
	json_put_bool(&out, r->tty ? "terminal" : "feed", r->tty || r->feed.state != FEED_OFF);
	/* hawserd opens no directory that a tool names: it gets this one from us, who may read it. */
	int dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = dir < 0 ? -errno : json_line_end(&out) ? client_send_with(&r->client, &out, dir) : -EMSGSIZE;
	run_close(&dir);
	free(out.buf);
	if (result < 0)
		return run_fail(r, &r->helpers[HAWSERD], "cannot ask hawserd at %s/" CLIENT_SOCKET ": %s", r->runtime,
			strerror(-result));
	r->stage = ATTACHING;
	r->deadline = run_now() + START_MS * MS;
	return 0;
}

bool run_button(struct run *r)
{
	const struct run_summary *s = &r->summary;
	char buf[64];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	if (r->client.fd < 0 || !s->connected || s->cut || s->ended)
		return false;
	json_line_begin(&out);
	json_put_string(&out, "op", "button");
	return json_line_end(&out) && client_send(&r->client, &out) == 0;
}

static void answer(struct run *r, const char *line, size_t len)
{
	struct problem problem;
	bool refused = client_answer_read(line, len, &problem) < 0;
	if (refused && r->machine.vhost && r->o.vsock == RUN_VSOCK_AUTO)
		run_vsock_fall_back(r, problem.text);
	else if (refused)
		run_fail(r, &r->helpers[HAWSERD], "hawserd does not take this machine: %s%s", problem.text,
			r->helpers[HAWSERD].pid ? "" : "; --private starts a hawserd for this run alone");
	else if (run_qemu_start(r) == 0) {
		r->stage = RUNNING;
		r->deadline = run_now() + QUIET_MS * MS;
	}
}

static void record(struct run *r, const char *line, size_t len)
{
	struct client_record record;
	struct problem problem;
	int result = client_record_read(&record, line, len, &problem);
	if (result < 0)
		run_print_say(&r->print, "hawserd sent a line that is no record, which is left out: %s", problem.text);
	else if (result == 0 && r->stage == STOPPING) {
		if (client_answer_read(line, len, &problem) < 0)
			run_end_begin(r);        /* the guest cannot be asked any more */
	} else if (result > 0) {
		run_summary_add(&r->summary, &record);
		run_notify(r, &record);
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
	run_fail(r, p, "hawserd at %s/" CLIENT_SOCKET " closed the connection%s%s", r->runtime, error ? ": " : "",
		error ? strerror(error) : "");
}

void run_client_read(struct run *r)
{
	int result = client_fill(&r->client);
	if (r->stage == DRAINING)
		r->deadline = run_now() + DRAIN_MS * MS;     /* as long as something comes */
	client_lines(r);
	if (result <= 0)
		client_lost(r, -result);
}

bool run_output_full(const struct run *r)
{
	return outqueue_full(&r->print.out) || outqueue_full(&r->print.err);
}
