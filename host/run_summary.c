/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "run_summary.h"

static void guest_event(struct run_summary *s, const struct client_record *record)
{
	fate_named(&s->fate, record->event, record->value);
	if (strcmp(record->event, "phase") != 0 || !record->has_ns)
		return;
	if (!s->first_ns)
		s->first_ns = record->ns;
	if (record->bytes && strcmp(record->bytes, "handoff") == 0)
		s->handoff_ns = record->ns;
}

static void own_event(struct run_summary *s, const struct client_record *record)
{
	const char *event = record->event;
	if (strcmp(event, "boot") == 0)
		s->booted = true;
	else if (strcmp(event, "log-connected") == 0) {
		s->booted = s->connected = true;
		s->cut = s->ended = false;
	} else if (strcmp(event, "log-cut") == 0 || strcmp(event, "unclean") == 0)
		s->cut = true;
	else if (strcmp(event, "applied") == 0)
		s->applied = true;
	else if (strcmp(event, "end") == 0)
		s->ended = true;
	else if (strncmp(event, "refused", 7) == 0)      /* and refused-by-guest: it could not apply what it got */
		snprintf(s->refused, sizeof s->refused, "%s: %s", event, record->bytes ? record->bytes : "");
	s->fate.ended = s->ended;
}

void run_summary_add(struct run_summary *s, const struct client_record *record)
{
	bool own = strcmp(record->stream, "hawserd") == 0;
	if (record->lost_reason)
		s->lost += record->lost_records;
	else if (record->event && own)
		own_event(s, record);
	else if (record->event)
		guest_event(s, record);
	else if (!own) {
		s->lines += record->offset == 0;         /* a line is counted by its first piece */
		s->bytes += record->len + !record->partial;
	}
}

int run_summary_status(const struct run_summary *s)
{
	return fate_status(&s->fate);
}

__attribute__((format(printf, 3, 4)))
static void add(char *line, size_t size, const char *format, ...)
{
	va_list args;
	size_t len = strlen(line);
	va_start(args, format);
	vsnprintf(line + len, size - len, format, args);
	va_end(args);
}

static void add_outcome(const struct run_summary *s, char *line, size_t size)
{
	const struct fate *fate = &s->fate;
	const char *name = sigabbrev_np(fate->value < NSIG ? (int)fate->value : 0);
	switch ((enum fate_outcome)fate->outcome) {
	case FATE_EXITED: add(line, size, "exit %u", fate->value); break;
	case FATE_KILLED: add(line, size, "killed by %s%s", name ? "SIG" : "a signal", name ? name : ""); break;
	case FATE_UNSTARTED: add(line, size, "not started: %s", strerror((int)fate->value)); break;
	default: add(line, size, run_summary_status(s) ? "exit unknown" : "ended"); break;
	}
}

static void add_bytes(uint64_t bytes, char *line, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes;
	size_t i = 0;
	for (; n >= 1024 && i < 4; i++)
		n /= 1024;
	add(line, size, ", %.*f %s", i ? 1 : 0, n, units[i]);
}

const char *run_summary_line(const struct run_summary *s, const struct run_facts *facts, char *line, size_t size)
{
	*line = '\0';
	add_outcome(s, line, size);
	add(line, size, "; CID %u", facts->cid);
	if (s->first_ns)
		add(line, size, ", kernel %.3f s", (double)s->first_ns / 1e9);
	if (s->first_ns && s->handoff_ns)
		add(line, size, ", init %.1f ms", (double)(s->handoff_ns - s->first_ns) / 1e6);
	add(line, size, ", %llu line%s", (unsigned long long)s->lines, s->lines == 1 ? "" : "s");
	add_bytes(s->bytes, line, size);
	add(line, size, ", %llu lost, %s, %.2f s", (unsigned long long)s->lost, facts->accel, facts->seconds);
	return line;
}
