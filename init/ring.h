/* SPDX-License-Identifier: MIT */
/*
 * ring: the records that the host has not acknowledged yet, in memory that outlives the relay.
 *
 * PID 1 makes the ring and forks the keeper, the keeper forks relay after relay; all of them see the same pages, and
 * only the one living relay writes. Records lie in the ring exactly as they go over the wire, one behind the other, and
 * the pages are mapped twice in a row, so that every record and every run of records is contiguous.
 *
 * A relay can be killed between any two instructions. So all that belongs together is one struct ring_state, of which
 * there are two: a change is made in the spare one, and a single store makes it the current one. Bytes behind the head
 * are nobody's until then.
 *
 * Numbers: acked <= tail_seq <= head_seq. Records in [acked, tail_seq) were dropped. Such a record was either never
 * sent, then it is counted in `lost` at once; or it was sent and its acknowledgement is still out, then nobody knows
 * yet: its size is in the flight queue until the host says what it has. That keeps the count exact.
 */
#ifndef INIT_RING_H
#define INIT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../vsock/frame.h"
#include "../vsock/wire.h"

#define RING_DEFAULT (256 << 10)
/* Two of these fill a frame; a whole WIRE_RECORD_MAX twice would not fit. */
#define RING_CHUNK ((WIRE_PAYLOAD_MAX - 8) / 2 - WIRE_RECORD_HEADER)
#define RING_RUN 9               /* records of a run, at most: 128 KiB, which a pipe may hold, are 9 */
#define RING_FLIGHT 2048         /* records sent and not acknowledged, at most */

struct ring_count {
	uint64_t records, bytes;
};

struct ring_state {
	uint64_t head, tail;             /* offsets in bytes since the start; the byte is at offset % size */
	uint64_t head_seq, tail_seq;     /* the number of the next record to be made, and of the oldest held */
	uint64_t acked;                  /* the host has every record below, or its loss */
	uint64_t flight_tail;            /* the flight queue holds [flight_tail, flight_head) */
	uint64_t lost_to;                /* a LOST that ends here was sent and is not acknowledged; 0: none */
	uint64_t mark[WIRE_STREAMS];     /* where a source that can be read again goes on: see ring_append */
	struct ring_count made[WIRE_STREAMS];
	struct ring_count lost_sent[WIRE_STREAMS];       /* what that LOST says */
	struct ring_count lost[WIRE_STREAMS];            /* what the next one must say */
	uint32_t size;
	uint32_t half;                   /* which half of the object holds the records: changes when it is resized */
};

struct ring_flight {
	uint64_t seq;
	uint32_t bytes;
	uint32_t stream;
};

/* What a source is about to read straight into the ring, so that a death inside read() can be settled. */
struct ring_intent {
	uint64_t at;                     /* the head it belongs to; any other: there is none */
	uint32_t bytes, stream, kind, pri;
	uint64_t sentinel;
	uint64_t rest;                   /* bytes of the message that do not fit into the record: a gap comes behind it */
	uint64_t rest_seq;               /* the record's number */
};

/* What PID 1 tells the relay; written before it is poked. */
struct ring_orders {
	bool have_token;
	uint8_t token[WIRE_TOKEN];
	uint32_t size;                   /* 0: as it is */
	uint8_t full;                    /* WIRE_FULL_DROP or WIRE_FULL_BLOCK */
};

struct ring_shared {
	_Atomic uint32_t current;        /* which state counts */
	struct ring_state state[2];
	struct ring_intent intent;
	struct ring_orders orders;
	uint32_t starts;                 /* of the relay */
	uint32_t unsaid;                 /* records of its own that it had no room for: see event.c */
	uint64_t sent_to;                /* no record from here on was ever sent */
	_Atomic uint64_t flight_head;
	struct ring_flight flight[RING_FLIGHT];          /* at index % RING_FLIGHT */
};

struct ring {
	struct ring_shared *shared;
	uint8_t *object;                 /* both halves, each WIRE_RING_MAX; pages come when they are touched */
	uint8_t *view;                   /* this process's two mappings of the ring in a row */
	uint32_t view_size;
	bool patient;                    /* the relay's: room will come soon, so wait for it under any policy */
	uint64_t cursor_seq, cursor;     /* where the record after the last frame lies, so that nobody has to walk */
	struct frame_run *run;           /* what of the view is being sent (ring_lends); NULL: nobody sends */
	struct frame_buf *borrower;      /* behind what is in there */
};

/* Makes the memory. 0 or a negative errno. Every process that uses the ring then calls ring_open. */
int ring_create(struct ring *ring, uint32_t size);
/* Maps the view, and settles what a relay that died in the middle of a read had begun. 0 or a negative errno. */
int ring_open(struct ring *ring);
/* Another size; fewer bytes than the records held take: those are dropped, and counted. 0 or a negative errno. */
int ring_resize(struct ring *ring, uint32_t size);

const struct ring_state *ring_state(const struct ring *ring);
bool ring_unsent(const struct ring *ring, uint64_t sent);        /* there is something for the wire after `sent` */

/*
 * Room for a record of up to `bytes` of data: where the data goes. With WIRE_FULL_DROP the oldest records make room;
 * with WIRE_FULL_BLOCK, or as long as the ring is patient, NULL when there is none.
 */
uint8_t *ring_reserve(struct ring *ring, uint32_t bytes);
bool ring_blocks(const struct ring *ring, uint32_t bytes);       /* ring_reserve would say NULL */
/*
 * A run is what one read takes from a pipe: records of RING_CHUNK bytes and a last one of what is left, each behind the
 * room for its header. ring_run: of so many bytes those that a run can have now; 0 when it would block. ring_run_size:
 * what ring_reserve is asked for. ring_run_parts: where the data goes; the number of parts.
 */
uint32_t ring_run(const struct ring *ring, uint32_t bytes);
uint32_t ring_run_size(uint32_t bytes);
int ring_run_parts(uint8_t *room, uint32_t bytes, struct iovec parts[static RING_RUN]);
/* Makes what was written there the next record, or, of a run's length, the next ones. record->data is not looked at. */
void ring_commit(struct ring *ring, const struct wire_record *record);
/*
 * Both, for data that lies elsewhere; false when it blocks. A mark other than 0 is kept as the stream's, in the same
 * step: a relay that starts anew reads on from there, neither twice nor with a hole.
 */
bool ring_append(struct ring *ring, const struct wire_record *record, uint64_t mark);

/* A gap record; as ring_append. */
bool ring_gap(struct ring *ring, uint8_t stream, uint8_t reason, uint64_t records, uint64_t bytes, uint64_t mark);

/*
 * Before a read of exactly record->length bytes, a run, into ring_reserve's room; ring_commit comes after it. A message
 * has `rest` bytes more, which the read drops: ring_commit puts a gap behind its one record, for which there must be
 * room. If the relay is killed in between, the next one finds out whether the bytes were read: if so, the end of the
 * first record's room no longer holds what was put there. It can be wrong if a program wrote just that: one chance in
 * 2^64, in 2^8 for a single binary byte.
 */
void ring_announce(struct ring *ring, const struct wire_record *record, uint64_t rest);

/*
 * The next frame from number `sent` on: writes LOST, or all of RECORDS but its records, which are the run, into out;
 * puts the records into flight, and returns the number to go on with; `sent` itself when there is nothing to send, no
 * room for the whole frame, or too much in flight. The run lies in the ring.
 */
uint64_t ring_frame(struct ring *ring, uint64_t sent, struct wire_out *out, struct frame_run *run);
/* From now on runs are sent behind what is in the buffer, and copied there before the ring loses their bytes. */
void ring_lends(struct ring *ring, struct frame_buf *borrower, struct frame_run *run);
/* The host has everything below next. false: it cannot have. */
bool ring_ack(struct ring *ring, uint64_t next, uint64_t sent);
/* A new session; the host expects next. Settles what was in flight. false: it cannot expect that. */
bool ring_resume(struct ring *ring, uint64_t next);
/* END, for everything made so far. */
bool ring_end(const struct ring *ring, struct wire_out *out);

#endif
