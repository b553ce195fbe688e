/* SPDX-License-Identifier: MIT */
/* What a confined process can do no more, each tried in a child that is confined as hawserd's are. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/sandbox.h"

static char top[64];
static int mine = -1, other = -1;        /* directories: the one to have, and one not to have; a file is in each */

static int setup(void **state)
{
	int fd;

	(void)state;
	snprintf(top, sizeof top, "/tmp/hawser-sandbox-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	chmod(top, 0755);
	fd = open(top, O_RDONLY | O_DIRECTORY);
	mkdirat(fd, "mine", 0777);
	mkdirat(fd, "other", 0777);
	mine = openat(fd, "mine", O_RDONLY | O_DIRECTORY);
	other = openat(fd, "other", O_RDONLY | O_DIRECTORY);
	fchmod(mine, 0777);
	close(fd);
	close(openat(mine, "file", O_WRONLY | O_CREAT, 0600));
	close(openat(other, "file", O_WRONLY | O_CREAT, 0600));
	return mine < 0 || other < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(mine, "file", 0);
	unlinkat(mine, "new", 0);
	unlinkat(other, "file", 0);
	close(mine);
	close(other);
	chdir(top);
	rmdir("mine");
	rmdir("other");
	chdir("/");
	return rmdir(top);
}

/* What a child found: 0, or the number of the first that was not so. */
static int in_child(int (*what)(void))
{
	pid_t pid = fork();
	int status;

	/* Not _exit: what the sanitizers do before it takes calls that are not there any more. */
	if (!pid)
		syscall(SYS_exit_group, what());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define MUST(n, condition) do { if (!(condition)) return n; } while (0)

static bool fails(int result, int error)
{
	return result < 0 && errno == error;
}

static int reader_files(void)
{
	const struct sandbox_path paths[] = { { mine, SANDBOX_READ }, { -1, SANDBOX_WRITE } };

	if (!sandbox_files(paths, 2))
		return 77;
	MUST(1, openat(mine, "file", O_RDONLY) >= 0);
	MUST(2, openat(mine, ".", O_RDONLY | O_DIRECTORY) >= 0);
	MUST(3, fails(openat(mine, "file", O_WRONLY), EACCES));
	MUST(4, fails(openat(mine, "new", O_WRONLY | O_CREAT, 0600), EACCES));
	MUST(5, fails(unlinkat(mine, "file", 0), EACCES));
	/* Not by a descriptor of the directory either, which was there before. */
	MUST(6, fails(openat(other, "file", O_RDONLY), EACCES));
	MUST(7, fails(openat(other, ".", O_RDONLY | O_DIRECTORY), EACCES));
	MUST(8, fails(openat(mine, "../other/file", O_RDONLY), EACCES));
	MUST(9, fails(open("/etc/passwd", O_RDONLY), EACCES));
	MUST(10, fails(open("/proc/self/mem", O_RDWR), EACCES));
	return 0;
}

static int writer_files(void)
{
	const struct sandbox_path paths[] = { { mine, SANDBOX_WRITE } };

	if (!sandbox_files(paths, 1))
		return 77;
	MUST(1, openat(mine, "new", O_RDWR | O_CREAT, 0600) >= 0);
	MUST(2, openat(mine, "file", O_WRONLY | O_TRUNC) >= 0);
	MUST(3, !renameat(mine, "new", mine, "file"));
	MUST(4, fails(symlinkat("/etc/passwd", mine, "link"), EACCES));
	MUST(5, fails(openat(other, "file", O_RDONLY), EACCES));
	MUST(6, fails(openat(other, "new", O_WRONLY | O_CREAT, 0600), EACCES));
	return 0;
}

static int calls_of(enum sandbox_role role)
{
	static const char *const argv[] = { "true", NULL };
	int fd = openat(mine, "file", O_RDONLY);

	MUST(1, fd >= 0 && sandbox_calls(role));
	MUST(2, fails(fork(), EPERM));
	MUST(3, fails(execv("/bin/true", (char **)argv), EPERM));
	MUST(4, fails(socket(AF_INET, SOCK_STREAM, 0), EPERM));
	MUST(5, fails(socket(AF_NETLINK, SOCK_RAW, 0), EPERM));
	MUST(6, fails((int)ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM));
	MUST(7, fails(kill(1, 0), EPERM));
	MUST(8, fails(setuid(0), EPERM));
	MUST(9, fails(chdir("/"), EPERM));
	MUST(10, lseek(fd, 0, SEEK_SET) == 0);
	MUST(11, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	if (role == SANDBOX_READER) {
		MUST(12, fails(socket(AF_UNIX, SOCK_STREAM, 0), EPERM));
		MUST(13, fails(unlinkat(mine, "file", 0), EPERM));
		MUST(14, fails(accept(fd, NULL, NULL), EPERM));
	} else {
		MUST(15, socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
		MUST(16, fails(bind(fd, NULL, 0), EPERM));
	}
	return 0;
}

static int server_calls(void)
{
	return calls_of(SANDBOX_SERVER);
}

static int reader_calls(void)
{
	return calls_of(SANDBOX_READER);
}

static int another_user(void)
{
	char status[4096] = "";
	int fd, kept = open("/proc/self/status", O_RDONLY);

	MUST(1, !sandbox_user(61101, 61101, true));
	MUST(2, getuid() == 61101 && geteuid() == 61101 && getgid() == 61101 && !getgroups(0, NULL));
	MUST(3, read(kept, status, sizeof status - 1) > 0);
	MUST(4, strstr(status, "CapPrm:\t0000000000000004") && strstr(status, "CapEff:\t0000000000000004"));
	/* All may be read, and nothing written. */
	fd = openat(other, "file", O_RDONLY);
	MUST(5, fd >= 0);
	MUST(6, fails(openat(other, "file", O_WRONLY), EACCES));
	MUST(7, fails(setuid(0), EPERM));
	return 0;
}

static int without_rights(void)
{
	MUST(1, !sandbox_user(61100, 61100, false));
	MUST(2, fails(openat(other, "file", O_RDONLY), EACCES));
	MUST(3, fails(setuid(0), EPERM));
	return 0;
}

static void files_are_those_that_were_named(void **state)
{
	int reader = in_child(reader_files), writer = in_child(writer_files);

	(void)state;
	if (reader == 77 && writer == 77)
		skip();          /* a kernel without Landlock, of which hawserd tells at its start */
	assert_int_equal(reader, 0);
	assert_int_equal(writer, 0);
}

static void calls_are_those_of_the_role(void **state)
{
	(void)state;
	assert_int_equal(in_child(server_calls), 0);
	assert_int_equal(in_child(reader_calls), 0);
}

static void root_becomes_somebody_else(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(in_child(another_user), 0);
	assert_int_equal(in_child(without_rights), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_are_those_that_were_named, setup, teardown),
		cmocka_unit_test_setup_teardown(calls_are_those_of_the_role, setup, teardown),
		cmocka_unit_test_setup_teardown(root_becomes_somebody_else, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
