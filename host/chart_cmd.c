/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "chart.h"
#include "chart_cmd.h"
#include "client.h"

#define ANSWER_MS 10000
#define LINES 100000             /* the most that hawserd gives */

static const char usage[] =
	"usage: hawser chart [-o FILE.svg] [--boot ID] [--runtime DIR] VM\n"
	"       hawser chart [-o FILE.svg] [--boot ID] --log FILE\n"
	"\n"
	"Draws what a machine's last boot was made of, from its log.\n"
	"\n"
	"  -o, --output FILE  an SVG picture; without it, text for a terminal\n"
	"  --boot ID          not the last boot, but the one whose id begins so\n"
	"  --log FILE         of a log in JSON lines: hawser run --log, json.log of hawserd; - is standard input\n"
	"  --runtime DIR      the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 a failure, or there is no boot in the log; 2 wrong usage.\n";

struct options {
	const char *vm, *log, *output, *boot, *runtime;
};

static int wrong(const char *text)
{
	fprintf(stderr, "hawser chart: %s; see hawser chart --help\n", text);
	return 2;
}

/* -1: go on; else the exit status. */
static int parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "output", required_argument, NULL, 'o' }, { "boot", required_argument, NULL, 'b' },
		{ "log", required_argument, NULL, 'l' }, { "runtime", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};

	*o = (struct options){ 0 };
	for (int c; (c = getopt_long(argc, argv, "o:h", longs, NULL)) != -1;) {
		switch (c) {
		case 'o': o->output = optarg; break;
		case 'b': o->boot = optarg; break;
		case 'l': o->log = optarg; break;
		case 'r': o->runtime = optarg; break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return wrong("an option is wrong");
		}
	}
	if (o->log ? optind != argc : optind != argc - 1)
		return wrong(o->log ? "with --log there is no machine to name" : "name one machine, or a --log");
	o->vm = argv[optind];
	return -1;
}

/* --- the records ------------------------------------------------------------------------------------------------ */

/* 1: a record; 0: the answer to a request; or a negative errno. What is no record at all is said, and left out. */
static int line_take(const struct options *o, struct chart *chart, const char *line, size_t len)
{
	struct client_record record;
	struct problem problem;
	int result = client_record_read(&record, line, len, &problem);
	bool other = o->boot && (!record.boot || strncmp(record.boot, o->boot, strlen(o->boot)) != 0);

	if (result < 0)
		fprintf(stderr, "hawser chart: a line that is no record is left out: %s\n", problem.text);
	bool full = result > 0 && !other && !chart_add(chart, &record);
	client_record_free(&record);
	return full ? -ENOMEM : result != 0;
}

static int log_read(const struct options *o, struct chart *chart)
{
	bool standard = strcmp(o->log, "-") == 0;
	FILE *from = standard ? stdin : fopen(o->log, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int result = 0;

	if (!from) {
		fprintf(stderr, "hawser chart: %s: %s\n", o->log, strerror(errno));
		return 1;
	}
	while (!result && (len = getline(&line, &size, from)) > 0)
		if (line_take(o, chart, line, (size_t)len - (line[len - 1] == '\n')) < 0)
			result = 1;
	if (result || ferror(from))
		fprintf(stderr, "hawser chart: %s: %s\n", o->log, strerror(result ? ENOMEM : errno));
	result |= ferror(from) != 0;
	free(line);
	if (!standard)
		fclose(from);
	return result;
}

/* The status, whose answer ends what was asked for, as hawser logs has it. */
static int vm_read(const struct options *o, struct chart *chart)
{
	const struct client_follow follow = { .vm = o->vm, .tail = LINES, .status = true };
	struct client client;
	struct problem problem;
	const char *line;
	size_t len;
	int result;

	if (!client_open(&client, o->runtime))
		return 1;
	if (client_follow(&client, &follow, ANSWER_MS, &problem) < 0) {
		fprintf(stderr, "hawser chart: %s\n", problem.text);
		client_close(&client);
		return 1;
	}
	do {
		result = client_line_wait(&client, ANSWER_MS, &line, &len);
		result = result > 0 ? line_take(o, chart, line, len) : result ? result : -ECONNRESET;
	} while (result > 0);
	client_close(&client);
	if (result < 0)
		fprintf(stderr, "hawser chart: hawserd: %s\n", strerror(-result));
	return result < 0;
}

/* --- the picture ------------------------------------------------------------------------------------------------ */

static unsigned columns_of(int fd)
{
	struct winsize size;

	return !ioctl(fd, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 100;
}

static int picture_write(const struct options *o, const struct chart *chart)
{
	const char *term = getenv("TERM");
	bool terminal = isatty(STDOUT_FILENO);
	FILE *to = o->output ? fopen(o->output, "we") : stdout;
	int failed;

	if (!to) {
		fprintf(stderr, "hawser chart: %s: %s\n", o->output, strerror(errno));
		return 1;
	}
	if (o->output)
		chart_svg(chart, to);
	else
		chart_text(chart, to, columns_of(STDOUT_FILENO),
			terminal && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0);
	failed = ferror(to);
	if ((o->output ? fclose(to) : fflush(to)) || failed) {
		fprintf(stderr, "hawser chart: %s: %s\n", o->output ? o->output : "standard output", strerror(errno));
		return 1;
	}
	return 0;
}

int chart_cmd_main(int argc, char *argv[])
{
	struct options o;
	struct chart chart = { 0 };
	int result = parse(&o, argc, argv);

	if (result >= 0)
		return result;
	result = o.log ? log_read(&o, &chart) : vm_read(&o, &chart);
	if (!result && !chart_has_boot(&chart)) {
		fprintf(stderr, "hawser chart: %s: no %s in the log, from init's first phase on\n", o.log ? o.log : o.vm,
			o.boot ? "such boot" : "boot");
		result = 1;
	}
	if (!result)
		result = picture_write(&o, &chart);
	chart_free(&chart);
	return result;
}
