/* SPDX-License-Identifier: MIT */
/*
 * ring_model: what a ring has to hold, in plain arrays: every record that was ever made, by its number; and a host
 * that checks each frame against them. Whatever happens, each record is stored or said to be lost, and never both.
 */
#ifndef TEST_RING_MODEL_H
#define TEST_RING_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../init/ring.h"
#include "random.h"

#define MODEL_NOISE 65536
#define MODEL_REST 55            /* bytes that the only gap there is tells of */

enum model_fate { MODEL_OPEN, MODEL_STORED, MODEL_LOST };

struct model_record {
	uint64_t ns;             /* 0: whatever the ring says */
	uint32_t length;
	uint16_t pri;
	uint8_t kind, stream;
	uint8_t fate;            /* enum model_fate: what the host knows */
};

struct model {
	struct model_record *records;
	struct ring_count (*below)[WIRE_STREAMS];        /* of all records with a number below the index */
	uint64_t size, made;
	uint64_t mark[WIRE_STREAMS];
	uint64_t next;           /* the host's: everything below has a fate */
	uint64_t losts;          /* frames of LOST that it took */
};

static uint8_t model_noise[MODEL_NOISE];

/* A frame in one piece. */
static inline uint64_t model_frame(struct ring *ring, uint64_t sent, struct wire_out *out)
{
	struct frame_run run;
	uint64_t next = ring_frame(ring, sent, out, &run);

	wire_put_bytes(out, run.bytes, run.len);
	assert_true(!out->full || next == sent);
	return next;
}

static inline void model_create(struct model *model, uint64_t size)
{
	uint32_t seed = 0x401e;

	*model = (struct model){ .size = size };
	model->records = calloc(size, sizeof *model->records);
	model->below = calloc(size + 1, sizeof *model->below);
	assert_true(model->records && model->below);
	/* No byte 0xc1: the ring takes it for its own mark in reads of less than eight bytes, and says so. */
	for (size_t i = 0; i < sizeof model_noise; i++)
		while ((model_noise[i] = (uint8_t)random_below(&seed, 256)) == 0xc1)
			;
}

static inline void model_destroy(struct model *model)
{
	free(model->records);
	free(model->below);
}

/* What the record with a number holds; no two neighbours hold the same. */
static inline const uint8_t *model_data(uint64_t seq)
{
	return model_noise + seq * 977 % (MODEL_NOISE - WIRE_RECORD_MAX);
}

/* The next record to make, not yet made. */
static inline struct wire_record model_record(const struct model *model, uint8_t stream, uint32_t length)
{
	bool message = stream == WIRE_STREAM_INIT || stream == WIRE_STREAM_KERNEL || stream == WIRE_STREAM_SYSLOG;

	if (stream == WIRE_STREAM_KERNEL && length < 8)
		length = 8;      /* the kernel's own number is there at least */
	return (struct wire_record){ .stream = stream, .length = length, .data = model_data(model->made),
		.kind = message ? WIRE_KIND_MESSAGE : WIRE_KIND_BYTES,
		.pri = message ? (uint16_t)(model->made % 192) : WIRE_PRI_NONE, .ns = 1000 + model->made * 3 };
}

/* It has been made. */
static inline void model_made(struct model *model, const struct wire_record *record)
{
	uint64_t n = model->made;

	assert_true(n < model->size);
	model->records[n] = (struct model_record){ .ns = record->ns, .length = record->length, .pri = record->pri,
		.kind = record->kind, .stream = record->stream };
	memcpy(model->below[n + 1], model->below[n], sizeof *model->below);
	model->below[n + 1][record->stream].records++;
	model->below[n + 1][record->stream].bytes += record->length;
	model->made++;
}

/* A run of that length has been made: a record for each part. */
static inline void model_run_made(struct model *model, const struct wire_record *run)
{
	uint32_t left = run->length;

	do {
		struct wire_record part = *run;

		part.length = left < RING_CHUNK ? left : RING_CHUNK;
		model_made(model, &part);
		left -= part.length;
	} while (left > 0);
}

/* What the parts of a run hold, one after the other. */
static inline void model_run_data(const struct model *model, uint32_t bytes, uint8_t *to)
{
	for (uint64_t seq = model->made; bytes > 0; seq++) {
		uint32_t part = bytes < RING_CHUNK ? bytes : RING_CHUNK;

		memcpy(to, model_data(seq), part);
		to += part;
		bytes -= part;
	}
}

static inline void model_same(const struct model *model, uint64_t seq, const struct wire_record *got)
{
	const struct model_record *record = &model->records[seq];

	assert_true(seq < model->made);
	assert_int_equal(got->length, record->length);
	assert_int_equal(got->stream, record->stream);
	assert_int_equal(got->kind, record->kind);
	assert_int_equal(got->pri, record->pri);
	if (record->ns)
		assert_int_equal(got->ns, record->ns);
	if (record->kind == WIRE_KIND_GAP) {
		struct wire_gap gap;

		assert_true(wire_gap_decode(got, &gap));
		assert_true(gap.reason == WIRE_LOSS_DATAGRAM && gap.records == 1 && gap.bytes == MODEL_REST);
		return;
	}
	assert_memory_equal(got->data, model_data(seq), got->length);
}

/* --- the host --------------------------------------------------------------------------------------------------- */

/* Every range that is said to be lost is told to the byte, by stream. */
static inline void model_take_lost(struct model *model, const struct wire_log *log)
{
	struct ring_count told[WIRE_STREAMS] = { { 0 } };

	assert_int_equal(log->lost.from, model->next);
	assert_true(log->lost.to <= model->made);
	for (uint32_t i = 0; i < log->lost.n; i++) {
		assert_int_equal(log->lost.lost[i].reason, WIRE_LOSS_FULL);
		assert_true(log->lost.lost[i].records > 0);
		told[log->lost.lost[i].stream].records += log->lost.lost[i].records;
		told[log->lost.lost[i].stream].bytes += log->lost.lost[i].bytes;
	}
	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++) {
		const struct ring_count *from = &model->below[log->lost.from][stream];
		const struct ring_count *to = &model->below[log->lost.to][stream];

		assert_int_equal(told[stream].records, to->records - from->records);
		assert_int_equal(told[stream].bytes, to->bytes - from->bytes);
	}
	for (; model->next < log->lost.to; model->next++)
		model->records[model->next].fate = MODEL_LOST;
	model->losts++;
}

static inline void model_take_records(struct model *model, struct wire_log *log)
{
	uint64_t seq = log->records.first;
	struct wire_record record;

	assert_int_equal(seq, model->next);      /* a guest that was told what is next sends nothing again */
	for (; wire_record_next(&log->records.in, &record); seq++) {
		model_same(model, seq, &record);
		model->records[seq].fate = MODEL_STORED;
		model->next = seq + 1;
	}
	assert_false(log->records.in.bad);
}

/* RECORDS or LOST, as they came over the wire. */
static inline void model_take(struct model *model, const uint8_t *bytes, size_t len)
{
	struct wire_frame frame;
	struct wire_log log;

	assert_int_equal(wire_split(bytes, len, &frame), len);
	assert_ptr_equal(wire_log_decode(&frame, &log), NULL);
	if (log.type == WIRE_LOST)
		model_take_lost(model, &log);
	else if (log.type == WIRE_RECORDS)
		model_take_records(model, &log);
	else
		fail_msg("%s is neither", wire_type_name(log.type));
}

/* A host that has lost what it did not acknowledge; inside a LOST it cannot stop. Returns what it expects then. */
static inline uint64_t model_forget(struct model *model, uint64_t to, uint64_t acked)
{
	while (to > acked && to < model->next && model->records[to - 1].fate == MODEL_LOST)
		to--;
	for (uint64_t seq = to; seq < model->next; seq++)
		model->records[seq].fate = MODEL_OPEN;
	model->next = to < model->next ? to : model->next;
	return model->next;
}

/* --- the ring --------------------------------------------------------------------------------------------------- */

static inline void model_check_counts(const struct model *model, const struct ring *ring)
{
	const struct ring_state *s = ring_state(ring);
	const struct ring_shared *shared = ring->shared;
	struct ring_count out[WIRE_STREAMS] = { { 0 } };         /* dropped, and the host may have it or not */
	uint64_t last = 0;

	assert_true(shared->flight_head - s->flight_tail <= RING_FLIGHT);
	for (uint64_t i = s->flight_tail; i < shared->flight_head; i++) {
		const struct ring_flight *flight = &shared->flight[i % RING_FLIGHT];

		assert_true(flight->seq >= s->acked && flight->seq < model->made);
		assert_true(i == s->flight_tail || flight->seq > last);
		last = flight->seq;
		assert_int_equal(flight->bytes, model->records[last].length);
		assert_int_equal(flight->stream, model->records[last].stream);
		if (flight->seq < s->tail_seq) {
			out[flight->stream].records++;
			out[flight->stream].bytes += flight->bytes;
		}
	}
	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++) {
		const struct ring_count *from = &model->below[s->acked][stream];
		const struct ring_count *to = &model->below[s->tail_seq][stream];
		const struct ring_count *all = &model->below[model->made][stream];

		assert_int_equal(s->made[stream].records, all->records);
		assert_int_equal(s->made[stream].bytes, all->bytes);
		assert_int_equal(s->mark[stream], model->mark[stream]);
		assert_int_equal(to->records - from->records,
			s->lost[stream].records + s->lost_sent[stream].records + out[stream].records);
		assert_int_equal(to->bytes - from->bytes,
			s->lost[stream].bytes + s->lost_sent[stream].bytes + out[stream].bytes);
	}
}

/*
 * The ring holds what it must: the records [tail_seq, head_seq), each whole; what lies between the acknowledged and
 * the held is counted exactly, by stream.
 */
static inline void model_check(const struct model *model, const struct ring *ring)
{
	const struct ring_state *s = ring_state(ring);
	uint64_t at = s->tail;

	assert_true(s->acked <= s->tail_seq && s->tail_seq <= s->head_seq);
	assert_true(s->acked <= model->next);
	assert_int_equal(s->head_seq, model->made);
	assert_true(s->head - s->tail <= s->size);
	assert_int_equal(ring->view_size, s->size);
	for (uint64_t seq = s->tail_seq; seq < s->head_seq; seq++) {
		struct wire_in in = { .p = ring->view + at % s->size };
		struct wire_record record;

		assert_true(s->head - at >= WIRE_RECORD_HEADER);
		in.end = in.p + (s->head - at);
		assert_true(wire_record_next(&in, &record));
		model_same(model, seq, &record);
		at += WIRE_RECORD_HEADER + record.length;
	}
	assert_int_equal(at, s->head);
	model_check_counts(model, ring);
}

/* END says what was made. */
static inline void model_check_end(const struct model *model, const struct ring *ring)
{
	uint8_t bytes[1024];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };
	struct wire_frame frame;
	struct wire_log log;
	uint32_t n = 0;

	assert_true(ring_end(ring, &out));
	assert_int_equal(wire_split(bytes, out.len, &frame), out.len);
	assert_ptr_equal(wire_log_decode(&frame, &log), NULL);
	assert_int_equal(log.type, WIRE_END);
	assert_int_equal(log.end.next, model->made);
	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++) {
		const struct ring_count *all = &model->below[model->made][stream];

		if (all->records == 0)
			continue;
		assert_true(n < log.end.n);
		assert_int_equal(log.end.totals[n].stream, stream);
		assert_int_equal(log.end.totals[n].records, all->records);
		assert_int_equal(log.end.totals[n++].bytes, all->bytes);
	}
	assert_int_equal(log.end.n, n);
}

#endif
