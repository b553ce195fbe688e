/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "line.h"

#define SYSLOG_PRI_MAX 191       /* local7.debug */
#define KEEP_SMALL 512   /* a buffer this small stays for the next line, so that short writes cost no allocation */

bool line_keep(struct line *line, const void *bytes, uint32_t len)
{
	if (!len)
		return true;
	if (line->len + len > line->size) {
		uint32_t size = line->size ? line->size : 256;
		uint8_t *grown;

		while (size < line->len + len)
			size *= 2;
		grown = realloc(line->bytes, size);
		if (!grown)
			return false;
		line->bytes = grown;
		line->size = size;
	}
	memcpy(line->bytes + line->len, bytes, len);
	line->len += len;
	return true;
}

static void line_reset(struct line *line)
{
	if (line->size > KEEP_SMALL) {
		free(line->bytes);
		line->bytes = NULL;
		line->size = 0;
	}
	line->len = line->shown = line->journaled = 0;
	line->offset = 0;
}

void line_clear(struct line *line)
{
	free(line->bytes);
	*line = (struct line){ 0 };
}

struct line_piece line_piece(const struct line *line, uint8_t stream)
{
	return (struct line_piece){ .bytes = line->bytes, .len = line->len, .index = line->index, .seq = line->seq,
		.ns = line->ns, .offset = line->offset, .kernel_seq = line->kernel_seq, .shown = line->shown,
		.pri = line->pri, .stream = stream, .kind = line->kind, .partial = true };
}

/* The next byte of the line comes in this record: the piece is this record's. */
static void line_start(struct line *line, const struct wire_record *record, uint64_t seq, uint32_t index)
{
	line->seq = seq;
	line->ns = record->ns;
	line->index = index;
	line->pri = record->pri;
	line->kind = record->kind & (uint8_t)~WIRE_KIND_MORE;
}

/* Hands on what is kept and len bytes more. */
static bool hand_on(struct line *line, const struct wire_record *record, const uint8_t *bytes, uint32_t len,
	bool partial, line_emit *emit, void *context)
{
	struct line_piece piece;
	uint64_t offset;

	/* Most lines lie within one record, and this is all there is to them. */
	if (!line->len) {
		piece = line_piece(line, record->stream);
		piece.bytes = bytes;
		piece.len = len;
	} else {
		if (!line_keep(line, bytes, len))
			return false;
		piece = line_piece(line, record->stream);
	}
	piece.partial = partial;
	emit(context, &piece);
	offset = line->offset + piece.len;
	line_reset(line);
	if (partial)
		line->offset = offset;
	return true;
}

static bool feed_part(struct line *line, const struct wire_record *record, uint64_t seq, uint32_t index,
	const uint8_t *p, size_t len, bool ends, line_emit *emit, void *context)
{
	if (!line->len)
		line_start(line, record, seq, index);
	while (line->len + len > LINE_BYTES_MAX) {
		uint32_t take = LINE_BYTES_MAX - line->len;

		if (!hand_on(line, record, p, take, true, emit, context))
			return false;
		line_start(line, record, seq, index);
		p += take;
		len -= take;
	}
	if (ends)
		return hand_on(line, record, p, (uint32_t)len, false, emit, context);
	return line_keep(line, p, (uint32_t)len);
}

static bool feed_bytes(struct line *line, const struct wire_record *record, uint64_t seq, line_emit *emit,
	void *context)
{
	const uint8_t *p = record->data, *end = p + record->length, *newline;

	for (uint32_t index = 0; p < end; index++) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline)
			return feed_part(line, record, seq, index, p, (size_t)(end - p), false, emit, context);
		if (!feed_part(line, record, seq, index, p, (size_t)(newline - p), true, emit, context))
			return false;
		p = newline + 1;
	}
	return true;
}

/* "<13>...": what RFC 3164 and RFC 5424 have in common. The bytes stay as they are. */
static uint16_t syslog_pri(const uint8_t *p, size_t len)
{
	unsigned pri = 0;
	size_t i = 1;

	if (len < 3 || p[0] != '<')
		return WIRE_PRI_NONE;
	for (; i < len && i < 4 && p[i] >= '0' && p[i] <= '9'; i++)
		pri = pri * 10 + (p[i] - '0');
	return i > 1 && i < len && p[i] == '>' && pri <= SYSLOG_PRI_MAX ? (uint16_t)pri : WIRE_PRI_NONE;
}

static bool feed_message(struct line *line, const struct wire_record *record, uint64_t seq, line_emit *emit,
	void *context)
{
	const uint8_t *p = record->data;
	size_t len = record->length;
	struct wire_record marked = *record;

	if (record->stream == WIRE_STREAM_SYSLOG && record->pri == WIRE_PRI_NONE)
		marked.pri = syslog_pri(p, len);
	/* The kernel's own number stands before each part of its message. */
	if (record->stream == WIRE_STREAM_KERNEL) {
		struct wire_in in = { .p = p, .end = p + len };

		line->kernel_seq = wire_get_u64(&in);
		p = in.bad ? p + len : in.p;
		len -= (size_t)(p - record->data);
	}
	return feed_part(line, &marked, seq, 0, p, len, !(record->kind & WIRE_KIND_MORE), emit, context);
}

bool line_feed(struct line *line, const struct wire_record *record, uint64_t seq, line_emit *emit, void *context)
{
	bool message = (record->kind & 0x3f) == WIRE_KIND_MESSAGE;

	/* Bytes and messages of one stream do not join: only a strange guest mixes them. */
	if (line_open(line) && message != ((line->kind & 0x3f) == WIRE_KIND_MESSAGE)) {
		line_flush(line, record->stream, emit, context);
		line_reset(line);
	}
	return (message ? feed_message : feed_bytes)(line, record, seq, emit, context);
}

void line_flush(struct line *line, uint8_t stream, line_emit *emit, void *context)
{
	struct line_piece piece = line_piece(line, stream);
	uint64_t offset = line->offset + line->len;

	if (!line->len)
		return;
	emit(context, &piece);
	line_reset(line);
	line->offset = offset;
}
