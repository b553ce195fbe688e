/* SPDX-License-Identifier: MIT */
/*
 * loop: one epoll, descriptors with small typed references, and timers.
 *
 * epoll hands back a number, never a pointer: the slot of a descriptor and the generation of that slot. An event that
 * was fetched before its descriptor was removed therefore finds a newer generation and is dropped, and whoever owns a
 * descriptor may free himself in the middle of a round.
 */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include <stdint.h>

enum loop_kind {
	LOOP_FREE = 0,
	LOOP_SIGNAL,
	LOOP_INOTIFY,
	LOOP_LISTENER,           /* of guests: boot and log, Unix and AF_VSOCK */
	LOOP_BOOT,
	LOOP_LOGS,
	LOOP_LOCAL_LISTENER,
	LOOP_LOCAL,
	LOOP_CONTROL,
	LOOP_OUTLET,
	LOOP_SYNCER,
	LOOP_SCRAPE_LISTENER,
	LOOP_SCRAPE,
	LOOP_CHANNEL,            /* to a reader, or to the server */
	LOOP_MONITOR,
};

struct loop_slot {
	void *owner;
	int fd;
	uint32_t generation;
	uint32_t events;
	uint32_t next_free;
	uint8_t kind;
};

/* Fires once, then it is idle. To be zeroed but for fire before its first use. */
struct timer {
	void (*fire)(struct timer *timer);
	uint64_t at;
	uint32_t place;          /* in the heap, from 1; 0: idle */
};

struct loop {
	int epoll;
	uint64_t now;            /* CLOCK_MONOTONIC in ns, as of the round */
	uint64_t woken;          /* when the round began */
	uint64_t stalls;         /* rounds that began much too late, as after SIGSTOP: peers could not be heard */
	struct loop_slot *slots; /* slots[0] is never used, so 0 means none */
	uint32_t n_slots, free_slot;
	struct timer **heap;     /* heap[0] is never used */
	uint32_t n_timers, heap_size;
};

typedef void loop_handler(enum loop_kind kind, void *owner, uint32_t events);

int loop_init(struct loop *loop);
void loop_finish(struct loop *loop);
/* Returns the slot, or a negative errno. */
int loop_add(struct loop *loop, int fd, uint32_t events, enum loop_kind kind, void *owner);
void loop_events(struct loop *loop, int slot, uint32_t events);
/* The descriptor stays open: the owner closes it, afterwards. A slot of 0 is nothing to do. */
void loop_remove(struct loop *loop, int slot);
/* A number for the slot, which is never used again; and the owner that it stands for, or NULL: he is gone. */
uint64_t loop_ref(const struct loop *loop, int slot);
void *loop_owner(const struct loop *loop, uint64_t ref, enum loop_kind kind);
/* One round: waits for events or the next timer, at most timeout_ms (-1: for ever). 0, or a negative errno. */
int loop_round(struct loop *loop, loop_handler *handler, int timeout_ms);
uint64_t loop_now(struct loop *loop);    /* reads the clock */

/* Sets the timer anew, whether it was idle or not. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t delay_ns);
void timer_stop(struct loop *loop, struct timer *timer);

#define LOOP_MS 1000000ull
#define LOOP_SECOND 1000000000ull

#endif
