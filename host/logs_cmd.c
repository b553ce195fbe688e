/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/wire.h"
#include "client.h"
#include "logs_cmd.h"
#include "show.h"

#define ANSWER_MS 10000
#define TAIL_DEFAULT 1000        /* hawserd gives what it still has of them */
#define TAIL_ALL UINT32_MAX      /* all that there is */
#define TAIL_MAX 1000000000

static const char usage[] =
	"usage: hawser logs [-f] [-n N] [--since TIME] [--stream NAME] [--priority P] [--json] [--runtime DIR] VM\n"
	"\n"
	"Shows the last lines of a machine's log.\n"
	"\n"
	"  -f, --follow     and all that come after them, until interrupted\n"
	"  -n, --lines N    how many (default 1000; with --since, all)\n"
	"  --since TIME     none older: 2026-11-22, 2026-11-22T08:00:30 (UTC) or +01:00 behind it, 15m, \"2 hours ago\"\n"
	"  --stream NAME    only init, kernel, console, syslog, stdout, stderr or hawserd\n"
	"  --priority P     only lines of this priority or a worse one: 0 to 7, or emerg to debug; and what is missing\n"
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

/* "15m", "15 min", "15 minutes ago": in seconds, or -1. A unit is known by any beginning of its name. */
static long long ago_parse(const char *text)
{
	static const struct { const char *name; long long seconds; } units[] = {
		{ "seconds", 1 }, { "minutes", 60 }, { "hours", 3600 }, { "days", 86400 },
	};
	char *word;
	unsigned long n = isdigit((unsigned char)*text) ? strtoul(text, &word, 10) : ULONG_MAX;
	if (n > 36500)
		return -1;
	word += strspn(word, " ");
	size_t len = strcspn(word, " ");
	const char *rest = word + len + strspn(word + len, " ");
	if (!len || (*rest && strcmp(rest, "ago") != 0))
		return -1;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strncmp(word, units[i].name, len) == 0)
			return (long long)n * units[i].seconds;
	return -1;
}

/* RFC 3339 with an offset from UTC: "2026-11-22T09:00:30+01:00". Fractions of a second are cut off. */
static bool zone_parse(char point[static LOGS_TIME], const char *text, size_t len)
{
	struct tm tm = { 0 };
	int hours, minutes, used = 0;
	char sign;
	const char *end = len > 19 ? strptime(text, text[10] == ' ' ? "%Y-%m-%d %T" : "%Y-%m-%dT%T", &tm) : NULL;
	if (!end)
		return false;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (sscanf(end, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || used != 6 || end[6] ||
		(sign != '+' && sign != '-') || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	point_format(point, (long long)timegm(&tm) - (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60));
	return true;
}

const char *logs_cmd_since(char point[static LOGS_TIME], const char *text, long long now)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	size_t len = strlen(text);
	long long seconds = ago_parse(text);
	if (seconds >= 0) {
		point_format(point, now - seconds);
		return NULL;
	}
	if (zone_parse(point, text, len))
		return NULL;
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

static bool stream_known(const char *name)
{
	bool known = strcmp(name, "hawserd") == 0;
	for (uint8_t s = 1; s < WIRE_STREAMS && !known; s++)
		known = strcmp(name, wire_stream_name(s)) == 0;
	return known;
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
	bool tail_set = false;
	*o = (struct options){ .priority = -1, .tail = TAIL_DEFAULT };
	for (int c; (c = getopt_long(argc, argv, "fn:h", longs, NULL)) != -1;) {
		switch (c) {
		case 'f': o->follow = true; break;
		case 'j': o->json = true; break;
		case 's':
			if (!stream_known(o->stream = optarg))
				return wrong("--stream", optarg, "must be init, kernel, console, syslog, stdout, stderr or "
					"hawserd");
			break;
		case 'r': o->runtime = optarg; break;
		case 'n':
			tail_set = true;
			if (!number_parse(optarg, &o->tail))
				return wrong("-n", optarg, "must be a number up to 1000000000");
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
	if (*o->since && !tail_set)
		o->tail = TAIL_ALL;
	o->vm = argv[optind];
	return -1;
}

/* --- the log ---------------------------------------------------------------------------------------------------- */

/* What is missing, or may be, belongs into every view. */
static bool is_hole(const struct client_record *record)
{
	return record->lost_reason || (record->event && strcmp(record->stream, "hawserd") == 0 &&
		(strcmp(record->event, "unclean") == 0 || strcmp(record->event, "accounting") == 0));
}

static bool wanted(const struct options *o, const struct client_record *record)
{
	if (*o->since && record->time && strcmp(record->time, o->since) < 0)
		return false;
	if (is_hole(record))
		return !record->lost_reason || !o->stream || strcmp(record->stream, o->stream) == 0;
	/* One without a priority is shown only when none is asked for; CLIENT_NO_PRIORITY is above all. */
	return (!o->stream || strcmp(record->stream, o->stream) == 0) &&
		(o->priority < 0 || record->priority <= o->priority);
}

/* JSON leaves DEL and C1 controls as they are; a terminal would obey them. */
static void put_json(const struct show *show, struct outqueue *out, const char *line, size_t len)
{
	const unsigned char *p = (const unsigned char *)line, *end = p + len, *plain = p;
	for (; show->escape && p < end; p++) {
		bool c1 = *p == 0xc2 && p + 1 < end && p[1] < 0xa0;
		if (*p != 0x7f && !c1)
			continue;
		outqueue_put(out, plain, (size_t)(p - plain));
		p += c1;
		outqueue_printf(out, "\\u%04x", *p);
		plain = p + 1;
	}
	outqueue_put(out, plain, (size_t)(end - plain));
	outqueue_put(out, "\n", 1);
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
		put_json(show, out, line, len);
	} else if (result > 0 && wanted(o, &record))
		show_record(show, out, &record);
	client_record_free(&record);
	return result != 0;
}

/* So that hawserd does not send files of long ago. */
static uint64_t since_seconds(const struct options *o)
{
	struct tm tm = { 0 };
	return *o->since && strptime(o->since, "%Y-%m-%dT%T", &tm) ? (uint64_t)timegm(&tm) : 0;
}

/* 1: there is more to come; 0: that was all; -errno. What was read is out before we wait again. */
static int lines_show(struct client *client, const struct options *o, struct show *show, struct outqueue *out)
{
	const char *line;
	size_t len;
	bool more = true;
	int result = client_line_wait(client, -1, &line, &len);
	if (result <= 0)
		return result || o->follow ? result : -ECONNRESET;
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

	int result = parse(&o, argc, argv);
	if (result >= 0)
		return result;
	if (!client_open(&client, o.runtime))
		return 1;
	/* Who does not want to follow takes the answer to another request for the end of the lines that there are. */
	const struct client_follow follow = { o.vm, o.tail, since_seconds(&o), .status = !o.follow };
	if (client_follow(&client, &follow, ANSWER_MS, &problem) < 0) {
		fprintf(stderr, "hawser logs: %s\n", problem.text);
		client_close(&client);
		return 1;
	}
	signal(SIGPIPE, SIG_DFL);
	show_init(&show, STDOUT_FILENO);
	show.wall = true;
	outqueue_init(&out, STDOUT_FILENO);
	do
		result = lines_show(&client, &o, &show, &out);
	while (result > 0);
	if (result < 0)
		fprintf(stderr, "hawser logs: hawserd: %s\n", strerror(-result));
	show_end(&show, &out);
	outqueue_drain(&out);
	outqueue_finish(&out);
	client_close(&client);
	return result < 0;
}
