/* SPDX-License-Identifier: MIT */
#include "store_inside.h"

enum entry_type {
	ENTRY_EPOCH = 2,         /* a new epoch: everything below starts anew */
	ENTRY_STATE,             /* the epoch's state, the next number, the sizes of the files */
	ENTRY_TOKENS,
	ENTRY_COUNTS,            /* of one stream */
	ENTRY_LINE,              /* a line without its end, from the start of the piece */
	ENTRY_MORE,              /* more bytes of it */
	ENTRY_DROP,              /* it is written */
	ENTRY_PAST,              /* counts of one stream in all epochs before */
	ENTRY_FATE,              /* how its machine fares */
};

static void put_count(struct wire_out *out, const struct store_count *count)
{
	wire_put_u64(out, count->records);
	wire_put_u64(out, count->bytes);
}

static void get_count(struct wire_in *in, struct store_count *count)
{
	count->records = wire_get_u64(in);
	count->bytes = wire_get_u64(in);
}

static void put_mark(struct wire_out *out, const struct sink *sink)
{
	struct sink_mark mark = sink_mark(sink);

	wire_put_u64(out, mark.ino);
	wire_put_u64(out, mark.size);
}

static void put_epoch(struct wire_out *out, const struct epoch *epoch)
{
	wire_begin(out, ENTRY_EPOCH);
	wire_put_bytes(out, epoch->boot_id, sizeof epoch->boot_id);
	wire_put_u64(out, epoch->offset_ns);
	wire_end(out);
}

static void put_tokens(struct wire_out *out, const struct epoch *epoch)
{
	wire_begin(out, ENTRY_TOKENS);
	wire_put_bytes(out, epoch->hash, sizeof epoch->hash);
	wire_end(out);
}

static void put_state(struct wire_out *out, const struct store *store)
{
	wire_begin(out, ENTRY_STATE);
	wire_put_u8(out, store->epoch.state);
	wire_put_u64(out, store->next);
	put_mark(out, &store->text);
	put_mark(out, &store->json);
	wire_end(out);
}

static void put_fate(struct wire_out *out, const struct fate *fate)
{
	wire_begin(out, ENTRY_FATE);
	wire_put_u8(out, fate->outcome);
	wire_put_u32(out, fate->value);
	wire_put_u8(out, (uint8_t)(fate->ready | fate->failed << 1 | fate->powered << 2 | fate->ended << 3));
	wire_end(out);
}

static void get_fate(struct wire_in *in, struct fate *fate)
{
	uint8_t flags;

	fate->outcome = wire_get_u8(in);
	fate->value = wire_get_u32(in);
	flags = wire_get_u8(in);
	fate->ready = flags & 1;
	fate->failed = flags & 2;
	fate->powered = flags & 4;
	fate->ended = flags & 8;
}

static void put_counts(struct wire_out *out, enum entry_type type, uint8_t s, const struct store_counts *counts)
{
	wire_begin(out, (uint16_t)type);
	wire_put_u8(out, s);
	put_count(out, &counts->stored);
	put_count(out, &counts->duplicate);
	put_count(out, &counts->replayed);
	put_count(out, &counts->produced);
	for (int reason = 0; reason < WIRE_LOSSES; reason++) {
		put_count(out, &counts->lost[reason]);
		put_count(out, &counts->gap[reason]);
	}
	wire_end(out);
}

static void put_line_start(struct wire_out *out, uint8_t s, const struct line *line)
{
	wire_begin(out, ENTRY_LINE);
	wire_put_u8(out, s);
	wire_put_u64(out, line->seq);
	wire_put_u64(out, line->ns);
	wire_put_u64(out, line->offset);
	wire_put_u64(out, line->kernel_seq);
	wire_put_u32(out, line->index);
	wire_put_u16(out, line->pri);
	wire_put_u8(out, line->kind);
	wire_end(out);
}

static void put_line(struct wire_out *out, uint8_t s, const struct line *line, bool whole)
{
	uint32_t from = whole ? 0 : line->journaled;

	if (!line_open(line)) {
		if (line->in_journal && !whole) {
			wire_begin(out, ENTRY_DROP);
			wire_put_u8(out, s);
			wire_end(out);
		}
		return;
	}
	if (!from)
		put_line_start(out, s, line);
	for (uint32_t n; from < line->len; from += n) {
		n = line->len - from < JOURNAL_DATA_MAX ? line->len - from : JOURNAL_DATA_MAX;
		wire_begin(out, ENTRY_MORE);
		wire_put_u8(out, s);
		wire_put_bytes(out, line->bytes + from, n);
		wire_end(out);
	}
}

void store_journal_put(const struct store *store, bool whole)
{
	struct wire_out *out = journal_begin();

	if (whole) {
		put_epoch(out, &store->epoch);
		put_tokens(out, &store->epoch);
	}
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		const struct store_stream *stream = &store->streams[s];

		if (whole)
			put_counts(out, ENTRY_PAST, s, &stream->past);
		if (stream->changed || whole)
			put_counts(out, ENTRY_COUNTS, s, &stream->now);
		put_line(out, s, &stream->line, whole);
	}
	if (store->streams[WIRE_STREAM_INIT].changed || whole)
		put_fate(out, &store->fate);
	put_state(out, store);
}

void store_journal_noted(struct store *store)
{
	for (int s = 1; s < WIRE_STREAMS; s++) {
		struct store_stream *stream = &store->streams[s];

		stream->changed = false;
		stream->line.journaled = stream->line.len;
		stream->line.in_journal = line_open(&stream->line);
	}
	store->epoch_changed = store->changed = false;
}

static bool get_line(struct wire_in *in, struct line *line)
{
	line_clear(line);
	line->seq = wire_get_u64(in);
	line->ns = wire_get_u64(in);
	line->offset = wire_get_u64(in);
	line->kernel_seq = wire_get_u64(in);
	line->index = wire_get_u32(in);
	line->pri = wire_get_u16(in);
	line->kind = wire_get_u8(in);
	return true;
}

static bool get_counts(struct wire_in *in, struct store_counts *counts)
{
	get_count(in, &counts->stored);
	get_count(in, &counts->duplicate);
	get_count(in, &counts->replayed);
	get_count(in, &counts->produced);
	for (int reason = 0; reason < WIRE_LOSSES; reason++) {
		get_count(in, &counts->lost[reason]);
		get_count(in, &counts->gap[reason]);
	}
	return true;
}

static bool get_more(struct wire_in *in, struct line *line)
{
	struct wire_text bytes = wire_get_rest(in);

	return line->len + bytes.len <= LINE_BYTES_MAX && line_keep(line, bytes.s, bytes.len);
}

static bool replay_stream(struct store *store, uint16_t type, struct wire_in *in)
{
	uint8_t s = wire_get_u8(in);
	struct store_stream *stream = &store->streams[s < WIRE_STREAMS ? s : 0];

	if (s < 1 || s >= WIRE_STREAMS)
		return false;
	switch (type) {
	case ENTRY_COUNTS:
		return get_counts(in, &stream->now);
	case ENTRY_PAST:
		return get_counts(in, &stream->past);
	case ENTRY_LINE:
		return get_line(in, &stream->line);
	case ENTRY_MORE:
		return get_more(in, &stream->line);
	case ENTRY_DROP:
		line_clear(&stream->line);
		return true;
	}
	return false;
}

static bool replay_entry(void *context, const struct wire_frame *frame)
{
	struct store_replay *replay = context;
	struct store *store = replay->store;
	struct wire_in in = wire_in(frame);
	bool ok = true;

	switch (frame->type) {
	case ENTRY_EPOCH:
		store_clear(store);
		store->epoch = (struct epoch){ 0 };
		wire_get_bytes(&in, store->epoch.boot_id, sizeof store->epoch.boot_id);
		store->epoch.offset_ns = wire_get_u64(&in);
		break;
	case ENTRY_TOKENS:
		wire_get_bytes(&in, store->epoch.hash, sizeof store->epoch.hash);
		break;
	case ENTRY_FATE:
		get_fate(&in, &store->fate);
		ok = store->fate.outcome < FATE_OUTCOMES;
		break;
	case ENTRY_STATE:
		store->epoch.state = wire_get_u8(&in);
		store->next = wire_get_u64(&in);
		replay->text.ino = wire_get_u64(&in);
		replay->text.size = wire_get_u64(&in);
		replay->json.ino = wire_get_u64(&in);
		replay->json.size = wire_get_u64(&in);
		ok = store->epoch.state < EPOCH_STATES;
		break;
	default:
		ok = replay_stream(store, frame->type, &in);
	}
	return ok && wire_in_done(&in);
}

int store_journal_replay(struct store_replay *replay)
{
	return journal_replay(&replay->store->journal, replay_entry, replay);
}
