/* SPDX-License-Identifier: MIT */
/* tool: what /init is when it is not PID 1. Each is named in the image's inittab or by a link to /init. */
#ifndef INIT_TOOL_H
#define INIT_TOOL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "power.h"

#define TOOL_SUPERVISOR "/run/hawser/supervisor"
#define TOOL_SIGNAL SIGUSR1      /* to the supervisor, queued with the number of a signal for the workload */

/* The note of that name: who runs the workload, and how long it may take to stop it. */
struct tool_supervisor {
	pid_t pid;
	uint32_t grace_ms;
};

/* PID 1 is called as a tool, and not to boot: another PID 1 has ended itself by it. */
bool tool_called(const char *argv0);
int tool_main(int argc, char *argv[]);

/*
 * Executes what is configured, in this process: the init of another root, or with NULL the program itself. A negative
 * errno, which the host was told; this process is root's as before.
 */
int workload_become(const char *init);
/* As `poweroff` and its like: leaves word, and asks PID 1. 0 when that could be done. */
int tool_power(enum power_kind kind);
int workload_main(void);         /* `/init workload`: runs and watches the configured program */
int shutdown_main(void);         /* `/init shutdown`: ends all processes, delivers the log, ends the machine */

#endif
