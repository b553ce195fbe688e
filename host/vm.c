/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "local.h"
#include "logs.h"
#include "source.h"

#define RETRY_MS 500             /* a log that cannot be written is tried again */
#define COMMIT_MS 10             /* how long a batch waits for company in the group commit */
#define IDLE_MS 500              /* a line without its end is shown to followers after one to two of these */
#define AUDITS_A_SECOND 8
#define SWEEP_MS 10000

#define OWNER(timer_pointer, member) ((struct vm *)((char *)(timer_pointer) - offsetof(struct vm, member)))

/* --- the log ----------------------------------------------------------------------------------------------------- */

static void vm_rest(struct vm *vm)
{
	if (!vm->logs && !vm->boot && !vm->is_unsettled)
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

static void unsettled_add(struct vm *vm)
{
	struct daemon *daemon = vm->daemon;

	if (vm->is_unsettled)
		return;
	vm->is_unsettled = true;
	vm->next_unsettled = daemon->unsettled;
	daemon->unsettled = vm;
	if (!daemon->commit.place)
		timer_set(&daemon->loop, &daemon->commit, COMMIT_MS * LOOP_MS);
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

static bool settle_now(struct vm *vm)
{
	unsettled_remove(vm);
	if (store_settle(&vm->store)) {
		vm_failed(vm);
		return false;
	}
	logs_settled(vm->logs);
	vm_rest(vm);
	return true;
}

void vm_commit_group(struct timer *timer)
{
	struct daemon *daemon = (struct daemon *)((char *)timer - offsetof(struct daemon, commit));

	while (daemon->unsettled)
		settle_now(daemon->unsettled);
}

bool vm_settle(struct vm *vm, bool now)
{
	if (vm->store.error && vm->retry.place)
		return false;
	if (store_write(&vm->store)) {
		vm_failed(vm);
		return false;
	}
	if (vm->store.watched && !vm->idle.place && store_has_open_lines(&vm->store))
		timer_set(&vm->daemon->loop, &vm->idle, IDLE_MS * LOOP_MS);
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

void vm_audit(struct vm *vm, const char *event, const char *format, ...)
{
	char text[900];
	va_list ap;

	if (!audit_allowed(vm))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	log_info("%s: %s: %s", vm->name, event, text);
	store_note(&vm->store, event, "%s", text);
	vm_settle(vm, false);
}

/* --- the epoch --------------------------------------------------------------------------------------------------- */

static int once_open(const struct vm *vm, int flags)
{
	return openat(vm->daemon->once_fd, vm->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

bool vm_secrets_spent(const struct vm *vm)
{
	return vm->config->credential_once && !vm->attach && !faccessat(vm->daemon->once_fd, vm->name, F_OK, 0);
}

static void secrets_spend(struct vm *vm)
{
	int fd;

	if (!vm->config || !vm->config->credential_once || vm->attach)
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
	struct vm *vm = OWNER(timer, grace);
	uint8_t state = vm->store.epoch.state;

	/* Its guest could not come back: we refuse it as long as its log cannot be written. */
	if (vm->store.error) {
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

/* --- vm.json ----------------------------------------------------------------------------------------------------- */

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
	if (base && listener_open_unix(vm->listeners, vm, base, vm->attach || !vm->config || !vm->config->socket, &problem)) {
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
	if (store_load(&vm->store)) {
		log_error("%s: its log cannot be written: %s", vm->name, strerror(-vm->store.error));
		timer_set(&vm->daemon->loop, &vm->retry, RETRY_MS * LOOP_MS);
	}
	vm_grace_begin(vm);
	vm_rest(vm);
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

/* --- the table --------------------------------------------------------------------------------------------------- */

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

static bool table_insert(struct vms *vms, struct vm *vm)
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

static void table_remove(struct vms *vms, struct vm *vm)
{
	bool found;
	size_t place = place_of(vms, vm->name, &found);

	if (!found || vms->all[place] != vm)
		return;
	memmove(vms->all + place, vms->all + place + 1, (--vms->n - place) * sizeof *vms->all);
	vms->cids_stale = true;
}

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

static struct vm *vm_create(struct daemon *daemon, const char *name, struct vm_attach *attach)
{
	struct vm *vm = calloc(1, sizeof *vm);

	if (!vm)
		return NULL;
	*vm = (struct vm){ .daemon = daemon, .attach = attach, .watch = -1, .grace.fire = vm_grace_over,
		.retry.fire = vm_retry, .idle.fire = vm_idle };
	snprintf(vm->name, sizeof vm->name, "%s", name);
	for (int s = 0; s < LISTEN_SERVICES; s++)
		vm->listeners[s].fd = -1;
	LIST_INIT(&vm->boots);
	LIST_INIT(&vm->logses);
	LIST_INIT(&vm->followers);
	store_init(&vm->store, &daemon->home, vm->name, attach && attach->ephemeral);
	if (attach)
		vm->dir = strdup(attach->dir);
	else if (asprintf(&vm->dir, "%s/%s", daemon->config.vms, name) < 0)
		vm->dir = NULL;
	if (vm->dir && table_insert(&daemon->vms, vm))
		return vm;
	free(vm->dir);
	free(vm);
	return NULL;
}

void vm_destroy(struct vm *vm, bool forget)
{
	struct daemon *daemon = vm->daemon;

	if (forget && vm->served && !vm->store.error && vm->store.epoch.state == EPOCH_LIVE) {
		note_unclean(vm);
		vm_settle(vm, true);
	}
	vm_unserve(vm);
	local_vm_gone(vm);
	if (vm->watch >= 0)
		inotify_rm_watch(daemon->vms.inotify, vm->watch);
	unsettled_remove(vm);
	timer_stop(&daemon->loop, &vm->grace);
	timer_stop(&daemon->loop, &vm->retry);
	timer_stop(&daemon->loop, &vm->idle);
	store_write(&vm->store);
	store_settle(&vm->store);
	if (forget)
		store_forget(&vm->store);
	store_finish(&vm->store);
	table_remove(&daemon->vms, vm);
	vmconfig_destroy(vm->config);
	vm_attach_free(vm->attach);
	free(vm->base);
	free(vm->dir);
	free(vm->problem);
	free(vm);
}

struct vm *vm_create_attached(struct daemon *daemon, const char *name, struct vm_attach *attach, struct problem *problem)
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

/* --- the directory of all machines ------------------------------------------------------------------------------- */

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
