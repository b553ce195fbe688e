/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "chart.h"

#define LETTER 7.2               /* pixels, more than most letters have */

/* In pixels. */
enum {
	WIDTH = 960, LEFT = 24, RIGHT = 936,
	TITLE_Y = 34, LEGEND_Y = 60, MARKS_Y = 86, WHOLE_Y = 108, WHOLE_H = 30, LINES_H = 26, AXIS_H = 22,
	ZOOM_GAP = 34, ROW_H = 22, BAR_H = 14, ROWS_LEFT = 150, ROWS_RIGHT = 800,
};

#define KERNEL "#5b6b7f"
#define INIT "#1f77c9"
#define HANDOFF "#17a398"
#define PROGRAM "#3f9b4f"
#define SHUTDOWN "#b0b7c0"
#define BAD "#cf3a3a"
#define INK "#1c2430"
#define FAINT "#6b7683"
#define SMALL "font-size=\"11\" fill=\"" FAINT "\" "
#define SMALL_BAD "font-size=\"11\" fill=\"" BAD "\" "
#define SMALL_INK "font-size=\"11\" "

static void put_escaped(FILE *to, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<': fputs("&lt;", to); break;
		case '>': fputs("&gt;", to); break;
		case '&': fputs("&amp;", to); break;
		default: putc(*text, to);
		}
}

static void put_text(FILE *to, double x, double y, const char *attributes, const char *text)
{
	fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
	put_escaped(to, text);
	fputs("</text>\n", to);
}

static void put_box(FILE *to, double x, double y, double width, double height, const char *colour)
{
	fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" fill=\"%s\"/>\n", x, y,
		width < 1.5 ? 1.5 : width, height, colour);
}

static double place(uint64_t ns, uint64_t from_ns, uint64_t to_ns, double left, double right)
{
	return left + (double)(ns - from_ns) / (double)(to_ns - from_ns) * (right - left);
}

/* --- the whole boot --------------------------------------------------------------------------------------------- */

static void put_whole(const struct chart *chart, FILE *to)
{
	static const char *const colours[CHART_PARTS] = { KERNEL, INIT, HANDOFF, PROGRAM, SHUTDOWN };
	struct chart_bar parts[CHART_PARTS];
	char text[CHART_TEXT + 32], duration[24];
	double legend = LEFT;

	chart_parts(chart, parts);
	for (int i = 0; i < CHART_PARTS; i++) {
		double left = place(parts[i].from_ns, 0, chart->end_ns, LEFT, RIGHT);
		double right = place(parts[i].to_ns, 0, chart->end_ns, LEFT, RIGHT);

		if (parts[i].to_ns == parts[i].from_ns)
			continue;
		snprintf(text, sizeof text, "%s %s", parts[i].name,
			chart_duration(duration, parts[i].to_ns - parts[i].from_ns));
		put_box(to, legend, LEGEND_Y - 11, 12, 12, colours[i]);
		put_text(to, legend + 18, LEGEND_Y, "", text);
		legend += 18 + LETTER * (double)strlen(text) + 24;
		put_box(to, left, WHOLE_Y, right - left - 1, WHOLE_H, colours[i]);
		if (right - left > LETTER * (double)strlen(parts[i].name) + 8)
			put_text(to, (left + right) / 2, WHOLE_Y + 20, "fill=\"#fff\" text-anchor=\"middle\"",
				parts[i].name);
	}
}

/* How much was logged, and when. */
static void put_lines(const struct chart *chart, FILE *to, double y)
{
	unsigned bins[CHART_BINS], most = chart_bins(chart, bins, CHART_BINS);
	double width = (double)(RIGHT - LEFT) / CHART_BINS;

	for (int i = 0; i < CHART_BINS && most; i++) {
		double height = bins[i] ? 2 + (LINES_H - 6) * (double)bins[i] / most : 0;

		if (bins[i])
			fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#c3ccd6\"/>\n",
				LEFT + i * width, y, width - 1, height);
	}
}

/* The first of 1, 2 and 5 times a power of ten that makes at most ten steps. */
static uint64_t step_of(uint64_t ns)
{
	uint64_t step = 1000;

	for (;;) {
		static const uint64_t factors[] = { 1, 2, 5 };

		for (int i = 0; i < 3; i++)
			if (ns / (step * factors[i]) <= 10)
				return step * factors[i];
		step *= 10;
	}
}

/* from_ns counts as 0. */
static void put_axis(FILE *to, uint64_t from_ns, uint64_t to_ns, double left, double right, double y, double height)
{
	uint64_t step = step_of(to_ns - from_ns);
	char text[40];

	for (uint64_t at = 0; at <= to_ns - from_ns; at += step) {
		double x = place(from_ns + at, from_ns, to_ns, left, right);

		fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#dde2e8\"/>\n", x, y, x,
			y + height);
		snprintf(text, sizeof text, "%g%s", (double)at / 1e6, at ? "" : " ms");
		put_text(to, x, y + height + 13, SMALL "text-anchor=\"middle\"", text);
	}
}

/* What happened to the program: a line through the bar, its name above. Those that would overlap are left out. */
static void put_marks(const struct chart *chart, FILE *to)
{
	double free_from = LEFT;

	for (size_t i = 0; i < chart->n_marks; i++) {
		const struct chart_mark *mark = &chart->marks[i];
		double x = place(mark->at_ns, 0, chart->end_ns, LEFT, RIGHT);
		double width = 6.5 * (double)strlen(mark->name), left = x + width > RIGHT ? RIGHT - width : x;

		if (left < free_from)
			left = free_from;
		if (left + width > RIGHT + 1 || left > x + 120)
			continue;
		fprintf(to, "<path d=\"M%.1f %d L%.1f %d L%.1f %d\" fill=\"none\" stroke=\"%s\"/>\n", left + 2, MARKS_Y + 5,
			x, WHOLE_Y - 4, x, WHOLE_Y + WHOLE_H, mark->bad ? BAD : INK);
		put_text(to, left, MARKS_Y, mark->bad ? SMALL_BAD : SMALL_INK, mark->name);
		free_from = left + width + 10;
	}
}

/* --- what init did ---------------------------------------------------------------------------------------------- */

static void put_row(FILE *to, const struct chart_bar *bar, uint64_t from_ns, uint64_t to_ns, double y)
{
	double left = place(bar->from_ns, from_ns, to_ns, ROWS_LEFT, ROWS_RIGHT);
	double right = place(bar->to_ns, from_ns, to_ns, ROWS_LEFT, ROWS_RIGHT);
	bool after = !strcmp(bar->name, "program");
	char text[CHART_TEXT + 32], duration[24];

	put_text(to, ROWS_LEFT - 12, y + 12, "text-anchor=\"end\"", bar->name);
	put_box(to, left, y + 1, right - left, BAR_H, bar->bad ? BAD : after ? HANDOFF : INIT);
	chart_duration(duration, bar->to_ns - bar->from_ns);
	snprintf(text, sizeof text, *bar->detail ? "%s (%s)" : "%s", duration, bar->detail);
	put_text(to, right + 6, y + 12, bar->bad ? SMALL_BAD : SMALL, text);
}

static double put_zoom(const struct chart *chart, FILE *to, double y)
{
	uint64_t from = chart->init_ns, until = chart->bars[chart->n_bars - 1].to_ns;
	double height = ROW_H * (double)chart->n_bars;

	if (until <= from)
		return y;
	fprintf(to, "<path d=\"M%.1f %.1f L%d %.1f L%d %.1f L%.1f %.1f Z\" fill=\"#eef3f9\"/>\n",
		place(from, 0, chart->end_ns, LEFT, RIGHT), y - ZOOM_GAP, ROWS_LEFT, y, ROWS_RIGHT, y,
		place(until, 0, chart->end_ns, LEFT, RIGHT), y - ZOOM_GAP);
	fprintf(to, "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"#f6f9fc\"/>\n", ROWS_LEFT, y,
		ROWS_RIGHT - ROWS_LEFT, height);
	put_axis(to, from, until, ROWS_LEFT, ROWS_RIGHT, y, height);
	for (size_t i = 0; i < chart->n_bars; i++)
		put_row(to, &chart->bars[i], from, until, y + 3 + ROW_H * (double)i);
	put_text(to, LEFT, y + height + 13, SMALL, "since /init");
	return y + height + AXIS_H;
}

void chart_svg(const struct chart *chart, FILE *to)
{
	double lines_y = WHOLE_Y + WHOLE_H + 2, zoom_y = lines_y + LINES_H + AXIS_H + ZOOM_GAP;
	double height = zoom_y + (chart->n_bars ? ROW_H * (double)chart->n_bars + AXIS_H : 0) + 12;
	char text[256], duration[24];

	fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" "
		"font-family=\"system-ui, Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"" INK "\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", WIDTH, height, WIDTH, height);
	snprintf(text, sizeof text, "%s: %s%s, %s", chart->vm, *chart->outcome ? chart->outcome : "running",
		chart->unclean ? ", unclean end" : "", chart_duration(duration, chart->end_ns));
	put_text(to, LEFT, TITLE_Y, "font-size=\"17\" font-weight=\"600\"", text);
	snprintf(text, sizeof text, "boot %s, %zu lines of log", chart->boot, chart->n_lines);
	put_text(to, RIGHT, TITLE_Y, SMALL "text-anchor=\"end\"", text);
	put_axis(to, 0, chart->end_ns, LEFT, RIGHT, WHOLE_Y + WHOLE_H, LINES_H);
	put_whole(chart, to);
	put_lines(chart, to, lines_y);
	put_marks(chart, to);
	if (chart->n_bars)
		put_zoom(chart, to, zoom_y);
	fputs("</svg>\n", to);
}
