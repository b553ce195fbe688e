/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "syncer.h"

/* The next job; NULL: there will be none any more. */
static struct sync_job *next_job(struct syncer *syncer)
{
	struct sync_job *job;

	pthread_mutex_lock(&syncer->lock);
	while (!(job = TAILQ_FIRST(&syncer->waiting)) && !syncer->stopping)
		pthread_cond_wait(&syncer->put, &syncer->lock);
	if (job)
		TAILQ_REMOVE(&syncer->waiting, job, of_list);
	pthread_mutex_unlock(&syncer->lock);
	return job;
}

static void *work(void *arg)
{
	struct syncer *syncer = arg;
	struct sync_job *job;

	while ((job = next_job(syncer))) {
		job->run(job);
		pthread_mutex_lock(&syncer->lock);
		job->finished = true;
		TAILQ_INSERT_TAIL(&syncer->finished, job, of_list);
		/* Cannot fail: the counter is far from its end. */
		eventfd_write(syncer->fd, 1);
		pthread_cond_broadcast(&syncer->done);
		pthread_mutex_unlock(&syncer->lock);
	}
	return NULL;
}

int syncer_start(struct syncer *syncer)
{
	int error = 0;

	*syncer = (struct syncer){ .lock = PTHREAD_MUTEX_INITIALIZER, .put = PTHREAD_COND_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER };
	TAILQ_INIT(&syncer->waiting);
	TAILQ_INIT(&syncer->finished);
	syncer->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (syncer->fd < 0)
		return -errno;
	while (!error && syncer->n_threads < SYNCER_THREADS) {
		error = pthread_create(&syncer->threads[syncer->n_threads], NULL, work, syncer);
		syncer->n_threads += !error;
	}
	if (error)
		syncer_stop(syncer);
	return -error;
}

void syncer_stop(struct syncer *syncer)
{
	if (syncer->fd < 0)
		return;
	pthread_mutex_lock(&syncer->lock);
	syncer->stopping = true;
	pthread_cond_broadcast(&syncer->put);
	pthread_mutex_unlock(&syncer->lock);
	while (syncer->n_threads)
		pthread_join(syncer->threads[--syncer->n_threads], NULL);
	close(syncer->fd);
	syncer->fd = -1;
}

void syncer_put(struct syncer *syncer, struct sync_job *job)
{
	pthread_mutex_lock(&syncer->lock);
	job->finished = false;
	TAILQ_INSERT_TAIL(&syncer->waiting, job, of_list);
	pthread_cond_signal(&syncer->put);
	pthread_mutex_unlock(&syncer->lock);
}

struct sync_job *syncer_take(struct syncer *syncer)
{
	struct sync_job *job;
	eventfd_t count;

	pthread_mutex_lock(&syncer->lock);
	job = TAILQ_FIRST(&syncer->finished);
	if (job)
		TAILQ_REMOVE(&syncer->finished, job, of_list);
	else
		eventfd_read(syncer->fd, &count);
	pthread_mutex_unlock(&syncer->lock);
	return job;
}

void syncer_wait(struct syncer *syncer, struct sync_job *job)
{
	pthread_mutex_lock(&syncer->lock);
	while (!job->finished)
		pthread_cond_wait(&syncer->done, &syncer->lock);
	TAILQ_REMOVE(&syncer->finished, job, of_list);
	pthread_mutex_unlock(&syncer->lock);
}
