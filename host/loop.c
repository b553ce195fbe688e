/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define EVENTS_A_ROUND 64        /* few, so that timers are never far behind, */
#define TIMERS_A_ROUND 16        /* nor events, when a thousand deadlines come at once */
#define STALL_MS 250

/* --- timers: a binary heap, the earliest at the top ------------------------------------------------------------- */

static void heap_put(struct loop *loop, uint32_t place, struct timer *timer)
{
	loop->heap[place] = timer;
	timer->place = place;
}

static void heap_up(struct loop *loop, uint32_t place)
{
	struct timer *timer = loop->heap[place];

	for (; place > 1 && loop->heap[place / 2]->at > timer->at; place /= 2)
		heap_put(loop, place, loop->heap[place / 2]);
	heap_put(loop, place, timer);
}

static void heap_down(struct loop *loop, uint32_t place)
{
	struct timer *timer = loop->heap[place];
	uint32_t child;

	while ((child = place * 2) <= loop->n_timers) {
		if (child < loop->n_timers && loop->heap[child + 1]->at < loop->heap[child]->at)
			child++;
		if (loop->heap[child]->at >= timer->at)
			break;
		heap_put(loop, place, loop->heap[child]);
		place = child;
	}
	heap_put(loop, place, timer);
}

void timer_stop(struct loop *loop, struct timer *timer)
{
	uint32_t place = timer->place;
	struct timer *last;

	if (!place)
		return;
	timer->place = 0;
	last = loop->heap[loop->n_timers--];
	if (last == timer)
		return;
	heap_put(loop, place, last);
	heap_up(loop, place);
	heap_down(loop, last->place);
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t delay_ns)
{
	assert(timer->fire);
	timer_stop(loop, timer);
	timer->at = loop_now(loop) + delay_ns;
	if (loop->n_timers + 1 >= loop->heap_size) {
		uint32_t size = loop->heap_size * 2;
		struct timer **heap = realloc(loop->heap, size * sizeof *heap);

		/* A timer that cannot be set would be a session without an end: there is nothing better than this. */
		if (!heap)
			abort();
		loop->heap = heap;
		loop->heap_size = size;
	}
	heap_put(loop, ++loop->n_timers, timer);
	heap_up(loop, loop->n_timers);
}

static void timers_fire(struct loop *loop)
{
	struct timer *timer;

	for (int i = 0; i < TIMERS_A_ROUND && loop->n_timers && (timer = loop->heap[1])->at <= loop->now; i++) {
		timer_stop(loop, timer);
		timer->fire(timer);
	}
}

/* --- descriptors ------------------------------------------------------------------------------------------------ */

uint64_t loop_now(struct loop *loop)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	loop->now = (uint64_t)ts.tv_sec * LOOP_SECOND + (uint64_t)ts.tv_nsec;
	return loop->now;
}

int loop_init(struct loop *loop)
{
	*loop = (struct loop){ .epoll = -1, .n_slots = 1, .heap_size = 64 };
	loop->slots = calloc(1, sizeof *loop->slots);
	loop->heap = malloc(loop->heap_size * sizeof *loop->heap);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!loop->slots || !loop->heap || loop->epoll < 0) {
		int error = loop->epoll < 0 ? -errno : -ENOMEM;

		loop_finish(loop);
		return error;
	}
	loop_now(loop);
	return 0;
}

void loop_finish(struct loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
	free(loop->slots);
	free(loop->heap);
	*loop = (struct loop){ .epoll = -1 };
}

static int slot_take(struct loop *loop)
{
	uint32_t slot = loop->free_slot, size;
	struct loop_slot *slots;

	if (!slot) {
		size = loop->n_slots < 64 ? 64 : loop->n_slots * 2;
		slots = realloc(loop->slots, size * sizeof *slots);
		if (!slots)
			return -ENOMEM;
		loop->slots = slots;
		for (uint32_t i = size; i-- > loop->n_slots;) {
			slots[i] = (struct loop_slot){ .fd = -1, .next_free = loop->free_slot };
			loop->free_slot = i;
		}
		loop->n_slots = size;
		slot = loop->free_slot;
	}
	loop->free_slot = loop->slots[slot].next_free;
	return (int)slot;
}

static void slot_give(struct loop *loop, int slot)
{
	loop->slots[slot].kind = LOOP_FREE;
	loop->slots[slot].generation++;
	loop->slots[slot].next_free = loop->free_slot;
	loop->free_slot = (uint32_t)slot;
}

uint64_t loop_ref(const struct loop *loop, int slot)
{
	return (uint64_t)loop->slots[slot].generation << 32 | (uint32_t)slot;
}

void *loop_owner(const struct loop *loop, uint64_t ref, enum loop_kind kind)
{
	uint32_t slot = (uint32_t)ref;

	return slot && slot < loop->n_slots && loop_ref(loop, (int)slot) == ref && loop->slots[slot].kind == kind
		? loop->slots[slot].owner : NULL;
}

static struct epoll_event slot_event(const struct loop *loop, int slot)
{
	return (struct epoll_event){ .events = loop->slots[slot].events, .data.u64 = loop_ref(loop, slot) };
}

int loop_add(struct loop *loop, int fd, uint32_t events, enum loop_kind kind, void *owner)
{
	int slot = slot_take(loop);
	struct epoll_event event;

	if (slot < 0)
		return slot;
	loop->slots[slot].owner = owner;
	loop->slots[slot].fd = fd;
	loop->slots[slot].events = events;
	loop->slots[slot].kind = (uint8_t)kind;
	event = slot_event(loop, slot);
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event)) {
		int error = -errno;

		slot_give(loop, slot);
		return error;
	}
	return slot;
}

void loop_events(struct loop *loop, int slot, uint32_t events)
{
	struct epoll_event event;

	if (loop->slots[slot].events == events)
		return;
	loop->slots[slot].events = events;
	event = slot_event(loop, slot);
	if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, loop->slots[slot].fd, &event))
		abort();         /* the descriptor is there and the kernel has room: it was added before */
}

void loop_remove(struct loop *loop, int slot)
{
	if (slot <= 0)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->slots[slot].fd, NULL);
	slot_give(loop, slot);
}

static int wait_ms(struct loop *loop, int timeout_ms)
{
	uint64_t at, ms;

	if (!loop->n_timers)
		return timeout_ms;
	at = loop->heap[1]->at;
	if (at <= loop_now(loop))
		return 0;
	ms = (at - loop->now + LOOP_MS - 1) / LOOP_MS;
	return timeout_ms >= 0 && (uint64_t)timeout_ms < ms ? timeout_ms : ms > 60000 ? 60000 : (int)ms;
}

int loop_round(struct loop *loop, loop_handler *handler, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_ROUND];
	int ms = wait_ms(loop, timeout_ms), n = epoll_wait(loop->epoll, events, EVENTS_A_ROUND, ms);

	if (n < 0 && errno != EINTR)
		return -errno;
	loop_now(loop);
	if (loop->woken && ms >= 0 && loop->now - loop->woken > ((uint64_t)ms + STALL_MS) * LOOP_MS)
		loop->stalls++;
	loop->woken = loop->now;
	for (int i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)events[i].data.u64, generation = (uint32_t)(events[i].data.u64 >> 32);
		const struct loop_slot *s = &loop->slots[slot];

		if (s->kind != LOOP_FREE && s->generation == generation)
			handler((enum loop_kind)s->kind, s->owner, events[i].events);
	}
	timers_fire(loop);
	return 0;
}
