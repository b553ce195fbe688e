/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "fate.h"
#include "wait_cmd.h"

#define LATE 124                 /* as timeout(1) has it */
#define SECONDS_MAX 1000000

static const char usage[] =
	"usage: hawser wait [--ready] [--timeout SECONDS] [--runtime DIR] VM\n"
	"\n"
	"Waits until a machine has ended, and ends with its program's exit status. One that has ended is not waited for.\n"
	"\n"
	"  --ready            until its program has said READY=1 (sd_notify(3)), and ends with 0\n"
	"  --timeout SECONDS  no longer than that\n"
	"  --runtime DIR      the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: the program's, 128 and the signal's number, 126 or 127 when it could not be started; 124 when the time\n"
	"is over; 125 when the machine failed, ended before it was ready, or hawserd does not answer; 2 wrong usage.\n";

struct options {
	const char *vm, *runtime;
	unsigned seconds;                /* 0: for ever */
	bool ready;
};

static bool seconds_parse(const char *text, unsigned *seconds)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	*seconds = (unsigned)n;
	return *text >= '0' && *text <= '9' && !*end && n > 0 && n <= SECONDS_MAX;
}

/* -1: go on; else the exit status. */
static int parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "ready", no_argument, NULL, 'R' }, { "timeout", required_argument, NULL, 't' },
		{ "runtime", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	*o = (struct options){ 0 };
	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		switch (c) {
		case 'R': o->ready = true; break;
		case 'r': o->runtime = optarg; break;
		case 't':
			if (seconds_parse(optarg, &o->seconds))
				break;
			fprintf(stderr, "hawser wait: --timeout %s: must be 1 to %d seconds\n", optarg, SECONDS_MAX);
			return 2;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("See hawser wait --help\n", stderr);
			return 2;
		}
	}
	if (optind != argc - 1) {
		fprintf(stderr, "hawser wait: name one machine; see hawser wait --help\n");
		return 2;
	}
	o->vm = argv[optind];
	return -1;
}

/* --- what is known of the machine ------------------------------------------------------------------------------- */

struct view {
	struct fate fate;
	bool booted, over;               /* there was a boot; it has ended */
};

struct answer {
	char *name, *state, *outcome;
	uint64_t value;
	bool ready, failed, powered, ended;
};

#define AT(member) offsetof(struct answer, member)

static const struct json_field vm_fields[] = {
	{ "vm", JSON_KIND_STRING, AT(name) },
	{ NULL },
};

static const struct json_field epoch_fields[] = {
	{ "state", JSON_KIND_STRING, AT(state) },
	{ "outcome", JSON_KIND_STRING, AT(outcome) },
	{ "value", JSON_KIND_U64, AT(value), .max = UINT32_MAX },
	{ "ready", JSON_KIND_BOOL, AT(ready) },
	{ "failed", JSON_KIND_BOOL, AT(failed) },
	{ "powered", JSON_KIND_BOOL, AT(powered) },
	{ "ended", JSON_KIND_BOOL, AT(ended) },
	{ NULL },
};

static void answer_free(struct answer *a)
{
	free(a->name);
	free(a->state);
	free(a->outcome);
}

static void view_set(struct view *v, const struct answer *a)
{
	v->fate = (struct fate){ .value = (uint32_t)a->value, .ready = a->ready, .failed = a->failed,
		.powered = a->powered, .ended = a->ended };
	for (uint8_t outcome = 0; a->outcome && outcome < FATE_OUTCOMES; outcome++)
		if (strcmp(fate_name(outcome), a->outcome) == 0)
			v->fate.outcome = outcome;
	v->over = a->state && strcmp(a->state, "open") != 0 && strcmp(a->state, "live") != 0;
}

/* One machine of a status. 1: it is ours, 0: it is not, -1 with the problem set. */
static int machine_read(const struct json_value *item, const char *vm, struct view *v, struct problem *problem)
{
	struct answer a = { 0 };
	struct json_value epoch, boot;
	int result = json_is_map(item) ? client_fields_read(item, vm_fields, &a, problem) : 0;
	if (result == 0 && a.name && strcmp(a.name, vm) == 0 && json_member(item, "epoch", &epoch) && json_is_map(&epoch))
		result = client_fields_read(&epoch, epoch_fields, &a, problem) < 0 ? -1 : 1;
	if (result > 0) {
		view_set(v, &a);
		v->booted = json_member(&epoch, "boot", &boot) && json_text(&boot);      /* else null */
	}
	answer_free(&a);
	return result;
}

static int status_read(const char *line, size_t len, const char *vm, struct view *v, struct problem *problem)
{
	struct json *json = json_read(line, len, "status", problem);
	struct json_value machines, item = { 0 };
	int result = json ? 0 : -1;
	if (json && json_member(json_top(json), "vms", &machines) && json_is_list(&machines))
		while (result == 0 && json_next(&machines, &item))
			result = machine_read(&item, vm, v, problem);
	json_free(json);
	return result;
}

static void record_take(struct view *v, const struct client_record *record)
{
	if (!record->event)
		return;
	if (strcmp(record->stream, "hawserd") != 0) {
		fate_named(&v->fate, record->event, record->value);
	} else if (strcmp(record->event, "boot") == 0) {
		*v = (struct view){ .booted = true };
	} else if (strcmp(record->event, "end") == 0) {
		v->fate.ended = v->over = true;
	} else if (strcmp(record->event, "unclean") == 0) {
		v->over = true;
	}
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int failed(const char *what)
{
	fprintf(stderr, "hawser wait: %s\n", what);
	return FATE_FAILED;
}

/* -1: not yet; else the exit status. */
static int verdict(const struct options *o, const struct view *v, bool new)
{
	if (o->ready && v->fate.ready && !v->over)
		return 0;
	if (!v->over || !v->booted)
		return -1;
	if (!o->ready)
		return fate_status(&v->fate);
	return new ? failed("it has ended, and never said READY=1") : -1;
}

/* One line: -1 for the next, or the exit status. *known: the status was answered. */
static int line_take(const struct options *o, struct view *v, bool *known, const char *line, size_t len)
{
	struct client_record record;
	struct problem problem;
	int result = client_record_read(&record, line, len, &problem);
	if (result > 0 && *known)
		record_take(v, &record);
	client_record_free(&record);
	if (result < 0)
		return failed(problem.text);
	if (result == 0 && !*known) {
		if (status_read(line, len, o->vm, v, &problem) < 0)
			return failed(problem.text);
		*known = true;
		return verdict(o, v, false);
	}
	return *known ? verdict(o, v, true) : -1;
}

static int late(const struct options *o)
{
	fprintf(stderr, "hawser wait: %u s are over\n", o->seconds);
	return LATE;
}

/* The status comes behind the beginning of following: what comes before it is in it, what comes after it is news. */
static int wait_on(struct client *client, const struct options *o)
{
	const struct client_follow follow = { .vm = o->vm, .status = true };
	uint64_t until = o->seconds ? now_ms() + o->seconds * 1000ull : 0;
	struct view view = { 0 };
	struct problem problem;
	const char *line;
	bool known = false;
	size_t len;
	int status = -1, result = client_follow(client, &follow, until ? (int)o->seconds * 1000 : -1, &problem);

	if (result < 0)
		return result == -ETIMEDOUT && until ? late(o) : failed(problem.text);
	while (status < 0) {
		uint64_t now = now_ms();
		result = until && now >= until ? -ETIMEDOUT :
			client_line_wait(client, until ? (int)(until - now) : -1, &line, &len);
		if (result == -ETIMEDOUT)
			return late(o);
		if (result <= 0)
			return failed(result ? strerror(-result) : "hawserd hung up");
		status = line_take(o, &view, &known, line, len);
	}
	return status;
}

int wait_cmd_main(int argc, char *argv[])
{
	struct options o;
	struct client client;
	int status = parse(&o, argc, argv);

	if (status >= 0)
		return status;
	if (!client_open(&client, o.runtime))
		return FATE_FAILED;
	status = wait_on(&client, &o);
	client_close(&client);
	return status;
}
