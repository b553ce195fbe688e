/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/cid.h"
#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "logs.h"
#include "session.h"

#define STRANGERS_A_SECOND 8
#define STARVED_MS 100           /* a full table of files of the whole system does not end with a session of ours */
#define ACCEPTS_A_ROUND 4        /* then the sessions have their turn; what waits is signalled again */

/* --- listeners -------------------------------------------------------------------------------------------------- */

int listener_adopt(struct listener listeners[static LISTEN_SERVICES], struct daemon *daemon, struct vm *vm,
	const int fds[static LISTEN_SERVICES])
{
	for (uint8_t s = 0; s < LISTEN_SERVICES; s++) {
		listeners[s] = (struct listener){ .daemon = daemon, .vm = vm, .service = s, .fd = fds[s] };
		listeners[s].slot = loop_add(&daemon->loop, fds[s], EPOLLIN, LOOP_LISTENER, &listeners[s]);
	}
	for (uint8_t s = 0; s < LISTEN_SERVICES; s++) {
		int r = listeners[s].slot;

		if (r < 0) {
			listener_close(listeners);
			return r;
		}
	}
	return 0;
}

void listener_close(struct listener listeners[static LISTEN_SERVICES])
{
	for (int s = 0; s < LISTEN_SERVICES; s++) {
		struct listener *listener = &listeners[s];

		if (!listener->daemon)
			continue;
		loop_remove(&listener->daemon->loop, listener->slot);
		if (listener->fd >= 0)
			close(listener->fd);
		*listener = (struct listener){ .fd = -1 };
	}
}

/* --- connections ------------------------------------------------------------------------------------------------ */

/* For what has no machine to be counted with. */
static void stranger(struct daemon *daemon, const struct address_peer *peer, const char *why)
{
	uint64_t second = daemon->loop.now / LOOP_SECOND;
	char reason[128];

	if (daemon->strangers_second != second)
		daemon->strangers = 0;
	daemon->strangers_second = second;
	if (daemon->strangers++ >= STRANGERS_A_SECOND)
		return;
	log_warn("refused a connection from CID %u, port %u: %s", peer->cid, peer->port, why);
	snprintf(reason, sizeof reason, "CID %u, port %u: %s", peer->cid, peer->port, why);
	audit_write(&daemon->audit, &(struct audit_entry){ .what = "connection", .outcome = "refused", .reason = reason,
		.credentials = -1, .uid = AUDIT_NOBODY });
}

/* Who the peer is: NULL when it was refused. Never by what it sends. */
static struct vm *identify(struct listener *listener, int fd, const struct address_peer *peer)
{
	struct daemon *daemon = listener->daemon;
	struct vm *vm;

	if (listener->vm)
		return listener->vm;
	if (!cid_is_guest(peer->cid) || peer->port >= ADDRESS_PORT_PRIVILEGED) {
		const char *why = cid_is_guest(peer->cid) ? "the source port must be below 1024"
			: "only guests are served here";

		stranger(daemon, peer, why);
		session_refuse(daemon, fd, WIRE_REFUSE_NOT_ALLOWED, why);
		return NULL;
	}
	vm = vms_find_cid(daemon, peer->cid);
	if (!vm) {
		stranger(daemon, peer, "no machine has this CID");
		session_refuse(daemon, fd, WIRE_REFUSE_UNKNOWN_VM, "no directory names this CID");
	}
	return vm;
}

int listener_spare(const struct daemon *daemon)
{
	return fcntl(daemon->loop.epoll, F_DUPFD_CLOEXEC, 3);
}

static void refuse_busy(struct daemon *daemon, int fd)
{
	daemon->counters.no_descriptor++;
	session_refuse(daemon, fd, WIRE_REFUSE_BUSY, "the host has no descriptors left");
	close(fd);
}

/*
 * No descriptor is left, and the connection, if there is one, would make epoll report the listener for ever. The
 * spare one is given up to take it and turn it away; when even that fails, the listener rests until a descriptor was
 * closed, or a moment. True: there may be more connections.
 */
static bool turn_away(struct listener *listener)
{
	struct daemon *daemon = listener->daemon;
	struct address_peer peer;
	int fd;

	if (listener->vm)
		listener->vm->turned_away = true;
	if (daemon->spare_fd >= 0)
		close(daemon->spare_fd);
	fd = address_accept(listener->fd, &peer);
	if (fd >= 0)
		refuse_busy(daemon, fd);
	daemon->spare_fd = listener_spare(daemon);
	if (daemon->spare_fd >= 0 && (fd >= 0 || fd == -EAGAIN))
		return fd >= 0;
	listener->paused = daemon->starved = true;
	loop_events(&daemon->loop, listener->slot, 0);
	timer_set(&daemon->loop, &daemon->starving, STARVED_MS * LOOP_MS);
	return false;
}

/*
 * The last descriptors are kept for log files, since a log that cannot be written is cut. A connection that got one of
 * them moves to the place of other files, whose machines have not written for the longest time, or is turned away.
 * Files may have been among the last ones themselves: then the next machine's have to go.
 */
static bool below_reserve(struct listener *listener, int *fd)
{
	struct daemon *daemon = listener->daemon;
	int lower;

	while (*fd >= (int)daemon->crowded_fd && vm_files_close_oldest(daemon)) {
		lower = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
		if (lower >= 0) {
			close(lower > *fd ? lower : *fd);
			*fd = lower < *fd ? lower : *fd;
		}
	}
	if (*fd < (int)daemon->crowded_fd)
		return true;
	if (listener->vm)
		listener->vm->turned_away = true;
	refuse_busy(daemon, *fd);
	return false;
}

static void pause_over(struct listener listeners[static LISTEN_SERVICES])
{
	for (int s = 0; s < LISTEN_SERVICES; s++) {
		if (!listeners[s].paused)
			continue;
		listeners[s].paused = false;
		loop_events(&listeners[s].daemon->loop, listeners[s].slot, EPOLLIN);
	}
}

void listener_hold(struct listener listeners[static LISTEN_SERVICES])
{
	for (int s = 0; s < LISTEN_SERVICES; s++) {
		listeners[s].paused = true;
		loop_events(&listeners[s].daemon->loop, listeners[s].slot, 0);
	}
}

void listener_resume(struct daemon *daemon)
{
	if (daemon->spare_fd < 0)
		daemon->spare_fd = listener_spare(daemon);
	if (daemon->spare_fd < 0) {
		timer_set(&daemon->loop, &daemon->starving, STARVED_MS * LOOP_MS);
		return;
	}
	daemon->starved = false;
	timer_stop(&daemon->loop, &daemon->starving);
	pause_over(daemon->vsock);
	for (size_t i = 0; i < daemon->vms.names.n; i++)
		pause_over(vms_at(&daemon->vms, i)->listeners);
}

void listener_starving(struct timer *timer)
{
	listener_resume((struct daemon *)((char *)timer - offsetof(struct daemon, starving)));
}

void listener_event(struct listener *listener)
{
	struct address_peer peer;
	struct vm *vm;

	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = address_accept(listener->fd, &peer);

		if (fd >= 0 && !below_reserve(listener, &fd))
			continue;
		if (fd == -EMFILE && vm_files_close_oldest(listener->daemon))
			fd = address_accept(listener->fd, &peer);
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
			if (!turn_away(listener))
				return;
			continue;
		}
		if (fd == -ECONNABORTED)
			continue;        /* gone before we came */
		if (fd < 0)
			return;
		vm = identify(listener, fd, &peer);
		if (!vm)
			close(fd);
		else if (session_begin(listener->daemon, vm, fd)) {
			vm->over_vsock = peer.kind == ADDRESS_VSOCK;
			(listener->service == LISTEN_BOOT ? boot_accept : logs_accept)(vm, fd);
		}
	}
}
