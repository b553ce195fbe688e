/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_inside.h"

/* --- what is done to the disk: here, nothing but the job is touched ---------------------------------------------- */

static int sync_dirs(const struct store_job *job)
{
	int dir = openat(job->home->logs_fd, job->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;

	if (dir < 0)
		return -errno;
	if (fsync(dir) || fsync(job->home->logs_fd) || fsync(job->home->epochs_fd))
		r = -errno;
	close(dir);
	return r;
}

static int sync_files(const struct store_job *job)
{
	for (unsigned i = 0; i < job->n_fds; i++)
		if (fdatasync(job->fds[i]))
			return -errno;
	return job->dirs ? sync_dirs(job) : 0;
}

static int note_in_journal(struct store_job *job)
{
	bool sync = job->home->sync;
	int r;

	if (job->replace)
		return journal_replace(&job->journal, job->transaction, job->len, job->home->epochs_fd, job->name, sync);
	r = journal_append(&job->journal, job->transaction, job->len);
	return !r && sync ? journal_sync(&job->journal) : r;
}

static void run(struct sync_job *sync_job)
{
	struct store_job *job = (struct store_job *)sync_job;

	job->error = sync_files(job);
	if (!job->error)
		job->error = note_in_journal(job);
}

/* --- a job's making and its end ---------------------------------------------------------------------------------- */

static void take_fd(struct store_job *job, struct sink *sink)
{
	if (!job->home->sync || sink->fd < 0 || !sink->unsynced)
		return;
	job->fds[job->n_fds++] = sink->fd;
	sink->unsynced = false;
}

/* The transaction is in the journal's own buffer. */
static int prepare(struct store *store)
{
	struct store_job *job = &store->job;

	*job = (struct store_job){ .job.run = run, .home = store->home, .name = store->name, .next = store->next,
		.dirs = store->home->sync && store->dir_unsynced, .journal = store->journal,
		.replace = store->journal.size >= store->journal.compact_at || !store->journal.size };
	take_fd(job, &store->text);
	take_fd(job, &store->json);
	store_journal_put(store, job->replace || store->epoch_changed);
	job->transaction = (uint8_t *)(uintptr_t)journal_end(&job->len);
	if (!job->transaction)
		return -EOVERFLOW;
	store->dir_unsynced &= !job->dirs;
	store_journal_noted(store);
	return 0;
}

static void conclude(struct store *store)
{
	store->journal = store->job.journal;
	store_failed(store, store->job.error);
	if (!store->error)
		store->durable = store->job.next;
}

/* Nobody but followers is to be told. */
static bool settle_ephemeral(struct store *store)
{
	if (!store->ephemeral)
		return false;
	store_journal_noted(store);
	store->durable = store->next;
	return true;
}

int store_settle(struct store *store)
{
	store_wait(store);
	if (store->error || !store->changed || store_held(store) || settle_ephemeral(store))
		return store->error;
	/* Once more for what a rotation changed. */
	while (!store->error && store->changed) {
		store_failed(store, prepare(store));
		if (store->error)
			break;
		run(&store->job.job);
		conclude(store);
		if (!store->error)
			store_rotate(store);
	}
	return store->error;
}

bool store_settle_begin(struct store *store)
{
	uint8_t *copy;

	if (store->settling)
		return true;
	if (!store->home->syncer || store->ephemeral || store->error || !store->changed || store_held(store)) {
		store_settle(store);
		return false;
	}
	store_failed(store, prepare(store));
	copy = store->error ? NULL : malloc(store->job.len);
	if (!copy) {
		store_failed(store, -ENOMEM);
		return false;
	}
	memcpy(copy, store->job.transaction, store->job.len);
	store->job.transaction = copy;
	store->settling = true;
	syncer_put(store->home->syncer, &store->job.job);
	return true;
}

int store_settled(struct store *store)
{
	store->settling = false;
	free(store->job.transaction);
	conclude(store);
	if (!store->error)
		store_rotate(store);
	return store->error;
}

void store_wait(struct store *store)
{
	if (!store->settling)
		return;
	syncer_wait(store->home->syncer, &store->job.job);
	store_settled(store);
}

struct store *store_of(struct sync_job *job)
{
	return (struct store *)((char *)job - offsetof(struct store, job));
}
