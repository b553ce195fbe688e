/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "logline.h"

#define OWN "hawserd"

/* --- the time --------------------------------------------------------------------------------------------------- */

static void digits(char *to, uint32_t v, int n)
{
	while (n--) {
		to[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

/* Lines come in order of time: a calendar is needed once a second, and the rest is six digits. */
void logline_time(char out[static LOGLINE_TIME], uint64_t wall_ns)
{
	static uint64_t cached_second = UINT64_MAX;
	static char cached[20];
	uint64_t second = wall_ns / 1000000000u;

	if (second != cached_second) {
		time_t t = (time_t)second;
		struct tm tm;

		gmtime_r(&t, &tm);       /* no year is out of range: 2^64 ns end in 2554 */
		digits(cached, (uint32_t)tm.tm_year + 1900, 4);
		digits(cached + 5, (uint32_t)tm.tm_mon + 1, 2);
		digits(cached + 8, (uint32_t)tm.tm_mday, 2);
		digits(cached + 11, (uint32_t)tm.tm_hour, 2);
		digits(cached + 14, (uint32_t)tm.tm_min, 2);
		digits(cached + 17, (uint32_t)tm.tm_sec, 2);
		cached[4] = cached[7] = '-';
		cached[10] = 'T';
		cached[13] = cached[16] = ':';
		cached[19] = '.';
		cached_second = second;
	}
	memcpy(out, cached, 20);
	digits(out + 20, (uint32_t)(wall_ns % 1000000000u / 1000), 6);
	out[26] = 'Z';
}

void logline_uuid(char out[static LOGLINE_UUID + 1], const uint8_t id[static 16])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[id[i] >> 4];
		*p++ = hex[id[i] & 15];
	}
	*p = 0;
}

/* --- text ------------------------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *to, const void *from, size_t len)
{
	if (len)
		memcpy(to, from, len);
	return to + len;
}

static uint8_t *put_prefix(uint8_t *to, uint64_t wall_ns, const char *stream, bool partial)
{
	logline_time((char *)to, wall_ns);
	to += LOGLINE_TIME;
	*to++ = ' ';
	to = put(to, stream, strlen(stream));
	if (partial)
		*to++ = '+';
	*to++ = ' ';
	return to;
}

/* Bytes as they are, but for the newline, which would end the line. */
static uint8_t *put_folded(uint8_t *to, const uint8_t *p, size_t len)
{
	const uint8_t *newline;

	while (len && (newline = memchr(p, '\n', len))) {
		size_t before = (size_t)(newline - p);

		to = put(to, p, before);
		to = put(to, "\n\t", 2);
		p = newline + 1;
		len -= before + 1;
	}
	return put(to, p, len);
}

size_t logline_text_piece(uint8_t *to, const struct logline_who *who, const struct line_piece *piece)
{
	uint8_t *p = put_prefix(to, who->offset_ns + piece->ns, wire_stream_name(piece->stream), piece->partial);

	if ((piece->kind & 0x3f) == WIRE_KIND_BYTES)
		p = put(p, piece->bytes, piece->len);    /* has no newline */
	else
		p = put_folded(p, piece->bytes, piece->len);
	*p++ = '\n';
	return (size_t)(p - to);
}

static uint64_t note_wall(const struct logline_who *who, const struct logline_note *note)
{
	return note->has_ns ? who->offset_ns + note->ns : note->wall_ns;
}

size_t logline_text_note(uint8_t *to, const struct logline_who *who, const struct logline_note *note)
{
	bool event = note->kind == LOGLINE_EVENT;
	uint8_t *p = put_prefix(to, note_wall(who, note), event ? wire_stream_name(note->stream) : OWN, false);
	char words[160];
	int n;

	if (note->kind == LOGLINE_LOST)
		n = snprintf(words, sizeof words, "lost %llu records, %llu bytes of %s (%s)",
			(unsigned long long)note->records, (unsigned long long)note->bytes,
			wire_stream_name(note->stream), wire_loss_name(note->reason));
	else if (event)
		n = snprintf(words, sizeof words, "[%s %d]%s", note->event, (int)note->value, note->text.len ? " " : "");
	else
		n = snprintf(words, sizeof words, "%s%s", note->event, note->text.len ? ": " : "");
	p = put(p, words, (size_t)n);
	p = put_folded(p, (const uint8_t *)note->text.s, note->text.len);
	*p++ = '\n';
	return (size_t)(p - to);
}

/* --- JSON ------------------------------------------------------------------------------------------------------- */

static void json_who(struct json_out *out, const struct logline_who *who, uint64_t wall_ns)
{
	char time[LOGLINE_TIME];

	logline_time(time, wall_ns);
	json_line_begin(out);
	json_put_text(out, "time", time, sizeof time);
	json_put_string(out, "vm", who->vm);
	if (*who->boot)
		json_put_text(out, "boot", who->boot, LOGLINE_UUID);
}

static void json_pri(struct json_out *out, uint16_t pri)
{
	if (pri == WIRE_PRI_NONE)
		return;
	json_put_u64(out, "priority", pri & 7);
	json_put_u64(out, "facility", pri >> 3);
}

bool logline_json_piece(struct json_out *out, const struct logline_who *who, const struct line_piece *piece)
{
	json_who(out, who, who->offset_ns + piece->ns);
	json_put_u64(out, "seq", piece->seq);
	json_put_u64(out, "line", piece->index);
	if (piece->offset)
		json_put_u64(out, "offset", piece->offset);
	json_put_string(out, "stream", wire_stream_name(piece->stream));
	json_put_u64(out, "ns", piece->ns);
	json_pri(out, piece->pri);
	if (piece->stream == WIRE_STREAM_KERNEL)
		json_put_u64(out, "kernelSeq", piece->kernel_seq);
	if (piece->kind & WIRE_KIND_FRAGMENT)
		json_put_bool(out, "fragment", true);
	if (piece->partial)
		json_put_bool(out, "partial", true);
	json_put_data(out, "message", "base64", piece->bytes, piece->len);
	return json_line_end(out);
}

static void json_event(struct json_out *out, const struct logline_note *note)
{
	json_put_string(out, "event", note->event);
	if (note->kind == LOGLINE_EVENT) {
		json_put_u64(out, "code", note->code);
		json_put_i64(out, "value", note->value);
	}
	json_put_data(out, "text", "base64", note->text.s, note->text.len);
}

bool logline_json_note(struct json_out *out, const struct logline_who *who, const struct logline_note *note)
{
	json_who(out, who, note_wall(who, note));
	if (note->has_seq)
		json_put_u64(out, "seq", note->seq);
	json_put_string(out, "stream", note->stream ? wire_stream_name(note->stream) : OWN);
	if (note->has_ns) {
		json_put_u64(out, "ns", note->ns);
		json_pri(out, note->pri);
	}
	if (note->kind == LOGLINE_LOST) {
		json_put_open(out, "lost", '{');
		json_put_string(out, "reason", wire_loss_name(note->reason));
		json_put_u64(out, "records", note->records);
		json_put_u64(out, "bytes", note->bytes);
		json_put_close(out, '}');
	} else {
		json_event(out, note);
	}
	return json_line_end(out);
}
