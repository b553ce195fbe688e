/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "show.h"

#define TAG "%-7s"               /* "console" and "hawserd" are the longest */
#define INDENT "[        ]"

#define RESET "\033[0m"
#define DIM "\033[2m"

static const struct { const char *stream, *tag, *text; } styles[] = {
	{ "kernel", DIM, DIM },
	{ "init", "\033[36m", "" },
	{ "console", "\033[34m", "" },
	{ "syslog", "\033[34m", "" },
	{ "stdout", "\033[32m", "" },
	{ "stderr", "\033[33m", "" },
	{ "hawserd", "\033[35m", "" },
	{ "serial", DIM, DIM },
};

/*
 * How events read. %t is the event's text, %v its value, %e the value as an errno, %s as a signal; the sentence ends at
 * %? when there is no text, and at %! when the value is 0.
 */
static const struct { const char *event, *words; } sentences[] = {
	{ "phase", "phase %t" },
	{ "connect", "connect to %t: %e" },
	{ "clock", "clock stepped by %v s" },
	{ "entropy", "%v bytes of entropy credited" },
	{ "failure", "failure: %t%!: %e" },
	{ "relay", "relay started again, %v times so far" },
	{ "power", "machine ends%?: %t" },
	{ "started", "started %t, pid %v" },
	{ "exited", "exited with %v" },
	{ "killed", "killed by %s" },
	{ "oom", "killed by %s: out of memory" },
	{ "unstarted", "cannot start %t: %e" },
	{ "restart", "started again, %v times so far" },
	{ "ready", "ready" },
	{ "status", "status: %t" },
	{ "stopping", "stopping" },
	{ "exit-status", "exit status %v" },
	{ "watchdog", "watchdog" },
};

static const struct { const char *reason, *words; } losses[] = {
	{ "overrun", "overwritten in the kernel's buffer before they were read" },
	{ "full", "the guest's ring was full" },
	{ "relay", "in the hands of a relay that died" },
	{ "datagram", "datagrams that could not be read whole" },
};

void show_init(struct show *show, int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	*show = (struct show){ .escape = isatty(fd) };
	show->colour = show->escape && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

/* The bytes of a character that a terminal shows as such; 0: the first is none. C1 controls are characters, too. */
static size_t printable(const unsigned char *p, size_t len)
{
	if (*p == '\t' || (*p >= ' ' && *p < 0x7f))
		return 1;
	if (*p < 0x80 || (*p == 0xc2 && len > 1 && p[1] < 0xa0))
		return 0;
	return json_char_size(p, len);
}

void show_escaped(struct outqueue *out, const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes, *end = p + len, *plain = p;
	while (p < end) {
		size_t size = printable(p, (size_t)(end - p));
		if (size == 0) {
			outqueue_put(out, plain, (size_t)(p - plain));
			outqueue_printf(out, "\\x%02x", *p);
			plain = p + 1;
		}
		p += size ? size : 1;
	}
	outqueue_put(out, plain, (size_t)(p - plain));
}

static void put_bytes(const struct show *show, struct outqueue *out, const char *bytes, size_t len)
{
	/* Carriage returns around a line (BusyBox's, a serial line's) do nothing that could be shown. */
	while (show->escape && len && *bytes == '\r') {
		bytes++;
		len--;
	}
	while (show->escape && len && bytes[len - 1] == '\r')
		len--;
	if (show->escape && len)
		show_escaped(out, bytes, len);
	else
		outqueue_put(out, bytes, len);
}

/* --- events ----------------------------------------------------------------------------------------------------- */

static void put_signal(struct outqueue *out, uint64_t number)
{
	const char *name = number < NSIG ? sigabbrev_np((int)number) : NULL;
	if (name)
		outqueue_printf(out, "SIG%s", name);
	else
		outqueue_printf(out, "signal %llu", (unsigned long long)number);
}

static void put_sentence(const struct client_record *record, const char *words, struct outqueue *out)
{
	for (const char *p = words; *p; p++) {
		const char *text = strchrnul(p, '%');
		outqueue_put(out, p, (size_t)(text - p));
		if (!*text)
			return;
		p = text + 1;
		if (*p == 't')
			outqueue_put(out, record->bytes ? record->bytes : "?", record->bytes ? record->len : 1);
		else if ((*p == '?' && !record->len) || (*p == '!' && !record->value))
			return;
		else if (*p == 'e')
			outqueue_printf(out, "%s", record->value ? strerror((int)record->value) : "done");
		else if (*p == 's')
			put_signal(out, record->value);
		else if (*p == 'v' && record->value_below_0)
			outqueue_printf(out, "less than 0");
		else if (*p == 'v')
			outqueue_printf(out, "%llu", (unsigned long long)record->value);
	}
}

static void put_event(const struct client_record *record, struct outqueue *out)
{
	for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
		if (strcmp(record->event, sentences[i].event) == 0) {
			put_sentence(record, sentences[i].words, out);
			return;
		}
	/* One that a newer guest knows. */
	outqueue_printf(out, "%s %llu%s", record->event, (unsigned long long)record->value, record->len ? ": " : "");
	outqueue_put(out, record->bytes, record->len);
}

static void put_loss(const struct client_record *record, struct outqueue *out)
{
	const char *words = record->lost_reason;
	for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
		if (strcmp(words, losses[i].reason) == 0)
			words = losses[i].words;
	outqueue_printf(out, "lost: %llu records", (unsigned long long)record->lost_records);
	if (record->lost_bytes)
		outqueue_printf(out, ", %llu bytes", (unsigned long long)record->lost_bytes);
	outqueue_printf(out, ": %s", words);
}

void show_words(const struct client_record *record, struct outqueue *out)
{
	if (record->lost_reason)
		put_loss(record, out);
	else if (record->event && strcmp(record->stream, "hawserd") != 0)
		put_event(record, out);
	else if (record->event) {
		outqueue_printf(out, "%s%s", record->event, record->len ? ": " : "");
		outqueue_put(out, record->bytes, record->len);
	} else {
		/* What follows the first line of a kernel message is the kernel's dictionary, for machines. */
		const char *newline = strcmp(record->stream, "kernel") == 0 && record->len ?
			memchr(record->bytes, '\n', record->len) : NULL;
		outqueue_put(out, record->bytes, newline ? (size_t)(newline - record->bytes) : record->len);
	}
}

/* --- lines ------------------------------------------------------------------------------------------------------ */

static const char *tag_style(const char *stream)
{
	for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
		if (strcmp(stream, styles[i].stream) == 0)
			return styles[i].tag;
	return "";
}

static const char *text_style(const char *stream, unsigned priority)
{
	if (priority <= 3)
		return "\033[31m";
	if (priority == 4)
		return "\033[33m";
	for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
		if (strcmp(stream, styles[i].stream) == 0)
			return styles[i].text;
	return "";
}

static void put_prefix(const struct show *show, struct outqueue *out, const struct client_record *record)
{
	char when[48];
	if (show->wall)
		snprintf(when, sizeof when, "%s", record->time ? record->time : "-");
	else if (record->has_ns)
		snprintf(when, sizeof when, "[%8.3f]", (double)record->ns / 1e9);
	else
		snprintf(when, sizeof when, INDENT);
	if (show->colour)
		outqueue_printf(out, DIM "%s " RESET "%s" TAG RESET DIM " | " RESET "%s", when,
			tag_style(record->stream), record->stream, text_style(record->stream, record->priority));
	else
		outqueue_printf(out, "%s " TAG " | ", when, record->stream);
}

/* A message of syslog can hold newlines; each of its lines gets the prefix. */
static void put_lines(const struct show *show, struct outqueue *out, const struct client_record *record,
	const char *bytes, size_t len)
{
	const char *end = len ? bytes + len : bytes, *newline;
	while (bytes < end && (newline = memchr(bytes, '\n', (size_t)(end - bytes)))) {
		put_bytes(show, out, bytes, (size_t)(newline - bytes));
		outqueue_printf(out, "%s\n", show->colour ? RESET : "");
		bytes = newline + 1;
		put_prefix(show, out, record);
	}
	put_bytes(show, out, bytes, (size_t)(end - bytes));
	if (show->colour)
		outqueue_printf(out, RESET);
}

static bool goes_on(const struct show *show, const struct client_record *record)
{
	return record->offset && !record->event && !record->lost_reason && strcmp(show->open, record->stream) == 0;
}

void show_record(struct show *show, struct outqueue *out, const struct client_record *record)
{
	struct outqueue words;
	outqueue_init(&words, -1);
	show_words(record, &words);
	if (!goes_on(show, record)) {
		show_end(show, out);
		put_prefix(show, out, record);
	}
	put_lines(show, out, record, words.bytes.p, words.bytes.end);
	outqueue_finish(&words);

	/* An open line is ended when something else comes: a prompt is seen at once, and nothing is glued to it. */
	show->open[0] = '\0';
	if (record->partial)
		snprintf(show->open, sizeof show->open, "%s", record->stream);
	else
		outqueue_put(out, "\n", 1);
}

void show_serial(struct show *show, struct outqueue *out, const char *line, size_t len)
{
	struct client_record record = { .stream = (char *)(uintptr_t)"serial", .priority = CLIENT_NO_PRIORITY };
	show_end(show, out);
	put_prefix(show, out, &record);
	put_lines(show, out, &record, line, len);
	outqueue_put(out, "\n", 1);
}

void show_end(struct show *show, struct outqueue *out)
{
	if (show->open[0])
		outqueue_put(out, "\n", 1);
	show->open[0] = '\0';
}
