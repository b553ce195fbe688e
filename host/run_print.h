/* SPDX-License-Identifier: MIT */
/* run_print: what `hawser run` writes, and where: the log, what it has to say itself, and a file of records. */
#ifndef HOST_RUN_PRINT_H
#define HOST_RUN_PRINT_H

#include <stdio.h>

#include "client.h"
#include "outqueue.h"
#include "run_options.h"
#include "show.h"
#include "tailbuf.h"

#define RUN_SERIAL_KEPT (64 << 10)

struct run_print {
	const struct run_options *o;
	const char *name;                /* the machine's, set before every message of ours; NULL: not known yet */
	struct outqueue out, err;        /* stdout and stderr */
	struct outqueue *to_err;         /* where stderr's bytes go: out, when both are one file, to keep the order */
	struct show show_out, show_err;
	bool apart;                      /* the program's output has stdout for itself: into a pipe or file */
	struct show *log_show;           /* how and where the log is shown: on stdout, or when that is apart on stderr */
	struct outqueue *log_to;
	FILE *log;                       /* --log; NULL: not wanted, or failed */
	bool log_dirty;
	struct tailbuf serial;           /* what the serial console said last */
	char serial_line[512];           /* --serial: the line that is not whole yet */
	size_t serial_len;
};

/* 0, or -1: --log's file cannot be opened, and that has been said. */
int run_print_init(struct run_print *p, const struct run_options *o);
void run_print_finish(struct run_print *p);

/* "hawser: NAME: ..." on stderr. */
void run_print_say(struct run_print *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, but not with --quiet and --raw. */
void run_print_note(struct run_print *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A record, and the line that it was read from. */
void run_print_record(struct run_print *p, const struct client_record *record, const char *line, size_t len);
void run_print_serial(struct run_print *p, const char *bytes, size_t len);
/* After a failure: what the serial console said last, unless all of it was shown already. */
void run_print_serial_kept(struct run_print *p);
/* The last lines of a helper, after a failure. */
void run_print_said(struct run_print *p, const char *who, const struct tailbuf *said);
/* At the end of a round of the loop. */
void run_print_flush(struct run_print *p);

#endif
