/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "../vsock/log.h"
#include "batch.h"
#include "store_inside.h"

static void count(struct store_count *counts, uint64_t records, uint64_t bytes)
{
	counts->records += records;
	counts->bytes += bytes;
}

struct store_count store_known(const struct store_counts *counts)
{
	struct store_count sum = counts->stored;

	for (int reason = 1; reason < WIRE_LOSSES; reason++)
		count(&sum, counts->lost[reason].records, counts->lost[reason].bytes);
	return sum;
}

static void count_add(struct store_count *sum, const struct store_count *more)
{
	count(sum, more->records, more->bytes);
}

void store_counts_add(struct store_counts *sum, const struct store_counts *counts)
{
	count_add(&sum->stored, &counts->stored);
	count_add(&sum->duplicate, &counts->duplicate);
	count_add(&sum->replayed, &counts->replayed);
	count_add(&sum->produced, &counts->produced);
	for (int reason = 1; reason < WIRE_LOSSES; reason++) {
		count_add(&sum->lost[reason], &counts->lost[reason]);
		count_add(&sum->gap[reason], &counts->gap[reason]);
	}
}

/* Bytes of this stream are missing from here on: what is open cannot be joined to what comes. */
static void break_line(struct store *store, uint8_t s)
{
	struct line *line = &store->streams[s].line;

	line_flush(line, s, batch_piece, store);
	line->offset = 0;
}

static void take_event(struct store *store, const struct wire_record *record, uint64_t seq)
{
	struct wire_event event;
	struct logline_note note = { .kind = LOGLINE_EVENT, .has_seq = true, .has_ns = true, .seq = seq,
		.ns = record->ns, .stream = record->stream, .pri = record->pri };

	if (!wire_event_decode(record, &event))
		return;                  /* cannot be: the frame was decoded as a whole */
	fate_event(&store->fate, event.code, event.value);
	note.event = wire_event_name(event.code);
	note.code = event.code;
	note.value = event.value;
	note.text = event.text;
	batch_note(store, &note);
}

static void take_gap(struct store *store, const struct wire_record *record, uint64_t seq)
{
	struct wire_gap gap;
	struct logline_note note = { .kind = LOGLINE_LOST, .has_seq = true, .has_ns = true, .seq = seq,
		.ns = record->ns, .stream = record->stream, .pri = record->pri };

	if (!wire_gap_decode(record, &gap))
		return;
	break_line(store, record->stream);
	note.reason = gap.reason;
	note.records = gap.records;
	note.bytes = gap.bytes;
	count(&store->streams[record->stream].now.gap[gap.reason], gap.records, gap.bytes);
	batch_note(store, &note);
}

static void take(struct store *store, const struct wire_record *record, uint64_t seq)
{
	struct store_stream *stream = &store->streams[record->stream];

	count(&stream->now.stored, 1, record->length);
	stream->changed = stream->fed = true;
	if (record->kind == WIRE_KIND_EVENT)
		take_event(store, record, seq);
	else if (record->kind == WIRE_KIND_GAP)
		take_gap(store, record, seq);
	else if (!line_feed(&stream->line, record, seq, batch_piece, store))
		store_failed(store, -ENOMEM);
}

const char *store_records(struct store *store, const struct wire_log *log)
{
	struct wire_in in = log->records.in;
	uint64_t seq = log->records.first;
	struct wire_record record;

	if (seq > store->next)
		return "its first number is above the one that is expected";
	if (!store_begin(store))
		return NULL;
	for (; !store->error && wire_record_next(&in, &record); seq++) {
		if (seq < store->received)
			count(&store->streams[record.stream].now.replayed, 1, record.length);
		else
			store->received = seq + 1;
		if (seq < store->next) {
			count(&store->streams[record.stream].now.duplicate, 1, record.length);
			store->streams[record.stream].changed = true;
			continue;
		}
		take(store, &record, seq);
		store->next = seq + 1;
	}
	return NULL;
}

const char *store_lost(struct store *store, const struct wire_log *log)
{
	uint64_t records = 0;

	if (log->lost.from > store->next)
		return "it begins above the number that is expected";
	for (uint32_t i = 0; i < log->lost.n; i++)
		records += log->lost.lost[i].records;
	if (records > log->lost.to - log->lost.from)
		return "its entries are more than its range";
	/* All of it was counted before: the acknowledgement was cut off. */
	if (log->lost.to <= store->next || !store_begin(store))
		return NULL;
	for (uint32_t i = 0; i < log->lost.n; i++) {
		const struct wire_lost *lost = &log->lost.lost[i];
		struct logline_note note = { .kind = LOGLINE_LOST, .has_seq = true, .seq = log->lost.from,
			.wall_ns = batch_wall_ns(), .stream = lost->stream, .reason = lost->reason,
			.records = lost->records, .bytes = lost->bytes };

		break_line(store, lost->stream);
		count(&store->streams[lost->stream].now.lost[lost->reason], lost->records, lost->bytes);
		store->streams[lost->stream].changed = true;
		batch_note(store, &note);
	}
	store->next = log->lost.to;
	if (store->received < store->next)
		store->received = store->next;
	return NULL;
}

/* produced = stored + lost, to the byte: what the guest says against what came. */
static void account(struct store *store)
{
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		const struct store_stream *stream = &store->streams[s];
		struct store_count sum = store_known(&stream->now);

		if (sum.records == stream->now.produced.records && sum.bytes == stream->now.produced.bytes)
			continue;
		store->accounting_errors++;
		log_error("%s: %s: %llu records, %llu bytes were made, but %llu records, %llu bytes are stored or lost",
			store->name, wire_stream_name(s), (unsigned long long)stream->now.produced.records,
			(unsigned long long)stream->now.produced.bytes, (unsigned long long)sum.records,
			(unsigned long long)sum.bytes);
		store_note(store, "accounting", "%s: made %llu records, %llu bytes; stored or lost %llu records, %llu bytes",
			wire_stream_name(s), (unsigned long long)stream->now.produced.records,
			(unsigned long long)stream->now.produced.bytes, (unsigned long long)sum.records,
			(unsigned long long)sum.bytes);
	}
}

const char *store_end(struct store *store, const struct wire_log *log)
{
	if (log->end.next != store->next)
		return "its number is not the one that is expected";
	if (!store_begin(store))
		return NULL;
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		store->streams[s].now.produced = (struct store_count){ 0 };
		store->streams[s].changed = true;
	}
	for (uint32_t i = 0; i < log->end.n; i++) {
		const struct wire_total *total = &log->end.totals[i];

		store->streams[total->stream].now.produced = (struct store_count){ total->records, total->bytes };
	}
	store_flush_lines(store);
	/* Once more, because END_ACK was cut off: it was said before. */
	if (store->epoch.state == EPOCH_ENDED)
		return NULL;
	account(store);
	store_note(store, "end", "%llu records", (unsigned long long)store->next);
	store->epoch.state = EPOCH_ENDED;
	store->fate.ended = true;
	return NULL;
}

void store_flush_lines(struct store *store)
{
	if (!store_begin(store))
		return;
	for (uint8_t s = 1; s < WIRE_STREAMS; s++)
		line_flush(&store->streams[s].line, s, batch_piece, store);
}

void store_note(struct store *store, const char *event, const char *format, ...)
{
	struct logline_note note = { .kind = LOGLINE_OWN, .wall_ns = batch_wall_ns(), .event = event };
	char text[1024];
	va_list ap;
	int n;

	if (!store_begin(store)) {
		store->own_dropped++;
		return;
	}
	va_start(ap, format);
	n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	note.text.s = text;
	note.text.len = n < 0 ? 0 : (size_t)n < sizeof text ? (uint32_t)n : (uint32_t)sizeof text - 1;
	batch_note(store, &note);
}
