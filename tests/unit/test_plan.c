/* SPDX-License-Identifier: MIT */
/* Plans, from frames as they come: staged in a directory of the test's own, and with a ramfs that is none. */
#include <dirent.h>
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../init/mount.h"
#include "../../init/plan.h"
#include "../../init/tree.h"

static int mounted, mount_error;

static int test_mount_secret(const char *where)
{
	assert_string_equal(where, "secrets");
	if (mount_error)
		return mount_error;
	mounted++;
	return 0;
}

static void test_mount_detach(const char *where)
{
	assert_string_equal(where, "secrets");
	mounted--;
}

/* The same code, with places of the test's own and a ramfs that only root could have. */
#undef PLAN_STAGE
#define PLAN_STAGE "stage"
#undef PLAN_SECRETS
#define PLAN_SECRETS "secrets"
#define mount_secret test_mount_secret
#define mount_detach test_mount_detach
#include "../../init/plan.c"

struct fixture {
	char dir[32];
	struct plan plan;
	uint32_t count, crc;     /* as the host counts */
	int fds;                 /* that were open before */
};

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int create(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .fds = count_fds() };
	mounted = mount_error = 0;
	strcpy(f.dir, "/tmp/hawser-plan-XXXXXX");
	*state = &f;
	return !mkdtemp(f.dir) || chdir(f.dir) < 0 || plan_create(&f.plan) < 0;
}

static int destroy(void **state)
{
	struct fixture *f = *state;

	plan_reset(&f->plan);
	plan_destroy(&f->plan);
	return chdir("/") < 0 || nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0;
}

static bool there(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Gives the plan a frame, as it lies behind another in a buffer. What is wrong with it, or NULL. */
static const char *take(struct fixture *f, const struct wire_boot *record)
{
	static uint8_t bytes[8 + WIRE_FRAME_MAX];
	struct wire_out out = { .buf = bytes + 8, .size = sizeof bytes - 8 };
	struct wire_frame frame;

	if (!wire_boot_encode(&out, record))
		fail_msg("%s cannot be encoded", wire_type_name(record->type));
	assert_int_equal(wire_split(bytes + 8, out.len, &frame), out.len);
	f->count++;
	f->crc = wire_crc32(f->crc, bytes + 8, out.len);
	errno = EXDEV;
	return plan_take(&f->plan, &frame);
}

static const char *take_text(struct fixture *f, uint16_t type, const char *text)
{
	return take(f, &(struct wire_boot){ .type = type, .text = wire_text(text) });
}

static const char *take_sysctl(struct fixture *f, const char *name, const char *value)
{
	return take(f, &(struct wire_boot){ .type = WIRE_SYSCTL,
		.sysctl = { .name = wire_text(name), .value = wire_text(value) } });
}

static const char *take_node(struct fixture *f, uint16_t type, const char *path, uint64_t size)
{
	return take(f, &(struct wire_boot){ .type = type,
		.node = { .mode = 0644, .size = size, .path = wire_text(path) } });
}

static const char *take_link(struct fixture *f, const char *path, const char *target)
{
	return take(f, &(struct wire_boot){ .type = WIRE_SYMLINK,
		.node = { .path = wire_text(path), .target = wire_text(target) } });
}

static const char *take_data(struct fixture *f, const void *bytes, size_t len)
{
	return take(f, &(struct wire_boot){ .type = WIRE_DATA, .text = { bytes, (uint32_t)len } });
}

static const char *take_file(struct fixture *f, uint16_t type, const char *path, const char *text)
{
	const char *wrong = take_node(f, type, path, strlen(text));

	return wrong || !*text ? wrong : take_data(f, text, strlen(text));
}

#define GOOD(call) \
	do { \
		const char *wrong_ = (call); \
		if (wrong_) \
			fail_msg("%s: %s", #call, wrong_); \
	} while (0)

/* The record's fault, and not the system's. */
#define WRONG(call, why) \
	do { \
		const char *wrong_ = (call); \
		if (!wrong_) \
			fail_msg("%s is taken", #call); \
		assert_int_equal(errno, 0); \
		assert_string_equal(wrong_, why); \
	} while (0)

static void assert_file(const char *path, const void *bytes, size_t len)
{
	char *got = malloc(len + 1);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, len + 1), len);
	assert_memory_equal(got, bytes, len);
	free(got);
	close(fd);
}

/* One of each: 21 frames. */
static void take_all(struct fixture *f)
{
	GOOD(take_text(f, WIRE_HOSTNAME, "harbour"));
	GOOD(take_text(f, WIRE_ARG, "/bin/app"));
	GOOD(take_text(f, WIRE_ARG, "/bin/app"));
	GOOD(take_text(f, WIRE_ENV, "A=1"));
	GOOD(take_text(f, WIRE_ENV, "AB=1"));
	GOOD(take_text(f, WIRE_CWD, "/"));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_USER, .user = { .uid = 1 } }));
	GOOD(take_sysctl(f, "kernel.panic", "5"));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_MOUNT, .mount = { wire_text("/data"), wire_text("tmpfs"),
		wire_text("tmpfs"), wire_text("") } }));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_WORKLOAD, .workload = { .stop_signal = 15 } }));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_LOG, .log = { .ring = 65536 } }));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_POWER, .power = 1 }));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_CONTROL, .verbs = 8 }));
	GOOD(take(f, &(struct wire_boot){ .type = WIRE_HANDOFF }));
	GOOD(take_node(f, WIRE_DIR, "etc", 0));
	GOOD(take_file(f, WIRE_FILE, "etc/motd", "ahoy!\n"));
	GOOD(take_link(f, "etc/now", "motd"));
	GOOD(take_file(f, WIRE_CREDENTIAL, "db.key", "key"));
}

static void whole(void **state)
{
	static const uint16_t types[] = { WIRE_HOSTNAME, WIRE_ARG, WIRE_ARG, WIRE_ENV, WIRE_ENV, WIRE_CWD, WIRE_USER,
		WIRE_SYSCTL, WIRE_MOUNT, WIRE_WORKLOAD, WIRE_LOG, WIRE_POWER, WIRE_CONTROL, WIRE_HANDOFF, WIRE_DIR,
		WIRE_FILE, WIRE_SYMLINK, WIRE_CREDENTIAL };
	struct fixture *f = *state;
	struct wire_boot record;
	struct wire_frame frame;
	size_t at = 0;

	take_all(f);
	assert_int_equal(f->count, 20);
	assert_ptr_equal(plan_check(&f->plan, f->count, f->crc), NULL);
	assert_string_equal(plan_check(&f->plan, f->count + 1, f->crc), "the number of records differs");
	assert_string_equal(plan_check(&f->plan, f->count - 1, f->crc), "the number of records differs");
	assert_string_equal(plan_check(&f->plan, f->count, f->crc ^ 1), "the checksum differs");
	/* In their order, without DATA. */
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		assert_true(plan_frame(&f->plan, &at, &frame));
		assert_int_equal(frame.type, types[i]);
		assert_ptr_equal(wire_boot_decode(&frame, &record), NULL);
	}
	assert_true(wire_text_is(record.node.path, "db.key"));
	assert_int_equal(record.node.size, 3);
	assert_false(plan_frame(&f->plan, &at, &frame));
	/* Staged, each for itself. */
	assert_file("stage/etc/motd", "ahoy!\n", 6);
	assert_true(there("stage/etc/now"));
	assert_file("secrets/db.key", "key", 3);
	assert_int_equal(mounted, 1);
	assert_false(there("stage/db.key"));
	assert_int_equal(f->plan.open, -1);
}

static void empty(void **state)
{
	struct fixture *f = *state;
	struct wire_frame frame;
	size_t at = 0;

	assert_ptr_equal(plan_check(&f->plan, 0, 0), NULL);
	assert_false(plan_frame(&f->plan, &at, &frame));
	assert_false(there("stage"));
	assert_false(there("secrets"));
}

/* --- duplicates ------------------------------------------------------------------------------------------------- */

static void once_only(void **state)
{
	static const struct wire_boot records[] = {
		{ .type = WIRE_HOSTNAME, .text = { "a", 1 } }, { .type = WIRE_CWD, .text = { "/", 1 } },
		{ .type = WIRE_USER }, { .type = WIRE_WORKLOAD, .workload = { .stop_signal = 1 } },
		{ .type = WIRE_LOG, .log = { .ring = 65536 } }, { .type = WIRE_POWER }, { .type = WIRE_CONTROL },
		{ .type = WIRE_HANDOFF },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof records / sizeof *records; i++)
		GOOD(take(f, &records[i]));
	for (size_t i = 0; i < sizeof records / sizeof *records; i++)
		WRONG(take(f, &records[i]), "comes twice");
	plan_reset(&f->plan);
	for (size_t i = 0; i < sizeof records / sizeof *records; i++)
		GOOD(take(f, &records[i]));
}

static void same_names(void **state)
{
	struct fixture *f = *state;
	struct wire_boot mount = { .type = WIRE_MOUNT, .mount = { wire_text("/data"), wire_text("tmpfs"),
		wire_text("tmpfs"), wire_text("") } };

	GOOD(take_text(f, WIRE_ENV, "NAME=value"));
	GOOD(take_text(f, WIRE_ENV, "NAM=value"));
	GOOD(take_text(f, WIRE_ENV, "NAMES=value"));
	GOOD(take_text(f, WIRE_ENV, "name=value"));
	WRONG(take_text(f, WIRE_ENV, "NAME=other"), "comes twice for the same name");
	WRONG(take_text(f, WIRE_ENV, "NAME=value"), "comes twice for the same name");
	WRONG(take_text(f, WIRE_ENV, "NAM="), "comes twice for the same name");
	GOOD(take_sysctl(f, "kernel.panic", "1"));
	GOOD(take_sysctl(f, "kernel.pani", "1"));
	GOOD(take_sysctl(f, "NAME", "1"));
	WRONG(take_sysctl(f, "kernel.panic", "2"), "comes twice for the same name");
	/* Arguments have no name, and mounts may lie on one another. */
	GOOD(take_text(f, WIRE_ARG, "NAME=value"));
	GOOD(take_text(f, WIRE_ARG, "NAME=value"));
	GOOD(take(f, &mount));
	GOOD(take(f, &mount));
}

struct hashed {
	uint32_t hash, number;
};

static int hashed_compare(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Letters that depend on the number in a tangled way: names that count up have no hash in common. */
static void hashed_name(uint32_t number, char name[static 16])
{
	uint64_t n = number;

	for (int i = 0; i < 12; i++) {
		n = n * 6364136223846793005u + 1442695040888963407u;
		name[i] = (char)('a' + (n >> 58) % 26);
	}
	name[12] = '\0';
}

/* Two names with one hash are two names. */
static void same_hashes(void **state)
{
	enum { NAMES = 300000 };
	struct fixture *f = *state;
	struct hashed *all = malloc(NAMES * sizeof *all);
	unsigned found = 0;
	char name[16], other[16];

	for (uint32_t i = 0; i < NAMES; i++) {
		hashed_name(i, name);
		all[i] = (struct hashed){ hash(WIRE_SYSCTL, wire_text(name)), i };
	}
	qsort(all, NAMES, sizeof *all, hashed_compare);
	for (uint32_t i = 0; i + 1 < NAMES; i++) {
		if (all[i].hash != all[i + 1].hash)
			continue;
		hashed_name(all[i].number, name);
		hashed_name(all[i + 1].number, other);
		GOOD(take_sysctl(f, name, "1"));
		GOOD(take_sysctl(f, other, "1"));
		WRONG(take_sysctl(f, name, "1"), "comes twice for the same name");
		WRONG(take_sysctl(f, other, "1"), "comes twice for the same name");
		found++;
	}
	assert_true(found > 0);
	free(all);
}

/* More names than hashes are kept for. */
static void many_names(void **state)
{
	struct fixture *f = *state;
	char name[24];

	for (int i = 0; i < HASHES_MAX + 30; i++) {
		snprintf(name, sizeof name, "n%d", i);
		GOOD(take_sysctl(f, name, "1"));
	}
	WRONG(take_sysctl(f, "n0", "1"), "comes twice for the same name");
	WRONG(take_sysctl(f, "n8191", "1"), "comes twice for the same name");
	WRONG(take_sysctl(f, "n8192", "1"), "comes twice for the same name");
	WRONG(take_sysctl(f, "n8221", "1"), "comes twice for the same name");
	GOOD(take_sysctl(f, "n8222", "1"));
	plan_reset(&f->plan);
	GOOD(take_sysctl(f, "n0", "1"));
}

static void same_paths(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = { "dir", "file", "link" };

	GOOD(take_node(f, WIRE_DIR, "dir", 0));
	GOOD(take_node(f, WIRE_FILE, "file", 0));
	GOOD(take_link(f, "link", "dir"));
	GOOD(take_node(f, WIRE_CREDENTIAL, "dir", 0));   /* which lies elsewhere */
	for (size_t i = 0; i < 3; i++) {
		WRONG(take_node(f, WIRE_DIR, paths[i], 0), "comes twice for the same path");
		assert_true(wire_text_is(f->plan.wrong, paths[i]));
		WRONG(take_node(f, WIRE_FILE, paths[i], 0), "comes twice for the same path");
		WRONG(take_link(f, paths[i], "x"), "comes twice for the same path");
	}
	WRONG(take_node(f, WIRE_CREDENTIAL, "dir", 0), "comes twice for the same path");
	GOOD(take_node(f, WIRE_DIR, "dir/file", 0));
	assert_int_equal(f->plan.wrong.len, 0);
}

/* --- where it lies ---------------------------------------------------------------------------------------------- */

static void no_way_there(void **state)
{
	struct fixture *f = *state;
	char name[300];

	GOOD(take_node(f, WIRE_FILE, "file", 0));
	GOOD(take_node(f, WIRE_DIR, "dir", 0));
	GOOD(take_link(f, "link", "dir"));
	GOOD(take_link(f, "dir/up", "../dir"));
	WRONG(take_node(f, WIRE_FILE, "none/x", 0), "comes without the directory it lies in");
	WRONG(take_node(f, WIRE_DIR, "none/x", 0), "comes without the directory it lies in");
	WRONG(take_link(f, "none/x", "y"), "comes without the directory it lies in");
	WRONG(take_node(f, WIRE_FILE, "file/x", 0), "comes without the directory it lies in");
	WRONG(take_node(f, WIRE_FILE, "link/x", 0), "lies behind a symlink");
	WRONG(take_node(f, WIRE_DIR, "link/x", 0), "lies behind a symlink");
	WRONG(take_link(f, "dir/up/x", "y"), "lies behind a symlink");
	assert_true(wire_text_is(f->plan.wrong, "dir/up/x"));
	memset(name, 'n', sizeof name);
	name[256] = '\0';
	WRONG(take_node(f, WIRE_FILE, name, 0), "has a name that is too long");
	GOOD(take_node(f, WIRE_FILE, name + 1, 0));
	/* What was wrong left nothing behind: neither a file nor one that is open. */
	assert_int_equal(f->plan.open, -1);
	assert_false(there("stage/dir/x"));
	GOOD(take_file(f, WIRE_FILE, "dir/x", "x"));
}

/* What the system cannot do is not the record's fault: errno says it. */
static void no_stage(void **state)
{
	struct fixture *f = *state;
	int fd = open("stage", O_WRONLY | O_CREAT, 0600);

	close(fd);
	assert_string_equal(take_node(f, WIRE_DIR, "dir", 0), "stage");
	assert_int_equal(errno, ENOTDIR);
	unlink("stage");
	GOOD(take_node(f, WIRE_DIR, "dir2", 0));
	mount_error = -ENODEV;
	assert_string_equal(take_node(f, WIRE_CREDENTIAL, "key", 0), "a ramfs for the credentials");
	assert_int_equal(errno, ENODEV);
	plan_reset(&f->plan);
	assert_int_equal(mounted, 0);
}

/* --- data ------------------------------------------------------------------------------------------------------- */

#define TOO_EARLY "before the data of the file or credential before it is complete"
#define TOO_LONG "longer than what its file or credential lacks"
#define ORPHAN "without a file or credential to belong to"

static void data_in_order(void **state)
{
	struct fixture *f = *state;

	WRONG(take_data(f, "x", 1), ORPHAN);
	GOOD(take_text(f, WIRE_HOSTNAME, "a"));
	WRONG(take_data(f, "x", 1), ORPHAN);
	GOOD(take_node(f, WIRE_DIR, "dir", 0));
	WRONG(take_data(f, "x", 1), ORPHAN);
	GOOD(take_node(f, WIRE_FILE, "empty", 0));
	WRONG(take_data(f, "x", 1), ORPHAN);
	GOOD(take_file(f, WIRE_FILE, "full", "abc"));
	WRONG(take_data(f, "x", 1), ORPHAN);
	GOOD(take_file(f, WIRE_CREDENTIAL, "key", "abc"));
	WRONG(take_data(f, "x", 1), ORPHAN);
	assert_file("stage/full", "abc", 3);
	assert_file("secrets/key", "abc", 3);

	GOOD(take_node(f, WIRE_FILE, "part", 5));
	WRONG(take_text(f, WIRE_CWD, "/"), TOO_EARLY);
	WRONG(take_node(f, WIRE_FILE, "next", 0), TOO_EARLY);
	assert_string_equal(plan_check(&f->plan, f->count, f->crc), "the last file or credential is not complete");
	GOOD(take_data(f, "ab", 2));
	WRONG(take_node(f, WIRE_DIR, "next", 0), TOO_EARLY);
	assert_string_equal(plan_check(&f->plan, f->count, f->crc), "the last file or credential is not complete");
	WRONG(take_data(f, "cdef", 4), TOO_LONG);
	GOOD(take_data(f, "cd", 2));
	GOOD(take_data(f, "e", 1));
	assert_file("stage/part", "abcde", 5);
	WRONG(take_data(f, "f", 1), ORPHAN);
	assert_false(there("stage/next"));
	GOOD(take_node(f, WIRE_FILE, "next", 0));
}

static void large_data(void **state)
{
	struct fixture *f = *state;
	size_t len = 3 * WIRE_PAYLOAD_MAX + 5;
	char *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 2654435761u >> 9);
	GOOD(take_node(f, WIRE_FILE, "large", len));
	for (size_t at = 0; at < len; at += WIRE_PAYLOAD_MAX)
		GOOD(take_data(f, bytes + at, len - at < WIRE_PAYLOAD_MAX ? len - at : WIRE_PAYLOAD_MAX));
	assert_ptr_equal(plan_check(&f->plan, f->count, f->crc), NULL);
	assert_file("stage/large", bytes, len);
	free(bytes);
}

/* --- bounds ----------------------------------------------------------------------------------------------------- */

/* Each counts with the 8 bytes of its header; four of the longest are 128 KiB. Three, and the text of the fourth. */
static char *most_arguments(struct fixture *f)
{
	char *text = malloc(WIRE_PAYLOAD_MAX + 1);

	memset(text, 'x', WIRE_PAYLOAD_MAX);
	text[WIRE_PAYLOAD_MAX] = '\0';
	for (int i = 0; i < 3; i++)
		GOOD(take_text(f, WIRE_ARG, text));
	text[WIRE_PAYLOAD_MAX - 8] = '\0';
	return text;
}

static void arguments_bound(void **state)
{
	struct fixture *f = *state;
	char *text = most_arguments(f);

	text[1] = '=';
	GOOD(take_text(f, WIRE_ENV, text));
	GOOD(take_text(f, WIRE_ARG, ""));
	WRONG(take_text(f, WIRE_ARG, ""), "makes arguments and environment longer than 128 KiB");
	free(text);
}

static void arguments_bound_by_one(void **state)
{
	struct fixture *f = *state;
	char *text = most_arguments(f);

	GOOD(take_text(f, WIRE_ARG, text));
	WRONG(take_text(f, WIRE_ENV, "A="), "makes arguments and environment longer than 128 KiB");
	free(text);
}

static void credentials_bound(void **state)
{
	struct fixture *f = *state;
	static char bytes[WIRE_PAYLOAD_MAX];

	GOOD(take_node(f, WIRE_CREDENTIAL, "large", WIRE_CREDENTIAL_MAX - 1));
	for (size_t left = WIRE_CREDENTIAL_MAX - 1; left > 0;) {
		size_t n = left < sizeof bytes ? left : sizeof bytes;

		GOOD(take_data(f, bytes, n));
		left -= n;
	}
	GOOD(take_file(f, WIRE_CREDENTIAL, "one", "1"));
	GOOD(take_file(f, WIRE_CREDENTIAL, "none", ""));
	GOOD(take_file(f, WIRE_FILE, "file", "no credential"));
	WRONG(take_node(f, WIRE_CREDENTIAL, "more", 1), "makes the credentials larger than 1 MiB");
	assert_false(there("secrets/more"));
}

static void records_bound(void **state)
{
	struct fixture *f = *state;
	struct wire_boot sysctl = { .type = WIRE_SYSCTL };
	char name[16], *value = calloc(1, WIRE_SYSCTL_MAX);
	size_t len = 0;

	memset(value, '7', WIRE_SYSCTL_MAX);
	/* Some of 4,112 bytes, one smaller, and one that fills it up. */
	for (int i = 0; WIRE_PLAN_MAX - len > 8000; i++) {
		snprintf(name, sizeof name, "n%05d", i);
		sysctl.sysctl.name = wire_text(name);
		sysctl.sysctl.value = (struct wire_text){ value, WIRE_SYSCTL_MAX };
		GOOD(take(f, &sysctl));
		len += WIRE_HEADER + 2 + strlen(name) + WIRE_SYSCTL_MAX;
		assert_int_equal(f->plan.len, len);
	}
	sysctl.sysctl.name = wire_text("y");
	sysctl.sysctl.value.len = (uint32_t)(WIRE_PLAN_MAX - len) / 2;
	GOOD(take(f, &sysctl));
	len += WIRE_HEADER + 3 + sysctl.sysctl.value.len;
	sysctl.sysctl.name = wire_text("z");
	sysctl.sysctl.value.len = (uint32_t)(WIRE_PLAN_MAX - len - WIRE_HEADER - 3 + 1);
	WRONG(take(f, &sysctl), "makes the records longer than 4 MiB");
	sysctl.sysctl.value.len--;
	GOOD(take(f, &sysctl));
	assert_int_equal(f->plan.len, WIRE_PLAN_MAX);
	WRONG(take_text(f, WIRE_ARG, ""), "makes the records longer than 4 MiB");
	free(value);
}

/* --- what is none of it ----------------------------------------------------------------------------------------- */

static const char *take_bytes(struct fixture *f, const void *bytes, size_t len)
{
	struct wire_frame frame;

	assert_int_equal(wire_split(bytes, len, &frame), len);
	return plan_take(&f->plan, &frame);
}

static void other_frames(void **state)
{
	static const struct wire_boot records[] = {
		{ .type = WIRE_HELLO, .hello = { .version = 1 } },
		{ .type = WIRE_WELCOME, .welcome = { .version = 1 } },
		{ .type = WIRE_COMMIT }, { .type = WIRE_APPLIED },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof records / sizeof *records; i++)
		WRONG(take(f, &records[i]), "not a record of the configuration");
	assert_non_null(take_bytes(f, "\0\0\0\0\x05\x02\0\0", 8));
	assert_int_equal(errno, 0);
	assert_non_null(take_bytes(f, "\0\0\0\0\x10\x01\0\0", 8));        /* HOSTNAME without one */
	assert_non_null(take_bytes(f, "\x02\0\0\0\x12\x01\0\0=x", 10));   /* ENV without a name */
	assert_non_null(take_bytes(f, "\0\0\0\0\x22\x01\0\0", 8));        /* DATA without any */
	assert_int_equal(errno, 0);
	assert_int_equal(f->plan.len, 0);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void reset_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	for (int again = 0; again < 3; again++) {
		size_t len;
		int secret;

		f->count = f->crc = 0;
		take_all(f);
		assert_ptr_equal(plan_check(&f->plan, f->count, f->crc), NULL);
		if (again > 0)           /* in the middle of one, of either kind */
			GOOD(take_node(f, again == 1 ? WIRE_FILE : WIRE_CREDENTIAL, "part", 100));
		if (again > 0)
			GOOD(take_data(f, "secret", 6));
		secret = open("secrets/db.key", O_RDONLY | O_CLOEXEC);
		len = f->plan.len;
		assert_true(len > 100);
		plan_reset(&f->plan);
		assert_false(there("stage"));
		assert_false(there("secrets/db.key"));
		assert_false(there("secrets/part"));
		assert_int_equal(mounted, 0);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(f->plan.buf[i], 0);
		for (char byte; read(secret, &byte, 1) == 1;)
			assert_int_equal(byte, 0);
		close(secret);
		assert_int_equal(count_fds(), f->fds);
		assert_ptr_equal(plan_check(&f->plan, 0, 0), NULL);
	}
	plan_reset(&f->plan);
	assert_int_equal(mounted, 0);
}

static void destroy_keeps_the_credentials(void **state)
{
	struct fixture *f = *state;

	take_all(f);
	plan_destroy(&f->plan);
	assert_false(there("stage"));
	assert_file("secrets/db.key", "key", 3);         /* they have been published */
	assert_int_equal(mounted, 1);
	assert_int_equal(count_fds(), f->fds);
	assert_int_equal(plan_create(&f->plan), 0);
}

/* Frames of all kinds, right and wrong, in any order: nothing is outside, and a reset leaves nothing. */
static void anything(void **state)
{
	static const char *const paths[] = { "a", "b", "a/b", "a/b/c", "b/a", "c", "a/c", "key" };
	static const uint16_t types[] = { WIRE_DIR, WIRE_DIR, WIRE_FILE, WIRE_SYMLINK, WIRE_CREDENTIAL, WIRE_DATA,
		WIRE_DATA, WIRE_ENV, WIRE_HOSTNAME };
	struct fixture *f = *state;
	uint32_t seed = 0x91a7;
	unsigned good = 0, bad = 0;

	for (int round = 0; round < 3000; round++) {
		struct wire_boot record = { 0 };
		const char *path;

		seed = seed * 1664525 + 1013904223;
		path = paths[seed >> 29];
		record.type = types[(seed >> 16) % (sizeof types / sizeof *types)];
		if (record.type >= WIRE_DIR && record.type != WIRE_DATA) {
			record.node.path = wire_text(path);
			if (record.type == WIRE_SYMLINK)
				record.node.target = wire_text("a");
			else if (record.type != WIRE_DIR)
				record.node.size = seed >> 8 & 7;
		} else {
			record.text = wire_text(record.type == WIRE_ENV ? "A=1" : path);
		}
		if (record.type == WIRE_CREDENTIAL && strchr(path, '/'))
			continue;
		if (take(f, &record)) {
			bad++;
			assert_int_equal(errno, 0);
		} else {
			good++;
		}
		if (round % 40 == 0) {
			plan_reset(&f->plan);
			assert_false(there("stage"));
			assert_int_equal(count_fds(), f->fds);
		}
	}
	assert_true(good > 300 && bad > 300);
	assert_false(there("a"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)
	const struct CMUnitTest tests[] = {
		TEST(whole), TEST(empty), TEST(once_only), TEST(same_names), TEST(same_hashes),
		TEST(many_names), TEST(same_paths), TEST(no_way_there), TEST(no_stage), TEST(data_in_order),
		TEST(large_data), TEST(arguments_bound), TEST(arguments_bound_by_one),
		TEST(credentials_bound), TEST(records_bound), TEST(other_frames), TEST(reset_leaves_nothing),
		TEST(destroy_keeps_the_credentials), TEST(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
