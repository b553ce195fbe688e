/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "logs_cmd.h"
#include "show.h"

#define ANSWER_MS 10000
#define TAIL_DEFAULT 1000        /* hawserd gives what it still has of them */
#define TAIL_MAX 100000

static const char usage[] =
	"usage: hawser logs [-f] [-n N] [--since TIME] [--stream NAME] [--priority P] [--json] [--runtime DIR] VM\n"
	"\n"
	"Shows the last lines of a machine's log.\n"
	"\n"
	"  -f, --follow     and all that come after them, until interrupted\n"
	"  -n, --lines N    how many (default 1000)\n"
	"  --since TIME     none older: 2026-11-22, 2026-11-22T08:00:30 (UTC), or 90s, 15m, 2h, 3d ago\n"
	"  --stream NAME    only init, kernel, console, syslog, stdout, stderr or hawserd\n"
	"  --priority P     only lines of this priority or a worse one: 0 to 7, or emerg to debug\n"
	"  --json           as JSON lines (docs/LOGS.md)\n"
	"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 a failure; 2 wrong usage.\n";

struct options {
	const char *vm, *runtime, *stream;
	char since[LOGS_TIME];           /* "": from the beginning */
	int priority;                    /* -1: any, and none */
	uint64_t tail;
	bool follow, json;
};

/* --- words of the command line ---------------------------------------------------------------------------------- */

int logs_cmd_priority(const char *text)
{
	static const char *const names[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };
	if (text[0] >= '0' && text[0] <= '7' && !text[1])
		return text[0] - '0';
	for (int i = 0; i < 8; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return strcmp(text, "error") == 0 ? 3 : strcmp(text, "warn") == 0 ? 4 : -1;
}

static void point_format(char point[static LOGS_TIME], long long seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(point, LOGS_TIME, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
}

const char *logs_cmd_since(char point[static LOGS_TIME], const char *text, long long now)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	static const struct { char unit; long long seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 },
	};
	char *end;
	size_t len = strlen(text);
	unsigned long n = strtoul(text, &end, 10);
	for (size_t i = 0; isdigit((unsigned char)text[0]) && i < sizeof units / sizeof *units; i++)
		if (*end == units[i].unit && !end[1] && n <= 36500) {
			point_format(point, now - (long long)n * units[i].seconds);
			return NULL;
		}
	/* The points in time are texts of one form, so they compare as texts; what is left out is 0. */
	if (len < 10 || len > sizeof form - 1)
		return "must be like 2026-11-22, 2026-11-22T08:00:30 or 15m";
	strcpy(point, form);
	for (size_t i = 0; i < len; i++) {
		bool blank = form[i] == 'T' && text[i] == ' ';
		if (form[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != form[i] && !blank)
			return "must be like 2026-11-22, 2026-11-22T08:00:30 or 15m";
		point[i] = blank ? 'T' : text[i];
	}
	return NULL;
}

static bool number_parse(const char *text, uint64_t *n)
{
	char *end;
	errno = 0;
	*n = strtoull(text, &end, 10);
	return isdigit((unsigned char)*text) && !*end && !errno && *n <= TAIL_MAX;
}

static int wrong(const char *option, const char *value, const char *must)
{
	fprintf(stderr, "hawser logs: %s %s: %s\n", option, value, must);
	return 2;
}

/* -1: go on; else the exit status. */
static int parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "follow", no_argument, NULL, 'f' }, { "lines", required_argument, NULL, 'n' },
		{ "since", required_argument, NULL, 'S' }, { "stream", required_argument, NULL, 's' },
		{ "priority", required_argument, NULL, 'p' }, { "json", no_argument, NULL, 'j' },
		{ "runtime", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	const char *fault;
	*o = (struct options){ .priority = -1, .tail = TAIL_DEFAULT };
	for (int c; (c = getopt_long(argc, argv, "fn:h", longs, NULL)) != -1;) {
		switch (c) {
		case 'f': o->follow = true; break;
		case 'j': o->json = true; break;
		case 's': o->stream = optarg; break;
		case 'r': o->runtime = optarg; break;
		case 'n':
			if (!number_parse(optarg, &o->tail))
				return wrong("-n", optarg, "must be a number up to 100000");
			break;
		case 'S':
			if ((fault = logs_cmd_since(o->since, optarg, (long long)time(NULL))))
				return wrong("--since", optarg, fault);
			break;
		case 'p':
			if ((o->priority = logs_cmd_priority(optarg)) < 0)
				return wrong("--priority", optarg, "must be 0 to 7, or one of emerg, alert, crit, "
					"err, warning, notice, info, debug");
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("See hawser logs --help\n", stderr);
			return 2;
		}
	}
	if (optind != argc - 1) {
		fprintf(stderr, "hawser logs: name one machine; see hawser logs --help\n");
		return 2;
	}
	o->vm = argv[optind];
	return -1;
}

/* --- the log ---------------------------------------------------------------------------------------------------- */

static bool wanted(const struct options *o, const struct client_record *record)
{
	/* One without a priority is shown only when none is asked for; CLIENT_NO_PRIORITY is above all. */
	return (!o->stream || strcmp(record->stream, o->stream) == 0) &&
		(o->priority < 0 || record->priority <= o->priority) &&
		(!*o->since || !record->time || strcmp(record->time, o->since) >= 0);
}

/* False: this line ends what was asked for. */
static bool line_show(const struct options *o, struct show *show, struct outqueue *out, const char *line, size_t len)
{
	struct client_record record;
	struct problem problem;
	int result = client_record_read(&record, line, len, &problem);
	if (result < 0)
		fprintf(stderr, "hawser logs: a line that is no record is left out: %s\n", problem.text);
	else if (result > 0 && wanted(o, &record) && o->json) {
		outqueue_put(out, line, len);
		outqueue_put(out, "\n", 1);
	} else if (result > 0 && wanted(o, &record))
		show_record(show, out, &record);
	client_record_free(&record);
	return result != 0;
}

/*
 * Lines are asked for by following; who does not want to follow asks for the status as well, whose answer comes behind
 * the lines there are, and so ends them.
 */
static int request(struct client *client, const struct options *o)
{
	char buf[1024];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	json_line_begin(&out);
	json_put_string(&out, "op", "follow");
	json_put_string(&out, "vm", o->vm);
	json_put_u64(&out, "tail", o->tail);
	if (!json_line_end(&out))
		return -ENAMETOOLONG;
	if (!o->follow) {
		json_line_begin(&out);
		json_put_string(&out, "op", "status");
		json_line_end(&out);
	}
	return client_send(client, &out);
}

/* 1: there is more to come; 0: that was all; -errno. What was read is out before we wait again. */
static int lines_show(struct client *client, const struct options *o, struct show *show, struct outqueue *out)
{
	const char *line;
	size_t len;
	bool more = true;
	int result = client_line_wait(client, -1, &line, &len);
	if (result <= 0)
		return result;
	do
		more = line_show(o, show, out, line, len);
	while (more && !outqueue_full(out) && client_line(client, &line, &len));
	outqueue_drain(out);
	return out->error ? -out->error : more;
}

int logs_cmd_main(int argc, char *argv[])
{
	struct options o;
	struct client client;
	struct show show;
	struct outqueue out;
	struct problem problem;
	const char *line;
	size_t len;

	int result = parse(&o, argc, argv);
	if (result >= 0)
		return result;
	if (!client_open(&client, o.runtime))
		return 1;
	signal(SIGPIPE, SIG_DFL);
	show_init(&show, STDOUT_FILENO);
	show.wall = true;
	outqueue_init(&out, STDOUT_FILENO);
	if ((result = request(&client, &o)) == 0)
		result = client_line_wait(&client, ANSWER_MS, &line, &len);
	if (result > 0 && client_answer_read(line, len, &problem) < 0) {
		fprintf(stderr, "hawser logs: %s\n", problem.text);
		client_close(&client);
		return 1;
	}
	while (result > 0)
		result = lines_show(&client, &o, &show, &out);
	if (result < 0)
		fprintf(stderr, "hawser logs: hawserd: %s\n", strerror(-result));
	show_end(&show, &out);
	outqueue_drain(&out);
	outqueue_finish(&out);
	client_close(&client);
	return result < 0;
}
