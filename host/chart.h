/* SPDX-License-Identifier: MIT */
/*
 * chart: one boot of a machine, from the kernel's first message to the last, as a picture: what took how long. Made of
 * the records of its log alone. Pure.
 *
 * The whole boot is one row of four parts, kernel, init, hand-off and program; below it, on a scale of its own, is what
 * init did from its first instruction to the start of the program, a row for each phase and each attempt to connect.
 */
#ifndef HOST_CHART_H
#define HOST_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client.h"

#define CHART_BARS 64            /* more than a boot has, unless its host is long in coming: then the last ones */
#define CHART_MARKS 32
#define CHART_BINS 120           /* the log's lines over the time, counted */
#define CHART_TEXT 64
#define CHART_PARTS 5            /* of the whole: kernel, init, hand-off, program, end */
#define CHART_LINES (1 << 16)    /* of which the times are kept; what comes later is not in the picture */

struct chart_bar {
	uint64_t from_ns, to_ns;         /* of the guest's CLOCK_BOOTTIME */
	char name[CHART_TEXT], detail[CHART_TEXT];
	bool bad;
};

struct chart_mark {
	uint64_t at_ns;
	char name[CHART_TEXT];
	bool bad;
};

struct chart {
	char vm[CHART_TEXT], boot[CHART_TEXT], outcome[CHART_TEXT];
	uint64_t init_ns, handoff_ns, program_ns;        /* where kernel, init and hand-off end; 0: they did not */
	uint64_t exit_ns;                                /* the program's last end; 0: it goes on */
	uint64_t end_ns;                                 /* the last record's time */
	bool unclean;
	struct chart_bar bars[CHART_BARS];               /* what init did */
	size_t n_bars;
	struct chart_mark marks[CHART_MARKS];            /* of the program and the machine's end */
	size_t n_marks;
	uint64_t *lines;                                 /* when they were said */
	size_t n_lines, lines_size;
	uint64_t last_ns;                                /* of init's events: where the next bar begins */
};

/* To be zeroed before. False: no memory. A record of another boot than the ones before begins a new chart. */
bool chart_add(struct chart *chart, const struct client_record *record);
void chart_free(struct chart *chart);
/* Whether there is enough of a boot for a picture. */
bool chart_has_boot(const struct chart *chart);

void chart_svg(const struct chart *chart, FILE *to);
/* In `columns` columns, with colours or without. */
void chart_text(const struct chart *chart, FILE *to, unsigned columns, bool colour);

/* The parts, one behind the other. What did not come is empty. */
void chart_parts(const struct chart *chart, struct chart_bar parts[static CHART_PARTS]);
/* "632 ms", "33.5 ms", "0.24 ms", "12.3 s" */
const char *chart_duration(char text[static 24], uint64_t ns);
/* How many of the log's lines were said in each of n equal parts of the time. The largest of them. */
unsigned chart_bins(const struct chart *chart, unsigned *bins, size_t n);

#endif
