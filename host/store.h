/* SPDX-License-Identifier: MIT */
/*
 * store: what hawserd keeps of one machine: its epoch, its log's position and counts, and the files of its log.
 *
 * Why nothing is lost and nothing is stored twice, whenever hawserd dies:
 *
 *  1. A guest forgets a record when it is acknowledged, and only then. It sends every other one again, from the
 *     number that LOG_WELCOME names.
 *  2. The journal (state/epochs/VM) holds transactions. Each says, of one moment: the next expected number, how large
 *     the text and the JSON file are, the counts, and the bytes of lines whose end has not come yet, which are in no
 *     file. Nothing else is needed to go on from that moment.
 *  3. A batch of records is first written to the files, then noted in the journal, with one write(), then
 *     acknowledged. With sync "fdatasync" each of the first two steps is on the disk before the next one begins.
 *  4. At start the journal is read up to its last whole transaction, and the files are cut to the sizes named there.
 *     What is cut off came after that transaction, so it was never acknowledged (3), so it comes again (1): not lost,
 *     and not twice. What is left was noted with its number, so if it comes again it is dropped.
 *  5. Rotation happens right after a transaction, when the old file ends exactly where the journal says. A crash
 *     before the next one is told by the file's inode number: see sink_recover.
 *     While a thread waits for the disk (store_sync.c), more may be written to the files, since its transaction says
 *     how large they were; so a file that is to rotate gets no more first.
 *  6. A write that fails (a full disk, an I/O error) is treated as a death: everything since the last transaction is
 *     forgotten, the guest's connection is cut, and when the files can be written again, start is done again (4).
 *
 * The outlet (JSON lines on standard output) cannot be cut back. It is waited for before the journal is (3), so nothing
 * is missing there; what it wrote after the last transaction comes again after a death, with the same numbers. The same
 * holds for entries of the system's journal, which are sent while the batch is made.
 *
 * Machines that were attached as ephemeral have neither journal nor files; their followers are all there is.
 */
#ifndef HOST_STORE_H
#define HOST_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "epoch.h"
#include "fate.h"
#include "journal.h"
#include "journald.h"
#include "line.h"
#include "logline.h"
#include "outlet.h"
#include "sink.h"
#include "syncer.h"

struct store;

/* What a settling does to the disk, apart from the store, so that a thread can do it. */
struct store_job {
	struct sync_job job;             /* its first member */
	const struct store_home *home;
	const char *name;
	int fds[2];                      /* files to be on the disk before the journal says so */
	unsigned n_fds;
	bool dirs, replace;              /* the directories, too; the transaction becomes the whole journal */
	struct journal journal;
	uint8_t *transaction;            /* on the heap while a thread has it */
	size_t len;
	uint64_t next;                   /* all below is settled when it is done */
	int error;
};

/* What all stores share. */
struct store_home {
	int logs_fd, epochs_fd;          /* state/logs and state/epochs */
	bool text, json, sync;
	uint64_t max_bytes;              /* of a file, before it rotates; 0: never */
	unsigned max_files;              /* rotated ones that are kept */
	uint64_t quota;                  /* of all files of a machine, rotated ones included; 0: none */
	struct outlet *outlet;           /* all machines' lines as JSON, or NULL */
	struct journald *journald;       /* the system's journal, or NULL */
	struct syncer *syncer;           /* waits for the disk in the group commit; NULL: the caller does */
	/* No descriptor is left: closes files of another store. False: there are none. NULL: there is no other. */
	bool (*make_room)(struct store *store);
	/* Lines of JSON for the followers of a watched store, after the files have them. */
	void (*show)(struct store *store, const char *lines, size_t len);
};

struct store_count {
	uint64_t records, bytes;
};

struct store_counts {
	struct store_count stored;
	struct store_count duplicate;            /* came again and was dropped */
	struct store_count replayed;             /* came again although it had come before, stored or not */
	struct store_count produced;             /* said by the last END; before it, 0 */
	struct store_count lost[WIRE_LOSSES];    /* had a number and was dropped: LOST */
	struct store_count gap[WIRE_LOSSES];     /* never got a number: gap records */
};

struct store_stream {
	struct line line;
	struct store_counts now;                 /* of this epoch */
	struct store_counts past;                /* of those before it, as far as the journal goes back */
	bool changed;                            /* counts that the journal has not got */
	bool fed;                                /* since the last look for idle lines */
};

struct store {
	struct store_home *home;
	const char *name;
	bool ephemeral, watched;
	int error;                       /* 0, or why nothing can be stored now: a negative errno */
	struct sink text, json;
	struct journal journal;
	uint64_t outlet_mark;            /* how far the outlet must be before this is settled */
	bool dir_unsynced;
	struct store_job job;
	bool settling;                   /* the syncer has it */
	bool must_rotate;                /* a file is over its size: no more may come until that is settled */

	struct epoch epoch;
	struct logline_who who;
	struct fate fate;                /* of the last epoch's machine */
	bool epoch_changed, changed;     /* what the journal has not got */
	uint64_t next;                   /* all below is taken, */
	uint64_t durable;                /* all below may be acknowledged */
	struct store_stream streams[WIRE_STREAMS];
	uint64_t received;               /* the highest number that ever came in this epoch, plus 1 */
	uint64_t quota_files, quota_bytes;       /* what the quota has cost, since hawserd's start */
	uint64_t accounting_errors, own_dropped, batches, bytes_written;
};

void store_init(struct store *store, struct store_home *home, const char *name, bool ephemeral);
void store_finish(struct store *store);          /* closes; what is on disk stays */
/* Reads the journal and sets the files right. Again after an error. 0, or a negative errno, also in store->error. */
int store_load(struct store *store);
/* Whether the files have room for a batch: a small note would fit where nothing else does. 0, or a negative errno. */
int store_probe(struct store *store);
/* Closes the files until they are needed again. */
void store_rest(struct store *store);
/* Removes the epoch's state from the disk, not the log. */
void store_forget(struct store *store);

/*
 * Each of these adds to the batch, and does nothing once store->error is set; store_write and store_settle end it.
 * Those that take what a guest sent return NULL, or what is wrong with it.
 */
const char *store_records(struct store *store, const struct wire_log *log);
const char *store_lost(struct store *store, const struct wire_log *log);
const char *store_end(struct store *store, const struct wire_log *log);  /* the epoch is ENDED then */
void store_note(struct store *store, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The epoch was changed: a fresh one begins with number 0. */
void store_epoch_begun(struct store *store);
void store_epoch_changed(struct store *store);
/* No more will come of this log: lines without an end are written as they are. */
void store_flush_lines(struct store *store);

/* To the files: after every batch, because the buffers are shared by all stores. */
int store_write(struct store *store);
/*
 * To the journal; then durable = next. 0, or a negative errno. Does nothing while the store is held. Waits for the
 * syncer, should it have the store, as all functions do that touch the journal.
 */
int store_settle(struct store *store);
/*
 * The same in the group commit, by the syncer: true when it has begun, and store_settled is to be called when its job
 * is done. Meanwhile, batches may be written to the files. False: it was done at once; store->error says how.
 */
bool store_settle_begin(struct store *store);
int store_settled(struct store *store);
/* Of a finished job. */
struct store *store_of(struct sync_job *job);
/* The outlet has not written yet what is to be settled. */
bool store_held(const struct store *store);

void store_counts_add(struct store_counts *sum, const struct store_counts *counts);
/* Stored or lost: what must be what was produced. */
struct store_count store_known(const struct store_counts *counts);

/* Shows followers the lines that have waited for their end since the call before. True: there are open lines. */
bool store_show_idle(struct store *store);
bool store_has_open_lines(const struct store *store);

#endif
