/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "batch.h"
#include "store_inside.h"

#define TEXT_NAME "text.log"
#define JSON_NAME "json.log"

void store_failed(struct store *store, int error)
{
	if (error < 0 && !store->error)
		store->error = error;
}

/* --- the files -------------------------------------------------------------------------------------------------- */

/* Not kept open: there may be ten thousand of them, and they are needed when files begin. */
int store_dir_open(struct store *store)
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
	int dir = store_dir_open(store), r;

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

/* As files_open, at the cost of another machine's when there is no descriptor. */
static int files_have(struct store *store)
{
	int r = files_open(store);

	while ((r == -EMFILE || r == -ENFILE) && store->home->make_room && store->home->make_room(store))
		r = files_open(store);
	return r;
}

static void files_close(struct store *store)
{
	sink_close(&store->text);
	sink_close(&store->json);
	journal_close(&store->journal);
}

/* Every change begins here. False: nothing can be stored now. */
bool store_begin(struct store *store)
{
	if (store->error)
		return false;
	if (!store->ephemeral && store->journal.fd < 0) {
		store_failed(store, files_have(store));
		if (store->error)
			return false;
	}
	batch_begin(store);
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

void store_clear(struct store *store)
{
	for (int s = 0; s < WIRE_STREAMS; s++) {
		line_clear(&store->streams[s].line);
		store->streams[s] = (struct store_stream){ 0 };
	}
	store->next = store->durable = store->received = 0;
	store->fate = (struct fate){ 0 };
}

void store_finish(struct store *store)
{
	store_wait(store);
	files_close(store);
	store_clear(store);
	epoch_over(&store->epoch);
}

void store_rest(struct store *store)
{
	if (store->settling)
		return;
	if (!store->changed || (!store_settle(store) && !store_held(store)))
		files_close(store);
}

void store_forget(struct store *store)
{
	store_wait(store);
	files_close(store);
	if (!store->ephemeral && unlinkat(store->home->epochs_fd, store->name, 0) && errno != ENOENT)
		log_warn_errno("%s: the state of its epoch cannot be removed", store->name);
}

/* --- start, and start again ------------------------------------------------------------------------------------- */

/* A journal that is none is put aside, not removed: somebody may want to know what it was. */
static int set_aside(struct store *store)
{
	char aside[300];

	journal_close(&store->journal);
	snprintf(aside, sizeof aside, ".%s.bad", store->name);
	if (renameat(store->home->epochs_fd, store->name, store->home->epochs_fd, aside))
		return -errno;
	log_error("%s: its journal is damaged and was set aside; its epoch starts anew", store->name);
	store_clear(store);
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
	struct store_replay replay = { .store = store };
	int dir = store_dir_open(store), r;

	if (dir < 0)
		return dir;
	r = journal_open(&store->journal, store->home->epochs_fd, store->name);
	if (!r)
		r = store_journal_replay(&replay);
	if (r == -EBADMSG) {
		replay = (struct store_replay){ .store = store };
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

	store_wait(store);
	batch_drop(store);
	store->must_rotate = false;
	store->error = 0;
	store->outlet_mark = 0;
	if (store->ephemeral)
		return 0;
	files_close(store);
	store_clear(store);
	store->epoch = (struct epoch){ 0 };
	store_failed(store, load(store));
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
	store_journal_noted(store);
	store->durable = store->received = store->next;
	if (store->error)
		files_close(store);
	return store->error;
}

static int probe(const struct sink *sink)
{
	/* Kept for what comes; a file system that knows no such thing says so, and that is no answer. */
	if (sink->fd < 0 || !fallocate(sink->fd, FALLOC_FL_KEEP_SIZE, (off_t)sink->size, BATCH_BYTES))
		return 0;
	return errno == EOPNOTSUPP || errno == EINTR ? 0 : -errno;
}

int store_probe(struct store *store)
{
	store_failed(store, probe(&store->text));
	store_failed(store, probe(&store->json));
	if (store->home->journald && !store->ephemeral)
		store_failed(store, journald_probe(store->home->journald));
	return store->error;
}

/* With the counts of the epoch that is over. One without END has produced what came of it, as far as anybody knows. */
static struct store_counts passed(const struct store_stream *stream)
{
	struct store_counts past = stream->past, now = stream->now;
	struct store_count known = store_known(&now);

	if (now.produced.records < known.records)
		now.produced = known;
	store_counts_add(&past, &now);
	return past;
}

void store_epoch_begun(struct store *store)
{
	struct store_counts past[WIRE_STREAMS];

	store_wait(store);
	store_flush_lines(store);        /* of the epoch before */
	for (int s = 1; s < WIRE_STREAMS; s++)
		past[s] = passed(&store->streams[s]);
	store_clear(store);
	for (int s = 1; s < WIRE_STREAMS; s++)
		store->streams[s].past = past[s];
	who_set(store);
	store->epoch_changed = true;
	store_begin(store);
}

void store_epoch_changed(struct store *store)
{
	store->epoch_changed = true;
	store_begin(store);
}

/* --- the end of a batch ----------------------------------------------------------------------------------------- */

int store_write(struct store *store)
{
	if (batch_end(store))
		store->batches++;
	return store->error;
}

/* A quarter of the quota is for the current files: they rotate early enough that removing rotated ones is enough. */
static uint64_t rotate_at(const struct store_home *home)
{
	uint64_t share = home->quota / 4 / ((home->text && home->json) + 1);

	return share && (!home->max_bytes || share < home->max_bytes) ? share : home->max_bytes;
}

/* The oldest of the form that has more. */
static uint64_t drop_one(struct store *store, int dir, uint64_t text, uint64_t json)
{
	unsigned files = store->home->max_files;

	return sink_drop_oldest(text > json ? &store->text : &store->json, dir, files);
}

static void keep_quota(struct store *store, int dir)
{
	uint64_t most = store->home->quota - store->home->quota / 4, text, json, bytes = 1;
	unsigned files = store->home->max_files;

	while (store->home->quota && bytes) {
		text = sink_rotated_bytes(&store->text, dir, files);
		json = sink_rotated_bytes(&store->json, dir, files);
		if (text + json <= most)
			break;
		bytes = drop_one(store, dir, text, json);
		store->quota_files += bytes > 0;
		store->quota_bytes += bytes;
	}
}

static bool rotation_due(const struct store *store, const struct sink *sink)
{
	uint64_t at = rotate_at(store->home);

	return sink->fd >= 0 && at && sink->size >= at;
}

static int rotate(struct store *store, struct sink *sink)
{
	int dir, r;

	if (!rotation_due(store, sink))
		return 0;
	dir = store_dir_open(store);
	if (dir < 0)
		return dir;
	store->dir_unsynced = store->changed = true;
	r = sink_rotate(sink, dir, store->home->max_files);
	if (!r)
		keep_quota(store, dir);
	close(dir);
	return r;
}

/* Only right after a transaction, and only when nothing was written since: see 5 in store.h. */
void store_rotate(struct store *store)
{
	bool written = store->changed;

	store->must_rotate = written && (rotation_due(store, &store->text) || rotation_due(store, &store->json));
	if (written)
		return;
	store_failed(store, rotate(store, &store->text));
	if (!store->error)
		store_failed(store, rotate(store, &store->json));
}

bool store_held(const struct store *store)
{
	return store->home->outlet && !outlet_reached(store->home->outlet, store->outlet_mark);
}

/* --- followers -------------------------------------------------------------------------------------------------- */

bool store_has_open_lines(const struct store *store)
{
	for (int s = 1; s < WIRE_STREAMS; s++)
		if (store->streams[s].line.len > store->streams[s].line.shown)
			return true;
	return false;
}

bool store_show_idle(struct store *store)
{
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
		batch_show(store, &piece);
	}
	return store_has_open_lines(store);
}
