/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "entries.h"
#include "tree.h"

/* In the stage, which only we have made, no link is followed. */
#define STAGE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
/* In the guest's root the image's own links (/bin -> usr/bin) are, and lead nowhere else, absolute or not. */
#define ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static int below(int root, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	long fd = syscall(SYS_openat2, root, path, &how, sizeof how);

	return fd < 0 ? -errno : (int)fd;
}

/* The directory that holds path's last component; *name points to that, in buf. */
static int parent_open(int root, struct wire_text path, uint64_t resolve, char buf[static WIRE_PATH_MAX + 1],
	const char **name)
{
	char *slash;

	if (!wire_text_copy(buf, WIRE_PATH_MAX + 1, path))
		return -ENAMETOOLONG;
	slash = strrchr(buf, '/');
	if (!slash) {
		*name = buf;
		return below(root, ".", O_PATH | O_DIRECTORY, 0, resolve);
	}
	*slash = '\0';
	*name = slash + 1;
	return below(root, buf, O_PATH | O_DIRECTORY, 0, resolve);
}

int tree_make_dir(int root, struct wire_text path)
{
	char buf[WIRE_PATH_MAX + 1];
	const char *name;
	int parent = parent_open(root, path, STAGE, buf, &name), error = 0;

	if (parent < 0)
		return parent;
	if (mkdirat(parent, name, 0700) < 0)
		error = -errno;
	close(parent);
	return error;
}

int tree_make_link(int root, struct wire_text path, struct wire_text target)
{
	char buf[WIRE_PATH_MAX + 1], to[WIRE_PATH_MAX + 1];
	const char *name;
	int parent = parent_open(root, path, STAGE, buf, &name), error = 0;

	if (parent < 0)
		return parent;
	if (!wire_text_copy(to, sizeof to, target))
		error = -ENAMETOOLONG;
	else if (symlinkat(to, parent, name) < 0)
		error = -errno;
	close(parent);
	return error;
}

int tree_make_file(int root, struct wire_text path)
{
	char buf[WIRE_PATH_MAX + 1];

	if (!wire_text_copy(buf, sizeof buf, path))
		return -ENAMETOOLONG;
	return below(root, buf, O_WRONLY | O_CREAT | O_EXCL, 0600, STAGE);
}

int tree_own(int dirfd, const char *name, const struct wire_node *node, bool is_link)
{
	if (fchownat(dirfd, name, node->uid, node->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* Last: a change of owner takes the set-user-ID bit away. A link has no mode. */
	if (!is_link && syscall(SYS_fchmodat, dirfd, name, node->mode) < 0)
		return -errno;
	return 0;
}

int tree_copy(int in, int to, const char *name, const struct wire_node *node)
{
	int out, error = 0;
	uint64_t left = node->size;

	unlinkat(to, name, 0);
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	while (left > 0 && !error) {
		ssize_t n = sendfile(out, in, NULL, left);

		if (n > 0)
			left -= (uint64_t)n;
		else if (n == 0 || errno != EINTR)
			error = n == 0 ? -EIO : -errno;
	}
	close(out);
	return error ? error : tree_own(to, name, node, false);
}

/* For a place on another file system, where rename says EXDEV. */
static int file_copy(int from, const char *name, int to, const struct wire_node *node)
{
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), error;

	if (in < 0)
		return -errno;
	error = tree_copy(in, to, name, node);
	close(in);
	return error;
}

static int entry_move(int from, int to, const char *name, const struct wire_node *node, bool is_link)
{
	char target[WIRE_PATH_MAX + 1];

	int error = tree_own(from, name, node, is_link);

	if (error)
		return error;
	if (renameat(from, name, to, name) == 0)
		return 0;
	if (errno != EXDEV)
		return -errno;
	if (!is_link)
		return file_copy(from, name, to, node);
	if (!wire_text_copy(target, sizeof target, node->target))
		return -ENAMETOOLONG;
	unlinkat(to, name, 0);
	return symlinkat(target, to, name) < 0 ? -errno : tree_own(to, name, node, true);
}

int tree_move(int from, int to, struct wire_text path, const struct wire_node *node, bool is_link)
{
	char buf[WIRE_PATH_MAX + 1], same[WIRE_PATH_MAX + 1];
	const char *name;
	int source = parent_open(from, path, STAGE, buf, &name), destination, error;

	if (source < 0)
		return source;
	destination = parent_open(to, path, ROOT, same, &name);
	error = destination < 0 ? destination : entry_move(source, destination, name, node, is_link);
	if (destination >= 0)
		close(destination);
	close(source);
	return error;
}

int tree_place_dir(int to, struct wire_text path, const struct wire_node *node)
{
	char buf[WIRE_PATH_MAX + 1];
	const char *name;
	int parent = parent_open(to, path, ROOT, buf, &name), error = 0, there;

	if (parent < 0)
		return parent;
	if (mkdirat(parent, name, 0700) == 0) {
		error = tree_own(parent, name, node, false);
	} else if (errno != EEXIST) {
		error = -errno;
	} else {
		wire_text_copy(buf, sizeof buf, path);
		there = below(to, buf, O_PATH | O_DIRECTORY, 0, ROOT);
		error = there < 0 ? there : 0;
		if (there >= 0)
			close(there);
	}
	close(parent);
	return error;
}

/* --- removing ---------------------------------------------------------------------------------------------------- */

/* Depth is bounded by the path's length: each level takes two bytes of it at least. */
static unsigned entry_remove(int dirfd, const char *name, void *arg)
{
	(void)arg;
	if (unlinkat(dirfd, name, 0) < 0)
		tree_remove(dirfd, name);
	return 0;
}

void tree_empty(int dirfd)
{
	entries_each(dirfd, entry_remove, NULL);
}

void tree_remove(int dirfd, const char *path)
{
	int fd = below(dirfd, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

	if (fd < 0)
		return;
	tree_empty(fd);
	close(fd);
	unlinkat(dirfd, path, AT_REMOVEDIR);
}

static unsigned entry_wipe(int dirfd, const char *name, void *arg)
{
	char zeros[512] = { 0 };
	int fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	off_t left = lseek(fd, 0, SEEK_END);

	(void)arg;
	if (fd < 0)
		return 0;
	lseek(fd, 0, SEEK_SET);
	for (; left > 0; left -= (off_t)sizeof zeros)
		if (write(fd, zeros, sizeof zeros) < 0)
			break;
	close(fd);
	unlinkat(dirfd, name, 0);
	return 0;
}

void tree_wipe(int dirfd)
{
	entries_each(dirfd, entry_wipe, NULL);
}
