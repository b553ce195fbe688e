/* SPDX-License-Identifier: MIT */
/* hawser check, as a person sees it: what goes where, and the exit status. */
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

#include "../../host/check.h"

static char dir[64], out[4096], err[4096];

static void put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/hawser-check-XXXXXX");
	return !mkdtemp(dir) || chdir(dir) < 0 || mkdir("good", 0755) < 0 || mkdir("good/files", 0755) < 0 ||
		mkdir("good/credentials", 0700) < 0 || mkdir("bad", 0755) < 0 || symlink("good", "link") < 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "good/files/a", "good/files/b", "good/credentials/key", "good/vm.json",
		"good/files", "good/credentials", "good", "bad/vm.json", "bad/files", "bad", "link", "out", "err" };

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		remove(files[i]);
	return chdir("/") < 0 || rmdir(dir) < 0;
}

static void read_back(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, size - 1);

	close(fd);
	text[n < 0 ? 0 : n] = '\0';
}

/* Runs it with descriptors 1 and 2 in files. */
static int check(const char *a, const char *b)
{
	char args[2][64], *argv[] = { (char[]){ "check" }, NULL, NULL, NULL };
	int saved[2] = { dup(1), dup(2) }, argc = 1, rc;

	for (const char *const *p = (const char *const []){ a, b, NULL }; *p; p++, argc++) {
		strcpy(args[argc - 1], *p);
		argv[argc] = args[argc - 1];
	}
	fflush(stdout);
	dup2(open("out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), 1);
	dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), 2);
	rc = check_main(argc, argv);
	fflush(stdout);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	read_back("out", out, sizeof out);
	read_back("err", err, sizeof err);
	return rc;
}

static void summarizes(void **state)
{
	(void)state;
	put_text("good/vm.json", "{\"process\":{\"args\":[\"/bin/a\",\"b\",\"c\"]}}");
	put_text("good/files/a", "x");
	put_text("good/files/b", "");
	assert_int_equal(truncate("good/files/b", 4200), 0);
	put_text("good/credentials/key", "0123456789abcdef0123456789abcdef");
	assert_int_equal(check("good", NULL), 0);
	assert_string_equal(out, "good: ok: 3 arguments, 2 files (4.1 KiB), 1 credential (32 bytes)\n");
	assert_string_equal(err, "");
	assert_int_equal(check("good/", NULL), 0);
	assert_int_equal(check("./good/../good//", NULL), 0);
	assert_string_equal(out, "good: ok: 3 arguments, 2 files (4.1 KiB), 1 credential (32 bytes)\n");
}

static void names_every_problem(void **state)
{
	(void)state;
	put_text("good/vm.json", "{}");
	put_text("bad/vm.json", "{\n  \"hostnmae\": \"x\"\n}");
	assert_int_equal(symlink("/", "bad/files"), 0);
	assert_int_equal(check("bad", "good"), 1);
	assert_string_equal(out, "good: ok: 0 arguments, 0 files (0 bytes), 0 credentials (0 bytes)\n");
	assert_string_equal(err, "bad/vm.json:2:3: unknown key \"hostnmae\"; did you mean \"hostname\"?\n"
		"bad/files: must be a directory itself, not a file or a link to one\n");
}

static void follows_no_link(void **state)
{
	(void)state;
	put_text("good/vm.json", "{}");
	assert_int_equal(check("link", NULL), 1);
	assert_string_equal(err, "link: is a symbolic link, and none is followed; give the directory itself\n");
	assert_int_equal(check("link/", NULL), 1);
	assert_int_equal(check("nothing", "good/vm.json"), 1);
	assert_string_equal(err, "nothing: No such file or directory\n"
		"good/vm.json: is a file; give its directory, good\n");
}

static void knows_names_and_cids(void **state)
{
	(void)state;
	put_text("good/vm.json", "{\"hawser\":{\"cid\":42}}");
	put_text("bad/vm.json", "{\"hawser\":{\"cid\":42}}");
	assert_int_equal(check("good", "bad"), 1);
	assert_string_equal(err, "bad: hawser.cid is 42, which good has already; give it one of its own\n");
	assert_int_equal(rename("bad", "-bad"), 0);
	assert_int_equal(check("./-bad", NULL), 1);
	assert_non_null(strstr(err, "./-bad: \"-bad\" is not a machine's name"));
	assert_int_equal(rename("-bad", "bad"), 0);
}

static void has_a_usage(void **state)
{
	(void)state;
	assert_int_equal(check(NULL, NULL), 2);
	assert_non_null(strstr(err, "usage: hawser check"));
	assert_string_equal(out, "");
	assert_int_equal(check("--nonsense", NULL), 2);
	assert_int_equal(check("--help", NULL), 0);
	assert_non_null(strstr(out, "usage: hawser check"));
	assert_string_equal(err, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(summarizes, setup, teardown),
		cmocka_unit_test_setup_teardown(names_every_problem, setup, teardown),
		cmocka_unit_test_setup_teardown(follows_no_link, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_names_and_cids, setup, teardown),
		cmocka_unit_test_setup_teardown(has_a_usage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
