/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "boot.h"
#include "channel.h"
#include "daemon.h"
#include "local.h"
#include "readers.h"

/* --- what a reader says ----------------------------------------------------------------------------------------- */

static void take_self(struct reader_link *link, const struct split_reader *self)
{
	if (!link->self.pid && !self->landlock)
		log_info("this kernel has no Landlock: readers may open every file that their user may");
	if (!link->self.pid && !self->seccomp)
		log_info("this kernel has no seccomp: every system call is open to readers");
	if (!link->self.pid && !self->locked)
		log_warn("no memory can be locked (RLIMIT_MEMLOCK): secrets may be swapped out");
	link->self = *self;
}

static void take_machine(struct reader_link *link, const struct split_machine *machine, int fds[static CHANNEL_FDS])
{
	struct vm *vm = link->vm ? link->vm : vms_find(link->daemon, machine->name);

	if (vm && vm->reader != link)
		return;                  /* a tool has attached one of the same name: it comes first */
	if (!vm)
		vm = vm_create(link->daemon, link, machine->name, NULL);
	if (!vm)
		return;
	vm->seen = true;
	vm_update(vm, machine, fds);
}

static void take_gone(struct reader_link *link, const char *name)
{
	struct vm *vm = vms_find(link->daemon, name);

	if (vm && vm->reader == link && !vm->attach)
		vm_destroy(vm, false);
}

/* What was there before the reader was started again, and is not now. */
static void sweep(struct reader_link *link)
{
	struct vms *vms = &link->daemon->vms;

	for (size_t i = vms->names.n; i-- > 0;) {
		struct vm *vm = vms_at(vms, i);

		if (vm->reader == link && !vm->attach && !vm->seen)
			vm_destroy(vm, false);
	}
}

static void take_scanned(struct reader_link *link)
{
	bool first = !link->scanned;

	link->scanned = true;
	if (link->vm && first) {
		local_attached(link->vm);        /* the link may be gone then */
	} else if (!link->vm) {
		sweep(link);
		if (first)
			daemon_up(link->daemon);
		else
			service_ready(&link->daemon->service, link->daemon->vms.names.n);
	}
}

/* False: what came makes no sense. */
static bool take(struct reader_link *link, const union split *message, int fds[static CHANNEL_FDS])
{
	struct boot *boot = NULL;

	switch (message->type) {
	case SPLIT_READER:
		take_self(link, &message->reader);
		return true;
	case SPLIT_MACHINE:
		take_machine(link, &message->machine, fds);
		return true;
	case SPLIT_GONE:
		take_gone(link, message->name.name);
		return true;
	case SPLIT_SCANNED:
		take_scanned(link);
		return true;
	case SPLIT_READY:
	case SPLIT_COMMITTING:
	case SPLIT_REFUSED:
	case SPLIT_CUT:
		/* One that ended meanwhile is nothing to do. */
		boot = loop_owner(&link->daemon->loop, message->session.session, LOOP_BOOT);
		if (boot)
			boot_told(boot, link, &message->session);
		return true;
	default:
		return false;
	}
}

/* --- links ------------------------------------------------------------------------------------------------------ */

static void link_down(struct reader_link *link)
{
	struct vms *vms = &link->daemon->vms;

	loop_remove(&link->daemon->loop, link->slot);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->slot = 0;
	for (size_t i = 0; i < vms->names.n; i++)
		if (vms_at(vms, i)->reader == link)
			boot_cut_read(vms_at(vms, i));
}

void readers_event(struct reader_link *link)
{
	struct daemon *daemon = link->daemon;
	uint64_t ref = loop_ref(&daemon->loop, link->slot);
	union split message;
	int fds[CHANNEL_FDS], r;

	/* A machine's end can be the link's. */
	while (loop_owner(&daemon->loop, ref, LOOP_CHANNEL)) {
		r = split_receive(link->fd, &message, fds, false);
		if (r == -EAGAIN)
			return;
		if (r <= 0 || !take(link, &message, fds)) {
			log_warn("the reader of directories (pid %d) is gone; boots that it was at are cut", link->self.pid);
			link_down(link);
		}
		channel_drop(fds);
	}
}

/* Tells the reader of a machine what the tool has said. */
static bool machine_send(const struct reader_link *link)
{
	const struct vm_attach *attach = link->vm->attach;
	struct split_machine_of of = { .type = SPLIT_MACHINE_OF, .cid = attach->cid, .ephemeral = attach->ephemeral,
		.feed = attach->feed, .terminal = attach->terminal };

	snprintf(of.name, sizeof of.name, "%s", link->vm->name);
	snprintf(of.socket, sizeof of.socket, "%s", attach->socket ? attach->socket : "");
	snprintf(of.dir, sizeof of.dir, "%s", attach->dir);
	return !split_send(link->fd, &of, &attach->args, attach->args >= 0, false);
}

static void link_up(struct daemon *daemon, uint32_t number, int fd)
{
	struct reader_link *link;

	LIST_FOREACH(link, &daemon->readers, of_daemon)
		if (link->number == number)
			break;
	if (!link) {
		close(fd);       /* not needed any more: it ends */
		return;
	}
	if (link->fd >= 0)
		link_down(link);
	for (size_t i = 0; i < daemon->vms.names.n; i++)
		if (vms_at(&daemon->vms, i)->reader == link)
			vms_at(&daemon->vms, i)->seen = false;
	link->fd = fd;
	link->slot = loop_add(&daemon->loop, fd, EPOLLIN, LOOP_CHANNEL, link);
	if (link->slot < 0 || (link->vm && !machine_send(link)))
		link_down(link);
}

void readers_monitor_event(struct daemon *daemon)
{
	union split message;
	int fds[CHANNEL_FDS], r;

	while ((r = split_receive(daemon->monitor, &message, fds, false)) > 0) {
		if (message.type == SPLIT_CHANNEL && fds[0] >= 0) {
			link_up(daemon, message.number.number, fds[0]);
			fds[0] = -1;
		}
		channel_drop(fds);
	}
	if (r != -EAGAIN)
		daemon_stop();           /* we go with it */
}

static struct reader_link *link_create(struct daemon *daemon, uint32_t number)
{
	struct reader_link *link = calloc(1, sizeof *link);

	if (!link)
		return NULL;
	*link = (struct reader_link){ .daemon = daemon, .number = number, .fd = -1 };
	LIST_INSERT_HEAD(&daemon->readers, link, of_daemon);
	return link;
}

static void link_destroy(struct reader_link *link)
{
	link_down(link);
	LIST_REMOVE(link, of_daemon);
	free(link);
}

bool readers_rescan(const struct daemon *daemon)
{
	const struct reader_link *link;

	LIST_FOREACH(link, &daemon->readers, of_daemon)
		if (!link->number)
			return link->fd >= 0 && !split_send(link->fd, &(struct split_word){ SPLIT_RESCAN }, NULL, 0, false);
	return false;
}

int readers_init(struct daemon *daemon, bool settings)
{
	int slot = loop_add(&daemon->loop, daemon->monitor, EPOLLIN, LOOP_MONITOR, daemon);

	if (slot < 0)
		return slot;
	return settings && !link_create(daemon, 0) ? -ENOMEM : 0;
}

void readers_finish(struct daemon *daemon)
{
	while (!LIST_EMPTY(&daemon->readers))
		link_destroy(LIST_FIRST(&daemon->readers));
}

/* --- machines of tools ------------------------------------------------------------------------------------------ */

struct vm *readers_attach(struct daemon *daemon, const char *name, int dir, struct vm_attach *attach,
	struct problem *problem)
{
	struct split_number ask = { SPLIT_ATTACH, ++daemon->reader_numbers };
	struct reader_link *link = NULL;
	struct vm *vm = NULL;

	if (!vmconfig_name_ok(name))
		problem_set(problem, attach->dir, 0, 0, "its name must be 1 to %d letters, digits, \".\", \"_\" or \"-\"",
			VMCONFIG_NAME_MAX);
	else if (vms_find(daemon, name))
		problem_set(problem, attach->dir, 0, 0, "a machine named %s is served already", name);
	else if (!(link = link_create(daemon, ask.number)) || !(vm = vm_create(daemon, link, name, attach)))
		problem_set(problem, attach->dir, 0, 0, "%s", strerror(ENOMEM));
	if (vm) {
		link->vm = vm;
		if (split_send(daemon->monitor, &ask, &dir, 1, false)) {
			problem_set(problem, attach->dir, 0, 0, "too much is to be attached at once; try again");
			vm_destroy(vm, true);
			vm = NULL;
		}
	} else {
		if (link)
			link_destroy(link);
		vm_attach_free(attach);
	}
	close(dir);
	return vm;
}

void readers_detach(struct reader_link *link)
{
	link->vm = NULL;
	link_destroy(link);
}

/* --- boot sessions ---------------------------------------------------------------------------------------------- */

bool readers_prepare(const struct vm *vm, uint64_t session, int fd)
{
	struct split_session ask = { .type = SPLIT_PREPARE, .session = session, .spent = vm_secrets_spent(vm) };

	snprintf(ask.name, sizeof ask.name, "%s", vm->name);
	return vm->reader->fd >= 0 && !split_send(vm->reader->fd, &ask, &fd, 1, false);
}

bool readers_send(const struct vm *vm, uint64_t session)
{
	struct split_session ask = { .type = SPLIT_SEND, .session = session };

	return vm->reader->fd >= 0 && !split_send(vm->reader->fd, &ask, NULL, 0, false);
}

int readers_dial(const struct vm *vm, bool vsock, uint32_t port)
{
	struct split_dial ask = { .type = SPLIT_DIAL, .reader = vm->reader->number, .cid = vsock ? vm->cid : 0, .port = port };
	union split answer;
	int fds[CHANNEL_FDS];

	if (vsock && !vm->cid)
		return -ENOENT;
	snprintf(ask.name, sizeof ask.name, "%s", vm->name);
	if (split_send(vm->daemon->asks, &ask, NULL, 0, true) || split_receive(vm->daemon->asks, &answer, fds, true) <= 0)
		return -EPIPE;
	if (fds[0] >= 0)
		return fds[0];
	return answer.dialled.error ? answer.dialled.error : -EMFILE;
}
