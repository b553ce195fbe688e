/* SPDX-License-Identifier: MIT */
/*
 * States, as in docs/PROTOCOL.md: ACCEPTED until HELLO has come, SENDING until the last records go out, WAITING until
 * APPLIED. Between the first two, PREPARING: the reader looks at the machine's directory, and nothing is decided yet. A
 * cut in SENDING or WAITING leaves the epoch open for the same boot id.
 *
 * From PREPARING on, the reader has the connection, too (split.h). It writes; reading is ours alone.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "logs.h"
#include "refusal.h"
#include "session.h"

#define APPLY_MS 60000           /* to apply may take a while, but not for ever */

enum boot_state { BOOT_ACCEPTED, BOOT_PREPARING, BOOT_SENDING, BOOT_WAITING };

struct boot {
	LIST_ENTRY(boot) of_vm;          /* vm->boots */
	struct vm *vm;
	int fd, slot;
	uint8_t state;
	struct timer timer;
	struct intake intake;
	struct wire_hello hello;
	uint64_t began;
};

/* --- ends ------------------------------------------------------------------------------------------------------- */

static void boot_destroy(struct boot *boot)
{
	struct vm *vm = boot->vm;

	if (vm->boot == boot)
		vm->boot = NULL;
	timer_stop(&vm->daemon->loop, &boot->timer);
	loop_remove(&vm->daemon->loop, boot->slot);
	LIST_REMOVE(boot, of_vm);
	/* The reader's descriptor of it would keep it open. */
	if (boot->state != BOOT_ACCEPTED)
		shutdown(boot->fd, SHUT_RDWR);
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
	if (vm_audit(vm, "refused", "boot session: %s: %s", wire_refuse_name((uint16_t)code), text))
		vm_witness(vm, "boot", "refused", wire_refuse_name((uint16_t)code), -1);
	boot_destroy(boot);
}

void boot_cut(struct boot *boot)
{
	if (!boot)
		return;
	boot->vm->daemon->counters.cuts++;
	boot_destroy(boot);
}

/* It was accepted, and comes to nothing. */
static void boot_cut_for(struct boot *boot, const char *why)
{
	if (vm_audit(boot->vm, "boot-cut", "%s", why))
		vm_witness(boot->vm, "boot", "cut", why, -1);
	boot_cut(boot);
}

void boot_cut_all(struct vm *vm)
{
	while (!LIST_EMPTY(&vm->boots))
		boot_destroy(LIST_FIRST(&vm->boots));
}

void boot_cut_read(struct vm *vm)
{
	struct boot *boot = LIST_FIRST(&vm->boots), *next;

	for (; boot; boot = next) {
		next = LIST_NEXT(boot, of_vm);
		if (boot->state == BOOT_PREPARING || boot->state == BOOT_SENDING)
			boot_cut(boot);
	}
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
	boot_cut_for(boot, "no APPLIED in 60 s");
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
		if (epoch->state != EPOCH_NONE)
			vm_witness(vm, "epoch", "over", epoch->state == EPOCH_ENDED ? NULL : "another boot began", -1);
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

/* What is asked twice: at HELLO, and when the directory was looked at. False: the session is gone. */
static bool may_boot(struct boot *boot)
{
	struct vm *vm = boot->vm;
	enum epoch_verdict verdict = epoch_judge(&vm->store.epoch, boot->hello.boot_id);

	if (vm_revoked(vm))
		boot_refuse(boot, WIRE_REFUSE_REVOKED, "an administrator has revoked it; hawser rearm lets it boot again");
	else if (vm->store.error)
		boot_refuse(boot, WIRE_REFUSE_BUSY, "the host cannot write its state");
	else if (verdict == EPOCH_ALIVE)
		boot_refuse(boot, WIRE_REFUSE_EPOCH_ALIVE, "this boot has been served, and its log may still come back");
	else if (verdict == EPOCH_USED)
		boot_refuse(boot, WIRE_REFUSE_EPOCH_ALIVE, "this boot has been served, and is over; a clone must be booted anew");
	else
		return true;
	return false;
}

static void take_hello(struct boot *boot, const struct wire_hello *hello)
{
	struct vm *vm = boot->vm;

	if (hello->version < 1) {
		boot_refuse(boot, WIRE_REFUSE_VERSION, "version 1 is spoken here");
		return;
	}
	boot->hello = *hello;
	if (!may_boot(boot))
		return;
	if (!readers_prepare(vm, loop_ref(&vm->daemon->loop, boot->slot), boot->fd)) {
		boot_refuse(boot, WIRE_REFUSE_BUSY, "the host's directories cannot be read now");
		return;
	}
	boot->state = BOOT_PREPARING;
	timer_stop(&vm->daemon->loop, &boot->timer);     /* the reader has one */
}

/* --- what the reader says --------------------------------------------------------------------------------------- */

/* All of it goes into the socket of a guest that has been sent nothing yet. False: it did not, or no randomness. */
static bool welcome_send(const struct boot *boot, uint16_t flags)
{
	uint8_t storage[WIRE_HEADER + 96];
	struct wire_out out = { .buf = storage, .size = sizeof storage };
	struct wire_boot welcome = { .type = WIRE_WELCOME, .welcome.version = WIRE_VERSION, .welcome.flags = flags };
	bool ok;

	welcome.welcome.wall_ns = wall_now();
	memcpy(welcome.welcome.token, boot->vm->store.epoch.token, WIRE_TOKEN);
	ok = getrandom(welcome.welcome.entropy, WIRE_ENTROPY, 0) == WIRE_ENTROPY && wire_boot_encode(&out, &welcome) &&
		send(boot->fd, storage, out.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.len;
	explicit_bzero(&welcome, sizeof welcome);
	explicit_bzero(storage, sizeof storage);
	return ok;
}

/* The directory was found fit to be sent: now the epoch begins, unless another boot was faster. */
static void take_ready(struct boot *boot, const struct split_session *ready)
{
	struct vm *vm = boot->vm;
	bool again = epoch_judge(&vm->store.epoch, boot->hello.boot_id) == EPOCH_AGAIN;

	if (!may_boot(boot))
		return;
	boot_cut(vm->boot);              /* the guest has given it up, or it would not dial again */
	vm->boot = boot;
	if (!epoch_take(boot, &boot->hello))
		return;
	if (!vm_witness(vm, "boot", again ? "served again" : "served", NULL, (int)ready->credentials)) {
		boot_refuse(boot, WIRE_REFUSE_BUSY, "the host cannot write its audit log");
		return;
	}
	vm->boots_served++;
	vm->daemon->counters.boots++;
	boot->state = BOOT_SENDING;
	if (!welcome_send(boot, ready->flags) || !readers_send(vm, loop_ref(&vm->daemon->loop, boot->slot))) {
		boot_cut_for(boot, "it could not be begun");
	}
}

static void take_committing(struct boot *boot)
{
	boot->vm->store.epoch.committed = true;
	boot->state = BOOT_WAITING;
	deadline(boot, APPLY_MS);
}

void boot_told(struct boot *boot, const struct reader_link *link, const struct split_session *said)
{
	struct vm *vm = boot->vm;
	bool cut = said->type == SPLIT_CUT || said->type == SPLIT_REFUSED;

	if (vm->reader != link || boot->state == BOOT_ACCEPTED)
		return;
	if (boot->state == BOOT_PREPARING && said->type == SPLIT_READY) {
		take_ready(boot, said);
	} else if (boot->state == BOOT_PREPARING && said->type == SPLIT_REFUSED) {
		boot_refuse(boot, WIRE_REFUSE_CONFIG, said->text);
	} else if (boot->state == BOOT_SENDING && said->type == SPLIT_COMMITTING) {
		take_committing(boot);
	} else if (cut) {
		boot_cut_for(boot, said->text);
	}
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

static void take_refuse(struct boot *boot, const struct wire_frame *frame)
{
	char text[WIRE_TEXT_MAX + 64];

	refusal_text(text, sizeof text, frame);
	boot->vm->daemon->counters.refused_by_guest++;
	if (vm_audit(boot->vm, "refused-by-guest", "%s", text))
		vm_witness(boot->vm, "boot", "refused by the guest", NULL, -1);
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

/* The reader tells of COMMIT before it sends it; but what it told may not have been read yet. False: it is gone. */
static bool is_up_to_date(const struct boot *boot)
{
	const struct loop *loop = &boot->vm->daemon->loop;
	uint64_t ref = loop_ref(loop, boot->slot);

	if (boot->state == BOOT_SENDING)
		readers_event(boot->vm->reader);
	return loop_owner(loop, ref, LOOP_BOOT);
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
	if (!is_up_to_date(boot))
		return;
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
		if (boot->state == BOOT_ACCEPTED)
			boot_cut(boot);
		else
			boot_cut_for(boot, errno ? strerror(errno) : "closed by the guest");
	} else if (!intake_keep(&boot->intake, b)) {
		boot_cut(boot);
	}
}

void boot_event(struct boot *boot, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		boot_read(boot);
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
