/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_print.h"

#define SAID_LINES 8

static bool one_file(int a, int b)
{
	struct stat a_st, b_st;
	return fstat(a, &a_st) == 0 && fstat(b, &b_st) == 0 && a_st.st_dev == b_st.st_dev && a_st.st_ino == b_st.st_ino;
}

int run_print_init(struct run_print *p, const struct run_options *o)
{
	*p = (struct run_print){ .o = o };
	outqueue_init(&p->out, STDOUT_FILENO);
	outqueue_init(&p->err, STDERR_FILENO);
	p->to_err = one_file(STDOUT_FILENO, STDERR_FILENO) ? &p->out : &p->err;
	show_init(&p->show_out, STDOUT_FILENO);
	show_init(&p->show_err, STDERR_FILENO);
	p->apart = !isatty(STDOUT_FILENO) && p->to_err == &p->err;
	p->log_show = p->apart ? &p->show_err : &p->show_out;
	p->log_to = p->apart ? &p->err : &p->out;
	tailbuf_init(&p->serial, RUN_SERIAL_KEPT);
	if (o->log && !(p->log = fopen(o->log, "ae"))) {
		run_print_say(p, "cannot open the file of --log, %s: %s; name one that can be written", o->log,
			strerror(errno));
		return -1;
	}
	return 0;
}

void run_print_finish(struct run_print *p)
{
	if (p->log)
		fclose(p->log);
	outqueue_finish(&p->out);
	outqueue_finish(&p->err);
	tailbuf_finish(&p->serial);
}

/* --- our own words ---------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0)))
static void say(struct run_print *p, const char *format, va_list args)
{
	char *text;
	if (vasprintf(&text, format, args) < 0)
		return;
	/* They may quote a guest or a file; a terminal shows them, and obeys nothing. */
	outqueue_printf(p->to_err, "hawser: %s%s", p->name ? p->name : "", p->name ? ": " : "");
	show_escaped(p->to_err, text, strlen(text));
	outqueue_put(p->to_err, "\n", 1);
	free(text);
}

void run_print_say(struct run_print *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(p, format, args);
	va_end(args);
}

void run_print_note(struct run_print *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (!p->o->quiet && !p->o->raw)
		say(p, format, args);
	va_end(args);
}

/* --- records ---------------------------------------------------------------------------------------------------- */

static bool shows_log(const struct run_print *p)
{
	return !p->o->raw && !p->o->json && !p->o->quiet;
}

static bool of_stdout(const struct client_record *record)
{
	return strcmp(record->stream, "stdout") == 0 && !record->event && !record->lost_reason;
}

static void put_raw(struct run_print *p, const struct client_record *record)
{
	struct outqueue *to = strcmp(record->stream, "stdout") == 0 ? &p->out :
		strcmp(record->stream, "stderr") == 0 ? p->to_err : NULL;
	if (!to || record->event || record->lost_reason)
		return;
	outqueue_put(to, record->bytes, record->len);
	if (!record->partial)
		outqueue_put(to, "\n", 1);
}

static bool is_refusal(const struct client_record *record)
{
	return record->event && strncmp(record->event, "refused", 7) == 0 && strcmp(record->stream, "hawserd") == 0;
}

static void log_put(struct run_print *p, const char *line, size_t len)
{
	if (!p->log)
		return;
	fwrite(line, 1, len, p->log);
	fputc('\n', p->log);
	p->log_dirty = true;
}

void run_print_record(struct run_print *p, const struct client_record *record, const char *line, size_t len)
{
	log_put(p, line, len);
	if (is_refusal(record) && !shows_log(p))
		run_print_say(p, "%s: %s", record->event, record->bytes ? record->bytes : "");
	if (p->o->raw || (shows_log(p) && p->apart && of_stdout(record)))
		put_raw(p, record);
	else if (p->o->json) {
		outqueue_put(&p->out, line, len);
		outqueue_put(&p->out, "\n", 1);
	} else if (!p->o->quiet)
		show_record(p->log_show, p->log_to, record);
}

/* --- the serial console, and what helpers say ------------------------------------------------------------------- */

static void put_serial(void *arg, const char *line, size_t len)
{
	struct run_print *p = arg;
	if (len == 0)
		return;
	if (shows_log(p))
		show_serial(p->log_show, p->log_to, line, len);
	else
		show_serial(&p->show_err, p->to_err, line, len);
}

/* Live: a line when it is whole, or too long to be kept. */
void run_print_serial(struct run_print *p, const char *bytes, size_t len)
{
	tailbuf_add(&p->serial, bytes, len);
	for (size_t i = 0; p->o->serial && i < len; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r')
			p->serial_line[p->serial_len++] = bytes[i];
		if (bytes[i] == '\n' || p->serial_len == sizeof p->serial_line) {
			put_serial(p, p->serial_line, p->serial_len);
			p->serial_len = 0;
		}
	}
}

void run_print_serial_kept(struct run_print *p)
{
	if (p->o->serial)
		put_serial(p, p->serial_line, p->serial_len);
	else
		tailbuf_lines(&p->serial, 0, put_serial, p);
	p->serial_len = 0;
}

struct speaker {
	struct run_print *print;
	const char *who;
};

static void put_said(void *arg, const char *line, size_t len)
{
	struct speaker *speaker = arg;
	run_print_say(speaker->print, "%s said: %.*s", speaker->who, (int)len, line);
}

void run_print_said(struct run_print *p, const char *who, const struct tailbuf *said)
{
	struct speaker speaker = { p, who };
	tailbuf_lines(said, SAID_LINES, put_said, &speaker);
}

void run_print_flush(struct run_print *p)
{
	if (!p->log_dirty)
		return;
	p->log_dirty = false;
	if (fflush(p->log) == 0 && !ferror(p->log))
		return;
	run_print_say(p, "cannot write to the file of --log, %s: %s; it is not complete from here on", p->o->log,
		strerror(errno));
	fclose(p->log);
	p->log = NULL;
}
