/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "batch.h"
#include "store_inside.h"

static struct store *owner;              /* whose batch it is, or NULL */
static uint8_t text_buf[BATCH_BYTES + LOGLINE_TEXT_MAX];
static size_t text_len;
static char json_buf[BATCH_BYTES + LOGLINE_JSON_MAX];
static bool json_guest;                  /* there is more in json_buf than hawserd's own lines */
static struct json_out json = { .buf = json_buf, .size = sizeof json_buf };

uint64_t batch_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void batch_begin(struct store *store)
{
	assert(!owner || owner == store);
	owner = store;
}

static void flush_text(struct store *store)
{
	if (text_len && !store->error) {
		store_failed(store, sink_write(&store->text, text_buf, text_len));
		store->bytes_written += text_len;
	}
	text_len = 0;
}

/* After an error, nothing more is sent: all of it comes again. */
static bool journald_wanted(const struct store *store)
{
	return store->home->journald && !store->ephemeral && !store->error;
}

static bool outlet_wanted(const struct store *store)
{
	return store->home->outlet && !store->ephemeral;
}

static void put_outlet(struct store *store)
{
	struct outlet *outlet = store->home->outlet;
	/* No guest waits for hawserd's own lines, so none can be held up to make fewer of them. */
	if (!json_guest && outlet->crowded) {
		outlet->own_dropped++;
		return;
	}
	if (!outlet_put(outlet, json.buf, json.len))
		store_failed(store, -ENOMEM);
	else if (json_guest)
		store->outlet_mark = outlet->queued;
}

static void flush_json_to(struct store *store, bool files, bool followers)
{
	if (json.len && !store->error && files && store->json.name) {
		store_failed(store, sink_write(&store->json, json_buf, json.len));
		store->bytes_written += json.len;
	}
	if (json.len && !store->error && files && outlet_wanted(store))
		put_outlet(store);
	if (json.len && !store->error && followers && store->watched)
		store->home->show(store, json_buf, json.len);
	json.len = 0;
	json_guest = false;
}

/* Text first: what a follower sees is in the files. */
static void flush(struct store *store)
{
	flush_text(store);
	flush_json_to(store, true, true);
}

static bool json_wanted(const struct store *store)
{
	return store->json.name || store->watched || outlet_wanted(store);
}

/* Followers have seen the beginning of this line while it had no end: they get the rest, the file gets all of it. */
static void json_shown_piece(struct store *store, const struct line_piece *piece)
{
	struct line_piece rest = *piece;

	flush(store);
	if (store->json.name || outlet_wanted(store)) {
		json_guest = true;
		logline_json_piece(&json, &store->who, piece);
		flush_json_to(store, true, false);
	}
	rest.bytes += piece->shown;
	rest.len -= piece->shown;
	rest.offset += piece->shown;
	logline_json_piece(&json, &store->who, &rest);
	flush_json_to(store, false, true);
}

void batch_piece(void *context, const struct line_piece *piece)
{
	struct store *store = context;

	if (journald_wanted(store))
		store_failed(store, journald_piece(store->home->journald, &store->who, piece));
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
	json_guest = true;
}

void batch_note(struct store *store, const struct logline_note *note)
{
	if (journald_wanted(store))
		store_failed(store, journald_note(store->home->journald, &store->who, note));
	if (store->text.name) {
		if (sizeof text_buf - text_len < LOGLINE_TEXT_MAX)
			flush_text(store);
		text_len += logline_text_note(text_buf + text_len, &store->who, note);
	}
	if (json_wanted(store) && !logline_json_note(&json, &store->who, note)) {
		flush(store);
		logline_json_note(&json, &store->who, note);
	}
	json_guest = json_guest || note->has_seq;
}

bool batch_end(struct store *store)
{
	if (owner != store)
		return false;
	if (store->home->journald)
		store_failed(store, journald_end(store->home->journald));
	flush(store);
	owner = NULL;
	return true;
}

void batch_drop(const struct store *store)
{
	if (owner != store)
		return;
	text_len = json.len = 0;
	json_guest = false;
	if (store->home->journald)
		journald_end(store->home->journald);
	owner = NULL;
}

void batch_show(struct store *store, const struct line_piece *piece)
{
	assert(!owner);
	logline_json_piece(&json, &store->who, piece);
	flush_json_to(store, false, true);
}
