/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdlib.h>

#include "daemon.h"

#define SWEEP_MS 10000

/* --- the table -------------------------------------------------------------------------------------------------- */

struct vm *vms_at(const struct vms *vms, size_t i)
{
	return vms->names.all[i];
}

struct vm *vms_find(const struct daemon *daemon, const char *name)
{
	return names_find(&daemon->vms.names, name);
}

static int by_cid(const void *a, const void *b)
{
	uint32_t x = (*(struct vm *const *)a)->cid, y = (*(struct vm *const *)b)->cid;

	return (x > y) - (x < y);
}

static bool cids_sort(struct vms *vms)
{
	struct vm **sorted = realloc(vms->by_cid, (vms->names.n + 1) * sizeof *sorted);

	if (!sorted)
		return false;
	vms->by_cid = sorted;
	vms->n_cid = 0;
	for (size_t i = 0; i < vms->names.n; i++)
		if (vms_at(vms, i)->cid)
			sorted[vms->n_cid++] = vms_at(vms, i);
	qsort(sorted, vms->n_cid, sizeof *sorted, by_cid);
	vms->cids_stale = false;
	return true;
}

struct vm *vms_find_cid(struct daemon *daemon, uint32_t cid)
{
	struct vms *vms = &daemon->vms;
	struct vm key, *key_pointer = &key, **found;

	if (vms->cids_stale && !cids_sort(vms))
		return NULL;
	if (!vms->n_cid)
		return NULL;
	key.cid = cid;
	found = bsearch(&key_pointer, vms->by_cid, vms->n_cid, sizeof *found, by_cid);
	return found ? *found : NULL;
}

bool vms_insert(struct vms *vms, struct vm *vm)
{
	return names_insert(&vms->names, vm);
}

void vms_remove(struct vms *vms, struct vm *vm)
{
	names_remove(&vms->names, vm);
	vms->cids_stale = true;
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

void vms_reopen(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->vms.names.n; i++) {
		vm_settle(vms_at(&daemon->vms, i), true);
		store_rest(&vms_at(&daemon->vms, i)->store);
	}
}

void vms_sweep(struct timer *timer)
{
	struct daemon *daemon = (struct daemon *)((char *)timer - offsetof(struct daemon, sweep));

	for (size_t i = 0; i < daemon->vms.names.n; i++) {
		struct vm *vm = vms_at(&daemon->vms, i);

		if (vm->batches == vm->store.batches && !vm->is_unsettled && !vm->store.error)
			store_rest(&vm->store);
		vm->batches = vm->store.batches;
	}
	timer_set(&daemon->loop, timer, SWEEP_MS * LOOP_MS);
}

void vms_finish(struct daemon *daemon)
{
	struct vms *vms = &daemon->vms;

	while (vms->names.n) {
		struct vm *last = vms_at(vms, vms->names.n - 1);

		vm_destroy(last, last->attach);
	}
	names_finish(&vms->names);
	free(vms->by_cid);
	*vms = (struct vms){ 0 };
}
