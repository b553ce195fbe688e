/* SPDX-License-Identifier: MIT */
/* vm_log: a machine's log: when batches are settled, what happens when they cannot be, and hawserd's own lines. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../vsock/log.h"
#include "daemon.h"
#include "logs.h"

#define RETRY_MS 500             /* a log that cannot be written is tried again */
#define COMMIT_MS 10             /* how long a batch waits for company in the group commit */
#define IDLE_MS 500              /* a line without its end is shown to followers after one to two of these */
#define AUDITS_A_SECOND 8

#define OWNER(timer_pointer, member) ((struct vm *)((char *)(timer_pointer) - offsetof(struct vm, member)))

void vm_rest(struct vm *vm)
{
	if (!vm->logs && !vm->boot && !vm->is_unsettled && !vm->store.settling)
		store_rest(&vm->store);
}

/* Nothing since the last transaction counts: the guest sends it again when the files can be written. */
static void vm_failed(struct vm *vm)
{
	struct daemon *daemon = vm->daemon;
	int error = vm->store.error;

	if (!vm->retry.place)
		log_error("%s: its log cannot be written: %s; trying again every %d ms", vm->name, strerror(-error), RETRY_MS);
	store_load(&vm->store);          /* throws the batch away; whether it can write is seen by the retry */
	vm->store.error = error;
	timer_set(&daemon->loop, &vm->retry, RETRY_MS * LOOP_MS);
	logs_cut(vm->logs);
}

static void vm_retry(struct timer *timer)
{
	struct vm *vm = OWNER(timer, retry);
	int r = store_load(&vm->store);

	if (!r)
		r = store_probe(&vm->store);
	if (!r) {
		store_note(&vm->store, "log-recovered", "the log can be written again");
		store_write(&vm->store);
		r = store_settle(&vm->store);
	}
	if (r) {
		timer_set(&vm->daemon->loop, timer, RETRY_MS * LOOP_MS);
		return;
	}
	log_warn("%s: its log can be written again", vm->name);
	vm_grace_begin(vm);
	vm_rest(vm);
}

/* Also for one that was left out the last time, since the disk had it. */
static void unsettled_add(struct vm *vm)
{
	struct daemon *daemon = vm->daemon;

	if (!daemon->commit.place)
		timer_set(&daemon->loop, &daemon->commit, COMMIT_MS * LOOP_MS);
	if (vm->is_unsettled)
		return;
	vm->is_unsettled = true;
	vm->next_unsettled = daemon->unsettled;
	daemon->unsettled = vm;
}

static void unsettled_remove(struct vm *vm)
{
	struct vm **p = &vm->daemon->unsettled;

	if (!vm->is_unsettled)
		return;
	while (*p != vm)
		p = &(*p)->next_unsettled;
	*p = vm->next_unsettled;
	vm->is_unsettled = false;
}

/* False: it could not be stored. */
static bool settled(struct vm *vm)
{
	if (vm->store.error) {
		vm_failed(vm);
		return false;
	}
	logs_settled(vm->logs);
	vm_rest(vm);
	return true;
}

static bool settle_now(struct vm *vm)
{
	unsettled_remove(vm);
	store_settle(&vm->store);
	return settled(vm);
}

/* The next one that waits for the group commit, and neither for the outlet nor for the disk. */
static struct vm *settleable(const struct daemon *daemon)
{
	struct vm *vm = daemon->unsettled;

	while (vm && (vm->store.settling || store_held(&vm->store)))
		vm = vm->next_unsettled;
	return vm;
}

void vm_commit_group(struct timer *timer)
{
	struct daemon *daemon = (struct daemon *)((char *)timer - offsetof(struct daemon, commit));

	for (struct vm *vm; (vm = settleable(daemon));) {
		unsettled_remove(vm);
		if (!store_settle_begin(&vm->store))
			settled(vm);
	}
}

void vm_synced(struct daemon *daemon)
{
	struct sync_job *job;

	while ((job = syncer_take(&daemon->syncer))) {
		struct store *store = store_of(job);
		struct vm *vm = (struct vm *)((char *)store - offsetof(struct vm, store));

		store_settled(store);
		/* What came meanwhile. */
		if (settled(vm) && store->changed)
			unsettled_add(vm);
	}
}

/* A second's worth at most is saved up. What is read at once may be more, and is paid for with a pause. */
void vm_rate_take(struct vm *vm, size_t bytes)
{
	struct daemon *daemon = vm->daemon;
	int64_t rate = (int64_t)daemon->config.log_rate_vm;
	uint64_t now = daemon->loop.now, ms = (now - vm->rate_at) / LOOP_MS;

	/* Who watches a run sets its pace himself. */
	if (!rate || vm->store.ephemeral)
		return;
	vm->rate_left += (int64_t)(ms < 60000 ? ms : 60000) * rate / 1000;
	vm->rate_at += ms * LOOP_MS;
	if (vm->rate_left > rate)
		vm->rate_left = rate;
	vm->rate_left -= (int64_t)bytes;
	if (vm->rate_left < 0)
		timer_set(&daemon->loop, &vm->rate, (uint64_t)(-vm->rate_left * 1000 / rate + 1) * LOOP_MS);
}

static void vm_rate_again(struct timer *timer)
{
	logs_pace(OWNER(timer, rate)->logs);
}

void vm_outlet_moved(struct outlet *outlet)
{
	struct daemon *daemon = (struct daemon *)((char *)outlet - offsetof(struct daemon, outlet));

	/* With fdatasync, one more turn of the group commit; else there is nothing to wait for. */
	if (!daemon->home.sync)
		vm_commit_group(&daemon->commit);
	else if (!daemon->commit.place && daemon->unsettled)
		timer_set(&daemon->loop, &daemon->commit, COMMIT_MS * LOOP_MS);
	for (size_t i = 0; !outlet->crowded && i < daemon->vms.names.n; i++)
		logs_pace(vms_at(&daemon->vms, i)->logs);
}

bool vm_settle(struct vm *vm, bool now)
{
	if (vm->store.error && vm->retry.place)
		return false;
	if (store_write(&vm->store)) {
		vm_failed(vm);
		return false;
	}
	vm_files_used(vm);
	if (vm->store.watched && !vm->idle.place && store_has_open_lines(&vm->store))
		timer_set(&vm->daemon->loop, &vm->idle, IDLE_MS * LOOP_MS);
	if (store_held(&vm->store)) {
		unsettled_add(vm);
		return !now;
	}
	if (vm->daemon->home.sync && !vm->store.ephemeral && !now) {
		unsettled_add(vm);
		return true;
	}
	return settle_now(vm);
}

static void vm_idle(struct timer *timer)
{
	struct vm *vm = OWNER(timer, idle);

	if (vm->store.watched && store_show_idle(&vm->store))
		timer_set(&vm->daemon->loop, timer, IDLE_MS * LOOP_MS);
}

/* A guest that is refused a thousand times a second must not fill the disk with that. */
static bool audit_allowed(struct vm *vm)
{
	uint64_t second = vm->daemon->loop.now / LOOP_SECOND;

	if (second != vm->audit_second) {
		vm->audit_second = second;
		vm->audits = 0;
	}
	if (vm->audits++ < AUDITS_A_SECOND)
		return true;
	vm->audits_dropped++;
	return false;
}

bool vm_audit(struct vm *vm, const char *event, const char *format, ...)
{
	char text[900];
	va_list ap;

	if (!audit_allowed(vm))
		return false;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	log_info("%s: %s: %s", vm->name, event, text);
	store_note(&vm->store, event, "%s", text);
	vm_settle(vm, false);
	return true;
}

bool vm_witness(const struct vm *vm, const char *what, const char *outcome, const char *reason, int credentials)
{
	return audit_write(&vm->daemon->audit, &(struct audit_entry){ .vm = vm->name, .epoch = vm->store.who.boot,
		.what = what, .outcome = outcome, .reason = reason, .credentials = credentials, .uid = AUDIT_NOBODY });
}

void vm_log_init(struct vm *vm)
{
	vm->retry.fire = vm_retry;
	vm->idle.fire = vm_idle;
	vm->rate.fire = vm_rate_again;
	store_init(&vm->store, &vm->daemon->home, vm->name, vm->attach && vm->attach->ephemeral);
}

void vm_log_open(struct vm *vm)
{
	if (store_load(&vm->store)) {
		log_error("%s: its log cannot be written: %s", vm->name, strerror(-vm->store.error));
		timer_set(&vm->daemon->loop, &vm->retry, RETRY_MS * LOOP_MS);
	}
	vm_rest(vm);
}

void vm_log_finish(struct vm *vm, bool forget)
{
	unsettled_remove(vm);
	timer_stop(&vm->daemon->loop, &vm->retry);
	timer_stop(&vm->daemon->loop, &vm->idle);
	timer_stop(&vm->daemon->loop, &vm->rate);
	vm_files_forget(vm);
	store_write(&vm->store);
	store_settle(&vm->store);
	if (forget)
		store_forget(&vm->store);
	store_finish(&vm->store);
}
