/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "janitor.h"

#define PREFIX "hawser-run."
#define DEATH_TIMEOUT_MS 5000            /* after SIGKILL: only a process stuck in the kernel takes this long */
#define JANITOR_TIMEOUT_MS 10000

struct hello {
	int error;
	char dir[JANITOR_DIR_MAX + 1];
};

/* --- what is left to do at the end ------------------------------------------------------------------------------ */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	remove(path);            /* ENOENT: a hawserd that was here before us removed its own socket */
	return 0;
}

static void directory_remove(const char *dir)
{
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void helpers_kill(const int helpers[], int n)
{
	for (int i = 0; i < n; i++)
		pidfd_send_signal(helpers[i], SIGKILL, NULL, 0);         /* ESRCH: has ended already */
	for (int i = 0; i < n; i++) {
		struct pollfd p = { helpers[i], POLLIN, 0 };
		poll(&p, 1, DEATH_TIMEOUT_MS);
		close(helpers[i]);
	}
}

/* --- the directory ---------------------------------------------------------------------------------------------- */

static const char *base_dir(int i)
{
	const char *bases[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };
	return i < 3 ? bases[i] ? bases[i] : "" : NULL;
}

/* Holding the lock of a directory that is still where it was made: then no sweep can take it for an abandoned one. */
static bool directory_lock(int fd, const char *dir)
{
	struct stat open_st, path_st;
	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &open_st) == 0 && lstat(dir, &path_st) == 0 &&
		open_st.st_dev == path_st.st_dev && open_st.st_ino == path_st.st_ino;
}

/* The descriptor stays open as long as the janitor lives. */
static int directory_make(char dir[static JANITOR_DIR_MAX + 1])
{
	int error = ENOENT;
	const char *base;
	for (int i = 0; (base = base_dir(i)); i++) {
		for (int tries = 0; tries < 10; tries++) {
			if (base[0] != '/' ||
				snprintf(dir, JANITOR_DIR_MAX + 1, "%s/" PREFIX "XXXXXX", base) > JANITOR_DIR_MAX)
				break;
			if (!mkdtemp(dir)) {
				error = errno;
				break;
			}
			int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd >= 0 && directory_lock(fd, dir))
				return 0;
			if (fd >= 0)
				close(fd);
		}
	}
	dir[0] = '\0';
	return error;
}

/* Nobody but a janitor locks these directories, and a janitor that died with its run has no lock. */
static void directories_sweep(const char *base)
{
	DIR *d = base[0] == '/' ? opendir(base) : NULL;
	for (struct dirent *entry; d && (entry = readdir(d));) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		int fd = openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
			char path[4096];
			if (snprintf(path, sizeof path, "%s/%s", base, entry->d_name) < (int)sizeof path)
				directory_remove(path);
		}
		if (fd >= 0)
			close(fd);
	}
	if (d)
		closedir(d);
}

/* --- the process ------------------------------------------------------------------------------------------------ */

/* One pidfd; -1 at the end. */
static int helper_receive(int fd)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control };
	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	int helper;
	memcpy(&helper, CMSG_DATA(c), sizeof helper);
	return helper;
}

/* Nothing of the run may live on here: its terminal, its output pipes, its current directory. */
static int detach(int fd)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "hawser-janitor");
	if (chdir("/") < 0)
		return -1;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -1;
	close_range((unsigned)fd + 1, ~0U, 0);
	for (int i = 0; i < fd; i++)
		close(i);
	for (int i = 0; i < 3; i++)
		open("/dev/null", O_RDWR);
	return fd;
}

static _Noreturn void janitor_main(int fd)
{
	struct hello hello = { 0 };
	int helpers[JANITOR_HELPERS_MAX], n = 0;

	if ((fd = detach(fd)) < 0)
		_exit(1);
	hello.error = directory_make(hello.dir);
	send(fd, &hello, sizeof hello, MSG_NOSIGNAL);
	if (hello.error)
		_exit(1);
	for (int i = 0; base_dir(i); i++)
		directories_sweep(base_dir(i));
	while (n < JANITOR_HELPERS_MAX && (helpers[n] = helper_receive(fd)) >= 0)
		n++;
	helpers_kill(helpers, n);
	directory_remove(hello.dir);
	_exit(0);
}

int janitor_start(struct janitor *janitor)
{
	struct hello hello;
	int pair[2], result;

	*janitor = (struct janitor){ .pidfd = -1, .fd = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	janitor->pid = fork();
	if (janitor->pid == 0) {
		close(pair[0]);
		janitor_main(pair[1]);
	}
	result = -errno;
	close(pair[1]);
	if (janitor->pid < 0) {
		close(pair[0]);
		return result;
	}
	janitor->fd = pair[0];
	janitor->pidfd = pidfd_open(janitor->pid, 0);
	ssize_t n;
	do
		n = recv(janitor->fd, &hello, sizeof hello, 0);
	while (n < 0 && errno == EINTR);
	result = janitor->pidfd < 0 ? -errno : n != sizeof hello ? -ECHILD : -hello.error;
	if (result == 0)
		memcpy(janitor->dir, hello.dir, sizeof hello.dir);
	else
		janitor_finish(janitor);
	return result;
}

int janitor_tell(struct janitor *janitor, int pidfd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof pidfd);
	memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);

	/* The last place is never used: a janitor with all places filled would take that for the end. */
	if (janitor->n_helpers >= JANITOR_HELPERS_MAX - 1)
		return -EMFILE;
	int copy = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	janitor->helpers[janitor->n_helpers++] = copy;
	ssize_t n;
	do
		n = sendmsg(janitor->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : -errno;
}

void janitor_finish(struct janitor *janitor)
{
	siginfo_t info = { 0 };
	struct pollfd p = { janitor->pidfd, POLLIN, 0 };

	if (janitor->pid <= 0)
		return;
	if (janitor->fd >= 0)
		close(janitor->fd);
	if (janitor->pidfd >= 0)
		poll(&p, 1, JANITOR_TIMEOUT_MS);
	bool done = waitid(P_PID, (id_t)janitor->pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid &&
		info.si_code == CLD_EXITED;
	if (done)
		for (int i = 0; i < janitor->n_helpers; i++)
			close(janitor->helpers[i]);
	else
		helpers_kill(janitor->helpers, janitor->n_helpers);
	if (!done && janitor->dir[0])
		directory_remove(janitor->dir);
	if (janitor->pidfd >= 0)
		close(janitor->pidfd);
	*janitor = (struct janitor){ .pidfd = -1, .fd = -1 };
}
