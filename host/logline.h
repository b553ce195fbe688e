/* SPDX-License-Identifier: MIT */
/*
 * logline: what a log line looks like, to people and to machines.
 *
 * The text form, one line each:
 *
 *     2026-11-22T08:00:00.123456Z stdout a line of the workload
 *
 * is the time (UTC), a blank, the stream's name, a blank, and the bytes as they are. Behind the stream's name comes
 * "+" when the line's end had not come: it goes on in the next line of that stream. A newline inside a message (only
 * kernel and syslog messages can hold one) is written as newline and tab, so that a line that begins with a tab
 * always belongs to the one above. Nothing else is escaped. An event is its name and value in brackets, then its
 * text:
 *
 *     2026-11-22T08:00:00.123456Z init [exited 7]
 *
 * Losses, gaps and what hawserd itself has to say are lines of the stream "hawserd".
 *
 * The JSON form has the same lines as objects; docs/LOGS.md names the fields.
 */
#ifndef HOST_LOGLINE_H
#define HOST_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "line.h"

#define LOGLINE_TIME 27           /* "2026-11-22T08:00:00.123456Z" */
#define LOGLINE_UUID 36
#define LOGLINE_TEXT_MAX (LINE_BYTES_MAX * 2 + 256)
#define LOGLINE_JSON_MAX (LINE_BYTES_MAX * JSON_ESCAPED_MAX + 1024)

/* Whose lines these are. */
struct logline_who {
	const char *vm;
	char boot[LOGLINE_UUID + 1];      /* empty: no epoch */
	uint64_t offset_ns;              /* wall clock less the guest's boot time: modulo 2^64 */
};

/* Something that is no piece of a line: which fields apply is said by kind. */
enum logline_kind { LOGLINE_EVENT, LOGLINE_LOST, LOGLINE_OWN };

struct logline_note {
	enum logline_kind kind;
	bool has_seq, has_ns;
	uint64_t seq, ns, wall_ns;       /* wall_ns only counts when there is no ns */
	uint8_t stream;                  /* 0: hawserd itself */
	uint16_t pri;
	const char *event;               /* LOGLINE_EVENT and LOGLINE_OWN: the name */
	uint16_t code;                   /* LOGLINE_EVENT: its number, for those without a name */
	int32_t value;
	struct wire_text text;
	uint8_t reason;                  /* LOGLINE_LOST */
	uint64_t records, bytes;
};

void logline_time(char out[static LOGLINE_TIME], uint64_t wall_ns);
void logline_uuid(char out[static LOGLINE_UUID + 1], const uint8_t id[static 16]);

/* Both return how much was written; to must have room for LOGLINE_TEXT_MAX. */
size_t logline_text_piece(uint8_t *to, const struct logline_who *who, const struct line_piece *piece);
size_t logline_text_note(uint8_t *to, const struct logline_who *who, const struct logline_note *note);
/* False: did not fit, and was not written. LOGLINE_JSON_MAX free bytes are always enough. */
bool logline_json_piece(struct json_out *out, const struct logline_who *who, const struct line_piece *piece);
bool logline_json_note(struct json_out *out, const struct logline_who *who, const struct logline_note *note);

#endif
