/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../vsock/wire.h"
#include "json.h"
#include "vmtree.h"

#define LABEL_MAX 300            /* of a name in a message, so that the words behind it are not cut */
#define DATA_LINK "..data"       /* of a Kubernetes Secret volume */

/* --- problems --------------------------------------------------------------------------------------------------- */

int vmtree_problem(const struct vmtree *tree, const char *path, struct problem *problem, const char *format, ...)
{
	char name[LABEL_MAX], text[sizeof problem->text];
	size_t len = strlen(path);
	va_list args;

	if (snprintf(name, sizeof name, "%s%s%s", tree->label, len ? "/" : "", path) >= (int)sizeof name)
		snprintf(name, sizeof name, "%.100s/...%s", tree->label, len > 180 ? path + len - 180 : path);
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return problem_set(problem, name, 0, 0, "%s", text);
}

static int no_memory(const struct vmtree *tree, struct problem *problem)
{
	return vmtree_problem(tree, "", problem, "out of memory");
}

static const char *kind_name(mode_t mode)
{
	return S_ISREG(mode) ? "a regular file" : S_ISDIR(mode) ? "a directory" : S_ISLNK(mode) ? "a symbolic link" :
		S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

/* Component by component, so that no symbolic link anywhere on the way is followed. */
static int open_below(int dirfd, const char *path, int flags)
{
	char name[NAME_MAX + 1];
	int fd = dirfd, next;

	for (;;) {
		size_t len = strcspn(path, "/");
		bool last = path[len] == '\0';

		if (len > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		next = openat(fd, len ? name : ".", O_CLOEXEC | O_NOFOLLOW | (last ? flags : O_PATH | O_DIRECTORY));
		if (fd != dirfd) {
			int saved = errno;

			close(fd);
			errno = saved;
		}
		if (last || next < 0)
			return next;
		fd = next;
		path += len + 1;
	}
}

/* What counts as unchanged. A directory's times are left out: what is in it is compared by itself. */
static bool same(const struct stat *a, const struct stat *b)
{
	if (a->st_dev != b->st_dev || a->st_ino != b->st_ino || a->st_mode != b->st_mode)
		return false;
	return S_ISDIR(a->st_mode) || (a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec);
}

int vmtree_check(const struct vmtree *tree, const struct vmtree_node *node, int fd, struct problem *problem)
{
	struct stat now;

	if (fstat(fd, &now) < 0)
		return vmtree_problem(tree, node->path, problem, "cannot be read: %s", strerror(errno));
	return same(&node->stat, &now) ? 0 : vmtree_problem(tree, node->path, problem, "changed while it was read");
}

int vmtree_open(const struct vmtree *tree, const struct vmtree_node *node, struct problem *problem)
{
	int fd = open_below(tree->fd, node->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR))
		return vmtree_problem(tree, node->path, problem, "changed while it was read");
	if (fd < 0)
		return vmtree_problem(tree, node->path, problem, "cannot be opened: %s", strerror(errno));
	if (vmtree_check(tree, node, fd, problem) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- scanning --------------------------------------------------------------------------------------------------- */

/* The fixed parts are those of docs/PROTOCOL.md. */
size_t vmtree_record_size(const struct vmtree_node *node, bool credential)
{
	size_t fixed = credential ? 16 : S_ISREG(node->stat.st_mode) ? 20 : 12;

	if (node->target)
		fixed = 8 + 2 + strlen(node->target);
	return WIRE_HEADER + fixed + strlen(node->path);
}

static void node_finish(struct vmtree_node *node)
{
	free(node->path);
	free(node->target);
}

/* Takes the node over, in success and failure. */
static int append(struct vmtree *tree, struct vmtree_node *node, bool credential, size_t room,
	struct problem *problem)
{
	tree->plan += vmtree_record_size(node, credential);
	if (tree->plan > room) {
		vmtree_problem(tree, node->path, problem, "is one too many: with it, the names take more than the %d "
			"MiB that a boot may have; put large trees into an image that the machine mounts",
			WIRE_PLAN_MAX >> 20);
		goto fail;
	}
	if (tree->n == tree->size) {
		size_t size = tree->size ? tree->size * 2 : 16;
		struct vmtree_node *nodes = reallocarray(tree->nodes, size, sizeof *nodes);

		if (!nodes) {
			no_memory(tree, problem);
			goto fail;
		}
		tree->nodes = nodes;
		tree->size = size;
	}
	if (S_ISREG(node->stat.st_mode))
		tree->bytes += (uint64_t)node->stat.st_size;
	tree->nodes[tree->n++] = *node;
	return 0;

fail:
	node_finish(node);
	return -1;
}

/* NULL with the problem set. */
static char *read_link(const struct vmtree *tree, int dirfd, const char *name, const char *path,
	struct problem *problem)
{
	char target[WIRE_PATH_MAX + 2], *copy;
	ssize_t len = readlinkat(dirfd, name, target, sizeof target);

	if (len <= 0 || len > WIRE_PATH_MAX) {
		vmtree_problem(tree, path, problem, "cannot be read as a symbolic link: %s",
			len < 0 ? strerror(errno) : "its target is too long");
		return NULL;
	}
	copy = strndup(target, (size_t)len);
	if (!copy)
		no_memory(tree, problem);
	return copy;
}

static int check_link(const struct vmtree *tree, const struct vmtree_node *node, struct problem *problem)
{
	if (node->target[0] == '/')
		return vmtree_problem(tree, node->path, problem,
			"is an absolute symbolic link; make it relative to the directory it is in");
	if (!json_text_ok(node->target, strlen(node->target)))
		return vmtree_problem(tree, node->path, problem, "is a symbolic link whose target is not UTF-8");
	return wire_target_ok(wire_text(node->path), wire_text(node->target)) ? 0 : vmtree_problem(tree, node->path, problem,
		"is a symbolic link that leaves files/ by \"..\"; shorten its target");
}

static int check_file(const struct vmtree *tree, const struct vmtree_node *node, struct problem *problem)
{
	if (strlen(node->path) > WIRE_PATH_MAX)
		return vmtree_problem(tree, node->path, problem, "has a path of more than %d bytes", WIRE_PATH_MAX);
	if (!json_text_ok(node->path, strlen(node->path)))
		return vmtree_problem(tree, node->path, problem, "has a name that is not UTF-8; rename it");
	if (node->target)
		return check_link(tree, node, problem);
	if (!S_ISREG(node->stat.st_mode) && !S_ISDIR(node->stat.st_mode))
		return vmtree_problem(tree, node->path, problem,
			"is %s; only regular files, directories and symbolic links can be sent: remove it",
			kind_name(node->stat.st_mode));
	if (S_ISREG(node->stat.st_mode) && (uint64_t)node->stat.st_size > VMTREE_FILE_MAX)
		return vmtree_problem(tree, node->path, problem, "has %lld bytes; a file may have %llu",
			(long long)node->stat.st_size, (unsigned long long)VMTREE_FILE_MAX);
	return 0;
}

static int check_credential(const struct vmtree *tree, const struct vmtree_node *node, off_t max,
	struct problem *problem)
{
	if (!S_ISREG(node->stat.st_mode))
		return vmtree_problem(tree, node->path, problem, "is %s; a credential is a regular file: replace it",
			kind_name(node->stat.st_mode));
	if (!wire_name_ok(wire_text(node->path)))
		return vmtree_problem(tree, node->path, problem, "is not a credential's name: at most %d letters, "
			"digits, \".\", \"_\" and \"-\"; rename it", WIRE_NAME_MAX);
	if (node->stat.st_size > max)
		return vmtree_problem(tree, node->path, problem, "has %lld bytes; a credential may have %lld",
			(long long)node->stat.st_size, (long long)max);
	return 0;
}

struct scan {
	struct vmtree *tree;
	size_t room;
	bool credentials;
	off_t max;                               /* bytes of a credential's file */
	const char *path;                        /* of the directory that is being listed, below the tree's */
	/* What to do with an entry: 1 take it, 0 leave it out, -1 with the problem set. */
	int (*select)(const struct scan *scan, int dirfd, const char *name, struct problem *problem);
};

static int scan_entry(const struct scan *scan, int dirfd, const char *name, struct problem *problem)
{
	struct vmtree_node node = { 0 };
	struct vmtree *tree = scan->tree;
	int rc = scan->select ? scan->select(scan, dirfd, name, problem) : 1;

	if (rc <= 0)
		return rc;
	if (asprintf(&node.path, "%s%s%s", scan->path, scan->path[0] ? "/" : "", name) < 0)
		return no_memory(tree, problem);
	rc = -1;
	if (fstatat(dirfd, name, &node.stat, AT_SYMLINK_NOFOLLOW) < 0) {
		vmtree_problem(tree, node.path, problem, "cannot be examined: %s", strerror(errno));
	} else if (scan->credentials) {
		rc = check_credential(tree, &node, scan->max, problem);
	} else {
		if (S_ISLNK(node.stat.st_mode))
			node.target = read_link(tree, dirfd, name, node.path, problem);
		if (!S_ISLNK(node.stat.st_mode) || node.target)
			rc = check_file(tree, &node, problem);
	}
	if (rc == 0)
		return append(tree, &node, scan->credentials, scan->room, problem);
	node_finish(&node);
	return rc;
}

static int scan_list(const struct scan *scan, int dirfd, struct problem *problem)
{
	int fd = open_below(dirfd, scan->path, O_RDONLY | O_DIRECTORY), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		vmtree_problem(scan->tree, scan->path, problem, "cannot be listed: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (rc == 0 && (errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = scan_entry(scan, fd, entry->d_name, problem);
	}
	if (rc == 0 && errno != 0)
		rc = vmtree_problem(scan->tree, scan->path, problem, "cannot be listed: %s", strerror(errno));
	closedir(dir);
	return rc;
}

/* By bytes, with the slash before all others: so a directory is followed by what is in it. */
static int compare_paths(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	if (*a == *b)
		return 0;
	if (*a == '\0' || *b == '\0')
		return *a ? 1 : -1;
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static int compare_nodes(const void *a, const void *b)
{
	return compare_paths(((const struct vmtree_node *)a)->path, ((const struct vmtree_node *)b)->path);
}

/* 1: it is there, and open; 0: it is not; -1 with the problem set. */
static int scan_begin(struct vmtree *tree, int dirfd, const char *dir, const char *name, struct problem *problem)
{
	*tree = VMTREE_EMPTY;
	if (asprintf(&tree->label, "%s%s%s", dir, dir[0] ? "/" : "", name) < 0) {
		tree->label = NULL;
		return problem_set(problem, dir, 0, 0, "out of memory");
	}
	tree->fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tree->fd < 0 && errno == ENOENT)
		return 0;
	/* A symbolic link shows as either, depending on the kernel. */
	if (tree->fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return vmtree_problem(tree, "", problem, "must be a directory itself, not a file or a link to one");
	if (tree->fd < 0 || fstat(tree->fd, &tree->stat) < 0)
		return vmtree_problem(tree, "", problem, "cannot be opened: %s", strerror(errno));
	return 1;
}

static void scan_end(struct vmtree *tree)
{
	if (tree->n > 0)
		qsort(tree->nodes, tree->n, sizeof *tree->nodes, compare_nodes);
}

int vmtree_scan_files(struct vmtree *tree, int dirfd, const char *dir, size_t room, struct problem *problem)
{
	struct scan scan = { .tree = tree, .room = room, .path = "" };
	int rc = scan_begin(tree, dirfd, dir, "files", problem);

	if (rc <= 0)
		return rc;
	if (scan_list(&scan, tree->fd, problem) < 0)
		return -1;
	/* The list grows while it is walked: each directory adds what is in it. One descriptor at a time is open. */
	for (size_t i = 0; i < tree->n; i++) {
		scan.path = tree->nodes[i].path;
		if (S_ISDIR(tree->nodes[i].stat.st_mode) && scan_list(&scan, tree->fd, problem) < 0)
			return -1;
	}
	scan_end(tree);
	return 0;
}

/*
 * A Kubernetes Secret volume is a directory of symbolic links NAME -> ..data/NAME, where ..data is itself one to the
 * directory that holds the files, and is swapped as a whole. So ..data is resolved once, everything is read below
 * what it named then, and the visible names are only checked for being what they should.
 */
static int select_plain(const struct scan *scan, int dirfd, const char *name, struct problem *problem)
{
	(void)scan;
	(void)dirfd;
	(void)problem;
	return strncmp(name, "..", 2) != 0;
}

static int select_visible(const struct scan *scan, int dirfd, const char *name, struct problem *problem)
{
	static const char prefix[] = DATA_LINK "/";
	struct stat st;
	char *target;
	bool through;

	if (strncmp(name, "..", 2) == 0)
		return 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return vmtree_problem(scan->tree, name, problem, "cannot be examined: %s", strerror(errno));
	if (!S_ISLNK(st.st_mode))
		return vmtree_problem(scan->tree, name, problem, "is %s beside " DATA_LINK "; in a Secret volume, "
			"every name is a symbolic link to " DATA_LINK "/NAME", kind_name(st.st_mode));
	target = read_link(scan->tree, dirfd, name, name, problem);
	if (!target)
		return -1;
	through = strncmp(target, prefix, strlen(prefix)) == 0 && strcmp(target + strlen(prefix), name) == 0;
	free(target);
	return through ? 0 : vmtree_problem(scan->tree, name, problem,
		"is a symbolic link, but not to " DATA_LINK "/NAME; replace it with the file itself");
}

/* From the volume to the directory that ..data names at this moment. */
static int enter_data(struct vmtree *tree, struct problem *problem)
{
	char *target = read_link(tree, tree->fd, DATA_LINK, DATA_LINK, problem);
	int fd = -1;

	if (!target)
		return -1;
	if (strncmp(target, "..", 2) != 0 || target[2] == '\0' || strchr(target, '/'))
		vmtree_problem(tree, DATA_LINK, problem, "must name a directory beside it that begins with \"..\"");
	else if ((fd = openat(tree->fd, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		vmtree_problem(tree, DATA_LINK, problem, "the directory it names cannot be opened: %s",
			strerror(errno));
	free(target);
	if (fd < 0)
		return -1;
	close(tree->fd);
	tree->fd = fd;
	if (fstat(fd, &tree->stat) < 0)
		return vmtree_problem(tree, "", problem, "cannot be read: %s", strerror(errno));
	return 0;
}

int vmtree_scan_credentials(struct vmtree *tree, int dirfd, const char *dir, size_t room, struct problem *problem)
{
	struct scan scan = { .tree = tree, .room = room, .credentials = true, .max = WIRE_CREDENTIAL_MAX, .path = "",
		.select = select_visible };
	struct stat st;
	int rc = scan_begin(tree, dirfd, dir, "credentials", problem);

	if (rc <= 0)
		return rc;
	if (fstatat(tree->fd, DATA_LINK, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) &&
			(scan_list(&scan, tree->fd, problem) < 0 || enter_data(tree, problem) < 0))
		return -1;
	scan.select = select_plain;
	if (scan_list(&scan, tree->fd, problem) < 0)
		return -1;
	scan_end(tree);
	return tree->bytes <= WIRE_CREDENTIAL_MAX ? 0 : vmtree_problem(tree, "", problem,
		"all credentials together have %llu bytes; they may have %d", (unsigned long long)tree->bytes,
		WIRE_CREDENTIAL_MAX);
}

int vmtree_scan_encrypted(struct vmtree *tree, int dirfd, const char *dir, size_t room, struct problem *problem)
{
	struct scan scan = { .tree = tree, .room = room, .credentials = true, .max = VMTREE_ENCRYPTED_MAX, .path = "" };
	int rc = scan_begin(tree, dirfd, dir, "credentials.encrypted", problem);

	if (rc <= 0)
		return rc;
	if (scan_list(&scan, tree->fd, problem) < 0)
		return -1;
	scan_end(tree);
	return 0;
}

void vmtree_finish(struct vmtree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		node_finish(&tree->nodes[i]);
	free(tree->nodes);
	free(tree->label);
	if (tree->fd >= 0)
		close(tree->fd);
	*tree = VMTREE_EMPTY;
}

/* --- comparing -------------------------------------------------------------------------------------------------- */

int vmtree_compare(const struct vmtree *tree, const struct vmtree *later, struct problem *problem)
{
	if ((tree->fd < 0) != (later->fd < 0) || (tree->fd >= 0 && !same(&tree->stat, &later->stat)))
		return vmtree_problem(tree, "", problem, "was replaced while it was read");
	for (size_t i = 0; i < tree->n || i < later->n; i++) {
		const struct vmtree_node *a = i < tree->n ? &tree->nodes[i] : NULL;
		const struct vmtree_node *b = i < later->n ? &later->nodes[i] : NULL;
		int order = !a ? 1 : !b ? -1 : compare_paths(a->path, b->path);

		if (order != 0)
			return vmtree_problem(tree, order < 0 ? a->path : b->path, problem,
				"%s while the directory was read", order < 0 ? "vanished" : "appeared");
		if (!same(&a->stat, &b->stat) || (a->target && strcmp(a->target, b->target) != 0))
			return vmtree_problem(tree, a->path, problem, "changed while it was read");
	}
	return 0;
}

uint64_t vmtree_changed_ns(const struct vmtree *tree)
{
	uint64_t youngest = 0;

	for (size_t i = 0; i < tree->n; i++) {
		const struct timespec *t = &tree->nodes[i].stat.st_ctim;
		uint64_t ns = (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec;

		if (t->tv_sec > 0 && ns > youngest)
			youngest = ns;
	}
	return youngest;
}
