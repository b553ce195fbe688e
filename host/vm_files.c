/* SPDX-License-Identifier: MIT */
/*
 * vm_files: which machines' log files are open. Ten thousand machines that boot at once would take twenty thousand
 * descriptors for them, and guests would find none left; so the files that were not used for the longest time are
 * closed until they are needed again.
 */
#include <sys/resource.h>

#include "daemon.h"

#define SHARE 16         /* of the descriptors, machines whose files are open: each has up to three */
#define OPEN_MIN 16

void vm_files_init(struct daemon *daemon)
{
	struct rlimit files = { 0 };
	rlim_t most;

	TAILQ_INIT(&daemon->with_files);
	if (daemon->config.open_logs_max)
		return;
	getrlimit(RLIMIT_NOFILE, &files);
	most = files.rlim_cur / SHARE;
	daemon->config.open_logs_max = most < OPEN_MIN ? OPEN_MIN : most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

void vm_files_forget(struct vm *vm)
{
	if (!vm->has_files)
		return;
	TAILQ_REMOVE(&vm->daemon->with_files, vm, of_files);
	vm->daemon->n_with_files--;
	vm->has_files = false;
}

void vm_files_used(struct vm *vm)
{
	struct daemon *daemon = vm->daemon;
	struct vm *oldest;

	if (vm->store.journal.fd < 0)
		return;
	vm_files_forget(vm);
	TAILQ_INSERT_TAIL(&daemon->with_files, vm, of_files);
	daemon->n_with_files++;
	vm->has_files = true;
	while (daemon->n_with_files > daemon->config.open_logs_max && (oldest = TAILQ_FIRST(&daemon->with_files)) != vm) {
		/* It waits for the disk: soon it can be closed without that. */
		if (oldest->is_unsettled || oldest->store.settling)
			return;
		vm_files_forget(oldest);
		store_rest(&oldest->store);
	}
}
