/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "reader.h"

#define WATCH_DIRS (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR)
#define WATCH_DIR (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR | IN_DONT_FOLLOW)

static void look(struct reader *reader, const char *name)
{
	struct dir *dir = names_find(&reader->dirs, name);
	char path[2 * PATH_MAX];
	struct stat st;

	if (fstatat(READER_DIR, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode)) {
		if (dir)
			dir_destroy(dir);
		return;
	}
	snprintf(path, sizeof path, "%s/%s", reader->setup.dir, name);
	if (!vmconfig_name_ok(name)) {
		log_warn("%s: not served: the name of a machine is 1 to %d letters, digits, \".\", \"_\" or \"-\"", path,
			VMCONFIG_NAME_MAX);
		return;
	}
	if (!dir && !(dir = dir_create(reader, name, path)))
		return;
	dir->seen = true;
	/* The same watch again when there is one. */
	dir->watch = inotify_add_watch(reader->inotify, dir->path, WATCH_DIR);
	dir_refresh(dir);
}

void dirs_scan(struct reader *reader)
{
	struct names *dirs = &reader->dirs;
	int fd = reader->setup.attached ? -1 : openat(READER_DIR, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!list) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t i = 0; i < dirs->n; i++)
		((struct dir *)dirs->all[i])->seen = false;
	while ((entry = readdir(list)))
		if (entry->d_name[0] != '.')
			look(reader, entry->d_name);
	closedir(list);
	for (size_t i = dirs->n; i-- > 0;)
		if (!((struct dir *)dirs->all[i])->seen)
			dir_destroy(dirs->all[i]);
}

static struct dir *watched(const struct names *dirs, int watch)
{
	for (size_t i = 0; i < dirs->n; i++)
		if (((struct dir *)dirs->all[i])->watch == watch)
			return dirs->all[i];
	return NULL;
}

static void take_event(struct reader *reader, const struct inotify_event *event)
{
	struct dir *dir;

	if (event->mask & IN_Q_OVERFLOW) {
		dirs_scan(reader);
	} else if ((dir = watched(&reader->dirs, event->wd))) {
		if (event->mask & IN_IGNORED)
			dir->watch = -1;
		else if (event->len && !strcmp(event->name, "vm.json"))
			dir_refresh(dir);
	} else if (event->len && event->name[0] != '.') {
		look(reader, event->name);
	}
}

void dirs_inotify(struct reader *reader)
{
	union {
		struct inotify_event event;
		char bytes[16 << 10];
	} buf;
	ssize_t n;

	while ((n = read(reader->inotify, &buf, sizeof buf)) > 0) {
		for (char *p = buf.bytes; p < buf.bytes + n;) {
			const struct inotify_event *event = (const void *)p;

			p += sizeof *event + event->len;
			take_event(reader, event);
		}
	}
}

void dirs_take(struct reader *reader)
{
	struct dir *dir = dir_create(reader, reader->of.name, reader->of.dir);

	if (!dir) {
		reader->stop = true;
		return;
	}
	dir_refresh(dir);        /* and at each HELLO: it is not watched */
}

int dirs_init(struct reader *reader)
{
	int slot;

	reader->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (reader->inotify < 0)
		return -errno;
	slot = loop_add(&reader->loop, reader->inotify, EPOLLIN, LOOP_INOTIFY, reader);
	if (slot < 0)
		return slot;
	if (!reader->setup.attached && inotify_add_watch(reader->inotify, reader->setup.dir, WATCH_DIRS) < 0)
		log_warn_errno("%s: not watched; new machines are seen on SIGHUP", reader->setup.dir);
	return 0;
}

/* The server keeps what it knows, for the reader that comes after this one. */
void dirs_finish(struct reader *reader)
{
	for (size_t i = 0; i < reader->dirs.n; i++) {
		struct dir *dir = reader->dirs.all[i];

		vmconfig_destroy(dir->config);
		free(dir->path);
		free(dir->base);
		free(dir);
	}
	names_finish(&reader->dirs);
	close(reader->inotify);
}
