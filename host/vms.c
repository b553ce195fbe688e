/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "daemon.h"
#include "source.h"

#define SWEEP_MS 10000

/* --- the table -------------------------------------------------------------------------------------------------- */

/* Where the name is, or would be. */
static size_t place_of(const struct vms *vms, const char *name, bool *found)
{
	size_t low = 0, high = vms->n;

	*found = false;
	while (low < high && !*found) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, vms->all[middle]->name);

		if (order > 0)
			low = middle + 1;
		else
			high = middle;
		*found = !order;
	}
	return high;
}

struct vm *vms_find(const struct daemon *daemon, const char *name)
{
	bool found;
	size_t place = place_of(&daemon->vms, name, &found);

	return found ? daemon->vms.all[place] : NULL;
}

static int by_cid(const void *a, const void *b)
{
	uint32_t x = (*(struct vm *const *)a)->cid, y = (*(struct vm *const *)b)->cid;

	return (x > y) - (x < y);
}

static bool cids_sort(struct vms *vms)
{
	struct vm **sorted = realloc(vms->by_cid, (vms->n + 1) * sizeof *sorted);

	if (!sorted)
		return false;
	vms->by_cid = sorted;
	vms->n_cid = 0;
	for (size_t i = 0; i < vms->n; i++)
		if (vms->all[i]->cid)
			sorted[vms->n_cid++] = vms->all[i];
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
	bool found;
	size_t place = place_of(vms, vm->name, &found);

	if (vms->n == vms->size) {
		size_t size = vms->size ? vms->size * 2 : 16;
		struct vm **all = realloc(vms->all, size * sizeof *all);

		if (!all)
			return false;
		vms->all = all;
		vms->size = size;
	}
	memmove(vms->all + place + 1, vms->all + place, (vms->n - place) * sizeof *vms->all);
	vms->all[place] = vm;
	vms->n++;
	return true;
}

void vms_remove(struct vms *vms, struct vm *vm)
{
	bool found;
	size_t place = place_of(vms, vm->name, &found);

	if (!found || vms->all[place] != vm)
		return;
	memmove(vms->all + place, vms->all + place + 1, (--vms->n - place) * sizeof *vms->all);
	vms->cids_stale = true;
	if (vm->watch >= 0)
		inotify_rm_watch(vms->inotify, vm->watch);
}

/* --- the directory ---------------------------------------------------------------------------------------------- */

#define WATCH_VMS (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR)
#define WATCH_VM (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR | IN_DONT_FOLLOW)

static void vms_look(struct daemon *daemon, const char *name)
{
	struct vm *vm = vms_find(daemon, name);
	struct stat st;

	if (fstatat(daemon->vms_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode)) {
		if (vm && !vm->attach)
			vm_destroy(vm, false);
		return;
	}
	if (!vmconfig_name_ok(name)) {
		log_warn("%s/%s: not served: the name of a machine is 1 to %d letters, digits, \".\", \"_\" or \"-\"",
			daemon->config.vms, name, VMCONFIG_NAME_MAX);
		return;
	}
	if (vm && vm->attach)
		return;
	if (!vm && !(vm = vm_create(daemon, name, NULL)))
		return;
	vm->seen = true;
	/* The same watch again when there is one. */
	vm->watch = inotify_add_watch(daemon->vms.inotify, vm->dir, WATCH_VM);
	vm_refresh(vm);
}

void vms_scan(struct daemon *daemon)
{
	struct vms *vms = &daemon->vms;
	int fd = daemon->vms_fd < 0 ? -1 : openat(daemon->vms_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t i = 0; i < vms->n; i++)
		vms->all[i]->seen = false;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			vms_look(daemon, entry->d_name);
	closedir(dir);
	for (size_t i = vms->n; i-- > 0;)
		if (!vms->all[i]->seen && !vms->all[i]->attach)
			vm_destroy(vms->all[i], false);
}

void vms_reopen(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->vms.n; i++) {
		vm_settle(daemon->vms.all[i], true);
		store_rest(&daemon->vms.all[i]->store);
	}
}

static struct vm *watched_vm(const struct daemon *daemon, int watch)
{
	for (size_t i = 0; i < daemon->vms.n; i++)
		if (daemon->vms.all[i]->watch == watch)
			return daemon->vms.all[i];
	return NULL;
}

static void take_event(struct daemon *daemon, const struct inotify_event *event)
{
	struct vm *vm;

	if (event->mask & IN_Q_OVERFLOW) {
		vms_scan(daemon);
	} else if ((vm = watched_vm(daemon, event->wd))) {
		if (event->mask & IN_IGNORED)
			vm->watch = -1;
		else if (event->len && !strcmp(event->name, "vm.json"))
			vm_refresh(vm);
	} else if (event->len && event->name[0] != '.') {
		vms_look(daemon, event->name);
	}
}

void vms_inotify(struct daemon *daemon)
{
	union {
		struct inotify_event event;
		char bytes[16 << 10];
	} buf;
	ssize_t n;

	while ((n = read(daemon->vms.inotify, &buf, sizeof buf)) > 0) {
		for (char *p = buf.bytes; p < buf.bytes + n;) {
			const struct inotify_event *event = (const void *)p;

			p += sizeof *event + event->len;
			take_event(daemon, event);
		}
	}
}

static bool vm_check(int vms_fd, const char *vms, const char *name)
{
	char dir[PATH_MAX];
	struct problem problem;
	struct vmconfig *config = NULL;
	struct source *source = NULL;
	int fd = openat(vms_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	snprintf(dir, sizeof dir, "%s/%s", vms, name);
	if (fd < 0 || (faccessat(fd, "vm.json", F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)) {
		if (fd >= 0)
			close(fd);
		return true;             /* no machine */
	}
	if (!vmconfig_name_ok(name))
		problem_set(&problem, dir, 0, 0, "its name must be 1 to %d letters, digits, \".\", \"_\" or \"-\"",
			VMCONFIG_NAME_MAX);
	else if ((config = vmconfig_load(fd, dir, &problem)))
		source = source_create(config, fd, dir, true, &problem);
	close(fd);
	if (!source)
		log_error("%s", problem.text);
	source_destroy(source);
	vmconfig_destroy(config);
	return source;
}

unsigned vms_check(const struct daemonconfig *config)
{
	int fd = open(config->vms, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	unsigned wrong = 0;

	if (!dir) {
		log_error_errno("%s", config->vms);
		return 1;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !vm_check(fd, config->vms, entry->d_name))
			wrong++;
	closedir(dir);
	return wrong;
}

void vms_sweep(struct timer *timer)
{
	struct daemon *daemon = (struct daemon *)((char *)timer - offsetof(struct daemon, sweep));

	for (size_t i = 0; i < daemon->vms.n; i++) {
		struct vm *vm = daemon->vms.all[i];

		if (vm->batches == vm->store.batches && !vm->is_unsettled && !vm->store.error)
			store_rest(&vm->store);
		vm->batches = vm->store.batches;
	}
	timer_set(&daemon->loop, timer, SWEEP_MS * LOOP_MS);
}

int vms_init(struct daemon *daemon)
{
	struct vms *vms = &daemon->vms;

	vms->slot = 0;
	vms->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (vms->inotify < 0)
		return -errno;
	daemon->vms_fd = open(daemon->config.vms, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (daemon->vms_fd < 0) {
		log_warn_errno("%s: only machines that tools attach are served", daemon->config.vms);
		return 0;
	}
	vms->slot = loop_add(&daemon->loop, vms->inotify, EPOLLIN, LOOP_INOTIFY, daemon);
	if (vms->slot < 0)
		return vms->slot;
	if (inotify_add_watch(vms->inotify, daemon->config.vms, WATCH_VMS) < 0)
		log_warn_errno("%s: not watched; new machines are seen on SIGHUP", daemon->config.vms);
	return 0;
}

void vms_finish(struct daemon *daemon)
{
	struct vms *vms = &daemon->vms;

	while (vms->n)
		vm_destroy(vms->all[vms->n - 1], vms->all[vms->n - 1]->attach);
	free(vms->all);
	free(vms->by_cid);
	loop_remove(&daemon->loop, vms->slot);
	if (vms->inotify >= 0)
		close(vms->inotify);
	if (daemon->vms_fd >= 0)
		close(daemon->vms_fd);
	*vms = (struct vms){ .inotify = -1 };
}
