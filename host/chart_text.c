/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "chart.h"

#define NAME_WIDTH 10
#define DURATION_WIDTH 9
#define DETAIL_WIDTH 24
#define BARS_MIN 20

#define RED "\x1b[31m"
#define BLUE "\x1b[34m"
#define PLAIN "\x1b[0m"

/* In half columns, so a bar begins and ends within half of one; none is without width. */
static void put_bar(FILE *to, unsigned columns, uint64_t from_ns, uint64_t to_ns, const struct chart_bar *bar)
{
	double scale = 2.0 * columns / (double)(to_ns - from_ns);
	unsigned from = (unsigned)((double)(bar->from_ns - from_ns) * scale + 0.5);
	unsigned until = (unsigned)((double)(bar->to_ns - from_ns) * scale + 0.5);

	if (from >= 2 * columns)
		from = 2 * columns - 1;
	if (until <= from)
		until = from + 1;
	for (unsigned half = 0; half < 2 * columns; half += 2) {
		bool left = half >= from && half < until, right = half + 1 >= from && half + 1 < until;

		fputs(left && right ? "\u2588" : left ? "\u258c" : right ? "\u2590" : " ", to);
	}
}

static void put_row(FILE *to, unsigned columns, bool colour, uint64_t from_ns, uint64_t to_ns,
	const struct chart_bar *bar)
{
	char duration[24];

	fprintf(to, "  %-*s%*s  ", NAME_WIDTH, bar->name, DURATION_WIDTH,
		chart_duration(duration, bar->to_ns - bar->from_ns));
	if (colour)
		fputs(bar->bad ? RED : BLUE, to);
	put_bar(to, columns, from_ns, to_ns, bar);
	if (colour)
		fputs(PLAIN, to);
	fprintf(to, "%s%.*s\n", *bar->detail ? "  " : "", DETAIL_WIDTH, bar->detail);
}

void chart_text(const struct chart *chart, FILE *to, unsigned columns, bool colour)
{
	unsigned taken = 2 + NAME_WIDTH + DURATION_WIDTH + 2 + 2 + DETAIL_WIDTH;
	unsigned width = columns > taken + BARS_MIN ? columns - taken : BARS_MIN;
	struct chart_bar parts[CHART_PARTS];
	char duration[24];

	fprintf(to, "%s: %s%s, %s, %zu lines of log\n", chart->vm, *chart->outcome ? chart->outcome : "running",
		chart->unclean ? ", unclean end" : "", chart_duration(duration, chart->end_ns), chart->n_lines);
	chart_parts(chart, parts);
	for (int i = 0; i < CHART_PARTS; i++)
		if (parts[i].to_ns > parts[i].from_ns)
			put_row(to, width, colour, 0, chart->end_ns, &parts[i]);
	if (!chart->n_bars || chart->last_ns <= chart->init_ns)
		return;
	fputs("since /init\n", to);
	for (size_t i = 0; i < chart->n_bars; i++)
		put_row(to, width, colour, chart->init_ns, chart->last_ns, &chart->bars[i]);
	if (chart->n_marks)
		fputs("and then\n", to);
	for (size_t i = 0; i < chart->n_marks; i++)
		fprintf(to, "  %*s  %s\n", NAME_WIDTH + DURATION_WIDTH, chart_duration(duration, chart->marks[i].at_ns),
			chart->marks[i].name);
}
