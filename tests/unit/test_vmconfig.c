/* SPDX-License-Identifier: MIT */
/*
 * vm.json. The documents below tests/documents say most: all of good/ are accepted; those of bad/ and beyond-schema/
 * (which a JSON Schema cannot tell from good ones) are refused, with the words of the .txt beside each.
 */
#include <dirent.h>
#include <fcntl.h>
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

#include "../../host/vmconfig.h"
#include "../../vsock/wire.h"

#define DOCUMENTS "tests/documents/"

static char *read_all(const char *path, size_t *len)
{
	FILE *file = fopen(path, "r");
	char *text = malloc(1 << 20);

	if (!file || !text)
		fail_msg("%s", path);
	*len = fread(text, 1, 1 << 20, file);
	fclose(file);
	return realloc(text, *len + 1);
}

static struct vmconfig *parse_file(const char *path, struct problem *problem)
{
	size_t len;
	char *text = read_all(path, &len);
	struct vmconfig *config = vmconfig_parse(text, len, "vm.json", problem);

	free(text);
	return config;
}

static struct vmconfig *parse(const char *text, struct problem *problem)
{
	return vmconfig_parse(text, strlen(text), "vm.json", problem);
}

static void check_document(const char *path, bool good)
{
	struct problem problem = { "" };
	struct vmconfig *config = parse_file(path, &problem);
	char expected_path[512], text[sizeof problem.text + 16], *expected;
	size_t len;

	if (good && !config)
		fail_msg("%s: %s", path, problem.text);
	if (!good && config)
		fail_msg("%s is accepted", path);
	vmconfig_destroy(config);
	if (good)
		return;
	snprintf(expected_path, sizeof expected_path, "%.*s.txt", (int)(strlen(path) - strlen(".json")), path);
	expected = read_all(expected_path, &len);
	expected[len] = '\0';
	/* "vm.json:LINE..." or "vm.json: ..." */
	snprintf(text, sizeof text, "%s\n", problem.text + strlen("vm.json:") + (problem.text[8] == ' '));
	assert_string_equal(text, expected);
	/* What stands for a secret in the documents is in no message. */
	assert_null(strstr(problem.text, "hunter2"));
	free(expected);
}

static void check_documents(const char *dir_path, bool good)
{
	DIR *dir = opendir(dir_path);
	const struct dirent *entry;
	char path[512];
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".json"))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir_path, entry->d_name);
		check_document(path, good);
		n++;
	}
	closedir(dir);
	assert_true(n >= 9);
}

static void accepts_good_documents(void **state)
{
	(void)state;
	check_documents(DOCUMENTS "good", true);
}

static void refuses_bad_documents(void **state)
{
	(void)state;
	check_documents(DOCUMENTS "bad", false);
	check_documents(DOCUMENTS "beyond-schema", false);
}

static void fills_everything(void **state)
{
	struct problem problem;
	struct vmconfig *c = parse_file(DOCUMENTS "good/everything.json", &problem);

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->hostname, "db-1.harbour");
	assert_int_equal(c->n_args, 4);
	assert_string_equal(c->args[0], "/usr/bin/serve");
	assert_string_equal(c->args[2], "");
	assert_int_equal(c->n_env, 4);
	assert_string_equal(c->env[3], "LINES=one\ntwo");
	assert_string_equal(c->cwd, "/srv/data");
	assert_true(c->user_given);
	assert_int_equal(c->uid, 1000);
	assert_int_equal(c->gid, 100);
	assert_int_equal(c->n_groups, 2);
	assert_int_equal(c->groups[0], 7);
	assert_int_equal(c->groups[1], 4294967294u);
	assert_int_equal(c->n_mounts, 3);
	assert_string_equal(c->mounts[0].destination, "/data");
	assert_string_equal(c->mounts[0].options, "size=16m,nosuid");
	assert_string_equal(c->mounts[1].source, "/dev/vda");
	assert_string_equal(c->mounts[1].options, "");
	assert_string_equal(c->mounts[2].source, "debugfs");
	assert_int_equal(c->n_sysctls, 3);
	assert_string_equal(c->sysctls[0].name, "kernel.panic");
	assert_string_equal(c->sysctls[0].value, "5");
	assert_int_equal(c->cid, 0xfffffffe);
	assert_string_equal(c->socket, "run/vm.vsock");
	assert_int_equal(c->restart, WIRE_RESTART_ON_FAILURE);
	assert_int_equal(c->restarts_max, 5);
	assert_int_equal(c->at_end, WIRE_AT_END_REBOOT);
	assert_int_equal(c->stop_signal, 37);
	assert_int_equal(c->stop_grace_ms, 3600000);
	assert_int_equal(c->log_ring, WIRE_RING_MAX);
	assert_int_equal(c->log_full, WIRE_FULL_BLOCK);
	assert_int_equal(c->credential_mode, 0440);
	assert_int_equal(c->credential_uid, 1000);
	assert_int_equal(c->credential_gid, 100);
	assert_true(c->credential_once);
	assert_int_equal(c->power, WIRE_POWER_RESET);
	assert_int_equal(c->verbs, WIRE_VERBS_CONFIG);
	assert_int_equal(c->handoff, WIRE_HANDOFF_SWITCH_ROOT);
	assert_int_equal(c->handoff_flags, WIRE_HANDOFF_OVERLAY);
	assert_string_equal(c->root_type, "ext4");
	assert_string_equal(c->root_source, "/dev/vda");
	assert_string_equal(c->root_options, "ro,noatime");
	assert_string_equal(c->root_init, "/usr/lib/systemd/systemd");
	assert_false(c->clock);
	assert_false(c->entropy);
	assert_int_equal(c->memory_mib, 1048576);
	assert_int_equal(c->cpus, 255);
	assert_string_equal(c->kernel_args, "quiet hawser.deadline=5");
	vmconfig_destroy(c);
}

static void has_defaults(void **state)
{
	struct problem problem;
	struct vmconfig *c = parse("{}", &problem);

	(void)state;
	assert_non_null(c);
	assert_null(c->hostname);
	assert_int_equal(c->n_args + c->n_env + c->n_mounts + c->n_sysctls + c->n_groups, 0);
	assert_string_equal(c->cwd, "/");
	assert_false(c->user_given);
	assert_false(c->terminal);
	assert_int_equal(c->cid, 0);
	assert_null(c->socket);
	assert_int_equal(c->restart, WIRE_RESTART_NO);
	assert_int_equal(c->restarts_max, 0);
	assert_int_equal(c->at_end, WIRE_AT_END_POWER_OFF);
	assert_int_equal(c->stop_signal, 15);
	assert_int_equal(c->stop_grace_ms, 2000);
	assert_int_equal(c->log_ring, 262144);
	assert_int_equal(c->log_full, WIRE_FULL_DROP);
	assert_int_equal(c->credential_mode, 0400);
	assert_false(c->credential_once);
	assert_int_equal(c->power, WIRE_POWER_DETECT);
	assert_int_equal(c->verbs, 0);
	assert_int_equal(c->handoff, WIRE_HANDOFF_BUSYBOX);
	assert_null(c->root_type);
	assert_true(c->clock && c->entropy);
	assert_int_equal(c->memory_mib, 64);
	assert_int_equal(c->cpus, 1);
	assert_string_equal(c->kernel_args, "");
	vmconfig_destroy(c);
	vmconfig_destroy(NULL);
}

static void numbers_signals_as_linux(void **state)
{
	static const struct { const char *name; unsigned number; } signals[] = {
		{ "SIGHUP", 1 }, { "SIGBUS", 7 }, { "SIGKILL", 9 }, { "SIGUSR1", 10 }, { "SIGTERM", 15 },
		{ "SIGSTKFLT", 16 }, { "SIGCHLD", 17 }, { "SIGWINCH", 28 }, { "SIGPWR", 30 }, { "SIGSYS", 31 },
		{ "SIGRTMIN", 34 }, { "SIGRTMIN+1", 35 }, { "SIGRTMIN+30", 64 },
	};
	char text[64];
	struct problem problem;

	(void)state;
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		struct vmconfig *c;

		snprintf(text, sizeof text, "{\"hawser\":{\"stopSignal\":\"%s\"}}", signals[i].name);
		c = parse(text, &problem);
		assert_non_null(c);
		assert_int_equal(c->stop_signal, signals[i].number);
		vmconfig_destroy(c);
	}
}

/* 128 KiB of arguments and variables, to the byte. */
static void bounds_arguments(void **state)
{
	size_t last = WIRE_ARGS_MAX - 3 * (WIRE_HEADER + WIRE_PAYLOAD_MAX) - 2 * WIRE_HEADER - 2;
	char *text = malloc(WIRE_ARGS_MAX + 256), *p;
	struct problem problem;

	(void)state;
	for (size_t over = 0; over < 2; over++) {
		struct vmconfig *c;

		p = text + sprintf(text, "{\"process\":{\"args\":[\"/a\"");
		for (int i = 0; i < 4; i++)
			p += sprintf(p, ",\"%0*d\"", i < 3 ? WIRE_PAYLOAD_MAX : (int)(last + over), 0);
		strcpy(p, "]}}");
		c = parse(text, &problem);
		assert_int_equal(c != NULL, over == 0);
		vmconfig_destroy(c);
	}
	assert_non_null(strstr(problem.text, "process.args[4]"));
	free(text);
}

static void replaces_arguments(void **state)
{
	char *const args[] = { "/bin/other", "x" }, *const empty[] = { "", "x" };
	char *big = malloc(WIRE_PAYLOAD_MAX + 2), *many[5];
	struct problem problem;
	struct vmconfig *c = parse("{\"process\":{\"args\":[\"/bin/one\"],\"env\":[\"A=1\"]}}", &problem);

	(void)state;
	assert_non_null(c);
	assert_false(vmconfig_set_args(c, 0, args));
	assert_false(vmconfig_set_args(c, 2, empty));
	memset(big, 'x', WIRE_PAYLOAD_MAX + 1);
	big[WIRE_PAYLOAD_MAX + 1] = '\0';
	assert_false(vmconfig_set_args(c, 1, &big));
	big[WIRE_PAYLOAD_MAX] = '\0';
	for (int i = 0; i < 5; i++)
		many[i] = big;
	assert_false(vmconfig_set_args(c, 5, many));
	assert_false(vmconfig_set_args(c, 4, many));     /* fits alone, but there is a variable */
	assert_string_equal(c->args[0], "/bin/one");
	assert_true(vmconfig_set_args(c, 2, args));
	assert_int_equal(c->n_args, 2);
	assert_string_equal(c->args[0], "/bin/other");
	vmconfig_destroy(c);
	free(big);
}

static void knows_names(void **state)
{
	static const char *const good[] = { "a", "db-1.harbour_2", "0", "A",
		"0123456789012345678901234567890123456789012345678901234567890123" };
	static const char *const bad[] = { "", ".", "..", ".hidden", "-x", "a/b", "a b", "\xc3\xa4", "a\n",
		"01234567890123456789012345678901234567890123456789012345678901234" };

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(vmconfig_name_ok(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(vmconfig_name_ok(bad[i]));
}

/* --- files ------------------------------------------------------------------------------------------------------ */

struct place {
	char path[64];
	int fd;
};

static int place_create(void **state)
{
	static struct place place;

	strcpy(place.path, "/tmp/hawser-vmconfig-XXXXXX");
	if (!mkdtemp(place.path))
		return -1;
	place.fd = open(place.path, O_RDONLY | O_DIRECTORY);
	*state = &place;
	return place.fd < 0;
}

static int place_destroy(void **state)
{
	struct place *place = *state;

	unlinkat(place->fd, "vm.json", 0);
	unlinkat(place->fd, "vm.json", AT_REMOVEDIR);
	unlinkat(place->fd, "other.json", 0);
	close(place->fd);
	return rmdir(place->path);
}

static void put_file(const struct place *place, const char *name, const char *text, size_t len)
{
	int fd = openat(place->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void assert_load(const struct place *place, const char *expected)
{
	struct problem problem = { "" };
	struct vmconfig *config = vmconfig_load(place->fd, "vms/a", &problem);

	assert_int_equal(config == NULL, expected != NULL);
	assert_string_equal(problem.text, expected ? expected : "");
	vmconfig_destroy(config);
}

static void loads_files(void **state)
{
	const struct place *place = *state;

	assert_load(place, "vms/a/vm.json: does not exist; write it");
	put_file(place, "vm.json", "{}", 2);
	assert_load(place, NULL);
	put_file(place, "vm.json", "{\n\"hostnme\":1}", 14);
	assert_load(place, "vms/a/vm.json:2:1: unknown key \"hostnme\"; did you mean \"hostname\"?");
}

static void loads_only_regular_files(void **state)
{
	const struct place *place = *state;

	put_file(place, "other.json", "{}", 2);
	symlinkat("other.json", place->fd, "vm.json");
	assert_load(place, "vms/a/vm.json: is a symbolic link, and none is followed; put the file itself here");
	unlinkat(place->fd, "vm.json", 0);
	mkfifoat(place->fd, "vm.json", 0600);
	assert_load(place, "vms/a/vm.json: is not a regular file; replace it with one");
	unlinkat(place->fd, "vm.json", 0);
	mkdirat(place->fd, "vm.json", 0700);
	assert_load(place, "vms/a/vm.json: is not a regular file; replace it with one");
}

static void loads_at_most_1_mib(void **state)
{
	const struct place *place = *state;
	char *text = malloc(VMCONFIG_FILE_MAX + 1);

	memset(text, ' ', VMCONFIG_FILE_MAX + 1);
	memcpy(text, "{}", 2);
	put_file(place, "vm.json", text, VMCONFIG_FILE_MAX);
	assert_load(place, NULL);
	put_file(place, "vm.json", text, VMCONFIG_FILE_MAX + 1);
	assert_load(place, "vms/a/vm.json: has 1048577 bytes; there may be 1048576");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_good_documents), cmocka_unit_test(refuses_bad_documents),
		cmocka_unit_test(fills_everything), cmocka_unit_test(has_defaults),
		cmocka_unit_test(numbers_signals_as_linux), cmocka_unit_test(bounds_arguments),
		cmocka_unit_test(replaces_arguments), cmocka_unit_test(knows_names),
		cmocka_unit_test_setup_teardown(loads_files, place_create, place_destroy),
		cmocka_unit_test_setup_teardown(loads_only_regular_files, place_create, place_destroy),
		cmocka_unit_test_setup_teardown(loads_at_most_1_mib, place_create, place_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
