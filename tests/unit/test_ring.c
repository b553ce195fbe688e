/* SPDX-License-Identifier: MIT */
/*
 * The ring, call by call, and then as it lives: a long random run of records, frames, acknowledgements, cuts, relays
 * that start anew, and changes of size and policy, against a host and a model in plain arrays. SEED= gives another.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "ring_model.h"

#define SMALLEST WIRE_RING_MIN

struct fixture {
	struct ring ring;
	struct model model;
	uint64_t sent;
	uint8_t frame[WIRE_FRAME_MAX];
	size_t len;
};

static int create(void **state)
{
	static struct fixture f;

	f.sent = f.len = 0;
	model_create(&f.model, 20000);
	*state = &f;
	return ring_create(&f.ring, SMALLEST) || ring_open(&f.ring);
}

static void ring_destroy(struct ring *ring)
{
	munmap(ring->view, 2 * (size_t)ring->view_size);
	munmap(ring->object, 2 * (size_t)WIRE_RING_MAX);
	munmap(ring->shared, sizeof *ring->shared);
}

static int destroy(void **state)
{
	struct fixture *f = *state;

	ring_destroy(&f->ring);
	model_destroy(&f->model);
	return 0;
}

static bool append(struct fixture *f, uint8_t stream, uint32_t length)
{
	struct wire_record record = model_record(&f->model, stream, length);

	if (!ring_append(&f->ring, &record, 0))
		return false;
	model_made(&f->model, &record);
	return true;
}

static void append_many(struct fixture *f, unsigned n, uint32_t length)
{
	while (n-- > 0)
		assert_true(append(f, WIRE_STREAM_STDOUT, length));
}

/* The next frame into f->frame; false when there is none. */
static bool frame(struct fixture *f)
{
	struct wire_out out = { .buf = f->frame, .size = sizeof f->frame };
	uint64_t next = model_frame(&f->ring, f->sent, &out);
	bool any = next != f->sent;

	assert_int_equal(any, out.len > 0);
	f->sent = next;
	f->len = out.len;
	return any;
}

static void deliver(struct fixture *f)
{
	while (frame(f))
		model_take(&f->model, f->frame, f->len);
}

static bool ack(struct fixture *f)
{
	return ring_ack(&f->ring, f->model.next, f->sent);
}

/* A new connection, to a host that has all below `next`. */
static void resume(struct fixture *f, uint64_t next)
{
	assert_int_equal(model_forget(&f->model, next, ring_state(&f->ring)->acked), next);
	assert_true(ring_resume(&f->ring, next));
	f->sent = next;
}

static uint64_t held(const struct fixture *f)
{
	return ring_state(&f->ring)->head_seq - ring_state(&f->ring)->tail_seq;
}

/* As another relay does it, on the same pages. */
static void reopen(struct fixture *f)
{
	struct ring other = { .shared = f->ring.shared, .object = f->ring.object };

	munmap(f->ring.view, 2 * (size_t)f->ring.view_size);
	assert_int_equal(ring_open(&other), 0);
	f->ring = other;
}

/* --- call by call ----------------------------------------------------------------------------------------------- */

static void empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ring_state(&f->ring)->size, SMALLEST);
	assert_false(ring_unsent(&f->ring, 0));
	assert_false(frame(f));
	assert_true(ring_ack(&f->ring, 0, 0));
	assert_false(ring_ack(&f->ring, 1, 0));
	assert_true(ring_resume(&f->ring, 0));
	assert_false(ring_resume(&f->ring, 1));
	model_check(&f->model, &f->ring);
	model_check_end(&f->model, &f->ring);
}

static void mapped_twice(void **state)
{
	struct fixture *f = *state;
	uint8_t *view = f->ring.view;

	view[0] = 1;
	view[2 * SMALLEST - 1] = 2;
	assert_int_equal(view[SMALLEST], 1);
	assert_int_equal(view[SMALLEST - 1], 2);
	assert_int_equal(f->ring.object[SMALLEST - 1], 2);
}

static void one_of_each(void **state)
{
	struct fixture *f = *state;

	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++)
		assert_true(append(f, stream, 20u * stream));
	assert_true(ring_unsent(&f->ring, 5));
	assert_false(ring_unsent(&f->ring, 6));
	model_check(&f->model, &f->ring);
	deliver(f);
	assert_int_equal(f->model.next, 6);
	model_check(&f->model, &f->ring);
	assert_true(ack(f));
	assert_int_equal(held(f), 0);
	assert_int_equal(ring_state(&f->ring)->acked, 6);
	model_check(&f->model, &f->ring);
	model_check_end(&f->model, &f->ring);
}

/* A frame holds whole records only, as many as there is room for. */
static void frames_are_full(void **state)
{
	static const struct { uint32_t length; uint64_t records; } frames[] = {
		{ RING_CHUNK, 2 }, { RING_CHUNK + 1, 1 }, { WIRE_RECORD_MAX, 1 }, { 0, 2047 },
		{ 1000, 32 }, { 8182, 3 }, { 8172, 4 },
	};
	struct fixture *f = *state;

	_Static_assert(2 * (RING_CHUNK + WIRE_RECORD_HEADER) + 8 <= WIRE_PAYLOAD_MAX, "two chunks fit");
	assert_int_equal(ring_resize(&f->ring, WIRE_RING_MAX), 0);
	for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
		uint64_t first = f->sent;

		append_many(f, frames[i].length ? 40 : 2100, frames[i].length);
		assert_true(frame(f));
		assert_true(f->len <= WIRE_FRAME_MAX);
		assert_int_equal(f->sent - first, frames[i].records);
		model_take(&f->model, f->frame, f->len);
		assert_true(ack(f));
		for (; frame(f); assert_true(ack(f)))
			model_take(&f->model, f->frame, f->len);
		assert_int_equal(f->sent, f->model.made);
	}
	model_check(&f->model, &f->ring);
}

static void no_room_for_a_frame(void **state)
{
	struct fixture *f = *state;
	struct wire_out out = { .buf = f->frame, .size = sizeof f->frame - 1 };

	append_many(f, 3, 10);
	assert_int_equal(model_frame(&f->ring, 0, &out), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(f->ring.shared->flight_head, 0);
	append_many(f, 5, WIRE_RECORD_MAX);
	assert_true(ring_state(&f->ring)->tail_seq > 0);
	out.size = 20;           /* nor for LOST: then it is not as good as sent */
	assert_int_equal(model_frame(&f->ring, 0, &out), 0);
	assert_int_equal(out.len, 0);
	model_check(&f->model, &f->ring);
	deliver(f);
	assert_int_equal(f->model.next, 8);
}

static void so_many_in_flight(void **state)
{
	struct fixture *f = *state;

	append_many(f, RING_FLIGHT + 100, 1);
	deliver(f);
	assert_int_equal(f->sent, RING_FLIGHT);
	model_check(&f->model, &f->ring);
	assert_true(ring_ack(&f->ring, 60, f->sent));
	deliver(f);
	assert_int_equal(f->sent, RING_FLIGHT + 60);
	model_check(&f->model, &f->ring);
	assert_true(ack(f));
	deliver(f);
	assert_int_equal(f->sent, RING_FLIGHT + 100);
}

static void wraps(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 300; i++) {
		append_many(f, 3, 1 + (uint32_t)i * 37 % 9000);
		deliver(f);
		assert_true(ack(f));
		model_check(&f->model, &f->ring);
	}
	assert_int_equal(f->model.losts, 0);
	assert_true(ring_state(&f->ring)->head > 10 * SMALLEST);
}

/* --- full ------------------------------------------------------------------------------------------------------- */

static void full_to_the_byte(void **state)
{
	struct fixture *f = *state;

	append_many(f, 4, SMALLEST / 4 - WIRE_RECORD_HEADER);
	assert_int_equal(held(f), 4);
	model_check(&f->model, &f->ring);
	append_many(f, 1, 0);
	assert_int_equal(held(f), 4);
	assert_int_equal(ring_state(&f->ring)->tail_seq, 1);
	model_check(&f->model, &f->ring);
	append_many(f, 1, SMALLEST / 4 - 2 * WIRE_RECORD_HEADER);
	assert_int_equal(held(f), 5);
	model_check(&f->model, &f->ring);
	append_many(f, 1, SMALLEST / 4 - WIRE_RECORD_HEADER);    /* just what the oldest takes */
	assert_int_equal(held(f), 5);
	model_check(&f->model, &f->ring);
	deliver(f);
	assert_int_equal(f->model.losts, 1);
}

static void lost_before_it_was_sent(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 60; i++)
		assert_true(append(f, 1 + (uint8_t)(i % 6), 1500));
	assert_true(ring_state(&f->ring)->tail_seq > 10);
	model_check(&f->model, &f->ring);
	assert_true(frame(f));
	model_take(&f->model, f->frame, f->len);
	assert_int_equal(f->model.losts, 1);
	assert_int_equal(f->sent, ring_state(&f->ring)->tail_seq);
	deliver(f);
	assert_true(ack(f));
	model_check(&f->model, &f->ring);
	assert_int_equal(f->model.next, 60);
}

/* What is lost while a LOST is out has to wait for its acknowledgement. */
static void one_lost_at_a_time(void **state)
{
	struct fixture *f = *state;
	uint64_t first;

	append_many(f, 10, WIRE_RECORD_MAX);
	assert_true(frame(f));
	first = f->sent;
	model_take(&f->model, f->frame, f->len);
	append_many(f, 10, WIRE_RECORD_MAX);
	model_check(&f->model, &f->ring);
	assert_true(ring_unsent(&f->ring, f->sent));
	assert_false(frame(f));
	assert_int_equal(f->sent, first);
	assert_true(ack(f));
	deliver(f);
	assert_int_equal(f->model.losts, 2);
	assert_int_equal(f->model.next, 20);
	model_check(&f->model, &f->ring);
}

/* Dropped while in flight: nobody's loss until the host has said what arrived. */
static void dropped_in_flight(void **state)
{
	static const uint64_t arrived[] = { 0, 1, 2, 3 };

	for (size_t i = 0; i < sizeof arrived / sizeof *arrived; i++) {
		struct fixture *f = *state;

		append_many(f, 3, WIRE_RECORD_MAX);
		deliver(f);
		append_many(f, 9, WIRE_RECORD_MAX);
		assert_true(ring_state(&f->ring)->tail_seq > 3);
		model_check(&f->model, &f->ring);
		resume(f, arrived[i]);
		model_check(&f->model, &f->ring);
		deliver(f);
		assert_int_equal(f->model.losts, 1);
		assert_int_equal(f->model.next, 12);
		assert_true(ack(f));
		model_check(&f->model, &f->ring);
		destroy(state);
		create(state);
	}
}

static void dropped_in_flight_and_acknowledged(void **state)
{
	struct fixture *f = *state;

	append_many(f, 3, WIRE_RECORD_MAX);
	deliver(f);
	append_many(f, 5, WIRE_RECORD_MAX);
	assert_int_equal(ring_state(&f->ring)->tail_seq, 5);
	assert_true(ring_ack(&f->ring, 2, f->sent));
	model_check(&f->model, &f->ring);
	assert_true(ring_ack(&f->ring, 3, f->sent));
	model_check(&f->model, &f->ring);
	deliver(f);
	assert_int_equal(f->model.losts, 1);
	assert_int_equal(f->model.records[2].fate, MODEL_STORED);
	assert_int_equal(f->model.records[3].fate, MODEL_LOST);
}

/* A LOST that the host never got is said again, with what came since; one that it got is not. */
static void lost_again(void **state)
{
	struct fixture *f = *state;
	uint64_t to;

	append_many(f, 10, WIRE_RECORD_MAX);
	assert_true(frame(f));
	append_many(f, 4, WIRE_RECORD_MAX);
	resume(f, 0);
	model_check(&f->model, &f->ring);
	assert_true(frame(f));
	to = f->sent;
	model_take(&f->model, f->frame, f->len);
	assert_int_equal(to, ring_state(&f->ring)->tail_seq);
	resume(f, to);           /* it came, its acknowledgement did not */
	model_check(&f->model, &f->ring);
	append_many(f, 2, WIRE_RECORD_MAX);
	deliver(f);
	assert_int_equal(f->model.losts, 2);
	assert_int_equal(f->model.next, 16);
	assert_true(ack(f));
	model_check(&f->model, &f->ring);
}

/* What comes before a LOST is acknowledged, and then the connection is cut. */
static void lost_after_an_acknowledgement(void **state)
{
	struct fixture *f = *state;

	append_many(f, 3, WIRE_RECORD_MAX);
	deliver(f);
	append_many(f, 4, WIRE_RECORD_MAX);
	assert_int_equal(ring_state(&f->ring)->tail_seq, 4);
	assert_true(frame(f));
	assert_int_equal(f->sent, 4);
	assert_true(ring_ack(&f->ring, 3, f->sent));
	model_check(&f->model, &f->ring);
	resume(f, 3);
	model_check(&f->model, &f->ring);
	deliver(f);
	assert_int_equal(f->model.losts, 1);
	assert_int_equal(f->model.next, 7);
}

/* More than 2^32 records of a stream in one LOST: days of a flood without a host. */
static void lost_beyond_32_bits(void **state)
{
	struct fixture *f = *state;
	struct ring_state *s;
	struct wire_frame wire;
	struct wire_log log;
	uint64_t records = 0, bytes = 0;

	append_many(f, 10, WIRE_RECORD_MAX);
	s = (struct ring_state *)ring_state(&f->ring);
	s->lost[WIRE_STREAM_STDOUT] = (struct ring_count){ 3 * (1ull << 32) + 5, 1ull << 40 };
	assert_true(frame(f));
	assert_int_equal(wire_split(f->frame, f->len, &wire), f->len);
	assert_ptr_equal(wire_log_decode(&wire, &log), NULL);
	for (uint32_t i = 0; i < log.lost.n; i++) {
		assert_int_equal(log.lost.lost[i].stream, WIRE_STREAM_STDOUT);
		records += log.lost.lost[i].records;
		bytes += log.lost.lost[i].bytes;
	}
	assert_int_equal(records, 3 * (1ull << 32) + 5);
	assert_int_equal(bytes, 1ull << 40);
}

static void blocks(void **state)
{
	struct fixture *f = *state;

	f->ring.shared->orders.full = WIRE_FULL_BLOCK;
	append_many(f, 3, WIRE_RECORD_MAX);
	assert_false(ring_blocks(&f->ring, WIRE_RECORD_MAX - 4 * WIRE_RECORD_HEADER));
	assert_true(ring_blocks(&f->ring, WIRE_RECORD_MAX - 4 * WIRE_RECORD_HEADER + 1));
	assert_null(ring_reserve(&f->ring, WIRE_RECORD_MAX));
	assert_false(append(f, WIRE_STREAM_STDOUT, WIRE_RECORD_MAX));
	assert_int_equal(held(f), 3);
	assert_true(append(f, WIRE_STREAM_STDOUT, WIRE_RECORD_MAX - 4 * WIRE_RECORD_HEADER));
	assert_true(ring_blocks(&f->ring, 0));
	f->ring.shared->orders.full = WIRE_FULL_DROP;
	assert_false(ring_blocks(&f->ring, 0));
	f->ring.patient = true;
	assert_true(ring_blocks(&f->ring, 0));
	assert_null(ring_reserve(&f->ring, 0));
	deliver(f);
	assert_true(ack(f));
	assert_false(ring_blocks(&f->ring, WIRE_RECORD_MAX));
	append_many(f, 1, WIRE_RECORD_MAX);
	model_check(&f->model, &f->ring);
	assert_int_equal(f->model.losts, 0);
}

/* --- the host's word -------------------------------------------------------------------------------------------- */

static void words_that_cannot_be(void **state)
{
	struct fixture *f = *state;

	append_many(f, 10, 100);
	deliver(f);
	append_many(f, 5, 100);
	assert_false(ring_ack(&f->ring, 11, f->sent));
	assert_true(ring_ack(&f->ring, 7, f->sent));
	assert_false(ring_ack(&f->ring, 6, f->sent));
	assert_false(ring_ack(&f->ring, UINT64_MAX, f->sent));
	assert_false(ring_resume(&f->ring, 6));
	assert_false(ring_resume(&f->ring, 16));
	model_check(&f->model, &f->ring);
	assert_int_equal(ring_state(&f->ring)->acked, 7);
	assert_true(ring_ack(&f->ring, 7, f->sent));
	assert_true(ring_resume(&f->ring, 7));
	assert_int_equal(held(f), 8);
}

static void marks(void **state)
{
	struct fixture *f = *state;

	for (uint64_t mark = 1; mark < 4; mark++) {
		struct wire_record record = model_record(&f->model, WIRE_STREAM_KERNEL, 100);

		assert_true(ring_append(&f->ring, &record, mark * 10));
		model_made(&f->model, &record);
		f->model.mark[WIRE_STREAM_KERNEL] = mark * 10;
		append_many(f, 1, 100);
		model_check(&f->model, &f->ring);
	}
	reopen(f);
	assert_int_equal(ring_state(&f->ring)->mark[WIRE_STREAM_KERNEL], 30);
}

/* --- another size ----------------------------------------------------------------------------------------------- */

static void resizes(void **state)
{
	static const uint32_t sizes[] = { 4, 8, 5, 1, 16, 3, 2, 7, 1 };
	struct fixture *f = *state;

	for (unsigned i = 0; i < 60; i++) {
		append_many(f, 7, 3000 + i);
		if (i % 3 == 0) {
			assert_true(frame(f));
			model_take(&f->model, f->frame, f->len);
			ring_ack(&f->ring, f->model.next, f->sent);
		}
		assert_int_equal(ring_resize(&f->ring, sizes[i % 9] * SMALLEST), 0);
		assert_int_equal(ring_state(&f->ring)->size, sizes[i % 9] * SMALLEST);
		model_check(&f->model, &f->ring);
	}
	assert_true(f->model.losts > 0);
	while (f->sent < f->model.made) {
		deliver(f);
		assert_true(ack(f));
	}
	model_check(&f->model, &f->ring);
}

static void keeps_its_size(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ring_resize(&f->ring, 2 * SMALLEST), 0);
	append_many(f, 7, WIRE_RECORD_MAX);
	f->ring.shared->orders.full = WIRE_FULL_BLOCK;
	assert_int_equal(ring_resize(&f->ring, SMALLEST), -ENOSPC);
	assert_int_equal(ring_state(&f->ring)->size, 2 * SMALLEST);
	assert_int_equal(held(f), 7);
	assert_int_equal(ring_resize(&f->ring, 2 * SMALLEST), 0);
	model_check(&f->model, &f->ring);
	f->ring.shared->orders.full = WIRE_FULL_DROP;
	assert_int_equal(ring_resize(&f->ring, SMALLEST), 0);
	assert_int_equal(held(f), 3);
	model_check(&f->model, &f->ring);
}

static void old_pages_go_back(void **state)
{
	struct fixture *f = *state;
	const uint8_t *old = f->ring.object + (size_t)ring_state(&f->ring)->half * WIRE_RING_MAX;

	append_many(f, 3, WIRE_RECORD_MAX);
	assert_int_equal(ring_resize(&f->ring, 2 * SMALLEST), 0);
	for (size_t i = 0; i < SMALLEST; i++)
		assert_int_equal(old[i], 0);
	model_check(&f->model, &f->ring);
}

/* --- a relay that died in the middle of a read ------------------------------------------------------------------ */

/* What a read of that many bytes does with a run. */
static void run_fill(struct model *model, uint8_t *room, uint32_t length)
{
	static uint8_t bytes[RING_RUN * RING_CHUNK];
	struct iovec parts[RING_RUN];
	uint32_t at = 0;
	int n = ring_run_parts(room, length, parts);

	model_run_data(model, length, bytes);
	for (int i = 0; i < n; at += (uint32_t)parts[i++].iov_len)
		memcpy(parts[i].iov_base, bytes + at, parts[i].iov_len);
	assert_int_equal(at, length);
}

/* Announces a read, that happens or does not, and has another relay open the ring. */
static void die_in_read(struct fixture *f, uint32_t length, bool read, bool commit)
{
	struct wire_record record = model_record(&f->model, WIRE_STREAM_STDERR, length);
	uint8_t *room = ring_reserve(&f->ring, ring_run_size(length));

	ring_announce(&f->ring, &record, 0);
	if (read)
		run_fill(&f->model, room, length);
	if (commit)
		ring_commit(&f->ring, &record);
	reopen(f);
	if (!read)
		return;
	if (!commit)
		record.ns = 0;
	model_run_made(&f->model, &record);
}

static void dead_in_read(void **state)
{
	static const uint32_t lengths[] = { 1, 2, 3, 7, 8, 9, 100, RING_CHUNK, RING_CHUNK + 1, 3 * RING_CHUNK - 5 };
	struct fixture *f = *state;

	for (unsigned i = 0; i < 200; i++) {
		uint32_t length = lengths[i % (sizeof lengths / sizeof *lengths)];

		die_in_read(f, length, false, false);
		model_check(&f->model, &f->ring);
		die_in_read(f, length, true, false);
		model_check(&f->model, &f->ring);
		deliver(f);
		assert_true(ack(f));
		die_in_read(f, length, true, true);
		model_check(&f->model, &f->ring);
		deliver(f);
		assert_true(ack(f));
	}
	assert_int_equal(f->model.losts, 0);
}

/* A program may write the very byte that was there: a run's last record alone proves nothing. */
static void dead_in_run_that_ends_as_before(void **state)
{
	struct fixture *f = *state;
	struct wire_record record = model_record(&f->model, WIRE_STREAM_STDERR, RING_CHUNK + 1);
	uint8_t *room = ring_reserve(&f->ring, ring_run_size(record.length));
	struct iovec parts[RING_RUN];

	ring_announce(&f->ring, &record, 0);
	assert_int_equal(ring_run_parts(room, record.length, parts), 2);
	memset(parts[0].iov_base, 'x', parts[0].iov_len);
	reopen(f);
	assert_int_equal(ring_state(&f->ring)->head_seq, 2);
}

/* Room for as much as can be read at once, and never for more than there is. */
static void runs_that_fit(void **state)
{
	struct fixture *f = *state;
	const uint32_t record = RING_CHUNK + WIRE_RECORD_HEADER;

	assert_int_equal(ring_run_size(0), 0);
	assert_int_equal(ring_run_size(RING_CHUNK), RING_CHUNK);
	assert_int_equal(ring_run_size(RING_CHUNK + 1), RING_CHUNK + 1 + WIRE_RECORD_HEADER);
	/* Where the oldest make room, half the ring; a run has no more than RING_RUN parts. */
	assert_int_equal(ring_run(&f->ring, 5), 5);
	assert_int_equal(ring_run(&f->ring, 1 << 20), SMALLEST / 2 / record * RING_CHUNK);
	assert_int_equal(ring_resize(&f->ring, 1 << 20), 0);
	assert_int_equal(ring_run(&f->ring, 1 << 20), RING_RUN * RING_CHUNK);
	assert_int_equal(ring_resize(&f->ring, SMALLEST), 0);
	/* Where they do not, what is free; a little that does not fit waits. */
	f->ring.patient = true;
	append_many(f, 2, (SMALLEST - 2 * record - 100) / 2 - WIRE_RECORD_HEADER);
	assert_int_equal(ring_run(&f->ring, 1 << 20), 2 * RING_CHUNK);
	assert_int_equal(ring_run(&f->ring, 2 * RING_CHUNK), 2 * RING_CHUNK);
	append_many(f, 2, RING_CHUNK);
	assert_int_equal(ring_run(&f->ring, 100), 0);
	model_check(&f->model, &f->ring);
}

/* A read that gave nothing was no read: what comes next is not taken for its bytes. */
static void announced_for_nothing(void **state)
{
	struct fixture *f = *state;
	struct wire_record record = model_record(&f->model, WIRE_STREAM_STDERR, 100);

	assert_non_null(ring_reserve(&f->ring, 100));
	ring_announce(&f->ring, &record, 0);
	memcpy(ring_reserve(&f->ring, 200), model_data(5), 200);         /* half of a ring_append */
	reopen(f);
	model_check(&f->model, &f->ring);

	assert_non_null(ring_reserve(&f->ring, 100));
	ring_announce(&f->ring, &record, 0);
	assert_int_equal(ring_resize(&f->ring, 2 * SMALLEST), 0);        /* other pages: no mark is there */
	reopen(f);
	model_check(&f->model, &f->ring);
}

/* A host cannot have what was never sent. */
static void resume_beyond_what_was_sent(void **state)
{
	struct fixture *f = *state;

	append_many(f, 3, 100);
	assert_false(ring_resume(&f->ring, 1));
	assert_true(frame(f));
	append_many(f, 2, 100);
	assert_false(ring_resume(&f->ring, 4));
	reopen(f);
	assert_false(ring_resume(&f->ring, 4));
	assert_true(ring_resume(&f->ring, 2));
	/* What it once was sent, it may have even when nothing is in flight any more. */
	assert_true(ring_resume(&f->ring, 3));
}

/* --- as it lives ------------------------------------------------------------------------------------------------ */

#define STEPS 70000
#define WIRE_DEPTH 16

struct life {
	struct ring ring;
	struct model model;
	uint32_t seed;
	bool up;
	uint64_t sent;           /* the relay's, on this connection */
	uint64_t told;           /* the host's last ACK */
	struct { uint8_t bytes[WIRE_FRAME_MAX]; size_t len; } wire[WIRE_DEPTH];  /* frames on their way */
	uint64_t acks[WIRE_DEPTH];       /* and back */
	unsigned wire_head, wire_tail, acks_head, acks_tail;
	uint32_t large;          /* of a record, for now */
	unsigned writer, host;   /* how busy they are, for now: of 16 */
	bool mute;               /* for now the host acknowledges nothing */
	uint64_t cuts, forgotten, blocked, resized, full_flights, restarts, settled;
};

static uint32_t draw(struct life *l, uint32_t below)
{
	return random_below(&l->seed, below);
}

static void life_write_one(struct life *l)
{
	uint32_t length = draw(l, 64) == 0 ? WIRE_RECORD_MAX : draw(l, l->large);
	struct wire_record record = model_record(&l->model, (uint8_t)(1 + draw(l, WIRE_STREAMS - 1)), length);
	/* Only bytes are read in runs. */
	bool run = draw(l, 2) && (record.kind == WIRE_KIND_BYTES || length <= RING_CHUNK);
	bool expected = ring_blocks(&l->ring, run ? ring_run_size(record.length) : record.length);
	uint8_t *room;

	if (!run) {
		uint64_t mark = draw(l, 4) ? 0 : l->model.made + 1;

		if (!ring_append(&l->ring, &record, mark)) {
			assert_true(expected);
			l->blocked++;
			return;
		}
		if (mark)
			l->model.mark[record.stream] = mark;
	} else {
		room = ring_reserve(&l->ring, ring_run_size(record.length));
		assert_int_equal(expected, !room);
		if (!room) {
			l->blocked++;
			return;
		}
		if (draw(l, 2))
			ring_announce(&l->ring, &record, 0);
		run_fill(&l->model, room, record.length);
		ring_commit(&l->ring, &record);
		model_run_made(&l->model, &record);
		return;
	}
	assert_false(expected);
	model_made(&l->model, &record);
}

/* Small records come in crowds. */
static void life_write(struct life *l)
{
	for (unsigned n = l->large < 500 ? 1 + draw(l, 16) : 1; n > 0; n--)
		life_write_one(l);
}

static void life_send(struct life *l)
{
	struct wire_out out = { .buf = l->wire[l->wire_head % WIRE_DEPTH].bytes, .size = WIRE_FRAME_MAX };
	uint64_t next;

	if (!l->up || l->wire_head - l->wire_tail == WIRE_DEPTH)
		return;
	next = model_frame(&l->ring, l->sent, &out);
	assert_int_equal(next > l->sent, out.len > 0);
	if (next == l->sent) {
		const struct ring_state *s = ring_state(&l->ring);
		bool flights = l->ring.shared->flight_head - s->flight_tail == RING_FLIGHT;

		l->full_flights += flights;
		assert_true(flights || s->lost_to || !ring_unsent(&l->ring, l->sent));
		return;
	}
	l->sent = next;
	l->wire[l->wire_head++ % WIRE_DEPTH].len = out.len;
}

static void life_receive(struct life *l)
{
	if (l->wire_tail == l->wire_head)
		return;
	model_take(&l->model, l->wire[l->wire_tail % WIRE_DEPTH].bytes, l->wire[l->wire_tail % WIRE_DEPTH].len);
	l->wire_tail++;
}

/* Not always all that it has: what is stored on a disk comes later than what was received. */
static void life_acknowledge(struct life *l)
{
	uint64_t limit = l->model.next;

	if (!l->up || l->acks_head - l->acks_tail == WIRE_DEPTH)
		return;
	if (limit > l->told && draw(l, 4) == 0)
		limit -= draw(l, (uint32_t)(limit - l->told) + 1);
	while (limit > l->told && limit < l->model.next && l->model.records[limit - 1].fate == MODEL_LOST)
		limit--;
	l->acks[l->acks_head++ % WIRE_DEPTH] = l->told = limit;
}

static void life_hear(struct life *l)
{
	if (l->acks_tail != l->acks_head)
		assert_true(ring_ack(&l->ring, l->acks[l->acks_tail++ % WIRE_DEPTH], l->sent));
}

/* Some of what is on its way arrives, the rest never; acknowledgements may be lost alone. */
static void life_cut(struct life *l)
{
	if (!l->up)
		return;
	while (draw(l, 4) && l->wire_tail != l->wire_head)
		life_receive(l);
	while (draw(l, 4) && l->acks_tail != l->acks_head)
		life_hear(l);
	l->wire_tail = l->wire_head;
	l->acks_tail = l->acks_head;
	l->up = false;
	l->cuts++;
	/* A host that died itself has what it acknowledged, and perhaps some more. */
	if (draw(l, 3) == 0 && l->model.next > l->told) {
		model_forget(&l->model, l->told + draw(l, (uint32_t)(l->model.next - l->told)), l->told);
		l->forgotten++;
	}
}

static void life_connect(struct life *l)
{
	if (l->up)
		return;
	assert_true(ring_resume(&l->ring, l->model.next));
	l->sent = l->told = l->model.next;
	l->up = true;
}

static void life_resize(struct life *l)
{
	uint32_t size = WIRE_RING_MIN + 4096 * draw(l, draw(l, 8) ? 100 : (WIRE_RING_MAX - WIRE_RING_MIN) / 4096 + 1);
	const struct ring_state *s = ring_state(&l->ring);
	bool fits = s->head - s->tail <= size;
	bool waits = l->ring.patient || l->ring.shared->orders.full == WIRE_FULL_BLOCK;
	int error = ring_resize(&l->ring, size);

	assert_int_equal(error, !fits && waits ? -ENOSPC : 0);
	l->resized += error == 0;
}

/* The relay is gone, perhaps in the middle of a read; its connection with it. */
static void life_restart(struct life *l)
{
	struct ring other = { .shared = l->ring.shared, .object = l->ring.object };
	struct wire_record record = model_record(&l->model, WIRE_STREAM_STDOUT,
		ring_run(&l->ring, 1 + draw(l, 3 * RING_CHUNK)));
	bool read = draw(l, 2);
	uint8_t *room = record.length > 0 ? ring_reserve(&l->ring, ring_run_size(record.length)) : NULL;

	if (room) {
		ring_announce(&l->ring, &record, 0);
		if (read) {
			run_fill(&l->model, room, record.length);
			record.ns = 0;
			model_run_made(&l->model, &record);
			l->settled++;
		}
	}
	life_cut(l);
	munmap(l->ring.view, 2 * (size_t)l->ring.view_size);
	assert_int_equal(ring_open(&other), 0);
	l->ring = other;
	l->restarts++;
}

/* For a while things are so: small or large records, a host that is quick or slow. */
static void life_turn(struct life *l)
{
	static const uint32_t large[] = { 4, 40, 400, 4000, RING_CHUNK + 1, WIRE_RECORD_MAX + 1 };

	l->large = large[draw(l, 6)];
	l->writer = 1 + draw(l, 15);
	l->host = draw(l, 16);
	l->mute = draw(l, 4) == 0;
	l->ring.shared->orders.full = draw(l, 3) ? WIRE_FULL_DROP : WIRE_FULL_BLOCK;
	l->ring.patient = draw(l, 3) == 0;
	if (draw(l, 4) == 0)
		life_resize(l);
}

static void life_step(struct life *l)
{
	if (draw(l, 16) < l->writer)
		life_write(l);
	else
		life_send(l);
	if (draw(l, 16) < l->host) {
		life_receive(l);
		if (!l->mute && draw(l, 3) == 0)
			life_acknowledge(l);
		if (draw(l, 2))
			life_hear(l);
	}
	if (draw(l, 200) == 0)
		life_cut(l);
	if (draw(l, 40) == 0)
		life_connect(l);
	if (draw(l, 1000) == 0)
		life_restart(l);
}

static void life_end(struct life *l)
{
	l->ring.patient = false;
	life_cut(l);
	life_connect(l);
	while (ring_state(&l->ring)->acked < l->model.made) {
		life_send(l);
		life_receive(l);
		life_acknowledge(l);
		life_hear(l);
	}
	assert_int_equal(l->model.next, l->model.made);
	assert_false(ring_unsent(&l->ring, l->sent));
	for (uint64_t seq = 0; seq < l->model.made; seq++)
		assert_true(l->model.records[seq].fate != MODEL_OPEN);
	model_check(&l->model, &l->ring);
	model_check_end(&l->model, &l->ring);
}

static void life(void **state)
{
	static struct life l;
	const char *given = getenv("SEED");
	uint32_t first = given && *given ? (uint32_t)strtoul(given, NULL, 0) : 0x41a75e;

	(void)state;
	l.seed = first ? first : 1;
	print_message("SEED=%#x\n", l.seed);
	assert_int_equal(ring_create(&l.ring, RING_DEFAULT), 0);
	assert_int_equal(ring_open(&l.ring), 0);
	model_create(&l.model, 8 * STEPS);
	for (unsigned step = 0; step < STEPS; step++) {
		const struct ring_state *s;

		if (step == 0 || draw(&l, 512) == 0)
			life_turn(&l);
		life_step(&l);
		s = ring_state(&l.ring);
		if (step % 128 == 0 || s->head_seq - s->tail_seq < 16)
			model_check(&l.model, &l.ring);
	}
	print_message("%u records, %u LOST, %u cuts, %u hosts, %u relays, %u blocked, %u sizes, %u full flights\n",
		(unsigned)l.model.made, (unsigned)l.model.losts, (unsigned)l.cuts, (unsigned)l.forgotten,
		(unsigned)l.restarts, (unsigned)l.blocked, (unsigned)l.resized, (unsigned)l.full_flights);
	life_end(&l);
	/* Worth something only if all of it happened; another seed may see less of one thing. */
	if (!given) {
		assert_true(l.model.losts > 100 && l.cuts > 100 && l.forgotten > 20 && l.restarts > 20);
		assert_true(l.settled > 20 && l.blocked > 100 && l.resized > 20 && l.full_flights > 20);
	}
	ring_destroy(&l.ring);
	model_destroy(&l.model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty, create, destroy),
		cmocka_unit_test_setup_teardown(mapped_twice, create, destroy),
		cmocka_unit_test_setup_teardown(one_of_each, create, destroy),
		cmocka_unit_test_setup_teardown(frames_are_full, create, destroy),
		cmocka_unit_test_setup_teardown(no_room_for_a_frame, create, destroy),
		cmocka_unit_test_setup_teardown(so_many_in_flight, create, destroy),
		cmocka_unit_test_setup_teardown(wraps, create, destroy),
		cmocka_unit_test_setup_teardown(full_to_the_byte, create, destroy),
		cmocka_unit_test_setup_teardown(lost_before_it_was_sent, create, destroy),
		cmocka_unit_test_setup_teardown(one_lost_at_a_time, create, destroy),
		cmocka_unit_test_setup_teardown(dropped_in_flight, create, destroy),
		cmocka_unit_test_setup_teardown(dropped_in_flight_and_acknowledged, create, destroy),
		cmocka_unit_test_setup_teardown(lost_again, create, destroy),
		cmocka_unit_test_setup_teardown(lost_after_an_acknowledgement, create, destroy),
		cmocka_unit_test_setup_teardown(lost_beyond_32_bits, create, destroy),
		cmocka_unit_test_setup_teardown(blocks, create, destroy),
		cmocka_unit_test_setup_teardown(words_that_cannot_be, create, destroy),
		cmocka_unit_test_setup_teardown(marks, create, destroy),
		cmocka_unit_test_setup_teardown(resizes, create, destroy),
		cmocka_unit_test_setup_teardown(keeps_its_size, create, destroy),
		cmocka_unit_test_setup_teardown(old_pages_go_back, create, destroy),
		cmocka_unit_test_setup_teardown(dead_in_read, create, destroy),
		cmocka_unit_test_setup_teardown(dead_in_run_that_ends_as_before, create, destroy),
		cmocka_unit_test_setup_teardown(runs_that_fit, create, destroy),
		cmocka_unit_test_setup_teardown(announced_for_nothing, create, destroy),
		cmocka_unit_test_setup_teardown(resume_beyond_what_was_sent, create, destroy),
		cmocka_unit_test(life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
