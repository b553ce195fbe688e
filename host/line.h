/* SPDX-License-Identifier: MIT */
/*
 * line: a stream's bytes joined into lines, of which each is handed on once it is whole.
 *
 * A line that lies within one record is never copied. One that spans records is kept until its end comes; one that
 * grows over LINE_BYTES_MAX is handed on in pieces, all but the last of them partial. The same code joins messages
 * that were sent in parts.
 */
#ifndef HOST_LINE_H
#define HOST_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "../vsock/wire.h"

#define LINE_BYTES_MAX 65536

/* A whole line, or a piece of one. */
struct line_piece {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t index;          /* which line of its record, from 0 */
	uint64_t seq, ns;        /* of the record that the piece's first byte came in */
	uint64_t offset;         /* where in its line the piece begins */
	uint64_t kernel_seq;     /* of a kernel message */
	uint32_t shown;          /* bytes at its start that followers have seen already */
	uint16_t pri;
	uint8_t stream, kind;    /* kind as in the record, with WIRE_KIND_FRAGMENT */
	bool partial;            /* its end did not come: the line goes on in the next piece of its stream, if anywhere */
};

/* What is kept of the line that is being joined: one for each stream. All zero is "nothing". */
struct line {
	uint8_t *bytes;
	uint32_t len, size, index;
	uint64_t seq, ns, offset, kernel_seq;
	uint32_t shown;          /* see above */
	uint32_t journaled;      /* bytes of the piece that the journal has: see store.c */
	uint16_t pri;
	uint8_t kind;
	bool in_journal;         /* the journal has a piece of this stream, this one or an earlier one */
};

typedef void line_emit(void *context, const struct line_piece *piece);

static inline bool line_open(const struct line *line)
{
	return line->len || line->offset;
}

/* Takes a record of kind bytes or message. False: no memory, and the line's state is of no use any more. */
bool line_feed(struct line *line, const struct wire_record *record, uint64_t seq, line_emit *emit, void *context);
/* The stream ends here for now: hands on what is kept, as partial. */
void line_flush(struct line *line, uint8_t stream, line_emit *emit, void *context);
/* Adds bytes to what is kept: the journal's replay, where they have been through line_feed before. */
bool line_keep(struct line *line, const void *bytes, uint32_t len);
void line_clear(struct line *line);      /* frees */
struct line_piece line_piece(const struct line *line, uint8_t stream);  /* what is kept now, as partial */

#endif
