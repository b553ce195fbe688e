/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "local.h"
#include "logs.h"

/* --- vm.json ---------------------------------------------------------------------------------------------------- */

static void problem_note(struct vm *vm, const char *text)
{
	if (text && (!vm->problem || strcmp(vm->problem, text)))
		log_error("%s: %s", vm->name, text);
	free(vm->problem);
	vm->problem = text ? strdup(text) : NULL;
}

int vm_dir_open(const struct vm *vm)
{
	/* What a tool named may be a symbolic link, what lies in the directory of all machines may not. */
	int fd = vm->attach ? open(vm->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
		: openat(vm->daemon->vms_fd, vm->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static struct vm_stamp stamp_of(const struct stat *st)
{
	return (struct vm_stamp){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool stamp_same(const struct vm_stamp *a, const struct vm_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
		a->mtime.tv_nsec == b->mtime.tv_nsec && a->ctime.tv_sec == b->ctime.tv_sec &&
		a->ctime.tv_nsec == b->ctime.tv_nsec;
}

bool vm_dir_current(const struct vm *vm, int dirfd)
{
	struct stat named, json, opened;
	struct vm_stamp stamp;
	int fd = vm_dir_open(vm);
	bool known = fd >= 0 && !fstat(fd, &named) && !fstat(dirfd, &opened) &&
		!fstatat(dirfd, "vm.json", &json, AT_SYMLINK_NOFOLLOW);

	if (fd >= 0)
		close(fd);
	if (!known)
		return false;
	stamp = stamp_of(&json);
	return named.st_dev == opened.st_dev && named.st_ino == opened.st_ino && stamp_same(&stamp, &vm->stamp);
}

/* Where its Unix sockets are, or NULL; allocated. */
static char *base_path(const struct vm *vm)
{
	const char *socket = vm->attach && vm->attach->socket ? vm->attach->socket : vm->config ? vm->config->socket : NULL;
	char *path;
	int n;

	if (!socket && vm->cid)
		return NULL;
	if (!socket)
		n = asprintf(&path, "%s/%s.vsock", vm->daemon->config.runtime, vm->name);
	else if (*socket == '/')
		n = asprintf(&path, "%s", socket);
	else
		n = asprintf(&path, "%s/%s", vm->dir, socket);
	return n < 0 ? NULL : path;
}

static const struct vm *cid_holder(const struct daemon *daemon, const struct vm *except, uint32_t cid)
{
	for (size_t i = 0; i < daemon->vms.n; i++)
		if (daemon->vms.all[i]->cid == cid && daemon->vms.all[i] != except)
			return daemon->vms.all[i];
	return NULL;
}

/* Listens where vm.json says now. */
static void listen_anew(struct vm *vm)
{
	struct daemon *daemon = vm->daemon;
	uint32_t cid = vm->attach && (vm->attach->cid || vm->attach->socket) ? vm->attach->cid
		: vm->config ? vm->config->cid : 0;
	const struct vm *other;
	struct problem problem;
	bool follow;
	char *base;

	/* Two machines with one CID: which of them a guest is could not be told, so the second is not served. */
	other = cid ? cid_holder(daemon, vm, cid) : NULL;
	if (other) {
		problem_set(&problem, vm->dir, 0, 0, "has CID %u, as %s has; give it another one", cid, other->name);
		problem_note(vm, problem.text);
		cid = 0;
	}
	if (cid != vm->cid) {
		vm->cid = cid;
		daemon->vms.cids_stale = true;
	}
	base = other ? NULL : base_path(vm);
	if (cid && !daemon->config.vsock) {
		problem_set(&problem, vm->dir, 0, 0, "has a CID, but \"vsock\" is not true in the settings of hawserd");
		problem_note(vm, problem.text);
	}
	if (base && vm->base && !strcmp(base, vm->base)) {
		free(base);
		return;
	}
	listener_close(vm->listeners);
	free(vm->base);
	vm->base = base;
	/* Only what the administrator of hawserd or its owner named may lead through symbolic links. */
	follow = vm->attach || !vm->config || !vm->config->socket;
	if (base && listener_open_unix(vm->listeners, vm, base, follow, &problem)) {
		problem_note(vm, problem.text);
		free(vm->base);
		vm->base = NULL;         /* tried again at the next look */
	}
}

static bool config_read(struct vm *vm, int dirfd, struct problem *problem)
{
	struct vmconfig *config = vmconfig_load(dirfd, vm->dir, problem);

	if (!config)
		return false;
	if (vm->attach && vm->attach->n_args && !vmconfig_set_args(config, vm->attach->n_args, vm->attach->args)) {
		vmconfig_destroy(config);
		problem_set(problem, vm->dir, 0, 0, "%s", strerror(ENOMEM));
		return false;
	}
	/* Somebody watches this run, and nothing else keeps its log: writers rather wait than lose lines. */
	if (vm->attach && vm->attach->ephemeral && !config->log_full_given)
		config->log_full = WIRE_FULL_BLOCK;
	vmconfig_destroy(vm->config);
	vm->config = config;
	return true;
}

static void vm_unserve(struct vm *vm)
{
	if (!vm->served)
		return;
	vm->served = false;
	boot_cut_all(vm);
	logs_cut_all(vm);
	vm_grace_end(vm);
	listener_close(vm->listeners);
	free(vm->base);
	vm->base = NULL;
	vm->cid = 0;
	vm->daemon->vms.cids_stale = true;
	vmconfig_destroy(vm->config);
	vm->config = NULL;
	vm->stamp = (struct vm_stamp){ 0 };
	log_debug("%s: not served any more", vm->name);
}

static void vm_serve(struct vm *vm)
{
	vm->served = true;
	vm_log_open(vm);
	vm_grace_begin(vm);
}

void vm_refresh(struct vm *vm)
{
	int dirfd = vm_dir_open(vm);
	struct vm_stamp stamp;
	struct problem problem;
	struct stat st;

	if (dirfd < 0 || fstatat(dirfd, "vm.json", &st, AT_SYMLINK_NOFOLLOW)) {
		if (dirfd >= 0)
			close(dirfd);
		if (!vm->attach)
			vm_unserve(vm);
		return;
	}
	stamp = stamp_of(&st);
	if (!vm->served || !stamp_same(&stamp, &vm->stamp)) {
		vm->stamp = stamp;
		problem_note(vm, config_read(vm, dirfd, &problem) ? NULL : problem.text);
		if (!vm->served)
			vm_serve(vm);
		listen_anew(vm);
	} else if (!vm->base && !vm->cid) {
		listen_anew(vm);
	}
	close(dirfd);
}

/* --- beginning and end ------------------------------------------------------------------------------------------ */

void vm_attach_free(struct vm_attach *attach)
{
	if (!attach)
		return;
	for (size_t i = 0; i < attach->n_args; i++)
		free(attach->args[i]);
	free(attach->args);
	free(attach->dir);
	free(attach->socket);
	free(attach);
}

struct vm *vm_create(struct daemon *daemon, const char *name, struct vm_attach *attach)
{
	struct vm *vm = calloc(1, sizeof *vm);

	if (!vm)
		return NULL;
	*vm = (struct vm){ .daemon = daemon, .attach = attach, .watch = -1 };
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
	vmconfig_destroy(vm->config);
	vm_attach_free(vm->attach);
	free(vm->base);
	free(vm->dir);
	free(vm->problem);
	free(vm);
}

struct vm *vm_create_attached(struct daemon *daemon, const char *name, struct vm_attach *attach,
	struct problem *problem)
{
	struct vm *vm = NULL;

	if (!vmconfig_name_ok(name))
		problem_set(problem, attach->dir, 0, 0, "its name must be 1 to %d letters, digits, \".\", \"_\" or \"-\"",
			VMCONFIG_NAME_MAX);
	else if (vms_find(daemon, name))
		problem_set(problem, attach->dir, 0, 0, "a machine named %s is served already", name);
	else if (!(vm = vm_create(daemon, name, attach)))
		problem_set(problem, attach->dir, 0, 0, "%s", strerror(ENOMEM));
	if (!vm) {
		vm_attach_free(attach);
		return NULL;
	}
	vm_refresh(vm);
	if (vm->config && (vm->base || (vm->cid && daemon->config.vsock)) && !vm->store.error)
		return vm;
	if (vm->problem)
		snprintf(problem->text, sizeof problem->text, "%s", vm->problem);
	else if (vm->store.error)
		problem_set(problem, vm->dir, 0, 0, "its log cannot be written: %s", strerror(-vm->store.error));
	else
		problem_set(problem, vm->dir, 0, 0, "has no vm.json");
	vm_destroy(vm, true);
	return NULL;
}
