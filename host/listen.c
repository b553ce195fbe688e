/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/cid.h"
#include "../vsock/log.h"
#include "boot.h"
#include "daemon.h"
#include "logs.h"
#include "session.h"

#define STRANGERS_A_SECOND 8
#define ACCEPTS_A_ROUND 64       /* then the sessions have their turn; what waits is signalled again */

/* --- Unix socket files ------------------------------------------------------------------------------------------ */

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* By way of the directory's descriptor, so that nobody can put another directory in its place on the way. */
static bool address_below(struct address *address, int dirfd, const char *path)
{
	char text[ADDRESS_PATH_MAX + 1];
	int n = snprintf(text, sizeof text, "/proc/self/fd/%d/%s", dirfd, last_component(path));

	return n > 0 && (size_t)n < sizeof text && address_unix(address, text);
}

static bool somebody_listens(const struct address *address)
{
	int fd = address_socket(address, false), r;

	if (fd < 0)
		return true;     /* not known: then it is not ours to remove */
	r = address_connect(fd, address);
	close(fd);
	return r != -ECONNREFUSED;
}

/* 0 when nothing is at the path any more. */
static int remove_stale(int dirfd, const char *path, const struct address *address, struct problem *problem)
{
	const char *name = last_component(path);
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : problem_set(problem, path, 0, 0, "%s", strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return problem_set(problem, path, 0, 0, "is in the way of a socket, and is none itself; remove it");
	if (st.st_uid != geteuid())
		return problem_set(problem, path, 0, 0, "is a socket of user %u; remove it", (unsigned)st.st_uid);
	if (somebody_listens(address))
		return problem_set(problem, path, 0, 0, "another process listens there; end it, or use another path");
	if (unlinkat(dirfd, name, 0))
		return problem_set(problem, path, 0, 0, "stale, and cannot be removed: %s", strerror(errno));
	return 0;
}

int listen_unix(int dirfd, const char *path, struct problem *problem)
{
	struct address address;
	mode_t mask;
	int fd;

	/* The peer must be able to name it, too, and does not go by way of a descriptor. */
	if (!address_unix(&address, path))
		return problem_set(problem, path, 0, 0, "too long for a Unix socket: %zu bytes, at most %d; use a shorter "
			"directory", strlen(path), ADDRESS_PATH_MAX);
	if (!address_below(&address, dirfd, path))
		return problem_set(problem, path, 0, 0, "its last component is too long for a Unix socket");
	if (remove_stale(dirfd, path, &address, problem))
		return -1;
	mask = umask(0177);
	fd = address_listen(&address);
	umask(mask);
	if (fd < 0)
		return problem_set(problem, path, 0, 0, "cannot listen: %s", strerror(-fd));
	return fd;
}

void listen_unlink(const char *path, dev_t dev, ino_t ino)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISSOCK(st.st_mode) && st.st_dev == dev && st.st_ino == ino)
		unlink(path);
}

/* The directory that path lies in. */
static int parent_open(const char *path, bool follow, struct problem *problem)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = follow ? 0 : RESOLVE_NO_SYMLINKS };
	char *parent = strdup(path), *slash = parent ? strrchr(parent, '/') : NULL;
	int fd;

	if (!slash) {
		free(parent);
		return problem_set(problem, path, 0, 0, "must be an absolute path");
	}
	slash[slash == parent] = 0;
	fd = (int)syscall(SYS_openat2, AT_FDCWD, parent, &how, sizeof how);
	if (fd < 0)
		problem_set(problem, path, 0, 0, errno == ELOOP ? "a symbolic link is in its path; use the real one"
			: "its directory: %s", strerror(errno));
	free(parent);
	return fd;
}

/* --- listeners -------------------------------------------------------------------------------------------------- */

static int listener_start(struct listener *listener, struct problem *problem)
{
	int slot = loop_add(&listener->daemon->loop, listener->fd, EPOLLIN, LOOP_LISTENER, listener);

	if (slot < 0)
		return problem_set(problem, listener->path ? listener->path : "vsock", 0, 0, "%s", strerror(-slot));
	listener->slot = slot;
	return 0;
}

static int open_unix(struct listener *listener, int dirfd, const char *base, struct problem *problem)
{
	struct stat st;

	if (asprintf(&listener->path, "%s_%u", base, listener->daemon->config.port + listener->service) < 0) {
		listener->path = NULL;
		return problem_set(problem, base, 0, 0, "%s", strerror(ENOMEM));
	}
	listener->fd = listen_unix(dirfd, listener->path, problem);
	if (listener->fd < 0)
		return -1;
	if (!fstatat(dirfd, last_component(listener->path), &st, AT_SYMLINK_NOFOLLOW)) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	return listener_start(listener, problem);
}

int listener_open_unix(struct listener listeners[static LISTEN_SERVICES], struct vm *vm, const char *base,
	bool follow, struct problem *problem)
{
	int dirfd = parent_open(base, follow, problem), r = 0;

	if (dirfd < 0)
		return -1;
	for (uint8_t s = 0; s < LISTEN_SERVICES && !r; s++) {
		listeners[s] = (struct listener){ .daemon = vm->daemon, .vm = vm, .service = s, .fd = -1 };
		r = open_unix(&listeners[s], dirfd, base, problem);
	}
	close(dirfd);
	if (r)
		listener_close(listeners);
	return r;
}

int listener_open_vsock(struct listener listeners[static LISTEN_SERVICES], struct daemon *daemon,
	struct problem *problem)
{
	for (uint8_t s = 0; s < LISTEN_SERVICES; s++) {
		struct address address = address_vsock(ADDRESS_CID_ANY, daemon->config.port + s);
		char text[ADDRESS_TEXT];

		listeners[s] = (struct listener){ .daemon = daemon, .service = s };
		listeners[s].fd = address_listen(&address);
		if (listeners[s].fd < 0) {
			problem_set(problem, address_format(&address, text), 0, 0, "cannot listen: %s",
				strerror(-listeners[s].fd));
			listener_close(listeners);
			return -1;
		}
		if (listener_start(&listeners[s], problem)) {
			listener_close(listeners);
			return -1;
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
		if (listener->fd >= 0) {
			if (listener->path)
				listen_unlink(listener->path, listener->dev, listener->ino);
			close(listener->fd);
		}
		free(listener->path);
		*listener = (struct listener){ .fd = -1 };
	}
}

/* --- connections ------------------------------------------------------------------------------------------------ */

/* For what has no machine to be counted with. */
static void stranger(struct daemon *daemon, const struct address_peer *peer, const char *why)
{
	uint64_t second = daemon->loop.now / LOOP_SECOND;

	if (daemon->strangers_second != second)
		daemon->strangers = 0;
	daemon->strangers_second = second;
	if (daemon->strangers++ < STRANGERS_A_SECOND)
		log_warn("refused a connection from CID %u, port %u: %s", peer->cid, peer->port, why);
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

/*
 * No descriptor is left, and the connection, if there is one, would make epoll report the listener for ever. The
 * spare one is given up to take it and turn it away; when even that fails, the listener rests until a descriptor was
 * closed. True: there may be more connections.
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
	if (fd >= 0) {
		daemon->counters.no_descriptor++;
		session_refuse(daemon, fd, WIRE_REFUSE_BUSY, "the host has no descriptors left");
		close(fd);
	}
	daemon->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (daemon->spare_fd >= 0 && (fd >= 0 || fd == -EAGAIN))
		return fd >= 0;
	listener->paused = daemon->starved = true;
	loop_events(&daemon->loop, listener->slot, 0);
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

void listener_resume(struct daemon *daemon)
{
	if (daemon->spare_fd < 0)
		daemon->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (daemon->spare_fd < 0)
		return;
	daemon->starved = false;
	pause_over(daemon->vsock);
	for (size_t i = 0; i < daemon->vms.n; i++)
		pause_over(daemon->vms.all[i]->listeners);
}

void listener_event(struct listener *listener)
{
	struct address_peer peer;
	struct vm *vm;

	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = address_accept(listener->fd, &peer);

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
		else if (session_begin(listener->daemon, vm, fd))
			(listener->service == LISTEN_BOOT ? boot_accept : logs_accept)(vm, fd);
	}
}
