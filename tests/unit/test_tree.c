/* SPDX-License-Identifier: MIT */
/* Trees on real file systems: a stage in /tmp, and the guest's root there, or on another one in /dev/shm. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../init/entries.h"
#include "../../init/tree.h"

struct fixture {
	char top[40], far_top[40];       /* what holds all of it */
	int at, far_at;
	int stage, root, far;            /* far: a root on another file system */
	bool exdev;                      /* it is one */
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int dir_open(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int create(void **state)
{
	static struct fixture f;
	struct stat a, b;

	umask(022);
	strcpy(f.top, "/tmp/hawser-tree-XXXXXX");
	strcpy(f.far_top, "/dev/shm/hawser-tree-XXXXXX");
	if (!mkdtemp(f.top))
		return -1;
	if (!mkdtemp(f.far_top)) {
		strcpy(f.far_top, "/tmp/hawser-tree-XXXXXX");
		if (!mkdtemp(f.far_top))
			return -1;
	}
	f.at = dir_open(AT_FDCWD, f.top);
	f.far_at = dir_open(AT_FDCWD, f.far_top);
	mkdirat(f.at, "stage", 0700);
	mkdirat(f.at, "root", 0755);
	mkdirat(f.far_at, "root", 0755);
	f.stage = dir_open(f.at, "stage");
	f.root = dir_open(f.at, "root");
	f.far = dir_open(f.far_at, "root");
	f.exdev = fstat(f.stage, &a) == 0 && fstat(f.far, &b) == 0 && a.st_dev != b.st_dev;
	*state = &f;
	return f.stage < 0 || f.root < 0 || f.far < 0;
}

static int destroy(void **state)
{
	struct fixture *f = *state;

	close(f->stage);
	close(f->root);
	close(f->far);
	close(f->at);
	close(f->far_at);
	return nftw(f->top, remove_one, 16, FTW_DEPTH | FTW_PHYS) |
		nftw(f->far_top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct wire_node node(uint32_t mode, uint64_t size)
{
	return (struct wire_node){ .mode = mode, .uid = geteuid(), .gid = getegid(), .size = size };
}

static void put(int at, const char *path, const void *bytes, size_t len)
{
	int fd = openat(at, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void put_dir(int at, const char *path)
{
	assert_int_equal(mkdirat(at, path, 0755), 0);
}

static void put_link(int at, const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, at, path), 0);
}

static bool there(int at, const char *path)
{
	return faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_file(int at, const char *path, const void *bytes, size_t len)
{
	char *got = malloc(len + 1);
	int fd = openat(at, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, len + 1), len);
	assert_memory_equal(got, bytes, len);
	free(got);
	close(fd);
}

static void assert_link(int at, const char *path, const char *target)
{
	char got[256];
	ssize_t n = readlinkat(at, path, got, sizeof got);

	assert_int_equal(n, strlen(target));
	assert_memory_equal(got, target, (size_t)n);
}

static mode_t mode_of(int at, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static int make_dir(const struct fixture *f, const char *path)
{
	return tree_make_dir(f->stage, wire_text(path));
}

static int make_link(const struct fixture *f, const char *path, const char *target)
{
	return tree_make_link(f->stage, wire_text(path), wire_text(target));
}

/* A staged file with a text in it. */
static int make_file(const struct fixture *f, const char *path, const char *text)
{
	int fd = tree_make_file(f->stage, wire_text(path));

	if (fd < 0)
		return fd;
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return 0;
}

/* --- in the stage ----------------------------------------------------------------------------------------------- */

static void stages(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_dir(f, "etc"), 0);
	assert_int_equal(make_dir(f, "etc/app"), 0);
	assert_int_equal(make_dir(f, "etc/app/d"), 0);
	assert_int_equal(make_file(f, "etc/app/d/conf", "x=1"), 0);
	assert_int_equal(make_file(f, "top", ""), 0);
	assert_int_equal(make_link(f, "etc/now", "app/d"), 0);
	assert_int_equal(make_link(f, "dangling", "no/such"), 0);
	assert_file(f->stage, "etc/app/d/conf", "x=1", 3);
	assert_file(f->stage, "top", "", 0);
	assert_link(f->stage, "etc/now", "app/d");
	assert_link(f->stage, "dangling", "no/such");
	/* Nobody else looks into it before it has its owner and mode. */
	assert_int_equal(mode_of(f->stage, "etc/app"), 0700);
	assert_int_equal(mode_of(f->stage, "etc/app/d/conf"), 0600);
}

static void nothing_twice(void **state)
{
	static const char *const names[] = { "dir", "file", "link", "dead" };
	struct fixture *f = *state;

	assert_int_equal(make_dir(f, "dir"), 0);
	assert_int_equal(make_file(f, "file", "x"), 0);
	assert_int_equal(make_link(f, "link", "dir"), 0);
	assert_int_equal(make_link(f, "dead", "no/such"), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(make_dir(f, names[i]), -EEXIST);
		assert_int_equal(make_file(f, names[i], "y"), -EEXIST);
		assert_int_equal(make_link(f, names[i], "z"), -EEXIST);
	}
	assert_file(f->stage, "file", "x", 1);
	assert_link(f->stage, "link", "dir");
	assert_false(there(f->stage, "no"));
}

static void no_way_there(void **state)
{
	static const struct { const char *path; int error; } cases[] = {
		{ "none/x", -ENOENT }, { "dir/none/x", -ENOENT }, { "file/x", -ENOTDIR }, { "file/x/y", -ENOTDIR },
		{ "link/x", -ELOOP }, { "link/sub/x", -ELOOP }, { "dir/up/x", -ELOOP }, { "out/x", -ELOOP },
		{ "dead/x", -ELOOP }, { "dir/abs/x", -ELOOP },
	};
	struct fixture *f = *state;

	make_dir(f, "dir");
	make_dir(f, "dir/sub");
	make_file(f, "file", "");
	make_link(f, "link", "dir");
	make_link(f, "dir/up", ".");
	make_link(f, "out", "../root");
	make_link(f, "dead", "no/such");
	make_link(f, "dir/abs", "/tmp");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(make_dir(f, cases[i].path), cases[i].error);
		assert_int_equal(make_file(f, cases[i].path, ""), cases[i].error);
		assert_int_equal(make_link(f, cases[i].path, "x"), cases[i].error);
	}
	assert_false(there(f->root, "x"));
	assert_false(there(f->stage, "dir/sub/x"));
}

static void long_paths(void **state)
{
	struct fixture *f = *state;
	char path[WIRE_PATH_MAX + 2], name[300];
	size_t len = 0;

	memset(name, 'n', sizeof name);
	name[256] = '\0';
	assert_int_equal(make_dir(f, name), -ENAMETOOLONG);
	assert_int_equal(make_file(f, name, ""), -ENAMETOOLONG);
	assert_int_equal(make_link(f, name, "x"), -ENAMETOOLONG);
	name[255] = '\0';
	/* As long as a path may be: 15 directories and a file. */
	for (int i = 0; i < 15; i++) {
		memset(path + len, 'a' + i, 255);
		path[len + 255] = '\0';
		assert_int_equal(make_dir(f, path), 0);
		path[len + 255] = '/';
		len += 256;
	}
	memset(path + len, 'f', 255);
	path[len + 255] = '\0';
	assert_int_equal(strlen(path), WIRE_PATH_MAX);
	assert_int_equal(make_file(f, path, "deep"), 0);
	/* One byte more is more than a path is. */
	path[WIRE_PATH_MAX] = 'f';
	path[WIRE_PATH_MAX + 1] = '\0';
	assert_int_equal(make_file(f, path, ""), -ENAMETOOLONG);
	assert_int_equal(make_dir(f, path), -ENAMETOOLONG);
	assert_int_equal(make_link(f, path, ""), -ENAMETOOLONG);
	tree_remove(f->at, "stage");
	assert_false(there(f->at, "stage"));
}

/* --- into the root ---------------------------------------------------------------------------------------------- */

static int move_file(const struct fixture *f, int to, const char *path, const char *text, uint32_t mode)
{
	struct wire_node n = node(mode, strlen(text));
	int error = make_file(f, path, text);

	assert_int_equal(error, 0);
	return tree_move(f->stage, to, wire_text(path), &n, false);
}

static void moves(void **state)
{
	struct fixture *f = *state;
	struct wire_node link = node(0, 0);
	struct stat before, after;

	put_dir(f->root, "etc");
	make_dir(f, "etc");
	assert_int_equal(make_file(f, "etc/motd", "ahoy"), 0);
	fstatat(f->stage, "etc/motd", &before, 0);
	assert_int_equal(tree_move(f->stage, f->root, wire_text("etc/motd"), &(struct wire_node){ .mode = 0640,
		.uid = geteuid(), .gid = getegid(), .size = 4 }, false), 0);
	fstatat(f->root, "etc/motd", &after, 0);
	assert_int_equal(before.st_ino, after.st_ino);   /* without a copy */
	assert_int_equal(after.st_mode & 07777, 0640);
	assert_file(f->root, "etc/motd", "ahoy", 4);
	assert_false(there(f->stage, "etc/motd"));

	assert_int_equal(move_file(f, f->root, "top", "", 04755), 0);
	assert_int_equal(mode_of(f->root, "top"), 04755);
	make_link(f, "etc/now", "motd");
	link.target = wire_text("motd");
	assert_int_equal(tree_move(f->stage, f->root, wire_text("etc/now"), &link, true), 0);
	assert_link(f->root, "etc/now", "motd");
	assert_int_equal(mode_of(f->root, "etc/motd"), 0640);    /* not through it */
}

/* What the image has there is replaced, by whatever means; a directory is not. */
static void replaces(void **state)
{
	struct fixture *f = *state;
	int roots[] = { f->root, f->far };

	for (size_t i = 0; i < 2; i++) {
		int to = roots[i];
		struct wire_node link = node(0, 0);

		put(to, "file", "old and longer", 14);
		put(to, "precious", "keep", 4);
		put_link(to, "link", "precious");
		put_link(to, "dead", "no/such");
		put_dir(to, "dir");
		assert_int_equal(move_file(f, to, "file", "new", 0600), 0);
		assert_file(to, "file", "new", 3);
		assert_int_equal(move_file(f, to, "link", "new", 0600), 0);
		assert_file(to, "link", "new", 3);
		assert_file(to, "precious", "keep", 4);
		assert_int_equal(mode_of(to, "precious"), 0644);
		assert_int_equal(move_file(f, to, "dead", "new", 0600), 0);
		assert_file(to, "dead", "new", 3);
		assert_true(move_file(f, to, "dir", "new", 0600) < 0);
		assert_int_equal(mode_of(to, "dir"), 0755);
		put(to, "file2", "old", 3);
		make_link(f, "file2", "precious");
		link.target = wire_text("precious");
		assert_int_equal(tree_move(f->stage, to, wire_text("file2"), &link, true), 0);
		assert_link(to, "file2", "precious");
		tree_remove(f->at, "stage");
		put_dir(f->at, "stage");
		close(f->stage);
		f->stage = dir_open(f->at, "stage");
	}
}

/* The image's own links are followed, absolute or not, and lead nowhere but into the image. */
static void through_the_images_links(void **state)
{
	struct fixture *f = *state;
	char outside[64];                /* a file that must not be made, and the same below the root */

	put_dir(f->root, "usr");
	put_dir(f->root, "usr/bin");
	put_dir(f->root, "tmp");
	put_link(f->root, "bin", "usr/bin");
	put_link(f->root, "abs", "/usr/bin");
	put_link(f->root, "usr/up", "../../../../../../usr/bin");
	put_link(f->root, "out", "/tmp");
	put_link(f->root, "loop", "loop");
	make_dir(f, "bin");
	make_dir(f, "abs");
	make_dir(f, "usr");
	make_dir(f, "usr/up");
	make_dir(f, "out");
	make_dir(f, "loop");
	make_dir(f, "none");
	assert_int_equal(move_file(f, f->root, "bin/a", "1", 0755), 0);
	assert_int_equal(move_file(f, f->root, "abs/b", "2", 0755), 0);
	assert_int_equal(move_file(f, f->root, "usr/up/c", "3", 0755), 0);
	strcat(strcpy(outside, f->top), "-out");
	memcpy(outside + 1, "out", 3);
	assert_int_equal(move_file(f, f->root, outside + 1, "4", 0644), 0);
	memcpy(outside + 1, "tmp", 3);
	assert_file(f->root, "usr/bin/a", "1", 1);
	assert_file(f->root, "usr/bin/b", "2", 1);
	assert_file(f->root, "usr/bin/c", "3", 1);
	assert_file(f->root, outside + 1, "4", 1);
	assert_false(there(AT_FDCWD, outside));
	assert_int_equal(move_file(f, f->root, "loop/x", "", 0644), -ELOOP);
	assert_int_equal(move_file(f, f->root, "none/x", "", 0644), -ENOENT);
	assert_link(f->root, "bin", "usr/bin");
}

/* Never through a link of the session: the stage has none on the way, and what was staged is looked up there. */
static void not_through_the_stages_links(void **state)
{
	struct fixture *f = *state;
	struct wire_node n = node(0644, 0);

	put_dir(f->root, "a");
	make_dir(f, "real");
	make_file(f, "real/x", "");
	put_link(f->stage, "a", "real");
	assert_int_equal(tree_move(f->stage, f->root, wire_text("a/x"), &n, false), -ELOOP);
	assert_true(there(f->stage, "real/x"));
	assert_false(there(f->root, "a/x"));
	assert_int_equal(tree_move(f->stage, f->root, wire_text("real/none"), &n, false), -ENOENT);
}

/* Another file system: a copy, with all that a rename would have kept. */
static void copies(void **state)
{
	struct fixture *f = *state;
	size_t len = 5 << 20;
	char *big = malloc(len);
	struct wire_node n = node(04751, len), link = node(0, 0), empty = node(0600, 0), lies = node(0644, 4);
	int fd;

	if (!f->exdev) {
		free(big);
		skip();
	}
	for (size_t i = 0; i < len; i++)
		big[i] = (char)((i * 2654435761u) >> 11);
	make_dir(f, "d");
	put_dir(f->far, "d");
	fd = tree_make_file(f->stage, wire_text("d/big"));
	assert_int_equal(write(fd, big, len), len);
	close(fd);
	assert_int_equal(tree_move(f->stage, f->far, wire_text("d/big"), &n, false), 0);
	assert_file(f->far, "d/big", big, len);
	assert_int_equal(mode_of(f->far, "d/big"), 04751);
	free(big);
	assert_int_equal(move_file(f, f->far, "empty", "", 0600), 0);
	assert_file(f->far, "empty", "", 0);
	assert_int_equal(mode_of(f->far, "empty"), 0600);
	make_link(f, "d/link", "../empty");
	link.target = wire_text("../empty");
	assert_int_equal(tree_move(f->stage, f->far, wire_text("d/link"), &link, true), 0);
	assert_link(f->far, "d/link", "../empty");
	put(f->far, "d/file", "x", 1);
	make_dir(f, "d/file");
	make_file(f, "d/file/x", "");
	assert_int_equal(tree_move(f->stage, f->far, wire_text("d/file/x"), &empty, false), -ENOTDIR);
	/* Fewer bytes than were promised are not passed over. */
	make_file(f, "short", "ab");
	assert_int_equal(tree_move(f->stage, f->far, wire_text("short"), &lies, false), -EIO);
}

static void owners(void **state)
{
	struct fixture *f = *state;
	struct wire_node n = { .mode = 06755, .uid = 1234, .gid = 5678, .size = 1, .target = wire_text("x") };
	int roots[] = { f->root, f->far };
	struct stat st;

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < 2; i++) {
		make_file(f, "file", "x");
		assert_int_equal(tree_move(f->stage, roots[i], wire_text("file"), &n, false), 0);
		assert_int_equal(fstatat(roots[i], "file", &st, 0), 0);
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(st.st_gid, 5678);
		assert_int_equal(st.st_mode & 07777, 06755);     /* not taken away by the change of owner */
		make_link(f, "link", "x");
		assert_int_equal(tree_move(f->stage, roots[i], wire_text("link"), &n, true), 0);
		assert_int_equal(fstatat(roots[i], "link", &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(tree_place_dir(roots[i], wire_text("dir"), &n), 0);
		assert_int_equal(fstatat(roots[i], "dir", &st, 0), 0);
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(st.st_mode & 07777, 06755);
		tree_remove(f->stage, "file");
		unlinkat(f->stage, "file", 0);
		unlinkat(f->stage, "link", 0);
	}
}

static void not_ours_to_give(void **state)
{
	struct fixture *f = *state;
	struct wire_node n = { .mode = 0644, .uid = 0, .gid = 0 };

	if (geteuid() == 0)
		skip();
	make_file(f, "file", "");
	assert_int_equal(tree_move(f->stage, f->root, wire_text("file"), &n, false), -EPERM);
	assert_false(there(f->root, "file"));
}

static void places_directories(void **state)
{
	struct fixture *f = *state;
	struct wire_node n = node(01770, 0);

	assert_int_equal(tree_place_dir(f->root, wire_text("new"), &n), 0);
	assert_int_equal(mode_of(f->root, "new"), 01770);
	assert_int_equal(tree_place_dir(f->root, wire_text("new/sub"), &n), 0);
	assert_int_equal(tree_place_dir(f->root, wire_text("new"), &n), 0);
	/* What is there keeps its mode. */
	put_dir(f->root, "usr");
	put_dir(f->root, "usr/lib");
	assert_int_equal(tree_place_dir(f->root, wire_text("usr/lib"), &n), 0);
	assert_int_equal(mode_of(f->root, "usr/lib"), 0755);
	/* A link to a directory is as good, if it stays in the root. */
	put_link(f->root, "lib", "usr/lib");
	put_link(f->root, "abs", "/usr");
	put_link(f->root, "conf", "/etc");
	put_link(f->root, "to_file", "usr/lib/file");
	put(f->root, "usr/lib/file", "", 0);
	assert_int_equal(tree_place_dir(f->root, wire_text("lib"), &n), 0);
	assert_link(f->root, "lib", "usr/lib");
	assert_int_equal(tree_place_dir(f->root, wire_text("lib/below"), &n), 0);
	assert_int_equal(mode_of(f->root, "usr/lib/below"), 01770);
	assert_int_equal(tree_place_dir(f->root, wire_text("abs/share"), &n), 0);
	assert_true(there(f->root, "usr/share"));
	assert_int_equal(tree_place_dir(f->root, wire_text("conf"), &n), -ENOENT);       /* which the root has not */
	assert_int_equal(tree_place_dir(f->root, wire_text("conf/x"), &n), -ENOENT);
	assert_int_equal(tree_place_dir(f->root, wire_text("usr/lib/file"), &n), -ENOTDIR);
	assert_int_equal(tree_place_dir(f->root, wire_text("to_file"), &n), -ENOTDIR);
	assert_int_equal(tree_place_dir(f->root, wire_text("usr/lib/file/x"), &n), -ENOTDIR);
	assert_int_equal(tree_place_dir(f->root, wire_text("none/x"), &n), -ENOENT);
}

/* --- removing --------------------------------------------------------------------------------------------------- */

static void removes(void **state)
{
	struct fixture *f = *state;
	char name[32];

	put_dir(f->root, "outside");
	put(f->root, "outside/file", "x", 1);
	put_dir(f->stage, "d");
	put_dir(f->stage, "d/e");
	put_link(f->stage, "d/e/out", "../../../root/outside");
	put_link(f->stage, "out", "../root/outside");
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "d/e/file-%d", i);
		put(f->stage, name, "x", 1);
		snprintf(name, sizeof name, "d/dir-%d", i);
		put_dir(f->stage, name);
	}
	tree_remove(f->stage, "out");
	assert_true(there(f->stage, "out"));     /* a link is not what it was asked to remove */
	tree_remove(f->stage, "none");
	tree_remove(f->at, "stage");
	assert_false(there(f->at, "stage"));
	assert_true(there(f->root, "outside/file"));
}

static void removes_deep(void **state)
{
	struct fixture *f = *state;
	char path[WIRE_PATH_MAX + 1] = "d";

	for (int depth = 1; depth < 200; depth++) {
		put_dir(f->stage, path);
		strcat(path, "/d");
	}
	tree_remove(f->at, "stage");
	assert_false(there(f->at, "stage"));
}

static void wipes(void **state)
{
	static const size_t sizes[] = { 0, 1, 511, 512, 513, 4096, 100000 };
	struct fixture *f = *state;
	char name[32], *bytes = malloc(100000);
	int open_files[7];

	put(f->root, "outside", "precious", 8);
	put_link(f->stage, "link", "../root/outside");
	memset(bytes, 's', 100000);
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof name, "secret%d", i);
		put(f->stage, name, bytes, sizes[i]);
		open_files[i] = openat(f->stage, name, O_RDONLY | O_CLOEXEC);
	}
	tree_wipe(f->stage);
	for (int i = 0; i < 7; i++) {
		ssize_t n;

		snprintf(name, sizeof name, "secret%d", i);
		assert_false(there(f->stage, name));
		/* It is gone, and nothing of it is where it was. */
		while ((n = read(open_files[i], bytes, 100000)) > 0)
			for (ssize_t at = 0; at < n; at++)
				assert_int_equal(bytes[at], 0);
		assert_in_range(lseek(open_files[i], 0, SEEK_END), sizes[i], sizes[i] + 512);
		close(open_files[i]);
	}
	assert_file(f->root, "outside", "precious", 8);
	free(bytes);
}

static unsigned count_length(int dirfd, const char *name, void *arg)
{
	assert_true(there(dirfd, name));
	assert_true(strcmp(name, ".") && strcmp(name, ".."));
	++*(unsigned *)arg;
	return (unsigned)strlen(name);
}

static void entries(void **state)
{
	struct fixture *f = *state;
	unsigned sum = 0, n = 0;
	char name[200];

	assert_int_equal(entries_each(f->stage, count_length, &n), 0);
	for (unsigned i = 1; i < 200; i++) {
		memset(name, 'n', i);
		name[i] = '\0';
		put(f->stage, name, "", 0);
		sum += i;
	}
	put_dir(f->stage, "...");
	put_dir(f->stage, ".x");
	for (int again = 0; again < 2; again++) {
		n = 0;
		assert_int_equal(entries_each(f->stage, count_length, &n), sum + 5);
		assert_int_equal(n, 201);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)
	const struct CMUnitTest tests[] = {
		TEST(stages), TEST(nothing_twice), TEST(no_way_there), TEST(long_paths), TEST(moves), TEST(replaces),
		TEST(through_the_images_links), TEST(not_through_the_stages_links), TEST(copies), TEST(owners),
		TEST(not_ours_to_give), TEST(places_directories), TEST(removes), TEST(removes_deep), TEST(wipes),
		TEST(entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
