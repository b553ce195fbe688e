/* SPDX-License-Identifier: MIT */
/* A machine's directory, for real, as the stream that a guest would get. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/source.h"

#define ROOM (64 << 10)

struct place {
	char path[64];
	int fd;
	struct problem problem;
};

/* All frames of a stream, one behind the other. */
struct stream {
	uint8_t *bytes;
	size_t len, size;
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int place_create(void **state)
{
	static struct place place;

	strcpy(place.path, "/tmp/hawser-source-XXXXXX");
	if (!mkdtemp(place.path))
		return -1;
	place.fd = open(place.path, O_RDONLY | O_DIRECTORY);
	place.problem.text[0] = '\0';
	*state = &place;
	umask(022);
	return place.fd < 0;
}

static int place_destroy(void **state)
{
	struct place *place = *state;

	close(place->fd);
	return nftw(place->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put_dir(const struct place *place, const char *path)
{
	assert_int_equal(mkdirat(place->fd, path, 0755), 0);
}

static void put_file(const struct place *place, const char *path, const void *bytes, size_t len)
{
	int fd = openat(place->fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void put_text(const struct place *place, const char *path, const char *text)
{
	put_file(place, path, text, strlen(text));
}

static void put_link(const struct place *place, const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, place->fd, path), 0);
}

/* Bytes that differ from place to place. */
static void put_big(const struct place *place, const char *path, size_t len, unsigned seed)
{
	uint8_t *bytes = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((seed + i * 2654435761u) >> 13);
	put_file(place, path, bytes, len);
	free(bytes);
}

static struct vmconfig *parse(const char *text)
{
	struct problem problem = { "" };
	struct vmconfig *config = vmconfig_parse(text, strlen(text), "vm.json", &problem);

	if (!config)
		fail_msg("%s", problem.text);
	return config;
}

static struct source *create(struct place *place, const char *json, bool secrets)
{
	struct vmconfig *config = parse(json);
	struct source *source = source_create(config, place->fd, "vms/a", secrets, &place->problem);

	vmconfig_destroy(config);        /* nothing of it is kept */
	return source;
}

static void assert_refused(struct place *place, const char *expected)
{
	struct source *source = create(place, "{}", true);

	assert_null(source);
	assert_string_equal(place->problem.text, expected);
}

/* Goes on until the end, with `room` bytes at a time; what source_next said last. */
static int drain(struct place *place, struct source *source, size_t room, struct stream *stream)
{
	struct wire_out out = { .buf = malloc(room), .size = room };
	int rc = 1;

	while (rc > 0) {
		out.len = 0;
		rc = source_next(source, &out, &place->problem);
		assert_false(out.full);
		assert_true(rc <= 0 || out.len > 0);
		if (stream->size - stream->len < out.len) {
			stream->size = stream->size * 2 + out.len;
			stream->bytes = realloc(stream->bytes, stream->size);
		}
		if (out.len)
			memcpy(stream->bytes + stream->len, out.buf, out.len);
		stream->len += out.len;
	}
	free(out.buf);
	return rc;
}

/* One line for each frame: "TYPE what", as test and eye can compare. */
static void describe(const struct wire_boot *boot, char *line, size_t size)
{
	const struct wire_node *node = &boot->node;
	int n = snprintf(line, size, "%s ", wire_type_name(boot->type));
	char *to = line + n;

	size -= (size_t)n;
	switch (boot->type) {
	case WIRE_SYSCTL:
		snprintf(to, size, "%.*s=%.*s", (int)boot->sysctl.name.len, boot->sysctl.name.s,
			(int)boot->sysctl.value.len, boot->sysctl.value.s);
		break;
	case WIRE_MOUNT:
		snprintf(to, size, "%.*s %.*s %.*s %.*s", (int)boot->mount.destination.len, boot->mount.destination.s,
			(int)boot->mount.type.len, boot->mount.type.s, (int)boot->mount.source.len,
			boot->mount.source.s, (int)boot->mount.options.len, boot->mount.options.s);
		break;
	case WIRE_USER:
		snprintf(to, size, "%u %u +%u", boot->user.uid, boot->user.gid, boot->user.n);
		break;
	case WIRE_WORKLOAD:
		snprintf(to, size, "%u %u %u %u %u", boot->workload.restart, boot->workload.at_end,
			boot->workload.restarts_max, boot->workload.stop_signal, boot->workload.stop_grace_ms);
		break;
	case WIRE_LOG:
		snprintf(to, size, "%u %u", boot->log.ring, boot->log.full);
		break;
	case WIRE_POWER:
		snprintf(to, size, "%u", boot->power);
		break;
	case WIRE_CONTROL:
		snprintf(to, size, "%u", boot->verbs);
		break;
	case WIRE_HANDOFF:
		snprintf(to, size, "%u %u %.*s", boot->handoff.mode, boot->handoff.flags,
			(int)boot->handoff.init.len, boot->handoff.init.s);
		break;
	case WIRE_DIR:
	case WIRE_FILE:
	case WIRE_CREDENTIAL:
		snprintf(to, size, "%04o %u:%u %llu %.*s", node->mode, node->uid, node->gid,
			(unsigned long long)node->size, (int)node->path.len, node->path.s);
		break;
	case WIRE_SYMLINK:
		snprintf(to, size, "%u:%u %.*s -> %.*s", node->uid, node->gid, (int)node->path.len, node->path.s,
			(int)node->target.len, node->target.s);
		break;
	case WIRE_DATA:
		snprintf(to, size, "%u", boot->text.len);
		break;
	case WIRE_COMMIT:
		snprintf(to, size, "%u", boot->commit.count);
		break;
	default:
		snprintf(to, size, "%.*s", (int)boot->text.len, boot->text.s);
	}
}

/*
 * Decodes all, as a guest does: DATA adds up, COMMIT's count and checksum are right, and nothing comes behind it. The
 * lines, when asked for, are to be freed.
 */
static char *check_stream(const struct stream *stream, bool lines)
{
	char *text = calloc(1, lines ? 1 << 16 : 1), line[512];
	uint64_t missing = 0;
	uint32_t count = 0, crc = 0;
	bool committed = false;
	struct wire_frame frame;
	struct wire_boot boot;
	int size;

	for (size_t at = 0; at < stream->len; at += (size_t)size) {
		const char *wrong;

		assert_false(committed);
		size = wire_split(stream->bytes + at, stream->len - at, &frame);
		assert_true(size > 0);
		wrong = wire_boot_decode(&frame, &boot);
		if (wrong)
			fail_msg("%s: %s", wire_type_name(frame.type), wrong);
		describe(&boot, line, sizeof line);
		if (lines)
			strcat(strcat(text, line), "\n");
		if (boot.type == WIRE_COMMIT) {
			assert_int_equal(missing, 0);
			assert_int_equal(boot.commit.count, count);
			assert_int_equal(boot.commit.crc, crc);
			committed = true;
		} else if (boot.type == WIRE_DATA) {
			assert_true(boot.text.len <= missing);
			missing -= boot.text.len;
		} else {
			assert_int_equal(missing, 0);
			missing = boot.type == WIRE_FILE || boot.type == WIRE_CREDENTIAL ? boot.node.size : 0;
		}
		count++;
		crc = wire_crc32(crc, stream->bytes + at, (size_t)size);
	}
	assert_true(committed);
	return text;
}

static void assert_stream(struct place *place, const char *json, bool secrets, const char *expected)
{
	struct source *source = create(place, json, secrets);
	struct stream stream = { 0 };
	char *text;

	if (!source)
		fail_msg("%s", place->problem.text);
	if (drain(place, source, ROOM, &stream) < 0)
		fail_msg("%s", place->problem.text);
	text = check_stream(&stream, true);
	assert_string_equal(text, expected);
	free(text);
	free(stream.bytes);
	source_destroy(source);
}

/* --- records ---------------------------------------------------------------------------------------------------- */

static void sends_nothing_for_defaults(void **state)
{
	struct place *place = *state;

	assert_stream(place, "{}", true, "COMMIT 0\n");
	assert_stream(place, "{\"process\":{\"cwd\":\"/\"},\"hawser\":{\"restart\":\"no\","
		"\"stopSignal\":\"SIGTERM\",\"log\":{\"ringKiB\":256},\"power\":\"detect\","
		"\"handoff\":{\"mode\":\"busybox\"}}}", true, "COMMIT 0\n");
	put_dir(place, "files");
	put_dir(place, "credentials");
	assert_stream(place, "{}", true, "COMMIT 0\n");
}

static void sends_everything_in_order(void **state)
{
	struct place *place = *state;

	put_dir(place, "files");
	put_dir(place, "files/etc");
	put_text(place, "files/etc/motd", "ahoy!\n");
	put_text(place, "files/etc/empty", "");
	put_link(place, "files/etc/now", "motd");
	put_link(place, "files/up", "etc/../etc/./now");
	put_text(place, "files/etc.conf", "x");
	put_dir(place, "files/a");
	put_dir(place, "files/a/b");
	fchmodat(place->fd, "files/etc/motd", 0750, 0);
	fchmodat(place->fd, "files/a/b", 01777, 0);
	linkat(place->fd, "files/etc/motd", place->fd, "files/etc/motd2", 0);
	fchownat(place->fd, "files/etc/empty", 1000, 1000, 0);   /* works for root only, and must not matter */
	put_dir(place, "credentials");
	put_text(place, "credentials/z.key", "key");
	put_text(place, "credentials/empty", "");
	put_text(place, "credentials/..hidden", "not one");
	assert_stream(place, "{\"hostname\":\"harbour\","
		"\"process\":{\"args\":[\"/bin/sh\",\"\"],\"env\":[\"A=1\",\"B=\"],"
		"\"cwd\":\"/srv\",\"user\":{\"uid\":1000,\"gid\":100,\"additionalGids\":[7]}},"
		"\"linux\":{\"sysctl\":{\"kernel.panic\":\"5\"}},"
		"\"mounts\":[{\"destination\":\"/data\",\"type\":\"tmpfs\",\"options\":[\"size=1m\",\"nosuid\"]}],"
		"\"hawser\":{\"restart\":\"on-failure\",\"restartLimit\":3,\"log\":{\"whenFull\":\"block\"},"
		"\"power\":\"reset\",\"control\":[\"ping\",\"exec\"],"
		"\"credentials\":{\"mode\":\"0440\",\"uid\":1,\"gid\":2},"
		"\"handoff\":{\"mode\":\"switch_root\",\"overlay\":true,\"type\":\"ext4\","
		"\"source\":\"/dev/vda\"}}}", true,
		"HOSTNAME harbour\n"
		"ARG /bin/sh\n"
		"ARG \n"
		"ENV A=1\n"
		"ENV B=\n"
		"CWD /srv\n"
		"USER 1000 100 +1\n"
		"SYSCTL kernel.panic=5\n"
		"MOUNT /data tmpfs tmpfs size=1m,nosuid\n"
		"WORKLOAD 1 0 3 15 2000\n"
		"LOG 262144 1\n"
		"POWER 2\n"
		"CONTROL 9\n"
		"HANDOFF 2 1 /sbin/init\n"
		"DIR 0755 0:0 0 a\n"
		"DIR 1777 0:0 0 a/b\n"
		"DIR 0755 0:0 0 etc\n"
		"FILE 0644 0:0 0 etc/empty\n"
		"FILE 0750 0:0 6 etc/motd\n"
		"DATA 6\n"
		"FILE 0750 0:0 6 etc/motd2\n"
		"DATA 6\n"
		"SYMLINK 0:0 etc/now -> motd\n"
		"FILE 0644 0:0 1 etc.conf\n"
		"DATA 1\n"
		"SYMLINK 0:0 up -> etc/../etc/./now\n"
		"CREDENTIAL 0440 1:2 0 empty\n"
		"CREDENTIAL 0440 1:2 3 z.key\n"
		"DATA 3\n"
		"COMMIT 29\n");
}

static void leaves_credentials_out(void **state)
{
	struct place *place = *state;
	struct source *source;

	put_dir(place, "credentials");
	mkfifoat(place->fd, "credentials/not-looked-at", 0600);
	assert_stream(place, "{}", false, "COMMIT 0\n");
	source = create(place, "{}", false);
	assert_int_equal(source_credentials(source), 0);
	source_destroy(source);
}

static void counts(void **state)
{
	struct place *place = *state;
	struct source *source;
	struct source_totals totals;

	put_dir(place, "files");
	put_dir(place, "files/etc");
	put_text(place, "files/etc/a", "four");
	put_link(place, "files/etc/b", "a");
	put_dir(place, "credentials");
	put_text(place, "credentials/a", "abc");
	put_text(place, "credentials/b", "de");
	source = create(place, "{}", true);
	totals = source_totals(source);
	assert_int_equal(source_credentials(source), 2);
	assert_int_equal(totals.files, 1);
	assert_int_equal(totals.file_bytes, 4);
	assert_int_equal(totals.credentials, 2);
	assert_int_equal(totals.credential_bytes, 5);
	source_destroy(source);
}

/* The same bytes, whatever the room for them is and however the directory was filled. */
static void is_deterministic(void **state)
{
	static const size_t rooms[] = { WIRE_FRAME_MAX, WIRE_FRAME_MAX + 1, 40000, ROOM, 100000, 1 << 20 };
	struct place *place = *state;
	struct stream first = { 0 };
	char path[64];

	put_dir(place, "files");
	put_dir(place, "credentials");
	for (unsigned i = 0; i < 50; i++) {
		snprintf(path, sizeof path, "files/%u", i * 7919 % 50);
		put_big(place, path, i * 1999, i);
		snprintf(path, sizeof path, "credentials/%u", i * 7919 % 50);
		put_big(place, path, i * 99, i + 50);
	}
	put_big(place, "files/exact", 3 * WIRE_PAYLOAD_MAX, 7);
	for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
		struct source *source = create(place, "{\"hostname\":\"a\"}", true);
		struct stream stream = { 0 };

		assert_non_null(source);
		assert_int_equal(drain(place, source, rooms[i], &stream), 0);
		source_destroy(source);
		free(check_stream(&stream, false));
		if (i == 0) {
			first = stream;
			continue;
		}
		assert_int_equal(stream.len, first.len);
		assert_memory_equal(stream.bytes, first.bytes, first.len);
		free(stream.bytes);
	}
	free(first.bytes);
}

/* A buffer that holds something already is appended to, or left alone. */
static void appends(void **state)
{
	struct place *place = *state;
	uint8_t buf[100] = { 0 };
	struct wire_out out = { .buf = buf, .size = sizeof buf, .len = 90 };
	struct source *source = create(place, "{\"hostname\":\"harbour\"}", true);

	assert_int_equal(source_next(source, &out, &place->problem), 1);
	assert_int_equal(out.len, 90);
	assert_false(out.full);
	out.len = 85;
	assert_int_equal(source_next(source, &out, &place->problem), 1);
	assert_int_equal(out.len, 100);
	out.len = 0;
	assert_int_equal(source_next(source, &out, &place->problem), 0);
	assert_int_equal(out.len, 16);
	assert_int_equal(source_next(source, &out, &place->problem), 0);         /* and nothing more */
	assert_int_equal(out.len, 16);
	source_destroy(source);
}

/* --- refused ---------------------------------------------------------------------------------------------------- */

static void refuses_links_out(void **state)
{
	static const struct { const char *path, *target; bool good; } links[] = {
		{ "files/l", "/etc/passwd", false }, { "files/l", "/", false }, { "files/l", "..", false },
		{ "files/l", "../x", false }, { "files/l", "a/../../x", false }, { "files/l", "./../x", false },
		{ "files/l", "a//../../x", false }, { "files/d/l", "../../x", false },
		{ "files/d/l", "../d/../../x", false }, { "files/l", ".", true }, { "files/l", "a/..", true },
		{ "files/d/l", "..", true }, { "files/d/l", "../x", true }, { "files/d/l", "x/../../y", true },
		{ "files/l", "...", true }, { "files/l", "..x/.y", true },
	};
	struct place *place = *state;
	char expected[128];

	put_dir(place, "files");
	put_dir(place, "files/d");
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
		struct source *source;

		put_link(place, links[i].path, links[i].target);
		source = create(place, "{}", true);
		assert_int_equal(source != NULL, links[i].good);
		source_destroy(source);
		if (!links[i].good) {
			snprintf(expected, sizeof expected, "vms/a/%s: is a%s symbolic link%s", links[i].path,
				links[i].target[0] == '/' ? "n absolute" : "",
				links[i].target[0] == '/' ? "; make it relative to the directory it is in" :
				" that leaves files/ by \"..\"; shorten its target");
			assert_string_equal(place->problem.text, expected);
		}
		unlinkat(place->fd, links[i].path, 0);
	}
}

static void refuses_what_is_no_file(void **state)
{
	static const char end[] =
		"; only regular files, directories and symbolic links can be sent: remove it";
	struct place *place = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char expected[256];
	int fd;

	put_dir(place, "files");
	put_dir(place, "credentials");
	mkfifoat(place->fd, "files/fifo", 0600);
	snprintf(expected, sizeof expected, "vms/a/files/fifo: is a FIFO%s", end);
	assert_refused(place, expected);
	unlinkat(place->fd, "files/fifo", 0);

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/files/sock", place->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
	snprintf(expected, sizeof expected, "vms/a/files/sock: is a socket%s", end);
	assert_refused(place, expected);
	unlinkat(place->fd, "files/sock", 0);

	if (mknodat(place->fd, "files/null", S_IFCHR | 0600, 0x103) == 0) {
		snprintf(expected, sizeof expected, "vms/a/files/null: is a device%s", end);
		assert_refused(place, expected);
		unlinkat(place->fd, "files/null", 0);
	}

	mkfifoat(place->fd, "credentials/fifo", 0600);
	assert_refused(place, "vms/a/credentials/fifo: is a FIFO; a credential is a regular file: replace it");
	unlinkat(place->fd, "credentials/fifo", 0);
	put_dir(place, "credentials/dir");
	assert_refused(place, "vms/a/credentials/dir: is a directory; a credential is a regular file: replace it");
	unlinkat(place->fd, "credentials/dir", AT_REMOVEDIR);
	put_text(place, "secret", "s");
	put_link(place, "credentials/link", "../secret");
	assert_refused(place,
		"vms/a/credentials/link: is a symbolic link; a credential is a regular file: replace it");
}

static void refuses_names(void **state)
{
	struct place *place = *state;

	put_dir(place, "credentials");
	put_text(place, "credentials/a b", "x");
	assert_refused(place, "vms/a/credentials/a b: is not a credential's name: at most 255 letters, digits, "
		"\".\", \"_\" and \"-\"; rename it");
	unlinkat(place->fd, "credentials/a b", 0);
	put_dir(place, "files");
	put_text(place, "files/\xff\n", "x");
	assert_refused(place, "vms/a/files/\xff?: has a name that is not UTF-8; rename it");
}

static void refuses_replaced_directories(void **state)
{
	struct place *place = *state;

	put_dir(place, "elsewhere");
	put_link(place, "files", "elsewhere");
	assert_refused(place, "vms/a/files: must be a directory itself, not a file or a link to one");
	unlinkat(place->fd, "files", 0);
	put_text(place, "credentials", "x");
	assert_refused(place, "vms/a/credentials: must be a directory itself, not a file or a link to one");
}

static void bounds_credentials(void **state)
{
	struct place *place = *state;
	struct source *source;
	struct stream stream = { 0 };

	put_dir(place, "credentials");
	put_big(place, "credentials/big", WIRE_CREDENTIAL_MAX, 1);
	source = create(place, "{}", true);
	assert_non_null(source);
	assert_int_equal(drain(place, source, ROOM, &stream), 0);
	free(check_stream(&stream, false));
	free(stream.bytes);
	source_destroy(source);

	put_text(place, "credentials/small", "x");
	assert_refused(place,
		"vms/a/credentials: all credentials together have 1048577 bytes; they may have 1048576");
	unlinkat(place->fd, "credentials/small", 0);
	put_big(place, "credentials/big", WIRE_CREDENTIAL_MAX + 1, 1);
	assert_refused(place, "vms/a/credentials/big: has 1048577 bytes; a credential may have 1048576");
}

static void sends_a_thousand_credentials(void **state)
{
	struct place *place = *state;
	struct stream stream = { 0 };
	struct source *source;
	char name[64];

	put_dir(place, "credentials");
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "credentials/key-%03d", i);
		put_big(place, name, 1000, (unsigned)i);
	}
	source = create(place, "{}", true);
	assert_non_null(source);
	assert_int_equal(source_credentials(source), 1000);
	assert_int_equal(drain(place, source, ROOM, &stream), 0);
	free(check_stream(&stream, false));
	free(stream.bytes);
	source_destroy(source);
}

static void bounds_files(void **state)
{
	struct place *place = *state;
	int fd;

	put_dir(place, "files");
	fd = openat(place->fd, "files/huge", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, ((off_t)1 << 30) + 1), 0);
	close(fd);
	assert_refused(place, "vms/a/files/huge: has 1073741825 bytes; a file may have 1073741824");
}

/* Names of 255 bytes in a path of nearly 4,095: some 1,000 of them are more than the plan may have. */
static void bounds_the_plan(void **state)
{
	struct place *place = *state;
	char name[256], path[4096];
	int dirs[16], n = 0, fd;

	put_dir(place, "files");
	memset(name, 'd', 255);
	name[255] = '\0';
	dirs[0] = openat(place->fd, "files", O_RDONLY | O_DIRECTORY);
	for (n = 0; n < 15; n++) {
		assert_int_equal(mkdirat(dirs[n], name, 0755), 0);
		dirs[n + 1] = openat(dirs[n], name, O_RDONLY | O_DIRECTORY);
	}
	for (int i = 0; i < 1100; i++) {
		snprintf(path, sizeof path, "%0250d", i);
		fd = openat(dirs[15], path, O_WRONLY | O_CREAT, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_null(create(place, "{}", true));
	assert_non_null(strstr(place->problem.text, ": is one too many: with it, the names take more than the 4 "));
	assert_memory_equal(place->problem.text, "vms/a/files/...", 15);
	/* One level deeper, and the path is longer than a guest takes. */
	assert_int_equal(mkdirat(dirs[15], name, 0755), 0);
	for (int i = 0; i < 1100; i++) {
		snprintf(path, sizeof path, "%0250d", i);
		unlinkat(dirs[15], path, 0);
	}
	fd = openat(dirs[15], name, O_RDONLY | O_DIRECTORY);
	close(openat(fd, "f", O_WRONLY | O_CREAT, 0644));
	close(fd);
	assert_null(create(place, "{}", true));
	assert_non_null(strstr(place->problem.text, ": has a path of more than 4095 bytes"));
	/* nftw() goes by whole paths, which are too long here. */
	for (n = 15; n >= 0; n--) {
		fd = openat(dirs[n], name, O_RDONLY | O_DIRECTORY);
		unlinkat(fd, "f", 0);
		close(fd);
		unlinkat(dirs[n], name, AT_REMOVEDIR);
		close(dirs[n]);
	}
}

/* --- Kubernetes ------------------------------------------------------------------------------------------------- */

static void put_volume(const struct place *place)
{
	put_dir(place, "credentials");
	put_dir(place, "credentials/..2026_01_01");
	put_text(place, "credentials/..2026_01_01/user", "old-user");
	put_text(place, "credentials/..2026_01_01/password", "old-password");
	put_link(place, "credentials/..data", "..2026_01_01");
	put_link(place, "credentials/user", "..data/user");
	put_link(place, "credentials/password", "..data/password");
}

/* As the kubelet does it: the new directory is complete before one rename makes it the current one. */
static void swap_volume(const struct place *place)
{
	put_dir(place, "credentials/..2026_01_02");
	put_text(place, "credentials/..2026_01_02/user", "new-user");
	put_text(place, "credentials/..2026_01_02/password", "new-password!");
	put_link(place, "credentials/..data_tmp", "..2026_01_02");
	assert_int_equal(renameat(place->fd, "credentials/..data_tmp", place->fd, "credentials/..data"), 0);
}

static void reads_secret_volumes(void **state)
{
	struct place *place = *state;

	put_volume(place);
	assert_stream(place, "{}", true, "CREDENTIAL 0400 0:0 12 password\nDATA 12\n"
		"CREDENTIAL 0400 0:0 8 user\nDATA 8\nCOMMIT 4\n");
	swap_volume(place);
	assert_stream(place, "{}", true, "CREDENTIAL 0400 0:0 13 password\nDATA 13\n"
		"CREDENTIAL 0400 0:0 8 user\nDATA 8\nCOMMIT 4\n");
}

static void notices_swaps(void **state)
{
	struct place *place = *state;
	struct stream stream = { 0 };
	struct source *source;

	put_volume(place);
	source = create(place, "{}", true);
	assert_non_null(source);
	swap_volume(place);
	assert_int_equal(drain(place, source, ROOM, &stream), -1);
	assert_string_equal(place->problem.text, "vms/a/credentials: was replaced while it was read");
	source_destroy(source);
	free(stream.bytes);
	/* The old directory gone as well. */
	stream = (struct stream){ 0 };
	source = create(place, "{}", true);
	unlinkat(place->fd, "credentials/..2026_01_02/password", 0);
	assert_int_equal(drain(place, source, ROOM, &stream), -1);
	assert_string_equal(place->problem.text, "vms/a/credentials/password: changed while it was read");
	source_destroy(source);
	free(stream.bytes);
}

static void refuses_broken_volumes(void **state)
{
	static const struct { const char *name, *target; } links[] = {
		{ "x", "..2026_01_01/user" }, { "x", "..data/user" }, { "x", "/etc/shadow" },
		{ "x", "..data/../../vm.json" }, { "x", "user" },
	};
	struct place *place = *state;

	put_volume(place);
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
		put_link(place, "credentials/x", links[i].target);
		assert_refused(place, "vms/a/credentials/x: is a symbolic link, but not to ..data/NAME; replace it "
			"with the file itself");
		unlinkat(place->fd, "credentials/x", 0);
	}
	put_text(place, "credentials/x", "x");
	assert_refused(place, "vms/a/credentials/x: is a regular file beside ..data; in a Secret volume, every name "
		"is a symbolic link to ..data/NAME");
	unlinkat(place->fd, "credentials/x", 0);
	put_dir(place, "credentials/..2026_01_01/dir");
	assert_refused(place, "vms/a/credentials/dir: is a directory; a credential is a regular file: replace it");
	unlinkat(place->fd, "credentials/..data", 0);
	put_link(place, "credentials/..data", "/etc");
	assert_refused(place, "vms/a/credentials/..data: must name a directory beside it that begins with \"..\"");
	unlinkat(place->fd, "credentials/..data", 0);
	put_link(place, "credentials/..data", "..");
	assert_refused(place, "vms/a/credentials/..data: must name a directory beside it that begins with \"..\"");
	unlinkat(place->fd, "credentials/..data", 0);
	put_link(place, "credentials/..data", "..2026_13_13");
	assert_refused(place,
		"vms/a/credentials/..data: the directory it names cannot be opened: No such file or directory");
}

/* --- torn reads ------------------------------------------------------------------------------------------------- */

static void rewrite_same_size(struct place *place)
{
	put_big(place, "files/b", 200000, 99);
}

static void grow(struct place *place)
{
	put_big(place, "files/b", 200001, 2);
}

static void shrink(struct place *place)
{
	put_big(place, "files/b", 1000, 2);
}

static void rename_over(struct place *place)
{
	put_big(place, "new", 200000, 2);
	renameat(place->fd, "new", place->fd, "files/b");
}

static void remove_it(struct place *place)
{
	unlinkat(place->fd, "files/b", 0);
}

static void add(struct place *place)
{
	put_text(place, "files/c", "x");
}

static void chmod_it(struct place *place)
{
	fchmodat(place->fd, "files/b", 0700, 0);
}

static void replace_by_link(struct place *place)
{
	unlinkat(place->fd, "files/b", 0);
	put_link(place, "files/b", "a");
}

static void change_sent(struct place *place)
{
	put_text(place, "files/a", "tfel");
}

static void retarget(struct place *place)
{
	unlinkat(place->fd, "files/z", 0);
	put_link(place, "files/z", "b");
}

static void change_credential(struct place *place)
{
	put_text(place, "credentials/key", "yek");
}

static void replace_all(struct place *place)
{
	renameat(place->fd, "files", place->fd, "files-old");
	put_dir(place, "files");
}

static void remove_credentials(struct place *place)
{
	unlinkat(place->fd, "credentials/key", 0);
	unlinkat(place->fd, "credentials", AT_REMOVEDIR);
}

/*
 * Each change, made after each call of source_next in turn and before the first: the stream never reaches COMMIT, and
 * the problem names what changed. Right away, too: within the same tick of the clock as the change before.
 */
static void notices_changes(void **state)
{
	static const struct { void (*change)(struct place *place); const char *name; } changes[] = {
		{ rewrite_same_size, "vms/a/files/b: " }, { grow, "vms/a/files/b: " }, { shrink, "vms/a/files/b: " },
		{ rename_over, "vms/a/files/b: " }, { remove_it, "vms/a/files/b: " }, { chmod_it, "vms/a/files/b: " },
		{ replace_by_link, "vms/a/files/b: " }, { add, "vms/a/files/c: appeared" },
		{ change_sent, "vms/a/files/a: " }, { retarget, "vms/a/files/z: changed" },
		{ change_credential, "vms/a/credentials/key: " }, { replace_all, "vms/a/files" },
		{ remove_credentials, "vms/a/credentials" },
	};
	struct place *place = *state;

	put_dir(place, "files");
	put_dir(place, "credentials");
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		for (int when = 0; when < 4; when++) {
			struct wire_out out = { .buf = malloc(WIRE_FRAME_MAX), .size = WIRE_FRAME_MAX };
			struct source *source;
			int rc = 1;

			mkdirat(place->fd, "files", 0755);
			mkdirat(place->fd, "credentials", 0755);
			unlinkat(place->fd, "files/b", 0);
			unlinkat(place->fd, "files/c", 0);
			unlinkat(place->fd, "files/z", 0);
			put_text(place, "files/a", "left");
			put_big(place, "files/b", 200000, 2);
			put_link(place, "files/z", "a");
			put_text(place, "credentials/key", "key");
			source = create(place, "{\"hostname\":\"a\"}", true);
			assert_non_null(source);
			for (int call = 0; rc > 0; call++) {
				if (call == when)
					changes[i].change(place);
				out.len = 0;
				rc = source_next(source, &out, &place->problem);
			}
			assert_int_equal(rc, -1);
			assert_int_equal(strncmp(place->problem.text, changes[i].name, strlen(changes[i].name)), 0);
			source_destroy(source);
			free(out.buf);
			/* What was moved away. */
			unlinkat(place->fd, "files-old/a", 0);
			unlinkat(place->fd, "files-old/b", 0);
			unlinkat(place->fd, "files-old/z", 0);
			unlinkat(place->fd, "files-old", AT_REMOVEDIR);
		}
}

/* Two changes within one tick of the clock that stamps them, of which the first is what was scanned. */
static void notices_quick_changes(void **state)
{
	struct place *place = *state;

	put_dir(place, "files");
	for (int i = 0; i < 100; i++) {
		struct stream stream = { 0 };
		struct source *source;

		put_text(place, "files/a", "left");
		source = create(place, "{}", true);
		assert_non_null(source);
		put_text(place, "files/a", "tfel");
		assert_int_equal(drain(place, source, ROOM, &stream), -1);
		source_destroy(source);
		free(stream.bytes);
	}
}

/* Newer kernels stamp finely what somebody looked at, so the test above says nothing there: this one does. */
static void scans_when_the_clock_has_moved(void **state)
{
	struct place *place = *state;

	put_dir(place, "files");
	for (int i = 0; i < 3; i++) {
		struct source *source;
		struct timespec now;
		struct stat st;

		put_text(place, "files/a", "left");
		source = create(place, "{}", true);
		assert_non_null(source);
		clock_gettime(CLOCK_REALTIME, &now);
		fstatat(place->fd, "files/a", &st, 0);
		assert_true((now.tv_sec - st.st_ctim.tv_sec) * 1000000000 + now.tv_nsec - st.st_ctim.tv_nsec >=
			10000000);
		source_destroy(source);
	}
}

/* A file that changes ends the session where it is noticed: no credential goes out after that. */
static void ends_before_credentials(void **state)
{
	struct place *place = *state;

	put_dir(place, "files");
	put_dir(place, "credentials");
	put_text(place, "credentials/key", "key");
	for (int when = 0; when < 4; when++) {
		struct stream stream = { 0 };
		struct source *source;
		struct wire_frame frame;
		int size;

		put_big(place, "files/b", 200000, 2);
		source = create(place, "{}", true);
		stream.bytes = malloc(300000);
		for (int call = 0, rc = 1; rc > 0; call++) {
			struct wire_out out = { .buf = stream.bytes + stream.len, .size = WIRE_FRAME_MAX };

			if (call == when)
				rewrite_same_size(place);
			rc = source_next(source, &out, &place->problem);
			stream.len += out.len;
			assert_int_not_equal(rc, 0);
		}
		for (size_t at = 0; at < stream.len; at += (size_t)size) {
			size = wire_split(stream.bytes + at, stream.len - at, &frame);
			assert_true(size > 0);
			assert_int_not_equal(frame.type, WIRE_CREDENTIAL);
			assert_true(when > 0 || frame.type != WIRE_DATA);
		}
		assert_string_equal(place->problem.text, "vms/a/files/b: changed while it was read");
		source_destroy(source);
		free(stream.bytes);
	}
}

/* Reading, listing and linking are no change. */
static void stands_what_is_no_change(void **state)
{
	struct place *place = *state;
	struct stream stream = { 0 };
	struct source *source;
	char byte;
	int fd;

	put_dir(place, "files");
	put_text(place, "files/a", "left");
	source = create(place, "{}", true);
	fd = openat(place->fd, "files/a", O_RDONLY);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(fd);
	put_text(place, "files/.a.swp", "an editor's");
	unlinkat(place->fd, "files/.a.swp", 0);
	put_text(place, "beside", "x");
	assert_int_equal(drain(place, source, ROOM, &stream), 0);
	source_destroy(source);
	free(stream.bytes);
}

/* A failed read leaves none of the secret behind in the buffer. */
static void leaves_nothing_of_a_torn_credential(void **state)
{
	struct place *place = *state;
	uint8_t *buf = calloc(1, ROOM);
	struct wire_out out = { .buf = buf, .size = ROOM };
	struct source *source;
	int fd;

	put_dir(place, "credentials");
	memset(buf, 'S', 30000);
	put_file(place, "credentials/key", buf, 30000);
	memset(buf, 0, ROOM);
	source = create(place, "{}", true);
	/* Room for the record, which opens the file, but for none of its bytes. */
	out.size = WIRE_HEADER + 16 + 3;
	assert_int_equal(source_next(source, &out, &place->problem), 1);
	out.size = ROOM;
	fd = openat(place->fd, "credentials/key", O_WRONLY);
	assert_int_equal(ftruncate(fd, 20000), 0);
	close(fd);
	assert_int_equal(source_next(source, &out, &place->problem), -1);
	assert_string_equal(place->problem.text, "vms/a/credentials/key: became shorter while it was read");
	assert_null(memchr(buf, 'S', ROOM));
	source_destroy(source);
	free(buf);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_create, place_destroy)
	const struct CMUnitTest tests[] = {
		TEST(sends_nothing_for_defaults), TEST(sends_everything_in_order), TEST(leaves_credentials_out),
		TEST(counts), TEST(is_deterministic), TEST(appends), TEST(refuses_links_out),
		TEST(refuses_what_is_no_file), TEST(refuses_names), TEST(refuses_replaced_directories),
		TEST(bounds_credentials), TEST(sends_a_thousand_credentials), TEST(bounds_files),
		TEST(bounds_the_plan), TEST(reads_secret_volumes), TEST(notices_swaps), TEST(refuses_broken_volumes),
		TEST(notices_changes), TEST(notices_quick_changes), TEST(scans_when_the_clock_has_moved),
		TEST(ends_before_credentials), TEST(stands_what_is_no_change),
		TEST(leaves_nothing_of_a_torn_credential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
