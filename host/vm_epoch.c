/* SPDX-License-Identifier: MIT */
/* vm_epoch: the life of a machine's epoch once epoch.h has decided, and what is delivered only once. */
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "daemon.h"

static int once_open(const struct vm *vm, int flags)
{
	return openat(vm->daemon->once_fd, vm->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

bool vm_secrets_spent(const struct vm *vm)
{
	return !vm->attach && !faccessat(vm->daemon->once_fd, vm->name, F_OK, 0);
}

static void secrets_spend(struct vm *vm)
{
	int fd;

	if (!vm->once || vm->attach)
		return;
	fd = once_open(vm, O_CREAT);
	if (fd < 0 || fsync(fd) || fsync(vm->daemon->once_fd))
		log_error_errno("%s: cannot note that its one-shot credentials are delivered", vm->name);
	if (fd >= 0)
		close(fd);
}

void vm_delivered(struct vm *vm, const char *how)
{
	if (vm->store.epoch.state != EPOCH_OPEN)
		return;
	vm->store.epoch.state = EPOCH_LIVE;
	vm->daemon->counters.applied++;
	secrets_spend(vm);
	store_note(&vm->store, "applied", "%s", how);
	vm_settle(vm, false);
	if (!vm->logs)
		vm_grace_begin(vm);
}

void vm_grace_begin(struct vm *vm)
{
	vm->turned_away = false;
	if (!vm->logs && vm->store.epoch.state != EPOCH_NONE && vm->served)
		timer_set(&vm->daemon->loop, &vm->grace, vm->daemon->config.grace_ms * LOOP_MS);
}

void vm_grace_end(struct vm *vm)
{
	timer_stop(&vm->daemon->loop, &vm->grace);
}

static void note_unclean(struct vm *vm)
{
	log_warn("%s: its log ended without an end", vm->name);
	store_flush_lines(&vm->store);
	store_note(&vm->store, "unclean", "the log ended without an end, after %llu records",
		(unsigned long long)vm->store.next);
}

static void vm_grace_over(struct timer *timer)
{
	struct vm *vm = (struct vm *)((char *)timer - offsetof(struct vm, grace));
	uint8_t state = vm->store.epoch.state;

	/*
	 * Its guest could not come back: we refuse it as long as its log cannot be written, or there is no room. A program
	 * in it that takes all its connections must not have an epoch of its own for that.
	 */
	if (vm->store.error || vm->turned_away) {
		vm_grace_begin(vm);
		return;
	}
	if (vm->logs || state == EPOCH_NONE)
		return;
	if (state != EPOCH_ENDED && (state == EPOCH_LIVE || vm->store.next))
		note_unclean(vm);
	/* An open one stays: its guest may still be at its boot session, and its numbers must go on. */
	if (state != EPOCH_OPEN) {
		epoch_over(&vm->store.epoch);
		store_epoch_changed(&vm->store);
	}
	vm_settle(vm, false);
}

void vm_epoch_init(struct vm *vm)
{
	vm->grace.fire = vm_grace_over;
}

void vm_epoch_finish(struct vm *vm)
{
	if (!vm->served || vm->store.error || vm->store.epoch.state != EPOCH_LIVE)
		return;
	note_unclean(vm);
	vm_settle(vm, true);
}
