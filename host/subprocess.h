/* SPDX-License-Identifier: MIT */
/*
 * subprocess: a program that cannot outlive us, and whose end we always learn.
 *
 * It gets SIGKILL from the kernel when this process dies (PR_SET_PDEATHSIG), and executes nothing before the janitor
 * (janitor.h) has its pidfd. It is in a process group of its own, so a Ctrl-C on the terminal reaches only us; its
 * standard input is /dev/null, and it inherits no descriptor but those named here.
 */
#ifndef HOST_SUBPROCESS_H
#define HOST_SUBPROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tailbuf.h"

struct janitor;

struct subprocess {
	const char *name;        /* for messages; the caller's */
	pid_t pid;               /* 0: never started */
	int pidfd;               /* -1: not running; readable once it has ended */
	int out, err;            /* our ends of its output, not blocking; -1: closed, or not apart */
	struct tailbuf said;     /* the last it printed on err */
	bool ended;
	int code, status;        /* as waitid gives them: CLD_EXITED and a status, or CLD_KILLED and a signal */
};

struct subprocess_io {
	bool apart;              /* stdout is not the same pipe as stderr */
	int pass;                /* a descriptor that the program shall inherit under its number; -1: none */
	const char *dir;         /* its current directory; NULL: ours */
};

void subprocess_init(struct subprocess *p, const char *name);
/* argv[0] is a path. 0, or a negative errno (-ENOENT and such from execve, too). */
int subprocess_start(struct subprocess *p, struct janitor *janitor, char *const argv[],
	const struct subprocess_io *io);
bool subprocess_running(const struct subprocess *p);
/* Reads what is there of err into said. */
void subprocess_listen(struct subprocess *p);
/* To be called when pidfd is readable; collects the status and reads the rest of err. */
void subprocess_reap(struct subprocess *p);
void subprocess_signal(const struct subprocess *p, int signal);
/* "ended with status 1", "was killed by SIGKILL" */
const char *subprocess_how(const struct subprocess *p, char *text, size_t size);
/* Forgets it: closes the descriptors, frees the lines. Whoever still runs is the janitor's. */
void subprocess_finish(struct subprocess *p);

#endif
