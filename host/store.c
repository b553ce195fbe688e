/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "store.h"

#define TEXT_NAME "text.log"
#define JSON_NAME "json.log"

/*
 * The batch, on its way to the files. There is one for all stores, so that a guest at rest costs no memory: whoever
 * began a batch ends it with store_write before anybody else begins one.
 */
static struct store *batch;
static uint8_t text_buf[LOGLINE_TEXT_MAX + (512 << 10)];
static size_t text_len;
static char json_buf[LOGLINE_JSON_MAX + (512 << 10)];
static struct json_out json = { .buf = json_buf, .size = sizeof json_buf };

static uint64_t wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void failed(struct store *store, int error)
{
	if (error < 0 && !store->error)
		store->error = error;
}

/* --- the buffers ------------------------------------------------------------------------------------------------- */

static void flush_text(struct store *store)
{
	if (text_len && !store->error) {
		failed(store, sink_write(&store->text, text_buf, text_len));
		store->bytes_written += text_len;
	}
	text_len = 0;
}

static void flush_json_to(struct store *store, bool files, bool followers)
{
	if (json.len && !store->error && files && store->json.name) {
		failed(store, sink_write(&store->json, json_buf, json.len));
		store->bytes_written += json.len;
	}
	if (json.len && !store->error && followers && store->watched)
		store->home->show(store, json_buf, json.len);
	json.len = 0;
}

/* Text first: what a follower sees is in the files. */
static void flush(struct store *store)
{
	flush_text(store);
	flush_json_to(store, true, true);
}

static bool json_wanted(const struct store *store)
{
	return store->json.name || store->watched;
}

/* Followers have seen the beginning of this line while it had no end: they get the rest, the file gets all of it. */
static void json_shown_piece(struct store *store, const struct line_piece *piece)
{
	struct line_piece rest = *piece;

	flush(store);
	if (store->json.name) {
		logline_json_piece(&json, &store->who, piece);
		flush_json_to(store, true, false);
	}
	rest.bytes += piece->shown;
	rest.len -= piece->shown;
	rest.offset += piece->shown;
	logline_json_piece(&json, &store->who, &rest);
	flush_json_to(store, false, true);
}

static void emit_piece(void *context, const struct line_piece *piece)
{
	struct store *store = context;

	if (store->text.name) {
		if (sizeof text_buf - text_len < LOGLINE_TEXT_MAX)
			flush_text(store);
		text_len += logline_text_piece(text_buf + text_len, &store->who, piece);
	}
	if (!json_wanted(store))
		return;
	if (piece->shown && store->watched) {
		json_shown_piece(store, piece);
	} else if (!logline_json_piece(&json, &store->who, piece)) {
		flush(store);
		logline_json_piece(&json, &store->who, piece);
	}
}

static void emit_note(struct store *store, const struct logline_note *note)
{
	if (store->text.name) {
		if (sizeof text_buf - text_len < LOGLINE_TEXT_MAX)
			flush_text(store);
		text_len += logline_text_note(text_buf + text_len, &store->who, note);
	}
	if (json_wanted(store) && !logline_json_note(&json, &store->who, note)) {
		flush(store);
		logline_json_note(&json, &store->who, note);
	}
}

/* --- the files --------------------------------------------------------------------------------------------------- */

/* Not kept open: there may be ten thousand of them, and they are needed when files begin. */
static int log_dir_open(struct store *store)
{
	int fd;

	if (!mkdirat(store->home->logs_fd, store->name, 0700))
		store->dir_unsynced = true;
	else if (errno != EEXIST)
		return -errno;
	fd = openat(store->home->logs_fd, store->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int files_open(struct store *store)
{
	int dir = log_dir_open(store), r;

	if (dir < 0)
		return dir;
	r = journal_open(&store->journal, store->home->epochs_fd, store->name);
	if (!r)
		r = sink_open(&store->text, dir);
	if (!r)
		r = sink_open(&store->json, dir);
	close(dir);
	return r;
}

static void files_close(struct store *store)
{
	sink_close(&store->text);
	sink_close(&store->json);
	journal_close(&store->journal);
}

/* Every change begins here. False: nothing can be stored now. */
static bool begin(struct store *store)
{
	assert(!batch || batch == store);
	if (store->error)
		return false;
	if (!store->ephemeral && store->journal.fd < 0) {
		failed(store, files_open(store));
		if (store->error)
			return false;
	}
	batch = store;
	store->changed = true;
	return true;
}

void store_init(struct store *store, struct store_home *home, const char *name, bool ephemeral)
{
	*store = (struct store){ .home = home, .name = name, .ephemeral = ephemeral };
	store->who.vm = name;
	sink_init(&store->text, home->text && !ephemeral ? TEXT_NAME : NULL);
	sink_init(&store->json, home->json && !ephemeral ? JSON_NAME : NULL);
	journal_init(&store->journal);
}

static void state_clear(struct store *store)
{
	for (int s = 0; s < WIRE_STREAMS; s++) {
		line_clear(&store->streams[s].line);
		store->streams[s] = (struct store_stream){ 0 };
	}
	store->next = store->durable = store->received = 0;
	store->replayed = (struct store_count){ 0 };
}

void store_finish(struct store *store)
{
	files_close(store);
	state_clear(store);
	epoch_over(&store->epoch);
}

void store_rest(struct store *store)
{
	if (!store->changed || !store_settle(store))
		files_close(store);
}

void store_forget(struct store *store)
{
	files_close(store);
	if (!store->ephemeral && unlinkat(store->home->epochs_fd, store->name, 0) && errno != ENOENT)
		log_warn_errno("%s: the state of its epoch cannot be removed", store->name);
}

/* --- the journal's entries --------------------------------------------------------------------------------------- */

enum entry_type {
	ENTRY_EPOCH = 2,         /* a new epoch: everything below starts anew */
	ENTRY_STATE,             /* the epoch's state, the next number, the sizes of the files */
	ENTRY_TOKENS,
	ENTRY_COUNTS,            /* of one stream */
	ENTRY_LINE,              /* a line without its end, from the start of the piece */
	ENTRY_MORE,              /* more bytes of it */
	ENTRY_DROP,              /* it is written */
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

static void put_counts(struct wire_out *out, uint8_t s, const struct store_stream *stream)
{
	wire_begin(out, ENTRY_COUNTS);
	wire_put_u8(out, s);
	put_count(out, &stream->stored);
	put_count(out, &stream->duplicate);
	put_count(out, &stream->produced);
	for (int reason = 0; reason < WIRE_LOSSES; reason++) {
		put_count(out, &stream->lost[reason]);
		put_count(out, &stream->gap[reason]);
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

/* whole: everything there is. Otherwise what changed since the last transaction. */
static void put_transaction(const struct store *store, bool whole)
{
	struct wire_out *out = journal_begin();

	if (whole) {
		put_epoch(out, &store->epoch);
		put_tokens(out, &store->epoch);
	}
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		const struct store_stream *stream = &store->streams[s];

		if (stream->changed || whole)
			put_counts(out, s, stream);
		put_line(out, s, &stream->line, whole);
	}
	put_state(out, store);
}

static void journal_has_it(struct store *store)
{
	for (int s = 1; s < WIRE_STREAMS; s++) {
		struct store_stream *stream = &store->streams[s];

		stream->changed = false;
		stream->line.journaled = stream->line.len;
		stream->line.in_journal = line_open(&stream->line);
	}
	store->epoch_changed = store->changed = false;
	store->durable = store->next;
}

struct replay {
	struct store *store;
	struct sink_mark text, json;
};

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

static bool get_counts(struct wire_in *in, struct store_stream *stream)
{
	get_count(in, &stream->stored);
	get_count(in, &stream->duplicate);
	get_count(in, &stream->produced);
	for (int reason = 0; reason < WIRE_LOSSES; reason++) {
		get_count(in, &stream->lost[reason]);
		get_count(in, &stream->gap[reason]);
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
		return get_counts(in, stream);
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
	struct replay *replay = context;
	struct store *store = replay->store;
	struct wire_in in = wire_in(frame);
	bool ok = true;

	switch (frame->type) {
	case ENTRY_EPOCH:
		state_clear(store);
		store->epoch = (struct epoch){ 0 };
		wire_get_bytes(&in, store->epoch.boot_id, sizeof store->epoch.boot_id);
		store->epoch.offset_ns = wire_get_u64(&in);
		break;
	case ENTRY_TOKENS:
		wire_get_bytes(&in, store->epoch.hash, sizeof store->epoch.hash);
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

/* A journal that is none is put aside, not removed: somebody may want to know what it was. */
static int set_aside(struct store *store)
{
	char aside[300];

	journal_close(&store->journal);
	snprintf(aside, sizeof aside, ".%s.bad", store->name);
	if (renameat(store->home->epochs_fd, store->name, store->home->epochs_fd, aside))
		return -errno;
	log_error("%s: its journal is damaged and was set aside; its epoch starts anew", store->name);
	state_clear(store);
	store->epoch = (struct epoch){ 0 };
	return journal_open(&store->journal, store->home->epochs_fd, store->name);
}

static void who_set(struct store *store)
{
	store->who.offset_ns = store->epoch.offset_ns;
	logline_uuid(store->who.boot, store->epoch.boot_id);
}

static int load(struct store *store)
{
	struct replay replay = { .store = store };
	int dir = log_dir_open(store), r;

	if (dir < 0)
		return dir;
	r = journal_open(&store->journal, store->home->epochs_fd, store->name);
	if (!r)
		r = journal_replay(&store->journal, replay_entry, &replay);
	if (r == -EBADMSG) {
		replay = (struct replay){ .store = store };
		r = set_aside(store);
	}
	if (!r)
		r = sink_recover(&store->text, dir, replay.text);
	if (!r)
		r = sink_recover(&store->json, dir, replay.json);
	close(dir);
	return r;
}

int store_load(struct store *store)
{
	struct epoch before = store->epoch;

	if (batch == store) {
		text_len = json.len = 0;
		batch = NULL;
	}
	store->error = 0;
	if (store->ephemeral)
		return 0;
	files_close(store);
	state_clear(store);
	store->epoch = (struct epoch){ 0 };
	failed(store, load(store));
	/* After an error, not at a start, the token in memory is still that of the hash on disk, and stays. */
	if (store->error) {
		store->epoch = before;
	} else if (before.has_token && !memcmp(before.hash, store->epoch.hash, sizeof before.hash)) {
		memcpy(store->epoch.token, before.token, sizeof before.token);
		store->epoch.has_token = true;
	}
	explicit_bzero(&before, sizeof before);
	if (store->epoch.state != EPOCH_NONE || store->next)
		who_set(store);
	journal_has_it(store);
	store->received = store->next;
	if (store->error)
		files_close(store);
	return store->error;
}

/* --- records ----------------------------------------------------------------------------------------------------- */

static int probe(const struct sink *sink)
{
	/* Kept for what comes; a file system that knows no such thing says so, and that is no answer. */
	if (sink->fd < 0 || !fallocate(sink->fd, FALLOC_FL_KEEP_SIZE, (off_t)sink->size, sizeof text_buf))
		return 0;
	return errno == EOPNOTSUPP || errno == EINTR ? 0 : -errno;
}

int store_probe(struct store *store)
{
	failed(store, probe(&store->text));
	failed(store, probe(&store->json));
	return store->error;
}

static void count(struct store_count *counts, uint64_t records, uint64_t bytes)
{
	counts->records += records;
	counts->bytes += bytes;
}

/* Bytes of this stream are missing from here on: what is open cannot be joined to what comes. */
static void break_line(struct store *store, uint8_t s)
{
	struct line *line = &store->streams[s].line;

	line_flush(line, s, emit_piece, store);
	line->offset = 0;
}

static void take_event(struct store *store, const struct wire_record *record, uint64_t seq)
{
	struct wire_event event;
	struct logline_note note = { .kind = LOGLINE_EVENT, .has_seq = true, .has_ns = true, .seq = seq,
		.ns = record->ns, .stream = record->stream, .pri = record->pri };

	if (!wire_event_decode(record, &event))
		return;                  /* cannot be: the frame was decoded as a whole */
	note.event = wire_event_name(event.code);
	note.code = event.code;
	note.value = event.value;
	note.text = event.text;
	emit_note(store, &note);
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
	count(&store->streams[record->stream].gap[gap.reason], gap.records, gap.bytes);
	emit_note(store, &note);
}

static void take(struct store *store, const struct wire_record *record, uint64_t seq)
{
	struct store_stream *stream = &store->streams[record->stream];

	count(&stream->stored, 1, record->length);
	stream->changed = stream->fed = true;
	if (record->kind == WIRE_KIND_EVENT)
		take_event(store, record, seq);
	else if (record->kind == WIRE_KIND_GAP)
		take_gap(store, record, seq);
	else if (!line_feed(&stream->line, record, seq, emit_piece, store))
		failed(store, -ENOMEM);
}

const char *store_records(struct store *store, const struct wire_log *log)
{
	struct wire_in in = log->records.in;
	uint64_t seq = log->records.first;
	struct wire_record record;

	if (seq > store->next)
		return "its first number is above the one that is expected";
	if (!begin(store))
		return NULL;
	for (; !store->error && wire_record_next(&in, &record); seq++) {
		if (seq < store->received)
			count(&store->replayed, 1, record.length);
		else
			store->received = seq + 1;
		if (seq < store->next) {
			count(&store->streams[record.stream].duplicate, 1, record.length);
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
	if (log->lost.to <= store->next || !begin(store))
		return NULL;
	for (uint32_t i = 0; i < log->lost.n; i++) {
		const struct wire_lost *lost = &log->lost.lost[i];
		struct logline_note note = { .kind = LOGLINE_LOST, .has_seq = true, .seq = log->lost.from,
			.wall_ns = wall_now(), .stream = lost->stream, .reason = lost->reason,
			.records = lost->records, .bytes = lost->bytes };

		break_line(store, lost->stream);
		count(&store->streams[lost->stream].lost[lost->reason], lost->records, lost->bytes);
		store->streams[lost->stream].changed = true;
		emit_note(store, &note);
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
		struct store_count sum = stream->stored;

		for (int reason = 1; reason < WIRE_LOSSES; reason++)
			count(&sum, stream->lost[reason].records, stream->lost[reason].bytes);
		if (sum.records == stream->produced.records && sum.bytes == stream->produced.bytes)
			continue;
		store->accounting_errors++;
		log_error("%s: %s: %llu records, %llu bytes were made, but %llu records, %llu bytes are stored or lost",
			store->name, wire_stream_name(s), (unsigned long long)stream->produced.records,
			(unsigned long long)stream->produced.bytes, (unsigned long long)sum.records,
			(unsigned long long)sum.bytes);
		store_note(store, "accounting", "%s: made %llu records, %llu bytes; stored or lost %llu records, %llu bytes",
			wire_stream_name(s), (unsigned long long)stream->produced.records,
			(unsigned long long)stream->produced.bytes, (unsigned long long)sum.records,
			(unsigned long long)sum.bytes);
	}
}

const char *store_end(struct store *store, const struct wire_log *log)
{
	if (log->end.next != store->next)
		return "its number is not the one that is expected";
	if (!begin(store))
		return NULL;
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		store->streams[s].produced = (struct store_count){ 0 };
		store->streams[s].changed = true;
	}
	for (uint32_t i = 0; i < log->end.n; i++) {
		const struct wire_total *total = &log->end.totals[i];

		store->streams[total->stream].produced = (struct store_count){ total->records, total->bytes };
	}
	store_flush_lines(store);
	/* Once more, because END_ACK was cut off: it was said before. */
	if (store->epoch.state == EPOCH_ENDED)
		return NULL;
	account(store);
	store_note(store, "end", "%llu records", (unsigned long long)store->next);
	store->epoch.state = EPOCH_ENDED;
	return NULL;
}

void store_flush_lines(struct store *store)
{
	if (!begin(store))
		return;
	for (uint8_t s = 1; s < WIRE_STREAMS; s++)
		line_flush(&store->streams[s].line, s, emit_piece, store);
}

void store_note(struct store *store, const char *event, const char *format, ...)
{
	struct logline_note note = { .kind = LOGLINE_OWN, .wall_ns = wall_now(), .event = event };
	char text[1024];
	va_list ap;
	int n;

	if (!begin(store)) {
		store->own_dropped++;
		return;
	}
	va_start(ap, format);
	n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	note.text.s = text;
	note.text.len = n < 0 ? 0 : (size_t)n < sizeof text ? (uint32_t)n : (uint32_t)sizeof text - 1;
	emit_note(store, &note);
}

void store_epoch_begun(struct store *store)
{
	store_flush_lines(store);        /* of the epoch before */
	state_clear(store);
	who_set(store);
	store->epoch_changed = true;
	begin(store);
}

void store_epoch_changed(struct store *store)
{
	store->epoch_changed = true;
	begin(store);
}

/* --- the end of a batch ------------------------------------------------------------------------------------------ */

int store_write(struct store *store)
{
	if (batch != store)
		return store->error;
	flush(store);
	batch = NULL;
	store->batches++;
	return store->error;
}

static int sync_dirs(struct store *store)
{
	int dir = log_dir_open(store), r = 0;

	if (dir < 0)
		return dir;
	if (fsync(dir) || fsync(store->home->logs_fd) || fsync(store->home->epochs_fd))
		r = -errno;
	close(dir);
	store->dir_unsynced = r;
	return r;
}

static int sync_files(struct store *store)
{
	int r = sink_sync(&store->text);

	if (!r)
		r = sink_sync(&store->json);
	if (!r && store->dir_unsynced)
		r = sync_dirs(store);
	return r;
}

static int note_in_journal(struct store *store)
{
	bool whole = store->journal.size >= store->journal.compact_at || !store->journal.size;
	int r;

	put_transaction(store, whole || store->epoch_changed);
	if (whole)
		return journal_replace(&store->journal, store->home->epochs_fd, store->name, store->home->sync);
	r = journal_append(&store->journal);
	return !r && store->home->sync ? journal_sync(&store->journal) : r;
}

/* Only right after a transaction: see 5 in store.h. */
static int rotate(struct store *store, struct sink *sink)
{
	int dir, r;

	if (sink->fd < 0 || !store->home->max_bytes || sink->size < store->home->max_bytes)
		return 0;
	dir = log_dir_open(store);
	if (dir < 0)
		return dir;
	store->dir_unsynced = store->changed = true;
	r = sink_rotate(sink, dir, store->home->max_files);
	close(dir);
	return r;
}

int store_settle(struct store *store)
{
	if (store->error || !store->changed)
		return store->error;
	if (!store->ephemeral) {
		if (store->home->sync)
			failed(store, sync_files(store));
		if (!store->error)
			failed(store, note_in_journal(store));
		if (store->error)
			return store->error;
	}
	journal_has_it(store);
	failed(store, rotate(store, &store->text));
	if (!store->error)
		failed(store, rotate(store, &store->json));
	return store->error;
}

/* --- followers --------------------------------------------------------------------------------------------------- */

bool store_has_open_lines(const struct store *store)
{
	for (int s = 1; s < WIRE_STREAMS; s++)
		if (store->streams[s].line.len > store->streams[s].line.shown)
			return true;
	return false;
}

bool store_show_idle(struct store *store)
{
	assert(!batch);
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		struct store_stream *stream = &store->streams[s];
		struct line_piece piece = line_piece(&stream->line, s);

		if (piece.len == piece.shown || stream->fed) {
			stream->fed = false;
			continue;
		}
		piece.bytes += piece.shown;
		piece.len -= piece.shown;
		piece.offset += piece.shown;
		stream->line.shown = stream->line.len;
		logline_json_piece(&json, &store->who, &piece);
		flush_json_to(store, false, true);
	}
	return store_has_open_lines(store);
}
