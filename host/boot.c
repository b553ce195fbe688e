/* SPDX-License-Identifier: MIT */
/*
 * States, as in docs/PROTOCOL.md: ACCEPTED until HELLO has come, SENDING until COMMIT is in the socket, WAITING until
 * APPLIED. A cut in the last two leaves the epoch open for the same boot id.
 *
 * What is sent lies in a slot of locked memory and nowhere else. A session has one only while it is SENDING; without
 * one it waits in the daemon's queue. The slot is wiped each time it was sent out, not only when it is given back.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "logs.h"
#include "session.h"
#include "source.h"

#define STALL_MS 5000            /* a guest that takes nothing for so long is cut */
#define APPLY_MS 60000           /* to apply may take a while, but not for ever */
#define SLOTS_A_ROUND 8          /* then other sessions have their turn */

enum boot_state { BOOT_ACCEPTED, BOOT_SENDING, BOOT_WAITING };

struct boot {
	LIST_ENTRY(boot) of_vm;          /* vm->boots */
	TAILQ_ENTRY(boot) of_hungry;     /* daemon->hungry, while hungry is set */
	struct vm *vm;
	int fd, slot;
	uint8_t state;
	bool hungry, committed;          /* committed: COMMIT is in out or sent */
	struct timer timer;
	struct intake intake;
	struct source *source;
	void *secret;                    /* the slot of locked memory, or NULL */
	struct frame_buf out;            /* in it */
	uint64_t began;
};

static void boot_send(struct boot *boot);

/* --- ends ------------------------------------------------------------------------------------------------------- */

static void feed_next(struct daemon *daemon)
{
	struct boot *next = TAILQ_FIRST(&daemon->hungry);

	if (next)
		loop_events(&daemon->loop, next->slot, EPOLLIN | EPOLLOUT);
}

static void secret_release(struct boot *boot)
{
	struct daemon *daemon = boot->vm->daemon;

	if (boot->hungry)
		TAILQ_REMOVE(&daemon->hungry, boot, of_hungry);
	boot->hungry = false;
	if (!boot->secret)
		return;
	secret_give(&daemon->arena, boot->secret);
	boot->secret = NULL;
	feed_next(daemon);
}

static void boot_destroy(struct boot *boot)
{
	struct vm *vm = boot->vm;

	if (vm->boot == boot)
		vm->boot = NULL;
	secret_release(boot);
	timer_stop(&vm->daemon->loop, &boot->timer);
	loop_remove(&vm->daemon->loop, boot->slot);
	LIST_REMOVE(boot, of_vm);
	source_destroy(boot->source);
	intake_clear(&boot->intake);
	session_end(vm->daemon, vm, boot->fd);
	free(boot);
}

static void boot_refuse(struct boot *boot, enum wire_refuse_code code, const char *text)
{
	struct vm *vm = boot->vm;

	session_refuse(vm->daemon, boot->fd, code, text);
	vm->refused++;
	vm->refused_by[code]++;
	vm_audit(vm, "refused", "boot session: %s: %s", wire_refuse_name((uint16_t)code), text);
	boot_destroy(boot);
}

void boot_cut(struct boot *boot)
{
	if (!boot)
		return;
	boot->vm->daemon->counters.cuts++;
	boot_destroy(boot);
}

void boot_cut_all(struct vm *vm)
{
	while (!LIST_EMPTY(&vm->boots))
		boot_destroy(LIST_FIRST(&vm->boots));
}

static void boot_timeout(struct timer *timer)
{
	struct boot *boot = (struct boot *)((char *)timer - offsetof(struct boot, timer));

	if (boot->state == BOOT_ACCEPTED) {
		boot->vm->daemon->counters.hello_timeouts++;
		log_debug("%s: boot session: no HELLO in time", boot->vm->name);
		boot_destroy(boot);
		return;
	}
	vm_audit(boot->vm, "boot-cut", "%s", boot->state == BOOT_SENDING ? "the guest took nothing for 5 s"
		: "no APPLIED in 60 s");
	boot_cut(boot);
}

static void deadline(struct boot *boot, unsigned ms)
{
	timer_set(&boot->vm->daemon->loop, &boot->timer, ms * LOOP_MS);
}

/* --- HELLO ------------------------------------------------------------------------------------------------------ */

static uint64_t wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * LOOP_SECOND + (uint64_t)ts.tv_nsec;
}

/* The epoch's rule, and the note of it on the disk before anything is sent. False: the session is gone. */
static bool epoch_take(struct boot *boot, const struct wire_hello *hello)
{
	struct vm *vm = boot->vm;
	struct epoch *epoch = &vm->store.epoch;
	enum epoch_verdict verdict = epoch_judge(epoch, hello->boot_id);
	bool changed = false, ok;

	if (verdict == EPOCH_FRESH) {
		logs_cut(vm->logs);      /* of the epoch before, which is over now */
		vm_grace_end(vm);
		ok = epoch_begin(epoch, hello->boot_id, wall_now() - hello->boot_ns);
		if (ok)
			store_epoch_begun(&vm->store);
	} else {
		ok = epoch_again(epoch, &changed);
		if (ok && changed)
			store_epoch_changed(&vm->store);
	}
	if (!ok) {
		boot_refuse(boot, WIRE_REFUSE_BUSY, "the host has no randomness");
		return false;
	}
	store_note(&vm->store, "boot", "%s, served %s", vm->store.who.boot, verdict == EPOCH_FRESH ? "first" : "again");
	log_info("%s: boot %s%s", vm->name, vm->store.who.boot, verdict == EPOCH_FRESH ? "" : ", again");
	if (!vm_settle(vm, true)) {
		boot_refuse(boot, WIRE_REFUSE_BUSY, "the host cannot write its state");
		return false;
	}
	return true;
}

/*
 * vm.json was read before the trees are looked at. Unless it is the same file after that, what was seen of the trees
 * may belong to a later one; and a directory that is not in its place any more may be about to be removed, and half
 * empty.
 * False: the session is gone.
 */
static bool source_open(struct boot *boot)
{
	struct vm *vm = boot->vm;
	struct problem problem;
	int dirfd = vm_dir_open(vm);
	bool current = false;

	if (dirfd < 0) {
		problem_set(&problem, vm->dir, 0, 0, "%s", strerror(-dirfd));
	} else {
		boot->source = source_create(vm->config, dirfd, vm->dir, !vm_secrets_spent(vm), &problem);
		current = vm_dir_current(vm, dirfd);
		close(dirfd);
	}
	if (boot->source && current)
		return true;
	if (boot->source) {
		vm_audit(vm, "boot-cut", "its directory or vm.json was replaced while it was looked at");
		boot_cut(boot);
		return false;
	}
	log_error("%s: %s", vm->name, problem.text);
	boot_refuse(boot, WIRE_REFUSE_CONFIG, "its directory cannot be served; the host's log says why");
	return false;
}

static void take_hello(struct boot *boot, const struct wire_hello *hello)
{
	struct vm *vm = boot->vm;

	if (hello->version < 1) {
		boot_refuse(boot, WIRE_REFUSE_VERSION, "version 1 is spoken here");
		return;
	}
	vm_refresh(vm);
	if (!vm->served)
		return;                  /* its vm.json has just gone, and all of its sessions with it */
	if (!vm->config) {
		boot_refuse(boot, WIRE_REFUSE_CONFIG, "its vm.json has never been valid; the host's log says why");
		return;
	}
	if (vm->store.error) {
		boot_refuse(boot, WIRE_REFUSE_BUSY, "the host cannot write its state");
		return;
	}
	if (epoch_judge(&vm->store.epoch, hello->boot_id) == EPOCH_ALIVE) {
		boot_refuse(boot, WIRE_REFUSE_EPOCH_ALIVE, "this boot has been served, and its log may still come back");
		return;
	}
	if (!source_open(boot))
		return;
	boot_cut(vm->boot);              /* the guest has given it up, or it would not dial again */
	vm->boot = boot;
	if (!epoch_take(boot, hello))
		return;
	vm->boots_served++;
	vm->daemon->counters.boots++;
	boot->state = BOOT_SENDING;
	deadline(boot, STALL_MS);
	boot_send(boot);
}

/* --- records ---------------------------------------------------------------------------------------------------- */

static bool put_welcome(struct boot *boot)
{
	const struct vmconfig *config = boot->vm->config;
	struct wire_out out = frame_room(&boot->out);
	struct wire_boot welcome = { .type = WIRE_WELCOME, .welcome.version = WIRE_VERSION };
	bool ok;

	welcome.welcome.flags = (uint16_t)((config->clock ? WIRE_WELCOME_CLOCK : 0) |
		(config->entropy ? WIRE_WELCOME_CREDIT : 0));
	welcome.welcome.wall_ns = wall_now();
	memcpy(welcome.welcome.token, boot->vm->store.epoch.token, WIRE_TOKEN);
	ok = getrandom(welcome.welcome.entropy, WIRE_ENTROPY, 0) == WIRE_ENTROPY && wire_boot_encode(&out, &welcome);
	frame_commit(&boot->out, &out);
	explicit_bzero(&welcome, sizeof welcome);
	return ok;
}

/* A slot to send from, with WELCOME in it. False: none is free now, or the session is gone. */
static bool secret_have(struct boot *boot)
{
	struct daemon *daemon = boot->vm->daemon;

	if (boot->secret)
		return true;
	boot->secret = secret_take(&daemon->arena);
	if (!boot->secret) {
		if (!boot->hungry)
			TAILQ_INSERT_TAIL(&daemon->hungry, boot, of_hungry);
		boot->hungry = true;
		loop_events(&daemon->loop, boot->slot, EPOLLIN);
		return false;
	}
	if (boot->hungry) {
		TAILQ_REMOVE(&daemon->hungry, boot, of_hungry);
		boot->hungry = false;
		feed_next(daemon);       /* more than one may have been given back */
	}
	frame_init(&boot->out, boot->secret, SECRET_SIZE);
	if (put_welcome(boot))
		return true;
	boot_refuse(boot, WIRE_REFUSE_BUSY, "the host has no randomness");
	return false;
}

/* Sends what is in the slot. 1: all of it; 0: the socket is full; -1: the session is gone. */
static int slot_flush(struct boot *boot)
{
	size_t before = frame_pending(&boot->out), used = boot->out.end;

	if (frame_flush(&boot->out, boot->fd) != FRAME_OK) {
		vm_audit(boot->vm, "boot-cut", "%s", errno ? strerror(errno) : "closed by the guest");
		boot_cut(boot);
		return -1;
	}
	if (frame_pending(&boot->out) < before)
		deadline(boot, STALL_MS);
	if (frame_pending(&boot->out))
		return 0;
	explicit_bzero(boot->secret, used);
	frame_init(&boot->out, boot->secret, SECRET_SIZE);
	return 1;
}

static void all_sent(struct boot *boot)
{
	boot->vm->store.epoch.committed = true;
	boot->state = BOOT_WAITING;
	secret_release(boot);
	source_destroy(boot->source);
	boot->source = NULL;
	loop_events(&boot->vm->daemon->loop, boot->slot, EPOLLIN);
	deadline(boot, APPLY_MS);
}

/* False: the session is gone. */
static bool slot_fill(struct boot *boot)
{
	struct wire_out out = frame_room(&boot->out);
	struct problem problem;
	int r = source_next(boot->source, &out, &problem);

	if (r < 0) {
		log_error("%s: %s", boot->vm->name, problem.text);
		vm_audit(boot->vm, "boot-cut", "the directory could not be read to its end");
		boot_cut(boot);
		return false;
	}
	frame_commit(&boot->out, &out);
	boot->committed = !r;
	return true;
}

static void boot_send(struct boot *boot)
{
	if (!secret_have(boot))
		return;
	for (int i = 0; i < SLOTS_A_ROUND; i++) {
		if (!boot->committed && !slot_fill(boot))
			return;
		switch (slot_flush(boot)) {
		case -1:
			return;
		case 0:
			loop_events(&boot->vm->daemon->loop, boot->slot, EPOLLIN | EPOLLOUT);
			return;
		}
		if (boot->committed) {
			all_sent(boot);
			return;
		}
	}
	loop_events(&boot->vm->daemon->loop, boot->slot, EPOLLIN | EPOLLOUT);
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

static void take_refuse(struct boot *boot, const struct wire_frame *frame)
{
	char text[WIRE_TEXT_MAX + 64];

	session_refuse_text(text, sizeof text, frame);
	boot->vm->daemon->counters.refused_by_guest++;
	vm_audit(boot->vm, "refused-by-guest", "%s", text);
	boot_destroy(boot);
}

static void take_applied(struct boot *boot)
{
	char how[64];

	snprintf(how, sizeof how, "in %llu ms",
		(unsigned long long)((loop_now(&boot->vm->daemon->loop) - boot->began) / LOOP_MS));
	vm_delivered(boot->vm, how);
	boot_destroy(boot);
}

static void take_frame(struct boot *boot, const struct wire_frame *frame)
{
	char text[WIRE_TEXT_MAX];
	struct wire_boot message;
	const char *wrong;

	if (frame->type == WIRE_REFUSE) {
		take_refuse(boot, frame);
		return;
	}
	wrong = wire_boot_decode(frame, &message);
	if (wrong) {
		snprintf(text, sizeof text, "%s: %s", wire_type_name(frame->type), wrong);
		boot_refuse(boot, WIRE_REFUSE_MALFORMED, text);
	} else if (boot->state == BOOT_ACCEPTED && frame->type == WIRE_HELLO) {
		take_hello(boot, &message.hello);
	} else if (boot->state == BOOT_WAITING && frame->type == WIRE_APPLIED) {
		take_applied(boot);
	} else {
		snprintf(text, sizeof text, "%s is not expected now", wire_type_name(frame->type));
		boot_refuse(boot, WIRE_REFUSE_ORDER, text);
	}
}

static void boot_read(struct boot *boot)
{
	struct wire_frame frame;
	int filled, r;
	struct frame_buf *b = intake_fill(&boot->intake, boot->fd, &filled);

	r = frame_next(b, &frame);
	if (r == FRAME_MALFORMED || intake_announced(b) > SESSION_HELLO_MAX) {
		boot_refuse(boot, WIRE_REFUSE_MALFORMED, "a header that no frame of a guest has");
		return;
	}
	if (r == 1) {
		/* A guest never sends a second frame before it has had the answer to the first. */
		if (frame_pending(b)) {
			boot_refuse(boot, WIRE_REFUSE_ORDER, "more than one frame at once");
			return;
		}
		intake_clear(&boot->intake);
		take_frame(boot, &frame);
		return;
	}
	if (filled == FRAME_CUT) {
		if (boot->state != BOOT_ACCEPTED)
			vm_audit(boot->vm, "boot-cut", "%s", errno ? strerror(errno) : "closed by the guest");
		boot_cut(boot);
	} else if (!intake_keep(&boot->intake, b)) {
		boot_cut(boot);
	}
}

void boot_event(struct boot *boot, uint32_t events)
{
	/* Reading comes first: a guest that refused has also stopped taking anything. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		boot_read(boot);
	else if (events & EPOLLOUT && boot->state == BOOT_SENDING)
		boot_send(boot);
}

void boot_accept(struct vm *vm, int fd)
{
	struct boot *boot = calloc(1, sizeof *boot);

	if (!boot) {
		session_end(vm->daemon, vm, fd);
		return;
	}
	*boot = (struct boot){ .vm = vm, .fd = fd, .timer.fire = boot_timeout, .began = loop_now(&vm->daemon->loop) };
	LIST_INSERT_HEAD(&vm->boots, boot, of_vm);
	boot->slot = loop_add(&vm->daemon->loop, fd, EPOLLIN, LOOP_BOOT, boot);
	if (boot->slot < 0) {
		boot_destroy(boot);
		return;
	}
	deadline(boot, vm->daemon->config.hello_timeout_ms);
}
