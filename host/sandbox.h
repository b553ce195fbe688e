/* SPDX-License-Identifier: MIT */
/*
 * sandbox: what a process of hawserd gives up, in named steps, in this order. It cannot be taken back. Nothing here is
 * fatal where the kernel lacks it: what is in force is in the result, and whoever calls says it.
 */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum sandbox_role { SANDBOX_SERVER, SANDBOX_READER };

enum sandbox_right { SANDBOX_READ, SANDBOX_WRITE };

struct sandbox_path {
	int fd;                  /* a directory, and all below it; -1: none */
	enum sandbox_right right;
};

/*
 * Becomes another user, with no other groups and no capability but, with read_all, the one to read all files and list
 * all directories. Also ends when its parent does (SIGKILL). 0, or a negative errno: then nothing may go on.
 */
int sandbox_user(uid_t uid, gid_t gid, bool read_all);
/* No new privileges, and Landlock: no file but below these. Its version, or 0 where the kernel has none. */
int sandbox_files(const struct sandbox_path *paths, size_t n);
/* seccomp: no system call but those that the role needs; others fail with EPERM. False: the kernel has none. */
bool sandbox_calls(enum sandbox_role role);

#endif
