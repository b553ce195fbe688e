/* SPDX-License-Identifier: MIT */
/*
 * Between frames a session is this small struct and nothing else. What goes out is a handful of bytes, of which only
 * the newest count: while an ACK does not fit into the socket, those that follow are not made, and the last one says
 * it all.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../vsock/log.h"
#include "daemon.h"
#include "logs.h"
#include "refusal.h"
#include "session.h"

enum logs_state { LOGS_ACCEPTED, LOGS_SETTLING, LOGS_STREAMING, LOGS_ENDED };

struct logs {
	LIST_ENTRY(logs) of_vm;          /* vm->logses */
	struct vm *vm;
	int fd, slot;
	uint8_t state;
	bool was_up;                     /* its end begins the grace */
	bool button_due;
	bool delivers;                   /* its hello says that the boot has all it needs */
	bool end_due;                    /* END was taken and its END_ACK is still to be sent */
	struct timer timer;              /* the hello's deadline */
	struct intake intake;
	uint64_t acked;
	struct frame_buf out;
	uint8_t out_bytes[64];
};

/* --- ends ------------------------------------------------------------------------------------------------------- */

/*
 * It is not the machine's session any more. That comes before anything is said of its end: to write that down can
 * fail, and then the machine's session is cut.
 */
static void logs_detach(struct logs *logs)
{
	if (logs->vm->logs != logs)
		return;
	logs->vm->logs = NULL;
	logs->was_up = true;
}

static void logs_destroy(struct logs *logs)
{
	struct vm *vm = logs->vm;
	bool was_up;

	logs_detach(logs);
	was_up = logs->was_up;
	timer_stop(&vm->daemon->loop, &logs->timer);
	loop_remove(&vm->daemon->loop, logs->slot);
	LIST_REMOVE(logs, of_vm);
	intake_clear(&logs->intake);
	session_end(vm->daemon, vm, logs->fd);
	free(logs);
	if (was_up)
		vm_grace_begin(vm);
}

void logs_cut(struct logs *logs)
{
	if (!logs)
		return;
	logs->vm->daemon->counters.cuts++;
	logs_destroy(logs);
}

void logs_cut_all(struct vm *vm)
{
	while (!LIST_EMPTY(&vm->logses))
		logs_destroy(LIST_FIRST(&vm->logses));
}

static void logs_refuse(struct logs *logs, enum wire_refuse_code code, const char *text)
{
	struct vm *vm = logs->vm;

	session_refuse(vm->daemon, logs->fd, code, text);
	vm->refused++;
	vm->refused_by[code]++;
	logs_detach(logs);
	/* What came before the wrong frame is good: it is stored, and was acknowledged or comes again. */
	if (vm_audit(vm, "refused", "log session: %s: %s", wire_refuse_name((uint16_t)code), text))
		vm_witness(vm, "log", "refused", wire_refuse_name((uint16_t)code), -1);
	logs_destroy(logs);
}

static void logs_timeout(struct timer *timer)
{
	struct logs *logs = (struct logs *)((char *)timer - offsetof(struct logs, timer));

	logs->vm->daemon->counters.hello_timeouts++;
	log_debug("%s: log session: no LOG_HELLO in time", logs->vm->name);
	logs_destroy(logs);
}

/* The other side is gone. */
static void logs_gone(struct logs *logs, int error)
{
	struct vm *vm = logs->vm;

	/* After END that is how it should be. */
	logs_detach(logs);
	if (logs->state == LOGS_STREAMING)
		vm_audit(vm, "log-cut", "%s", error ? strerror(error) : "closed by the guest");
	if (logs->state != LOGS_ENDED)
		vm->daemon->counters.cuts++;
	logs_destroy(logs);
}

/* The outlet's reader does not keep up, a file has to rotate first, or the machine is over its rate: none is read. */
static bool held_up(const struct logs *logs)
{
	const struct store *store = &logs->vm->store;

	return store->must_rotate || logs->vm->rate.place || (logs->vm->daemon->outlet.crowded && !store->ephemeral);
}

/* --- what goes out ---------------------------------------------------------------------------------------------- */

static void put(struct logs *logs, const struct wire_log *message)
{
	struct wire_out out = frame_room(&logs->out);

	if (wire_log_encode(&out, message))
		frame_commit(&logs->out, &out);
}

/* A guest that is gone is not noticed here, where a batch may be under way, but by the event that comes for it. */
static void answer(struct logs *logs)
{
	const struct store *store = &logs->vm->store;
	uint64_t durable = store->durable;

	if (!frame_pending(&logs->out)) {
		/* The end has no number: it is settled when everything is. */
		if (logs->end_due && durable == store->next && !store->changed && !store->settling) {
			put(logs, &(struct wire_log){ .type = WIRE_END_ACK, .ack = durable });
			logs->end_due = false;
			logs->acked = durable;
		} else if (durable > logs->acked) {
			put(logs, &(struct wire_log){ .type = WIRE_ACK, .ack = durable });
			logs->acked = durable;
		}
		if (logs->button_due && logs->state > LOGS_SETTLING)
			put(logs, &(struct wire_log){ .type = WIRE_BUTTON });
		logs->button_due &= logs->state <= LOGS_SETTLING;
	}
	if (frame_flush(&logs->out, logs->fd) != FRAME_OK)
		frame_init(&logs->out, logs->out_bytes, sizeof logs->out_bytes);
	logs_pace(logs);
}

void logs_pace(struct logs *logs)
{
	uint32_t in, out;

	if (!logs)
		return;
	in = logs->state == LOGS_SETTLING ||
		((logs->vm->paused || held_up(logs)) && logs->state != LOGS_ACCEPTED) ? 0 : EPOLLIN;
	out = frame_pending(&logs->out) ? EPOLLOUT : 0;
	loop_events(&logs->vm->daemon->loop, logs->slot, in | out);
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

/* All that the host has is settled, so it can say what comes next. False: the session is gone. */
static bool welcome(struct logs *logs)
{
	struct vm *vm = logs->vm;

	logs->state = LOGS_STREAMING;
	/* The answer comes before any ACK. */
	logs->acked = vm->store.durable;
	put(logs, &(struct wire_log){ .type = WIRE_LOG_WELCOME, .welcome.version = WIRE_VERSION,
		.welcome.next = vm->store.durable });
	answer(logs);
	vm_audit(vm, "log-connected", "from number %llu on", (unsigned long long)vm->store.next);
	if (vm->logs == logs && logs->delivers)
		vm_delivered(vm, "by its log session; APPLIED did not come");
	return vm->logs == logs;         /* that note could not be written, or the guest is gone again */
}

/* False: the session is gone. */
static bool take_hello(struct logs *logs, const struct wire_log *hello)
{
	struct vm *vm = logs->vm;
	struct epoch *epoch = &vm->store.epoch;

	if (hello->hello.version < 1) {
		logs_refuse(logs, WIRE_REFUSE_VERSION, "version 1 is spoken here");
		return false;
	}
	if (vm->store.error) {
		logs_refuse(logs, WIRE_REFUSE_BUSY, "the log cannot be written now");
		return false;
	}
	if (!epoch_proves(epoch, hello->hello.token)) {
		logs_refuse(logs, WIRE_REFUSE_TOKEN, "not the token of a living epoch");
		return false;
	}
	if (hello->hello.first > vm->store.next) {
		/* Records between would be missing without a LOST: the guest says so first, when it streams. */
		log_debug("%s: holds records from %llu on, %llu is expected", vm->name,
			(unsigned long long)hello->hello.first, (unsigned long long)vm->store.next);
	}
	if (vm->logs) {
		vm_audit(vm, "log-replaced", "a new log session came while one was up");
		logs_cut(vm->logs);
	}
	/*
	 * What the session before has left to the group commit is settled first: the guest must hear of all that is here, or
	 * it counts as lost what it dropped and we have. A disk that hangs is not waited for here.
	 */
	if (!vm_settle(vm, !vm->daemon->home.syncer)) {
		logs_refuse(logs, WIRE_REFUSE_BUSY, "the log cannot be written now");
		return false;
	}
	timer_stop(&vm->daemon->loop, &logs->timer);
	logs->state = LOGS_SETTLING;
	vm->logs = logs;
	vm_grace_end(vm);
	vm->log_sessions++;
	vm->daemon->counters.log_sessions++;
	logs->delivers = epoch_log_delivers(epoch);
	epoch_learn(epoch, hello->hello.token);
	logs_pace(logs);
	return vm->store.durable < vm->store.next || welcome(logs);
}

static const char *take_message(struct logs *logs, const struct wire_log *message)
{
	struct store *store = &logs->vm->store;
	uint64_t next = store->next;
	const char *wrong;

	if (message->type == WIRE_END) {
		wrong = store_end(store, message);
		if (wrong)
			return wrong;
		logs->state = LOGS_ENDED;
		logs->end_due = true;
		return NULL;
	}
	wrong = (message->type == WIRE_LOST ? store_lost : store_records)(store, message);
	if (store->next != next) {
		/* More after END: it takes another one. */
		logs->state = LOGS_STREAMING;
		if (store->epoch.state == EPOCH_ENDED)
			store->epoch.state = EPOCH_LIVE;
	}
	return wrong;
}

static void wrong_frame(struct logs *logs, enum wire_refuse_code code, uint16_t type, const char *what)
{
	char text[WIRE_TEXT_MAX];
	struct vm *vm = logs->vm;

	/* The frames before it are stored and acknowledged as if it had not come. */
	if (!vm_settle(vm, false))
		return;
	snprintf(text, sizeof text, "%s: %s", wire_type_name(type), what);
	logs_refuse(logs, code, text);
}

/* False: the session is gone. */
static bool take_frame(struct logs *logs, const struct wire_frame *frame)
{
	static struct wire_log message;  /* too large for the stack of every call */
	struct vm *vm = logs->vm;
	char text[WIRE_TEXT_MAX + 64];
	const char *wrong;

	if (frame->type == WIRE_REFUSE) {
		refusal_text(text, sizeof text, frame);
		vm->daemon->counters.refused_by_guest++;
		logs_detach(logs);
		vm_audit(vm, "refused-by-guest", "%s", text);
		logs_cut(logs);
		return false;
	}
	wrong = wire_log_decode(frame, &message);
	if (logs->state == LOGS_ACCEPTED) {
		if (!wrong && frame->type == WIRE_LOG_HELLO)
			return take_hello(logs, &message);
		snprintf(text, sizeof text, "%s: %s", wire_type_name(frame->type), wrong ? wrong : "not expected now");
		logs_refuse(logs, wrong ? WIRE_REFUSE_MALFORMED : WIRE_REFUSE_ORDER, text);
		return false;
	}
	if (!wrong && (logs->state == LOGS_SETTLING || (frame->type != WIRE_RECORDS && frame->type != WIRE_LOST &&
		frame->type != WIRE_END))) {
		wrong_frame(logs, WIRE_REFUSE_ORDER, frame->type, "not expected now");
		return false;
	}
	if (!wrong)
		wrong = take_message(logs, &message);
	if (wrong) {
		wrong_frame(logs, WIRE_REFUSE_MALFORMED, frame->type, wrong);
		return false;
	}
	return true;
}

void logs_settled(struct logs *logs)
{
	if (!logs)
		return;
	if (logs->state != LOGS_SETTLING)
		answer(logs);
	else if (logs->vm->store.durable == logs->vm->store.next)
		welcome(logs);
}

bool logs_press(struct logs *logs)
{
	if (!logs)
		return false;
	logs->button_due = true;
	if (logs->state > LOGS_SETTLING)
		answer(logs);
	return true;
}

static void logs_read(struct logs *logs)
{
	struct vm *vm = logs->vm;
	struct wire_frame frame;
	int filled, error, r;
	size_t kept = logs->intake.len;
	struct frame_buf *b = intake_fill(&logs->intake, logs->fd, &filled);

	error = errno;
	vm_rate_take(vm, b->end - kept);
	while ((r = frame_next(b, &frame)) == 1)
		if (!take_frame(logs, &frame))
			return;
	if (r == FRAME_MALFORMED || (logs->state == LOGS_ACCEPTED && intake_announced(b) > SESSION_HELLO_MAX)) {
		if (logs->state != LOGS_ACCEPTED && !vm_settle(vm, false))
			return;
		logs_refuse(logs, WIRE_REFUSE_MALFORMED, "a header that no frame has");
		return;
	}
	if (filled != FRAME_CUT && !intake_keep(&logs->intake, b))
		filled = FRAME_CUT;
	/* Settled also when the guest is gone: what came whole is good. */
	if (logs->state != LOGS_ACCEPTED && !vm_settle(vm, false))
		return;
	if (filled == FRAME_CUT)
		logs_gone(logs, error);
}

void logs_event(struct logs *logs, uint32_t events)
{
	if (events & EPOLLOUT)
		answer(logs);
	if (events & (EPOLLHUP | EPOLLERR))
		logs_read(logs);
	else if (events & EPOLLIN && held_up(logs) && logs->state != LOGS_ACCEPTED)
		logs_pace(logs);
	else if (events & EPOLLIN)
		logs_read(logs);
}

void logs_accept(struct vm *vm, int fd)
{
	struct logs *logs = calloc(1, sizeof *logs);

	if (!logs) {
		session_end(vm->daemon, vm, fd);
		return;
	}
	*logs = (struct logs){ .vm = vm, .fd = fd, .timer.fire = logs_timeout };
	frame_init(&logs->out, logs->out_bytes, sizeof logs->out_bytes);
	LIST_INSERT_HEAD(&vm->logses, logs, of_vm);
	logs->slot = loop_add(&vm->daemon->loop, fd, EPOLLIN, LOOP_LOGS, logs);
	if (logs->slot < 0) {
		logs_destroy(logs);
		return;
	}
	timer_set(&vm->daemon->loop, &logs->timer, vm->daemon->config.hello_timeout_ms * LOOP_MS);
}
