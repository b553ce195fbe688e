/* SPDX-License-Identifier: MIT */
/* Helpers and the janitor: real processes, real deaths, and nothing left afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/janitor.h"
#include "../../host/outqueue.h"
#include "../../host/subprocess.h"
#include "../../host/tailbuf.h"

static char base[] = "/tmp/hawser-test.XXXXXX";

/* All directories of these tests are made below one of our own. */
static int base_make(void **state)
{
	(void)state;
	strcpy(base + strlen(base) - 6, "XXXXXX");
	return mkdtemp(base) ? setenv("XDG_RUNTIME_DIR", base, 1) : -1;
}

/* Fails when anything was left in it. */
static int base_remove(void **state)
{
	(void)state;
	return rmdir(base);
}

static void sh(struct subprocess *p, struct janitor *janitor, const char *script, const struct subprocess_io *io)
{
	char *argv[] = { strdup("/bin/sh"), strdup("-c"), strdup(script), NULL };
	subprocess_init(p, "sh");
	assert_int_equal(subprocess_start(p, janitor, argv, io), 0);
	for (int i = 0; i < 3; i++)
		free(argv[i]);
}

static void ended(struct subprocess *p)
{
	struct pollfd fd = { p->pidfd, POLLIN, 0 };
	assert_int_equal(poll(&fd, 1, 10000), 1);
	subprocess_reap(p);
	assert_true(p->ended);
}

static void keep(void *arg, const char *line, size_t len)
{
	strncat(arg, line, len);
	strcat(arg, "|");
}

static void test_status_and_words(void **state)
{
	(void)state;
	struct janitor janitor;
	struct subprocess p;
	char said[256] = "", how[64];
	assert_int_equal(janitor_start(&janitor), 0);
	sh(&p, &janitor, "echo out; echo err >&2; exit 3", &(struct subprocess_io){ .pass = -1 });
	ended(&p);
	assert_string_equal(subprocess_how(&p, how, sizeof how), "ended with status 3");
	tailbuf_lines(&p.said, 0, keep, said);
	assert_string_equal(said, "out|err|");
	subprocess_finish(&p);

	sh(&p, &janitor, "kill -SEGV $$", &(struct subprocess_io){ .pass = -1 });
	ended(&p);
	assert_string_equal(subprocess_how(&p, how, sizeof how), "was killed by SIGSEGV");
	subprocess_finish(&p);
	janitor_finish(&janitor);
}

static void test_world_of_a_helper(void **state)
{
	(void)state;
	struct janitor janitor;
	struct subprocess p;
	int ends[2];
	char buf[256] = "", said[512] = "";
	assert_int_equal(janitor_start(&janitor), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	char script[160];
	/* Its descriptors, its directory, and that SIGINT kills it although we block that. */
	snprintf(script, sizeof script, "pwd; echo passed >&%d; ls /proc/self/fd | tr '\\n' ' '; kill -INT $$", ends[1]);
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &old);
	sh(&p, &janitor, script, &(struct subprocess_io){ .pass = ends[1], .dir = janitor.dir });
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ends[1]);
	ended(&p);
	assert_int_equal(p.code, CLD_KILLED);
	assert_int_equal(p.status, SIGINT);
	assert_int_equal(read(ends[0], buf, sizeof buf), 7);
	assert_string_equal(buf, "passed\n");
	tailbuf_lines(&p.said, 0, keep, said);
	/* 3 is of ls itself, or the one that was passed on. */
	char expected[256];
	snprintf(expected, sizeof expected, "%s|0 1 2 3 %d |", janitor.dir, ends[1]);
	if (ends[1] != 3)
		assert_string_equal(said, expected);
	close(ends[0]);
	subprocess_finish(&p);
	janitor_finish(&janitor);
}

static void test_cannot_execute(void **state)
{
	(void)state;
	struct janitor janitor;
	struct subprocess p;
	char *argv[] = { strdup("/nowhere/at/all"), NULL };
	assert_int_equal(janitor_start(&janitor), 0);
	subprocess_init(&p, "x");
	assert_int_equal(subprocess_start(&p, &janitor, argv, &(struct subprocess_io){ .pass = -1 }), -ENOENT);
	assert_false(subprocess_running(&p));
	free(argv[0]);
	subprocess_finish(&p);
	janitor_finish(&janitor);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void litter(const char *dir)
{
	char path[160];
	static const char *const dirs[] = { "a", "a/b", "a/b/c" };
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
		strcat(path, "/file");
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	snprintf(path, sizeof path, "%s/a/link", dir);
	assert_int_equal(symlink("/etc", path), 0);
}

static void test_finish_ends_and_removes(void **state)
{
	(void)state;
	struct janitor janitor;
	struct subprocess p;
	struct stat st;
	assert_int_equal(janitor_start(&janitor), 0);
	assert_int_equal(stat(janitor.dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	litter(janitor.dir);
	sh(&p, &janitor, "trap '' TERM HUP INT; while :; do sleep 1; done", &(struct subprocess_io){ .pass = -1 });
	janitor_finish(&janitor);
	ended(&p);
	assert_int_equal(p.status, SIGKILL);
	subprocess_finish(&p);
	assert_int_equal(access("/etc", F_OK), 0);
}

/* A run that is killed while its helper lives: both are gone, and the directory too. */
static void test_run_killed(void **state)
{
	(void)state;
	int *helper = mmap(NULL, sizeof *helper, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	pid_t run = fork();
	if (run == 0) {
		struct janitor janitor;
		struct subprocess p;
		if (janitor_start(&janitor) < 0)
			_exit(1);
		litter(janitor.dir);
		sh(&p, &janitor, "sleep 1000", &(struct subprocess_io){ .pass = -1 });
		*helper = p.pid;
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	int pidfd = pidfd_open(*helper, 0);
	assert_true(pidfd >= 0);
	kill(run, SIGKILL);
	waitpid(run, NULL, 0);
	struct pollfd died = { pidfd, POLLIN, 0 };
	assert_int_equal(poll(&died, 1, 10000), 1);
	for (int i = 0; i < 1000 && rmdir(base) < 0; i++)        /* the janitor is nobody's child by now */
		poll(NULL, 0, 10);
	assert_int_equal(access(base, F_OK), -1);
	assert_int_equal(mkdir(base, 0700), 0);
	close(ready[0]);
	close(pidfd);
	munmap(helper, sizeof *helper);
}

static void test_janitor_killed(void **state)
{
	(void)state;
	struct janitor janitor;
	struct subprocess p;
	assert_int_equal(janitor_start(&janitor), 0);
	litter(janitor.dir);
	sh(&p, &janitor, "sleep 1000", &(struct subprocess_io){ .pass = -1 });
	kill(janitor.pid, SIGKILL);
	struct pollfd died = { janitor.pidfd, POLLIN, 0 };
	assert_int_equal(poll(&died, 1, 10000), 1);
	janitor_finish(&janitor);
	ended(&p);
	subprocess_finish(&p);
}

/* What run and janitor left when both were killed goes with the next run; what is in use stays. */
static void test_abandoned_directory(void **state)
{
	(void)state;
	struct janitor living, next;
	char abandoned[64];
	snprintf(abandoned, sizeof abandoned, "%s/hawser-run.abcdef", base);
	assert_int_equal(mkdir(abandoned, 0700), 0);
	litter(abandoned);
	assert_int_equal(janitor_start(&living), 0);
	assert_int_equal(janitor_start(&next), 0);
	janitor_finish(&next);
	assert_int_equal(access(living.dir, F_OK), 0);
	janitor_finish(&living);
	assert_int_equal(access(abandoned, F_OK), -1);
}

static void test_tail(void **state)
{
	(void)state;
	struct tailbuf t;
	char text[256] = "";
	tailbuf_init(&t, 16);
	tailbuf_lines(&t, 0, keep, text);
	assert_string_equal(text, "");
	tailbuf_add(&t, "one\r\ntwo\n", 9);
	tailbuf_lines(&t, 0, keep, text);
	assert_string_equal(text, "one|two|");
	for (const char *p = "three\nfour\nfive"; *p; p++)
		tailbuf_add(&t, p, 1);
	*text = '\0';
	tailbuf_lines(&t, 0, keep, text);
	assert_string_equal(text, "three|four|five|");           /* the broken "two" is not shown */
	*text = '\0';
	tailbuf_lines(&t, 2, keep, text);
	assert_string_equal(text, "four|five|");
	tailbuf_add(&t, "0123456789abcdefXYZ", 19);
	*text = '\0';
	tailbuf_lines(&t, 1, keep, text);
	assert_string_equal(text, "3456789abcdefXYZ|");
	tailbuf_finish(&t);
}

static void test_queue(void **state)
{
	(void)state;
	struct outqueue q;
	int ends[2];
	char chunk[1000], buf[70000];
	size_t n = 0;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	memset(chunk, 'x', sizeof chunk);
	outqueue_init(&q, ends[1]);
	while (!outqueue_full(&q))
		outqueue_put(&q, chunk, sizeof chunk);
	outqueue_printf(&q, "%s", "end");
	size_t all = bytes_len(&q.bytes);
	/* It never blocks, whether anybody reads or not. */
	while (!outqueue_empty(&q)) {
		outqueue_write(&q);
		struct pollfd p = { ends[1], POLLOUT, 0 };
		if (poll(&p, 1, 0) == 0)
			n += (size_t)read(ends[0], buf, sizeof buf);
	}
	for (ssize_t got; (got = read(ends[0], buf, sizeof buf)) > 0;)
		n += (size_t)got;
	assert_int_equal(n, all);
	close(ends[0]);
	signal(SIGPIPE, SIG_IGN);
	outqueue_put(&q, "x", 1);
	outqueue_write(&q);
	assert_int_equal(q.error, EPIPE);
	assert_true(outqueue_empty(&q));
	outqueue_finish(&q);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status_and_words, base_make, base_remove),
		cmocka_unit_test_setup_teardown(test_world_of_a_helper, base_make, base_remove),
		cmocka_unit_test_setup_teardown(test_cannot_execute, base_make, base_remove),
		cmocka_unit_test_setup_teardown(test_finish_ends_and_removes, base_make, base_remove),
		cmocka_unit_test_setup_teardown(test_run_killed, base_make, base_remove),
		cmocka_unit_test_setup_teardown(test_janitor_killed, base_make, base_remove),
		cmocka_unit_test_setup_teardown(test_abandoned_directory, base_make, base_remove),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_queue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
