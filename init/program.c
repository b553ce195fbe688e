/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apply.h"
#include "handoff.h"
#include "program.h"

size_t program_env_add(char **envp, size_t n, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;

	for (size_t i = 0; i < n; i++)
		if (strncmp(envp[i], variable, len) == 0)
			return n;
	envp[n] = (char *)variable;
	return n + 1;
}

void program_env_complete(char **envp, size_t n, uint32_t uid)
{
	n = program_env_add(envp, n, "PATH=" HANDOFF_PATH);
	n = program_env_add(envp, n, uid ? "HOME=/" : "HOME=/root");
	if (access(APPLY_CREDENTIALS, F_OK) == 0)
		n = program_env_add(envp, n, "CREDENTIALS_DIRECTORY=" APPLY_CREDENTIALS);
	envp[n] = NULL;
}

static int become(const struct program *program)
{
	const struct wire_user *user = &program->user;
	gid_t groups[WIRE_GROUPS_MAX];

	for (uint32_t i = 0; i < user->n; i++)
		groups[i] = user->groups[i];
	/*
	 * The system calls themselves: there are no threads here to bring in step, and musl's way of doing that is large.
	 * The saved user remains root until a program is executed: who cannot execute it is root's again.
	 */
	if (syscall(SYS_setgroups, (size_t)user->n, groups) < 0 ||
	    syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
	    syscall(SYS_setresuid, user->uid, user->uid, 0) < 0)
		return -errno;
	return chdir(program->cwd) < 0 ? -errno : 0;
}

int program_exec(const struct program *program, const char *path)
{
	int error = become(program);
	sigset_t none;

	if (!error) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		environ = program->envp;
		if (path)
			execv(path, program->argv);
		else
			execvp(program->argv[0], program->argv);
		error = -errno;
	}
	syscall(SYS_setresuid, 0, 0, 0);
	return error;
}

static _Noreturn void child(const struct program *program, int (*connect)(void *arg), void *arg, int report)
{
	int error;

	setsid();
	error = connect(arg);
	if (!error)
		error = program_exec(program, NULL);
	/* Who started us tells the host; a descriptor that closes without a word is a program that runs. */
	if (write(report, &error, sizeof error) != sizeof error)
		_exit(125);
	_exit(error == -ENOENT ? 127 : 126);
}

pid_t program_start(const struct program *program, int (*connect)(void *arg), void *arg)
{
	int ends[2], error = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = _Fork();
	if (pid == 0)
		child(program, connect, arg, ends[1]);
	if (pid < 0)
		error = -errno;
	close(ends[1]);
	if (pid > 0 && read(ends[0], &error, sizeof error) != sizeof error)
		error = 0;
	close(ends[0]);
	if (!error)
		return pid;
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return error;
}
