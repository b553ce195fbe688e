/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "ring.h"

#define NO_INTENT UINT64_MAX
/* Bytes that no UTF-8 text contains, for reads too short to hold a random sentinel. */
#define SHORT_SENTINEL 0xc1c1c1c1c1c1c1c1u

/* The two states: begin() copies the current one to change it, publish() makes the copy current in one store. */
static struct ring_state *begin(struct ring *ring)
{
	struct ring_shared *shared = ring->shared;
	uint32_t current = atomic_load_explicit(&shared->current, memory_order_relaxed);

	shared->state[!current] = shared->state[current];
	return &shared->state[!current];
}

static void publish(struct ring *ring)
{
	struct ring_shared *shared = ring->shared;
	uint32_t current = atomic_load_explicit(&shared->current, memory_order_relaxed);

	atomic_store_explicit(&shared->current, !current, memory_order_release);
}

const struct ring_state *ring_state(const struct ring *ring)
{
	return &ring->shared->state[atomic_load_explicit(&ring->shared->current, memory_order_acquire)];
}

static uint8_t *at(const struct ring *ring, uint64_t offset)
{
	return ring->view + offset % ring->view_size;
}

/* The header of the record at an offset: its whole size in the ring is WIRE_RECORD_HEADER + length. */
static struct wire_record record_at(const struct ring *ring, uint64_t offset)
{
	const uint8_t *header = at(ring, offset);
	struct wire_record record;

	memcpy(&record, header, WIRE_RECORD_HEADER);
	record.data = header + WIRE_RECORD_HEADER;
	return record;
}

static uint64_t now_boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- making and mapping ----------------------------------------------------------------------------------------- */

int ring_create(struct ring *ring, uint32_t size)
{
	struct ring_shared *shared;
	struct ring_state *state;

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -errno;
	/* NORESERVE: most of it is never touched. */
	ring->object = mmap(NULL, 2 * (size_t)WIRE_RING_MAX, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ring->object == MAP_FAILED) {
		munmap(shared, sizeof *shared);
		return -errno;
	}
	ring->shared = shared;
	ring->view = NULL;
	ring->view_size = 0;
	ring->cursor_seq = ring->cursor = 0;
	ring->patient = false;
	ring->run = NULL;
	state = &shared->state[0];
	state->size = size;
	shared->intent.at = NO_INTENT;
	return 0;
}

static void view_close(struct ring *ring)
{
	if (ring->view)
		munmap(ring->view, 2 * (size_t)ring->view_size);
	ring->view = NULL;
}

/* Two mappings of one half's first `size` bytes, side by side. An old size of 0 makes mremap map shared pages again. */
static int view_open(struct ring *ring, uint32_t half, uint32_t size)
{
	uint8_t *from = ring->object + (size_t)half * WIRE_RING_MAX;
	uint8_t *view = mmap(NULL, 2 * (size_t)size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (view == MAP_FAILED)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (mremap(from, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, view + (size_t)i * size) == MAP_FAILED) {
			int error = errno;

			munmap(view, 2 * (size_t)size);
			return -error;
		}
	}
	ring->view = view;
	ring->view_size = size;
	return 0;
}

/* The gap behind a message that was too long, unless it is there. */
static void rest_tell(struct ring *ring)
{
	const struct ring_intent *intent = &ring->shared->intent;

	if (intent->rest && ring_state(ring)->head_seq == intent->rest_seq + 1)
		ring_gap(ring, (uint8_t)intent->stream, WIRE_LOSS_DATAGRAM, 1, intent->rest, 0);
}

/*
 * The end of what a read puts first. Of a run that is its first record: the last one may be a single byte, which says
 * too little, and no read fills one without the other.
 */
static uint8_t *read_end(const struct ring *ring, uint64_t head, uint32_t bytes)
{
	return at(ring, head) + WIRE_RECORD_HEADER + (bytes < RING_CHUNK ? bytes : RING_CHUNK);
}

static void settle_intent(struct ring *ring)
{
	struct ring_shared *shared = ring->shared;
	struct ring_intent *intent = &shared->intent;
	const struct ring_state *state = ring_state(ring);
	size_t n = intent->bytes < 8 ? intent->bytes : 8;

	if (intent->at == state->head) {
		const uint8_t *end = read_end(ring, state->head, intent->bytes);

		if (memcmp(end - n, &intent->sentinel, n) != 0)
			ring_commit(ring, &(struct wire_record){ .kind = (uint8_t)intent->kind,
				.stream = (uint8_t)intent->stream, .pri = (uint16_t)intent->pri,
				.ns = now_boot_ns(), .length = intent->bytes });
	}
	intent->at = NO_INTENT;
	rest_tell(ring);
}

int ring_open(struct ring *ring)
{
	const struct ring_state *state = ring_state(ring);
	int error;

	view_close(ring);
	error = view_open(ring, state->half, state->size);
	if (error == 0)
		settle_intent(ring);
	return error;
}

/* Whatever becomes of the view, what is half sent goes on as it was. */
static void give_away(struct ring *ring)
{
	if (ring->run)
		frame_keep(ring->borrower, ring->run);
}

int ring_resize(struct ring *ring, uint32_t size)
{
	const struct ring_state *old = ring_state(ring);
	struct ring bigger = *ring;
	struct ring_state *state;
	int error;

	ring->shared->intent.at = NO_INTENT;
	atomic_signal_fence(memory_order_seq_cst);
	while (old->head - old->tail > size) {
		if (!ring_reserve(ring, (uint32_t)(old->size - size)))
			return -ENOSPC;
		old = ring_state(ring);
	}
	error = view_open(&bigger, !old->half, size);
	if (error)
		return error;
	memcpy(at(&bigger, old->tail), at(ring, old->tail), old->head - old->tail);
	state = begin(ring);
	state->size = size;
	state->half = !old->half;
	publish(ring);
	give_away(ring);
	/* The old half's pages go back to the system; that it fails is harmless. */
	madvise(ring->object + (size_t)!state->half * WIRE_RING_MAX, WIRE_RING_MAX, MADV_REMOVE);
	view_close(ring);
	*ring = bigger;
	return 0;
}

/* --- records in ------------------------------------------------------------------------------------------------- */

static void count(struct ring_count *c, uint64_t records, uint64_t bytes)
{
	c->records += records;
	c->bytes += bytes;
}

static uint64_t flight_end(const struct ring *ring)
{
	const struct ring_shared *shared = ring->shared;
	uint64_t head = atomic_load_explicit(&shared->flight_head, memory_order_relaxed);

	if (head == ring_state(ring)->flight_tail)
		return 0;
	return shared->flight[(head - 1) % RING_FLIGHT].seq + 1;
}

/* Takes the oldest records out until `bytes` are free. What is in flight is counted when the host has spoken. */
static void drop(struct ring *ring, uint64_t bytes)
{
	struct ring_state *state = begin(ring);
	uint64_t in_flight_to = flight_end(ring);

	give_away(ring);
	while (state->tail < state->head && state->head - state->tail + bytes > state->size) {
		struct wire_record record = record_at(ring, state->tail);

		if (state->tail_seq >= in_flight_to)
			count(&state->lost[record.stream], 1, record.length);
		state->tail += WIRE_RECORD_HEADER + record.length;
		state->tail_seq++;
	}
	publish(ring);
}

static bool fits(const struct ring_state *state, uint32_t bytes)
{
	return state->head - state->tail + WIRE_RECORD_HEADER + bytes <= state->size;
}

bool ring_blocks(const struct ring *ring, uint32_t bytes)
{
	return (ring->patient || ring->shared->orders.full == WIRE_FULL_BLOCK) && !fits(ring_state(ring), bytes);
}

uint8_t *ring_reserve(struct ring *ring, uint32_t bytes)
{
	if (ring_blocks(ring, bytes))
		return NULL;
	/* A read that was announced and gave nothing is over: what comes now is not for it. */
	if (ring->shared->intent.rest_seq == ring_state(ring)->head_seq)
		ring->shared->intent.rest = 0;
	ring->shared->intent.at = NO_INTENT;
	atomic_signal_fence(memory_order_seq_cst);
	if (!fits(ring_state(ring), bytes))
		drop(ring, (uint64_t)WIRE_RECORD_HEADER + bytes);
	return at(ring, ring_state(ring)->head) + WIRE_RECORD_HEADER;
}

uint32_t ring_run(const struct ring *ring, uint32_t bytes)
{
	const struct ring_state *state = ring_state(ring);
	bool blocks = ring_blocks(ring, ring_run_size(bytes));
	/* Where the oldest records make room, half the ring at most: a read is not to drop what was just read. */
	uint64_t room = blocks ? state->size - (state->head - state->tail) : state->size / 2;
	uint64_t chunks = room / (WIRE_RECORD_HEADER + RING_CHUNK);
	uint32_t most = RING_CHUNK * (uint32_t)(chunks < RING_RUN ? chunks : RING_RUN);

	return bytes < most || (!blocks && bytes <= RING_CHUNK) ? bytes : most;
}

uint32_t ring_run_size(uint32_t bytes)
{
	return bytes == 0 ? 0 : bytes + (bytes - 1) / RING_CHUNK * WIRE_RECORD_HEADER;
}

int ring_run_parts(uint8_t *room, uint32_t bytes, struct iovec parts[static RING_RUN])
{
	int n = 0;

	for (; bytes > 0; bytes -= (uint32_t)parts[n++].iov_len) {
		parts[n] = (struct iovec){ room, bytes < RING_CHUNK ? bytes : RING_CHUNK };
		room += RING_CHUNK + WIRE_RECORD_HEADER;
	}
	return n;
}

static void put(struct ring *ring, struct ring_state *state, const struct wire_record *record)
{
	wire_record_header(at(ring, state->head), record);
	state->head += WIRE_RECORD_HEADER + record->length;
	state->head_seq++;
	count(&state->made[record->stream], 1, record->length);
}

void ring_commit(struct ring *ring, const struct wire_record *record)
{
	struct ring_state *state = begin(ring);
	struct wire_record part = *record;
	uint32_t left = record->length;

	do {
		part.length = left < RING_CHUNK ? left : RING_CHUNK;
		put(ring, state, &part);
		left -= part.length;
	} while (left > 0);
	publish(ring);
	rest_tell(ring);
}

bool ring_append(struct ring *ring, const struct wire_record *record, uint64_t mark)
{
	uint8_t *room = ring_reserve(ring, record->length);
	struct ring_state *state;

	if (!room)
		return false;
	memcpy(room, record->data, record->length);
	state = begin(ring);
	put(ring, state, record);
	if (mark)
		state->mark[record->stream] = mark;
	publish(ring);
	return true;
}

bool ring_gap(struct ring *ring, uint8_t stream, uint8_t reason, uint64_t records, uint64_t bytes, uint64_t mark)
{
	uint8_t data[24];
	struct wire_gap gap = { .reason = reason, .records = records, .bytes = bytes };
	struct wire_record record = { .kind = WIRE_KIND_GAP, .stream = stream, .pri = WIRE_PRI_NONE,
		.ns = now_boot_ns(), .data = data };

	record.length = (uint32_t)wire_gap_encode(data, sizeof data, &gap);
	return ring_append(ring, &record, mark);
}

void ring_announce(struct ring *ring, const struct wire_record *record, uint64_t rest)
{
	const struct ring_state *state = ring_state(ring);
	struct ring_intent *intent = &ring->shared->intent;
	size_t n = record->length < 8 ? record->length : 8;
	uint8_t *end = read_end(ring, state->head, record->length);

	intent->at = NO_INTENT;
	atomic_signal_fence(memory_order_seq_cst);
	intent->bytes = record->length;
	intent->stream = record->stream;
	intent->kind = record->kind;
	intent->pri = record->pri;
	intent->rest = rest;
	intent->rest_seq = state->head_seq;
	intent->sentinel = n < 8 ? SHORT_SENTINEL :
		(intent->sentinel ^ record->ns ^ state->head) * 0x9e3779b97f4a7c15u + 0x7f4a7c15u;
	memcpy(end - n, &intent->sentinel, n);
	atomic_signal_fence(memory_order_seq_cst);
	intent->at = state->head;
	atomic_signal_fence(memory_order_seq_cst);
}

/* --- frames out ------------------------------------------------------------------------------------------------- */

bool ring_unsent(const struct ring *ring, uint64_t sent)
{
	const struct ring_state *state = ring_state(ring);

	return sent < state->head_seq;
}

static size_t flight_room(const struct ring *ring)
{
	return RING_FLIGHT - (size_t)(atomic_load_explicit(&ring->shared->flight_head, memory_order_relaxed) -
		ring_state(ring)->flight_tail);
}

/* Before the frame is sent, never after: what was sent and is not in the queue would be counted wrongly. */
static void flight_push(struct ring *ring, uint64_t seq, const struct wire_record *record)
{
	struct ring_shared *shared = ring->shared;
	uint64_t head = atomic_load_explicit(&shared->flight_head, memory_order_relaxed);

	shared->flight[head % RING_FLIGHT] =
		(struct ring_flight){ .seq = seq, .bytes = record->length, .stream = record->stream };
	atomic_store_explicit(&shared->flight_head, head + 1, memory_order_release);
}

/* Before it is sent, too: a host cannot have more than that. */
static uint64_t sent_to(struct ring *ring, uint64_t seq)
{
	if (seq > ring->shared->sent_to)
		ring->shared->sent_to = seq;
	return seq;
}

static uint64_t lost_frame(struct ring *ring, uint64_t sent, struct wire_out *out)
{
	struct ring_state *state;
	struct wire_log log = { .type = WIRE_LOST };

	if (ring_state(ring)->lost_to)
		return sent;     /* one at a time: what is lost now must not join what is being acknowledged */
	state = begin(ring);
	log.lost.from = sent;
	log.lost.to = state->tail_seq;
	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++) {
		struct ring_count left = state->lost[stream];

		state->lost_sent[stream] = left;
		state->lost[stream] = (struct ring_count){ 0 };
		/* More than one entry only after days without a host: the wire's number of records has 32 bits. */
		while (left.records && log.lost.n < WIRE_LOST_MAX) {
			uint32_t records = left.records > UINT32_MAX ? UINT32_MAX : (uint32_t)left.records;

			log.lost.lost[log.lost.n++] = (struct wire_lost){ .stream = stream, .reason = WIRE_LOSS_FULL,
				.records = records, .bytes = left.bytes };
			left.records -= records;
			left.bytes = 0;
		}
	}
	state->lost_to = state->tail_seq;
	if (!wire_log_encode(out, &log))
		return sent;
	publish(ring);
	return sent_to(ring, log.lost.to);
}

/* Where the record with a number lies: from the tail on, unless the last frame ended just there. */
static uint64_t offset_of(const struct ring *ring, uint64_t seq)
{
	const struct ring_state *state = ring_state(ring);
	uint64_t offset = state->tail;

	if (seq == ring->cursor_seq && ring->cursor >= state->tail)
		return ring->cursor;
	for (uint64_t s = state->tail_seq; s < seq; s++)
		offset += WIRE_RECORD_HEADER + record_at(ring, offset).length;
	return offset;
}

uint64_t ring_frame(struct ring *ring, uint64_t sent, struct wire_out *out, struct frame_run *run)
{
	const struct ring_state *state = ring_state(ring);
	size_t room = out->size - out->len, flights = flight_room(ring);
	uint64_t offset, start, seq = sent;

	*run = (struct frame_run){ out->buf, 0 };
	if (sent < state->tail_seq)
		return lost_frame(ring, sent, out);
	if (room < WIRE_FRAME_MAX)
		return sent;
	start = offset = offset_of(ring, sent);
	while (offset < state->head && flights > 0) {
		struct wire_record record = record_at(ring, offset);

		if (offset - start + WIRE_RECORD_HEADER + record.length > WIRE_PAYLOAD_MAX - 8)
			break;
		flight_push(ring, seq++, &record);
		flights--;
		offset += WIRE_RECORD_HEADER + record.length;
	}
	if (seq == sent)
		return sent;
	run->bytes = at(ring, start);
	run->len = offset - start;
	wire_put_u32(out, (uint32_t)(8 + run->len));
	wire_put_u16(out, WIRE_RECORDS);
	wire_put_u16(out, 0);
	wire_put_u64(out, sent);
	ring->cursor_seq = seq;
	ring->cursor = offset;
	return sent_to(ring, seq);
}

void ring_lends(struct ring *ring, struct frame_buf *borrower, struct frame_run *run)
{
	ring->borrower = borrower;
	ring->run = run;
}

/* --- the host's word -------------------------------------------------------------------------------------------- */

/* Frees the records below next, which the host has, and forgets a LOST that it has. */
static void free_below(struct ring *ring, struct ring_state *state, uint64_t next)
{
	const struct ring_shared *shared = ring->shared;
	uint64_t flight_head = atomic_load_explicit(&shared->flight_head, memory_order_relaxed);

	while (state->tail_seq < next && state->tail < state->head) {
		state->tail += WIRE_RECORD_HEADER + record_at(ring, state->tail).length;
		state->tail_seq++;
	}
	while (state->flight_tail < flight_head && shared->flight[state->flight_tail % RING_FLIGHT].seq < next)
		state->flight_tail++;
	state->acked = next;
	if (state->lost_to && next >= state->lost_to) {
		state->lost_to = 0;
		memset(state->lost_sent, 0, sizeof state->lost_sent);
	}
}

/* What is still in flight did not arrive: what of it was dropped meanwhile is lost, the rest will be sent again. */
static void land_flight(struct ring *ring, struct ring_state *state)
{
	const struct ring_shared *shared = ring->shared;
	uint64_t flight_head = atomic_load_explicit(&shared->flight_head, memory_order_relaxed);

	for (; state->flight_tail < flight_head; state->flight_tail++) {
		const struct ring_flight *flight = &shared->flight[state->flight_tail % RING_FLIGHT];

		if (flight->seq < state->tail_seq)
			count(&state->lost[flight->stream], 1, flight->bytes);
	}
	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++) {
		count(&state->lost[stream], state->lost_sent[stream].records, state->lost_sent[stream].bytes);
		state->lost_sent[stream] = (struct ring_count){ 0 };
	}
	state->lost_to = 0;
}

bool ring_ack(struct ring *ring, uint64_t next, uint64_t sent)
{
	if (next < ring_state(ring)->acked || next > sent)
		return false;
	free_below(ring, begin(ring), next);
	publish(ring);
	return true;
}

bool ring_resume(struct ring *ring, uint64_t next)
{
	struct ring_state *state;

	if (next < ring_state(ring)->acked || next > ring->shared->sent_to)
		return false;
	state = begin(ring);
	free_below(ring, state, next);
	land_flight(ring, state);
	publish(ring);
	return true;
}

bool ring_end(const struct ring *ring, struct wire_out *out)
{
	const struct ring_state *state = ring_state(ring);
	struct wire_log log = { .type = WIRE_END, .end.next = state->head_seq };

	for (uint8_t stream = 1; stream < WIRE_STREAMS; stream++)
		if (state->made[stream].records)
			log.end.totals[log.end.n++] = (struct wire_total){ .stream = stream,
				.records = state->made[stream].records, .bytes = state->made[stream].bytes };
	return wire_log_encode(out, &log);
}
