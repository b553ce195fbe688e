/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "chart.h"

/* What a log may hold is cut, and never more than letters: it ends in a document and on a terminal. */
static void text_put(char to[static CHART_TEXT], const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 1 < CHART_TEXT; text++)
		to[n++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
	to[n] = 0;
}

static void bar_add(struct chart *chart, const char *name, const char *detail, uint64_t to_ns, bool bad)
{
	struct chart_bar *bar;

	/* Attempts to connect may be many. The first ones say the least. */
	if (chart->n_bars == CHART_BARS) {
		memmove(chart->bars + 8, chart->bars + 9, (CHART_BARS - 9) * sizeof *chart->bars);
		chart->n_bars--;
	}
	bar = &chart->bars[chart->n_bars++];
	*bar = (struct chart_bar){ .from_ns = chart->last_ns, .to_ns = to_ns, .bad = bad };
	text_put(bar->name, name);
	text_put(bar->detail, detail);
	chart->last_ns = to_ns;
}

static void mark_add(struct chart *chart, const char *name, uint64_t at_ns, bool bad)
{
	struct chart_mark *mark;

	if (chart->n_marks == CHART_MARKS) {
		memmove(chart->marks + 1, chart->marks + 2, (CHART_MARKS - 2) * sizeof *chart->marks);
		chart->n_marks--;
	}
	mark = &chart->marks[chart->n_marks++];
	*mark = (struct chart_mark){ .at_ns = at_ns, .bad = bad };
	text_put(mark->name, name);
}

/* --- events ----------------------------------------------------------------------------------------------------- */

static void add_phase(struct chart *chart, const struct client_record *record, const char *text)
{
	char name[CHART_TEXT];

	if (!chart->init_ns) {
		chart->init_ns = chart->last_ns = record->ns;
		return;
	}
	/* "cid 42" is the phase, and what it found. */
	snprintf(name, sizeof name, "%.*s", (int)strcspn(text, " "), text);
	bar_add(chart, name, text[strlen(name)] ? text + strlen(name) + 1 : NULL, record->ns, false);
	if (!strcmp(text, "handoff"))
		chart->handoff_ns = record->ns;
}

static void add_connect(struct chart *chart, const struct client_record *record, const char *text)
{
	bool bad = record->value != 0;

	bar_add(chart, "connect", bad ? strerror((int)record->value) : text, record->ns, bad);
}

static void add_failure(struct chart *chart, const struct client_record *record, const char *text)
{
	if (chart->handoff_ns)
		mark_add(chart, text, record->ns, true);
	else
		bar_add(chart, "failure", text, record->ns, true);
}

static void add_started(struct chart *chart, const struct client_record *record, const char *text)
{
	if (!chart->program_ns) {
		chart->program_ns = record->ns;
		bar_add(chart, "program", text, record->ns, false);
	} else {
		mark_add(chart, "started again", record->ns, false);
	}
	chart->exit_ns = 0;
}

static void ended(struct chart *chart, const struct client_record *record, bool bad)
{
	chart->exit_ns = record->ns;
	mark_add(chart, chart->outcome, record->ns, bad);
}

static void add_exited(struct chart *chart, const struct client_record *record, const char *text)
{
	(void)text;
	snprintf(chart->outcome, sizeof chart->outcome, "exit %u", (unsigned)record->value);
	ended(chart, record, record->value != 0);
}

static void add_killed(struct chart *chart, const struct client_record *record, const char *text)
{
	(void)text;
	snprintf(chart->outcome, sizeof chart->outcome, "killed by signal %u", (unsigned)record->value);
	ended(chart, record, true);
}

static void add_oom(struct chart *chart, const struct client_record *record, const char *text)
{
	(void)text;
	text_put(chart->outcome, "out of memory");
	ended(chart, record, true);
}

static void add_unstarted(struct chart *chart, const struct client_record *record, const char *text)
{
	(void)text;
	snprintf(chart->outcome, sizeof chart->outcome, "not started: %s", strerror((int)record->value));
	ended(chart, record, true);
}

static void add_mark(struct chart *chart, const struct client_record *record, const char *text)
{
	(void)text;
	mark_add(chart, record->event, record->ns, false);
}

static void add_power(struct chart *chart, const struct client_record *record, const char *text)
{
	mark_add(chart, text, record->ns, false);
}

static const struct {
	const char *event;
	void (*add)(struct chart *chart, const struct client_record *record, const char *text);
} events[] = {
	{ "phase", add_phase }, { "connect", add_connect }, { "failure", add_failure }, { "started", add_started },
	{ "exited", add_exited }, { "killed", add_killed }, { "oom", add_oom }, { "unstarted", add_unstarted },
	{ "ready", add_mark }, { "stopping", add_mark }, { "power", add_power },
};

static void event_add(struct chart *chart, const struct client_record *record)
{
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (!strcmp(record->event, events[i].event))
			events[i].add(chart, record, record->bytes ? record->bytes : "");
}

/* --- all records ------------------------------------------------------------------------------------------------ */

static bool line_add(struct chart *chart, uint64_t ns)
{
	if (chart->n_lines == CHART_LINES)
		return true;
	if (chart->n_lines == chart->lines_size) {
		size_t size = chart->lines_size ? chart->lines_size * 2 : 256;
		uint64_t *lines = realloc(chart->lines, size * sizeof *lines);

		if (!lines)
			return false;
		chart->lines = lines;
		chart->lines_size = size;
	}
	chart->lines[chart->n_lines++] = ns;
	return true;
}

static void boot_begin(struct chart *chart, const struct client_record *record)
{
	uint64_t *lines = chart->lines;
	size_t size = chart->lines_size;

	*chart = (struct chart){ .lines = lines, .lines_size = size };
	text_put(chart->boot, record->boot);
	text_put(chart->vm, record->vm);
}

bool chart_add(struct chart *chart, const struct client_record *record)
{
	if (record->boot && strcmp(record->boot, chart->boot) != 0)
		boot_begin(chart, record);
	if (!record->has_ns) {
		chart->unclean |= record->event && !strcmp(record->event, "unclean");
		return true;
	}
	if (record->ns > chart->end_ns)
		chart->end_ns = record->ns;
	if (record->event) {
		event_add(chart, record);
		return true;
	}
	return line_add(chart, record->ns);
}

void chart_free(struct chart *chart)
{
	free(chart->lines);
	*chart = (struct chart){ 0 };
}

bool chart_has_boot(const struct chart *chart)
{
	return chart->init_ns && chart->end_ns > chart->init_ns;
}

void chart_parts(const struct chart *chart, struct chart_bar parts[static CHART_PARTS])
{
	static const char *const names[CHART_PARTS] = { "kernel", "init", "hand-off", "program", "end" };
	uint64_t ends[CHART_PARTS] = { chart->init_ns, chart->handoff_ns, chart->program_ns, chart->exit_ns, 0 };
	uint64_t from = 0;

	for (int i = 0; i < CHART_PARTS; i++) {
		uint64_t end = ends[i] ? ends[i] : chart->end_ns;

		parts[i] = (struct chart_bar){ .from_ns = from, .to_ns = end < from ? from : end };
		text_put(parts[i].name, names[i]);
		from = parts[i].to_ns;
	}
}

const char *chart_duration(char text[static 24], uint64_t ns)
{
	double ms = (double)ns / 1e6;

	if (ms >= 10000)
		snprintf(text, 24, "%.1f s", ms / 1000);
	else
		snprintf(text, 24, "%.*f ms", ms >= 100 ? 0 : ms >= 1 ? 1 : 2, ms);
	return text;
}

unsigned chart_bins(const struct chart *chart, unsigned *bins, size_t n)
{
	unsigned most = 0;

	memset(bins, 0, n * sizeof *bins);
	for (size_t i = 0; i < chart->n_lines; i++) {
		size_t bin = (size_t)((double)chart->lines[i] / (double)(chart->end_ns + 1) * (double)n);

		if (bin < n && ++bins[bin] > most)
			most = bins[bin];
	}
	return most;
}
