/* SPDX-License-Identifier: MIT */
/* vm_epoch: the life of a machine's epoch once epoch.h has decided, and what is delivered only once. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"

/* --- what is noted of a machine, as a file of its name ------------------------------------------------------------ */

static bool is_marked(const struct vm *vm, int dir)
{
	return !faccessat(dir, vm->name, F_OK, 0);
}

static int mark(const struct vm *vm, int dir)
{
	int fd = openat(dir, vm->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_CREAT, 0600), r = 0;

	if (fd < 0 || fsync(fd) || fsync(dir))
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

static int unmark(const struct vm *vm, int dir)
{
	if (unlinkat(dir, vm->name, 0))
		return errno == ENOENT ? 0 : -errno;
	return fsync(dir) ? -errno : 0;
}

bool vm_secrets_spent(const struct vm *vm)
{
	return !vm->attach && is_marked(vm, vm->daemon->once_fd);
}

static void secrets_spend(struct vm *vm)
{
	int r = vm->once && !vm->attach ? mark(vm, vm->daemon->once_fd) : 0;

	if (r)
		log_error("%s: cannot note that its one-shot credentials are delivered: %s", vm->name, strerror(-r));
}

bool vm_revoked(const struct vm *vm)
{
	return vm->attach ? vm->revoked : is_marked(vm, vm->daemon->revoked_fd);
}

int vm_revoke(struct vm *vm)
{
	int r = vm->attach ? 0 : mark(vm, vm->daemon->revoked_fd);

	vm->revoked = true;
	boot_cut_all(vm);
	return r;
}

int vm_rearm(struct vm *vm)
{
	int r = vm->attach ? 0 : unmark(vm, vm->daemon->revoked_fd);

	vm->revoked = false;
	return r || vm->attach ? r : unmark(vm, vm->daemon->once_fd);
}

/* --- the epoch --------------------------------------------------------------------------------------------------- */

void vm_delivered(struct vm *vm, const char *how)
{
	if (vm->store.epoch.state != EPOCH_OPEN)
		return;
	vm->store.epoch.state = EPOCH_LIVE;
	vm->daemon->counters.applied++;
	secrets_spend(vm);
	store_note(&vm->store, "applied", "%s", how);
	vm_witness(vm, "deliver", "applied", NULL, -1);
	vm_settle(vm, false);
	if (!vm->logs)
		vm_grace_begin(vm);
}

void vm_grace_begin(struct vm *vm)
{
	vm->turned_away = false;
	vm->grace_stalls = vm->daemon->loop.stalls;
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
	 * Its guest could not come back: we refuse it as long as its log cannot be written, or there is no room, and heard
	 * nobody while we were stopped. A program in it that takes all its connections must not have an epoch of its own
	 * for that.
	 */
	if (vm->store.error || vm->turned_away || vm->grace_stalls != vm->daemon->loop.stalls) {
		vm_grace_begin(vm);
		return;
	}
	if (vm->logs || state == EPOCH_NONE)
		return;
	if (state != EPOCH_ENDED && (state == EPOCH_LIVE || vm->store.next))
		note_unclean(vm);
	/* An open one stays: its guest may still be at its boot session, and its numbers must go on. */
	if (state != EPOCH_OPEN) {
		vm_witness(vm, "epoch", "over", state == EPOCH_ENDED ? NULL : "its log ended without an end", -1);
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
