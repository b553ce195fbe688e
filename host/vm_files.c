/* SPDX-License-Identifier: MIT */
/*
 * vm_files: which machines' log files are open. Ten thousand machines that boot at once would take twenty thousand
 * descriptors for them, and guests would find none left; so the files that were not used for the longest time are
 * closed until they are needed again.
 */
#include <stddef.h>
#include <sys/resource.h>

#include "daemon.h"

#define SHARE 16         /* of the descriptors, machines whose files are open: each has up to three */
#define OPEN_MIN 16
#define FREE 32          /* descriptors that are kept for files, where there are more than twice as many */

void vm_files_init(struct daemon *daemon)
{
	struct rlimit files = { 0 };
	rlim_t most;

	TAILQ_INIT(&daemon->with_files);
	getrlimit(RLIMIT_NOFILE, &files);
	daemon->crowded_fd = files.rlim_cur > INT32_MAX ? INT32_MAX : (uint32_t)files.rlim_cur;
	daemon->crowded_fd -= daemon->crowded_fd > 2 * FREE ? FREE : 0;
	if (daemon->config.open_logs_max)
		return;
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

bool vm_files_close_oldest(struct daemon *daemon)
{
	struct vm *vm;
	bool closed = false;

	while (!closed && (vm = TAILQ_FIRST(&daemon->with_files))) {
		/* It waits for the disk: soon it can be closed without that. */
		if (vm->is_unsettled || vm->store.settling)
			return false;
		vm_files_forget(vm);
		closed = vm->store.journal.fd >= 0;      /* else it was closed long ago */
		store_rest(&vm->store);
	}
	return closed;
}

bool vm_files_make_room(struct store *store)
{
	struct vm *vm = (struct vm *)((char *)store - offsetof(struct vm, store));

	return vm_files_close_oldest(vm->daemon);
}

void vm_files_used(struct vm *vm)
{
	struct daemon *daemon = vm->daemon;

	if (vm->store.journal.fd < 0)
		return;
	vm_files_forget(vm);
	if (daemon->n_with_files >= daemon->config.open_logs_max)
		vm_files_close_oldest(daemon);
	TAILQ_INSERT_TAIL(&daemon->with_files, vm, of_files);
	daemon->n_with_files++;
	vm->has_files = true;
}
