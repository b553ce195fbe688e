/* SPDX-License-Identifier: MIT */
/*
 * The lists of system calls are those of the code that runs once everything is set up, glibc's own needs with them:
 * what allocates, what logs, what aborts. A call that is new to a later glibc fails with EPERM, and is seen by the
 * tests, which run everything under these lists.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "sandbox.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)         /* since version 3 */
#endif

/* --- who --------------------------------------------------------------------------------------------------------- */

static int capabilities_set(uint64_t mask)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { (uint32_t)mask, (uint32_t)mask, 0 },
		{ (uint32_t)(mask >> 32), (uint32_t)(mask >> 32), 0 } };

	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int sandbox_user(uid_t uid, gid_t gid, bool read_all)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	/* Both are undone by a change of the user. */
	if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -errno;
	return capabilities_set(read_all ? 1ull << CAP_DAC_READ_SEARCH : 0);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_RIGHTS (READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)
#define ALL_RIGHTS (WRITE_RIGHTS | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
	LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
	LANDLOCK_ACCESS_FS_MAKE_SYM)

/* Those that versions after the first have: not known to older kernels, which refuse the whole set then. */
static uint64_t later_rights(int version)
{
	return (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0);
}

int sandbox_files(const struct sandbox_path *paths, size_t n)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), rules;
	struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_RIGHTS | later_rights(version) };
	bool ok = true;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || version < 1)
		return 0;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (rules < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct landlock_path_beneath_attr beneath = { .parent_fd = paths[i].fd,
			.allowed_access = paths[i].right == SANDBOX_READ ? READ_RIGHTS : WRITE_RIGHTS | later_rights(version) };

		if (paths[i].fd >= 0)
			ok = ok && !syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	}
	ok = ok && !syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return ok ? version : 0;
}

/* --- system calls ------------------------------------------------------------------------------------------------ */

static const char *const common_calls[] = {
	/* memory, time, ends */
	"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "clock_gettime", "gettimeofday", "clock_nanosleep",
	"nanosleep", "restart_syscall", "exit", "exit_group", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "futex",
	"getpid", "gettid", "tgkill", "getuid", "geteuid", "getrandom", "rseq", "sched_yield",
	/* descriptors */
	"read", "readv", "pread64", "write", "writev", "close", "fcntl", "dup", "lseek", "poll", "ppoll", "epoll_wait",
	"epoll_pwait", "epoll_ctl", "recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown", "getsockname", "getpeername",
	"getsockopt",
	/* files, as far as Landlock goes */
	"openat", "fstat", "newfstatat", "statx", "getdents64", "access", "faccessat", "faccessat2", "readlinkat",
};

static const char *const server_calls[] = {
	"accept4", "setsockopt", "connect", "memfd_create", "ftruncate", "pwrite64", "pwritev", "fsync", "fdatasync",
	"fallocate", "fadvise64", "flock", "mkdirat", "unlinkat", "renameat", "renameat2", "linkat", "fchmod",
	"utimensat", "sync_file_range",
};

static const char *const reader_calls[] = {
	"inotify_add_watch", "inotify_rm_watch", "mlock",
};

static bool allow(scmp_filter_ctx filter, const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);

		/* Not every architecture has each. */
		if (number != __NR_SCMP_ERROR && number >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0))
			return false;
	}
	return true;
}

#define ALLOW(filter, names) allow(filter, names, sizeof(names) / sizeof *(names))

bool sandbox_calls(enum sandbox_role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool ok = filter && ALLOW(filter, common_calls);

	if (ok && role == SANDBOX_SERVER) {
		/* The journal's. */
		ok = ALLOW(filter, server_calls) && !seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
			SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	} else if (ok) {
		ok = ALLOW(filter, reader_calls);
	}
	/* For all threads. */
	ok = ok && !seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) && !seccomp_load(filter);
	seccomp_release(filter);
	return ok;
}
