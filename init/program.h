/* SPDX-License-Identifier: MIT */
/* program: how a program that is not ours is started: the workload, and what a control session executes. */
#ifndef INIT_PROGRAM_H
#define INIT_PROGRAM_H

#include <stddef.h>
#include <sys/types.h>

#include "../vsock/wire.h"

#define PROGRAM_ENV_MORE 5       /* room that program_env_complete needs, its NULL included */

struct program {
	char **argv, **envp;     /* each with a NULL behind its last */
	const char *cwd;
	struct wire_user user;
};

/* Adds a variable to n of them, which have room for it, unless it is there: returns how many there are then. */
size_t program_env_add(char **envp, size_t n, const char *variable);
/* Adds PATH, HOME and, with credentials, CREDENTIALS_DIRECTORY where they are missing. */
void program_env_complete(char **envp, size_t n, uint32_t uid);
/*
 * Executes it in this process, as its user and with no signal blocked: path, or with NULL what argv[0] names in PATH.
 * Returns only a negative errno, and then this process is root's as before.
 */
int program_exec(const struct program *program, const char *path);
/*
 * Starts it in a session of its own. connect, in the new process and still as root, sets the descriptors 0 to 2: 0 or a
 * negative errno. Returns the process once it runs the program, or a negative errno: then there is none.
 */
pid_t program_start(const struct program *program, int (*connect)(void *arg), void *arg);

#endif
