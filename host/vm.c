/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "control.h"
#include "daemon.h"
#include "local.h"
#include "logs.h"
#include "readers.h"

static void problem_note(struct vm *vm, const char *text)
{
	if (text && (!vm->problem || strcmp(vm->problem, text)))
		log_error("%s: %s", vm->name, text);
	free(vm->problem);
	vm->problem = text ? strdup(text) : NULL;
}

/* --- addresses -------------------------------------------------------------------------------------------------- */

static const struct vm *cid_holder(const struct daemon *daemon, uint32_t cid)
{
	for (size_t i = 0; i < daemon->vms.names.n; i++)
		if (vms_at(&daemon->vms, i)->cid == cid)
			return vms_at(&daemon->vms, i);
	return NULL;
}

static void cid_set(struct vm *vm, uint32_t cid)
{
	vm->daemon->vms.cids_stale |= cid != vm->cid;
	vm->cid = cid;
}

/* Two machines with one CID: which of them a guest is could not be told, so the second does not get it. */
static void cid_take(struct vm *vm)
{
	const struct vm *other = vm->cid_wanted && vm->cid != vm->cid_wanted ? cid_holder(vm->daemon, vm->cid_wanted) : NULL;
	struct problem problem;

	cid_set(vm, other ? 0 : vm->cid_wanted);
	if (other)
		problem_set(&problem, vm->dir, 0, 0, "has CID %u, as %s has; give it another one", vm->cid_wanted,
			other->name);
	else if (vm->cid && !vm->base && !vm->daemon->config.vsock)
		problem_set(&problem, vm->dir, 0, 0, "has a CID, but \"vsock\" is not true in the settings of hawserd");
	else
		return;
	problem_note(vm, problem.text);
}

static void cid_give(struct vm *vm)
{
	const struct vms *vms = &vm->daemon->vms;
	uint32_t cid = vm->cid;

	cid_set(vm, 0);
	vm->cid_wanted = 0;
	for (size_t i = 0; cid && i < vms->names.n; i++) {
		struct vm *other = vms_at(vms, i);

		if (other->cid_wanted == cid && !other->cid) {
			problem_note(other, NULL);
			cid_take(other);
		}
	}
}

/* --- what its reader says --------------------------------------------------------------------------------------- */

static void base_set(struct vm *vm, const char *base, int fds[static SPLIT_LISTENERS])
{
	if (vm->base && !strcmp(vm->base, base))
		return;                  /* what came is the same once more */
	listener_close(vm->listeners);
	free(vm->base);
	vm->base = NULL;
	if (!*base || fds[0] < 0 || fds[1] < 0)
		return;
	vm->base = strdup(base);
	if (listener_adopt(vm->listeners, vm->daemon, vm, fds)) {
		log_error("%s: its sockets cannot be served: no memory", vm->name);
		free(vm->base);
		vm->base = NULL;
	}
	fds[0] = fds[1] = -1;
}

static void vm_unserve(struct vm *vm)
{
	if (!vm->served)
		return;
	vm->served = vm->valid = false;
	boot_cut_all(vm);
	logs_cut_all(vm);
	control_cut_all(vm);
	vm_grace_end(vm);
	listener_close(vm->listeners);
	free(vm->base);
	vm->base = NULL;
	cid_give(vm);
	log_debug("%s: not served any more", vm->name);
}

void vm_update(struct vm *vm, const struct split_machine *machine, int fds[static SPLIT_LISTENERS])
{
	if (!machine->served) {
		vm_unserve(vm);
		problem_note(vm, NULL);
		return;
	}
	vm->valid = machine->valid;
	vm->once = machine->once;
	vm->verbs = machine->verbs;
	problem_note(vm, *machine->problem ? machine->problem : NULL);
	if (!vm->served) {
		vm->served = true;
		vm_log_open(vm);
		vm_grace_begin(vm);
	}
	if (vm->cid && vm->cid != machine->cid)
		cid_give(vm);
	base_set(vm, machine->base, fds);
	vm->cid_wanted = machine->cid;
	cid_take(vm);
}

/* --- beginning and end ------------------------------------------------------------------------------------------ */

void vm_attach_free(struct vm_attach *attach)
{
	if (!attach)
		return;
	if (attach->args >= 0)
		close(attach->args);
	free(attach->dir);
	free(attach->socket);
	free(attach);
}

struct vm *vm_create(struct daemon *daemon, struct reader_link *reader, const char *name, struct vm_attach *attach)
{
	struct vm *vm = calloc(1, sizeof *vm);

	if (!vm)
		return NULL;
	*vm = (struct vm){ .daemon = daemon, .reader = reader, .attach = attach };
	snprintf(vm->name, sizeof vm->name, "%s", name);
	for (int s = 0; s < LISTEN_SERVICES; s++)
		vm->listeners[s].fd = -1;
	LIST_INIT(&vm->boots);
	LIST_INIT(&vm->logses);
	LIST_INIT(&vm->followers);
	vm_log_init(vm);
	vm_epoch_init(vm);
	if (attach)
		vm->dir = strdup(attach->dir);
	else if (asprintf(&vm->dir, "%s/%s", daemon->config.vms, name) < 0)
		vm->dir = NULL;
	if (vm->dir && vms_insert(&daemon->vms, vm))
		return vm;
	free(vm->dir);
	free(vm);
	return NULL;
}

void vm_destroy(struct vm *vm, bool forget)
{
	struct daemon *daemon = vm->daemon;

	if (forget)
		vm_epoch_finish(vm);
	vm_unserve(vm);
	local_vm_gone(vm);
	timer_stop(&daemon->loop, &vm->grace);
	vm_log_finish(vm, forget);
	vms_remove(&daemon->vms, vm);
	if (vm->attach)
		readers_detach(vm->reader);
	vm_attach_free(vm->attach);
	free(vm->base);
	free(vm->dir);
	free(vm->problem);
	free(vm);
}
