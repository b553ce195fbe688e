/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "channel.h"
#include "listen.h"
#include "reader.h"

/* --- what it is now --------------------------------------------------------------------------------------------- */

int dir_open(const struct dir *dir)
{
	/* What a tool opened is the directory itself; what lies in the directory of all machines may not be a link. */
	int fd = dir->reader->of.type ? openat(READER_DIR, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
		: openat(READER_DIR, dir->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static struct dir_stamp stamp_of(const struct stat *st)
{
	return (struct dir_stamp){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool stamp_same(const struct dir_stamp *a, const struct dir_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
		a->mtime.tv_nsec == b->mtime.tv_nsec && a->ctime.tv_sec == b->ctime.tv_sec &&
		a->ctime.tv_nsec == b->ctime.tv_nsec;
}

bool dir_current(const struct dir *dir, int fd)
{
	struct stat named, json, opened;
	struct dir_stamp stamp;
	int again = dir_open(dir);
	bool known = again >= 0 && !fstat(again, &named) && !fstat(fd, &opened) &&
		!fstatat(fd, "vm.json", &json, AT_SYMLINK_NOFOLLOW);

	if (again >= 0)
		close(again);
	if (!known)
		return false;
	stamp = stamp_of(&json);
	return named.st_dev == opened.st_dev && named.st_ino == opened.st_ino && stamp_same(&stamp, &dir->stamp);
}

/* --- its sockets, which the monitor makes ----------------------------------------------------------------------- */

/* Where its Unix sockets are, or NULL; allocated. */
static char *base_path(const struct dir *dir)
{
	const struct reader *reader = dir->reader;
	const struct split_machine_of *of = &reader->of;
	const char *socket = *of->socket ? of->socket : dir->config ? dir->config->socket : NULL;
	char *path;
	int n;

	if (!socket && (of->cid || (dir->config && dir->config->cid && reader->setup.vsock)))
		return NULL;
	if (!socket)
		n = asprintf(&path, "%s/%s.vsock", reader->setup.runtime, dir->name);
	else if (*socket == '/')
		n = asprintf(&path, "%s", socket);
	else
		n = asprintf(&path, "%s/%s", dir->path, socket);
	return n < 0 ? NULL : path;
}

/* The sockets into fds, for the server; false with the problem set. */
static bool bind_ask(struct dir *dir, int fds[static CHANNEL_FDS])
{
	/* Only what the administrator of hawserd or its owner named may lead through symbolic links. */
	struct split_bind ask = { .type = SPLIT_BIND,
		.follow = dir->reader->of.type || !dir->config || !dir->config->socket };
	union split answer;

	snprintf(ask.name, sizeof ask.name, "%s", dir->name);
	if (snprintf(ask.base, sizeof ask.base, "%s", dir->base) >= (int)sizeof ask.base) {
		problem_set(&dir->problem, dir->path, 0, 0, "its socket's path is too long");
		return false;
	}
	if (split_send(READER_MONITOR, &ask, NULL, 0, true) ||
			split_receive(READER_MONITOR, &answer, fds, true) <= 0 || answer.type != SPLIT_BOUND) {
		dir->reader->stop = true;
		return false;
	}
	if (fds[0] < 0 || fds[1] < 0 || address_read_own(fds[LISTEN_BOOT], &dir->address)) {
		channel_drop(fds);
		snprintf(dir->problem.text, sizeof dir->problem.text, "%s", *answer.bound.problem
			? answer.bound.problem : "no descriptor is left for its sockets");
		return false;
	}
	return true;
}

static void unbind(struct dir *dir)
{
	struct split_name ask = { .type = SPLIT_UNBIND };

	if (!dir->base)
		return;
	snprintf(ask.name, sizeof ask.name, "%s", dir->name);
	if (split_send(READER_MONITOR, &ask, NULL, 0, true))
		dir->reader->stop = true;
	free(dir->base);
	dir->base = NULL;
	dir->address = (struct address){ 0 };
}

/* Listens where vm.json says now. What is new is in fds. */
static void bind_anew(struct dir *dir, int fds[static CHANNEL_FDS])
{
	char *base = base_path(dir);

	if (base && dir->base && !strcmp(base, dir->base)) {
		free(base);
		return;
	}
	unbind(dir);
	dir->base = base;
	if (base && !bind_ask(dir, fds)) {
		free(dir->base);
		dir->base = NULL;        /* tried again at the next look */
	}
}

/* --- vm.json ---------------------------------------------------------------------------------------------------- */

static void tell(struct dir *dir, int fds[static CHANNEL_FDS])
{
	const struct vmconfig *config = dir->config;
	const struct split_machine_of *of = &dir->reader->of;
	struct split_machine machine = { .type = SPLIT_MACHINE, .served = dir->served, .valid = config != NULL,
		.once = config && config->credential_once && !of->type, .verbs = config ? config->verbs : 0 };

	machine.cid = *of->socket || of->cid ? of->cid : config ? config->cid : 0;
	snprintf(machine.name, sizeof machine.name, "%s", dir->name);
	snprintf(machine.base, sizeof machine.base, "%s", dir->base ? dir->base : "");
	snprintf(machine.problem, sizeof machine.problem, "%s", dir->problem.text);
	reader_tell(dir->reader, &machine, fds, fds[0] >= 0 ? CHANNEL_FDS : 0);
	channel_drop(fds);
}

static void config_read(struct dir *dir, int fd)
{
	const struct reader *reader = dir->reader;
	struct vmconfig *config = vmconfig_load(fd, dir->path, &dir->problem);

	if (!config)
		return;
	if (reader->n_args && !vmconfig_set_args(config, reader->n_args, reader->args)) {
		vmconfig_destroy(config);
		problem_set(&dir->problem, dir->path, 0, 0, "%s", strerror(ENOMEM));
		return;
	}
	/* Somebody watches this run, and nothing else keeps its log: writers rather wait than lose lines. */
	if (reader->of.ephemeral && !config->log_full_given)
		config->log_full = WIRE_FULL_BLOCK;
	if (reader->of.feed)
		config->verbs |= WIRE_VERB_FEED;
	if (reader->of.terminal) {
		config->verbs |= WIRE_VERB_EXEC;
		vmconfig_drop_args(config);
	}
	vmconfig_destroy(dir->config);
	dir->config = config;
	*dir->problem.text = 0;
}

static void unserve(struct dir *dir)
{
	int none[CHANNEL_FDS] = { -1, -1 };

	if (!dir->served)
		return;
	unbind(dir);
	vmconfig_destroy(dir->config);
	dir->config = NULL;
	dir->served = false;
	dir->stamp = (struct dir_stamp){ 0 };
	*dir->problem.text = 0;
	tell(dir, none);
}

void dir_refresh(struct dir *dir)
{
	int fd = dir_open(dir), fds[CHANNEL_FDS] = { -1, -1 };
	struct dir_stamp stamp;
	struct stat st;

	if (fd < 0 || fstatat(fd, "vm.json", &st, AT_SYMLINK_NOFOLLOW)) {
		if (fd >= 0)
			close(fd);
		if (!dir->reader->of.type)
			unserve(dir);
		return;
	}
	stamp = stamp_of(&st);
	if (!dir->served || !stamp_same(&stamp, &dir->stamp)) {
		dir->stamp = stamp;
		dir->served = true;
		config_read(dir, fd);
		bind_anew(dir, fds);
		tell(dir, fds);
	} else if (!dir->base) {
		bind_anew(dir, fds);
		if (dir->base) {
			*dir->problem.text = 0;
			tell(dir, fds);
		}
	}
	close(fd);
}

/* --- beginning and end ------------------------------------------------------------------------------------------ */

struct dir *dir_create(struct reader *reader, const char *name, const char *path)
{
	struct dir *dir = calloc(1, sizeof *dir);

	if (!dir)
		return NULL;
	*dir = (struct dir){ .reader = reader, .watch = -1, .path = strdup(path) };
	snprintf(dir->name, sizeof dir->name, "%s", name);
	if (dir->path && names_insert(&reader->dirs, dir))
		return dir;
	free(dir->path);
	free(dir);
	return NULL;
}

void dir_destroy(struct dir *dir)
{
	struct reader *reader = dir->reader;
	struct split_name gone = { .type = SPLIT_GONE };

	snprintf(gone.name, sizeof gone.name, "%s", dir->name);
	unserve(dir);
	reader_tell(reader, &gone, NULL, 0);
	names_remove(&reader->dirs, dir);
	if (dir->watch >= 0)
		inotify_rm_watch(reader->inotify, dir->watch);
	vmconfig_destroy(dir->config);
	free(dir->path);
	free(dir);
}
