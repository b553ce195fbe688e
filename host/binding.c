/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/dial.h"
#include "binding.h"
#include "handover.h"

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

static int listen_unix(int dirfd, const char *path, struct problem *problem)
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

/* A socket's name has its directory's number in it, and tells the reader which machine it is: no two are the same. */
static int number_of_its_own(int fd)
{
	while (fd >= 0 && handover_uses(fd)) {
		int other = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);

		close(fd);
		fd = other;
	}
	return fd;
}

/* Of the directory at, which is closed. A symbolic link is -1 with ELOOP. */
static int component_open(int at, const char *name)
{
	int fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error = errno;
	struct stat st;

	if (fd < 0 && error == ENOTDIR && !fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
		error = ELOOP;
	close(at);
	errno = error;
	return fd;
}

/*
 * Without a symbolic link on the way, one component after the other. openat2() does that at once, but not under
 * systemd's RestrictSUIDSGID=, as no filter can see its flags. Takes the text apart.
 */
static int directory_walk(char *path)
{
	int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *rest;

	for (char *name = strtok_r(path, "/", &rest); name && at >= 0; name = strtok_r(NULL, "/", &rest))
		at = component_open(at, name);
	return at;
}

int binding_dir_open(const char *path, bool follow, struct problem *problem)
{
	char *parent = strdup(path), *slash = parent ? strrchr(parent, '/') : NULL;
	int fd;

	if (!slash) {
		free(parent);
		return problem_set(problem, path, 0, 0, "must be an absolute path");
	}
	slash[slash == parent] = 0;
	fd = follow ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : directory_walk(parent);
	if (fd < 0)
		problem_set(problem, path, 0, 0, errno == ELOOP ? "a symbolic link is in its path; use the real one"
			: "its directory: %s", strerror(errno));
	free(parent);
	return number_of_its_own(fd);
}

/* The socket that listens at the path already, and that was handed over to us. */
static int handed_over(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, last_component(path), &st, AT_SYMLINK_NOFOLLOW) || !S_ISSOCK(st.st_mode) ? -1
		: handover_unix(path, st.st_dev, st.st_ino);
}

int binding_open(struct binding *binding, int dirfd, const char *path, struct problem *problem)
{
	struct stat st;

	*binding = (struct binding){ .fd = handed_over(dirfd, path) };
	if (binding->fd < 0)
		binding->fd = listen_unix(dirfd, path, problem);
	if (binding->fd < 0)
		return -1;
	snprintf(binding->name, sizeof binding->name, "%s", last_component(path));
	if (*binding->name && !fstatat(dirfd, binding->name, &st, AT_SYMLINK_NOFOLLOW)) {
		binding->dev = st.st_dev;
		binding->ino = st.st_ino;
		handover_keep(binding->fd, st.st_dev, st.st_ino);
	}
	return 0;
}

int binding_dial(int dirfd, const char *path)
{
	struct address address;
	char text[32];
	struct stat st;
	int at = openat(dirfd, last_component(path), O_PATH | O_NOFOLLOW | O_CLOEXEC), fd;

	if (at < 0)
		return -errno;
	snprintf(text, sizeof text, "/proc/self/fd/%d", at);
	address_unix(&address, text);
	fd = fstat(at, &st) || !S_ISSOCK(st.st_mode) ? -ENOTSOCK : dial_start(&address, false);
	close(at);
	return fd;
}

void binding_close(struct binding *binding, int dirfd)
{
	struct stat st;

	if (binding->fd < 0)
		return;
	if (*binding->name && !fstatat(dirfd, binding->name, &st, AT_SYMLINK_NOFOLLOW) && S_ISSOCK(st.st_mode) &&
			st.st_dev == binding->dev && st.st_ino == binding->ino)
		unlinkat(dirfd, binding->name, 0);
	handover_forget(binding->dev, binding->ino);
	binding_leave(binding);
}

void binding_leave(struct binding *binding)
{
	if (binding->fd >= 0)
		close(binding->fd);
	binding->fd = -1;
}

static bool of_machine(const char *name, uint32_t port)
{
	char end[32];
	size_t len = strlen(name), n = (size_t)snprintf(end, sizeof end, ".vsock_%u", port);

	return len > n && !strcmp(name + len - n, end);
}

void binding_sweep(int dirfd, uint32_t port, unsigned ports)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct address address;
	struct problem ignored;
	struct stat st;

	while (dir && (entry = readdir(dir))) {
		const char *name = entry->d_name;
		bool ours = false;

		for (unsigned i = 0; i < ports; i++)
			ours |= of_machine(name, port + i);
		if (ours && !fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) && !handover_waits(st.st_dev, st.st_ino) &&
				address_below(&address, dirfd, name))
			remove_stale(dirfd, name, &address, &ignored);   /* what is none of ours stays */
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}
