/* SPDX-License-Identifier: MIT */
/*
 * syncer: threads that wait for the disk, so that the loop does not. A job touches nothing but itself, and belongs to
 * the threads from syncer_put until syncer_take or syncer_wait gives it back. A disk that hangs takes one thread for
 * each machine that waits for it; the others' jobs go on as long as there is one left.
 */
#ifndef HOST_SYNCER_H
#define HOST_SYNCER_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#define SYNCER_THREADS 4

struct sync_job {
	TAILQ_ENTRY(sync_job) of_list;   /* syncer->waiting or ->finished */
	void (*run)(struct sync_job *job);
	bool finished;
};

struct syncer {
	pthread_t threads[SYNCER_THREADS];
	unsigned n_threads;
	pthread_mutex_t lock;
	pthread_cond_t put, done;
	TAILQ_HEAD(, sync_job) waiting, finished;
	int fd;                          /* an eventfd: readable when there are finished jobs; -1: not started */
	bool stopping;
};

/* 0, or a negative errno; then there is nothing to stop. Before the process gives up its rights to make threads. */
int syncer_start(struct syncer *syncer);
void syncer_stop(struct syncer *syncer);         /* after all jobs are done */
void syncer_put(struct syncer *syncer, struct sync_job *job);
/* The next finished job, or NULL. */
struct sync_job *syncer_take(struct syncer *syncer);
/* Until this one is finished, and takes it. */
void syncer_wait(struct syncer *syncer, struct sync_job *job);

#endif
