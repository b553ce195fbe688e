/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../vsock/ready.h"
#include "client.h"
#include "remote.h"
#include "signals.h"
#include "verbs_cmd.h"

#define STOP_GRACE_S 10
#define ANSWER_MS 10000
#define STOP_MORE_MS 20000       /* from the end of the grace to that of the machine */
#define MIB 1048576.0

enum { OK, FAILED, USAGE };

struct options {
	const char *vm, *word, *runtime;         /* word: behind the machine */
	unsigned grace_s;
};

static const struct option longs[] = {
	{ "runtime", required_argument, NULL, 'r' }, { "grace", required_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
};

static int wrong(const char *name)
{
	fprintf(stderr, "See hawser %s --help\n", name);
	return USAGE;
}

/* -1: go on; else the exit status. words: how many are expected, the machine and what is asked of it. */
static int parse(struct options *o, int argc, char *argv[], const char *usage, int words)
{
	char *end;

	*o = (struct options){ .grace_s = STOP_GRACE_S };
	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 'h') {
			fputs(usage, stdout);
			return OK;
		}
		if (c == 'r')
			o->runtime = optarg;
		else if (c == 'g' && strcmp(argv[0], "stop") == 0) {
			unsigned long n = strtoul(optarg, &end, 10);
			if (*optarg < '0' || *optarg > '9' || *end || n > 86400) {
				fprintf(stderr, "hawser stop: --grace %s: must be 0 to 86400 seconds\n", optarg);
				return USAGE;
			}
			o->grace_s = (unsigned)n;
		} else
			return wrong(argv[0]);
	}
	if (argc - optind != words) {
		fprintf(stderr, "hawser %s: %s\n", argv[0], argc - optind < words ? "too few words" : "too many words");
		return wrong(argv[0]);
	}
	o->vm = argv[optind];
	o->word = words > 1 ? argv[optind + 1] : NULL;
	return -1;
}

/* One verb, one answer. */
static int ask(const struct options *o, const char *name, const struct wire_control *verb, uint16_t type,
	struct wire_control *answer)
{
	static struct remote remote;     /* its buffers are large */
	bool ok = remote_open(&remote, o->runtime, o->vm, name) && remote_ask(&remote, name, verb, type, answer);

	remote_close(&remote);
	if (ok && type == WIRE_DONE && answer->number) {
		fprintf(stderr, "hawser %s: %s: %s\n", name, o->vm, answer->number == ESRCH ?
			"no program runs there that could be signalled" : strerror((int)answer->number));
		ok = false;
	}
	return ok ? OK : FAILED;
}

/* --- ping ------------------------------------------------------------------------------------------------------- */

static const char ping_usage[] =
	"usage: hawser ping [--runtime DIR] VM\n"
	"\n"
	"Asks a running machine for a sign of life: how long the answer took, how long it has been up, its memory.\n"
	"\n"
	"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 no answer; 2 wrong usage.\n";

int ping_cmd_main(int argc, char *argv[])
{
	static struct remote remote;
	struct wire_control pong;
	struct options o;
	int status = parse(&o, argc, argv, ping_usage, 1);

	if (status >= 0)
		return status;
	if (!remote_open(&remote, o.runtime, o.vm, "ping"))
		return FAILED;
	uint64_t began = ready_now_ns();
	bool ok = remote_ask(&remote, "ping", &(struct wire_control){ .type = WIRE_PING }, WIRE_PONG, &pong);
	uint64_t took = ready_now_ns() - began;
	remote_close(&remote);
	if (ok)
		printf("%s: %.2f ms, up %.1f s, %.1f of %.1f MiB of memory available\n", o.vm, (double)took / 1e6,
			(double)pong.pong.boot_ns / 1e9, (double)pong.pong.mem_available / MIB,
			(double)pong.pong.mem_total / MIB);
	return ok ? OK : FAILED;
}

/* --- signal ----------------------------------------------------------------------------------------------------- */

static const char signal_usage[] =
	"usage: hawser signal [--runtime DIR] VM SIGNAL\n"
	"\n"
	"Sends a signal to the program of a running machine: SIGHUP, HUP or 1.\n"
	"\n"
	"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 a failure; 2 wrong usage.\n";

/* 0: none. */
static uint32_t signal_parse(const char *text)
{
	char name[32], *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text >= '0' && *text <= '9')
		return *end || n > 64 ? 0 : (uint32_t)n;
	snprintf(name, sizeof name, "%s%s", strncmp(text, "SIG", 3) == 0 ? "" : "SIG", text);
	return signals_number(name);
}

int signal_cmd_main(int argc, char *argv[])
{
	struct options o;
	int status = parse(&o, argc, argv, signal_usage, 2);
	uint32_t number = status >= 0 ? 0 : signal_parse(o.word);

	if (status >= 0)
		return status;
	if (number == 0) {
		fprintf(stderr, "hawser signal: %s: no signal is called so; SIGHUP to SIGSYS, SIGRTMIN+N, or 1 to 64\n", o.word);
		return USAGE;
	}
	return ask(&o, "signal", &(struct wire_control){ .type = WIRE_SIGNAL, .number = number }, WIRE_DONE,
		&(struct wire_control){ 0 });
}

/* --- stop ------------------------------------------------------------------------------------------------------- */

static const char stop_usage[] =
	"usage: hawser stop [--grace SECONDS] [--runtime DIR] VM\n"
	"\n"
	"Ends a running machine in good order, and waits until it has ended.\n"
	"\n"
	"  --grace SECONDS  then it is turned off as it is (default 10)\n"
	"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 a failure; 2 wrong usage.\n";

/* A word of hawserd's that the machine's log is over. */
static bool ends(const char *line, size_t len)
{
	struct client_record record;
	struct problem problem;
	bool end = client_record_read(&record, line, len, &problem) > 0 && record.event &&
		strcmp(record.stream, "hawserd") == 0 &&
		(strcmp(record.event, "end") == 0 || strcmp(record.event, "unclean") == 0);

	client_record_free(&record);
	return end;
}

/* hawserd hangs up when a machine that was attached is gone: that is its end, too. */
static int end_wait(struct client *client, const struct options *o)
{
	uint64_t deadline = ready_deadline((int)o->grace_s * 1000 + STOP_MORE_MS);
	const char *line;
	size_t len;
	int result = 1;

	while (result > 0) {
		uint64_t now = ready_now_ns();
		result = now >= deadline ? -ETIMEDOUT
			: client_line_wait(client, (int)((deadline - now) / 1000000) + 1, &line, &len);
		if (result > 0 && ends(line, len))
			return OK;
	}
	if (result == 0)
		return OK;
	fprintf(stderr, "hawser stop: %s: %s\n", o->vm, result == -ETIMEDOUT ? "has not ended" : strerror(-result));
	return FAILED;
}

int stop_cmd_main(int argc, char *argv[])
{
	struct client client;
	struct options o;
	struct problem problem;
	int status = parse(&o, argc, argv, stop_usage, 1);

	if (status >= 0)
		return status;
	if (!client_open(&client, o.runtime))
		return FAILED;
	/* Before it is asked, so that its end is not missed. */
	if (client_follow(&client, &(struct client_follow){ .vm = o.vm }, ANSWER_MS, &problem) < 0) {
		fprintf(stderr, "hawser stop: %s\n", problem.text);
		status = FAILED;
	} else
		status = ask(&o, "stop", &(struct wire_control){ .type = WIRE_STOP, .number = o.grace_s * 1000 }, WIRE_DONE,
			&(struct wire_control){ 0 });
	if (status == OK)
		status = end_wait(&client, &o);
	client_close(&client);
	return status;
}
