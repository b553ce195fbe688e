/* SPDX-License-Identifier: MIT */
/* signals: a guest's by their names, and those that a command takes itself. */
#ifndef HOST_SIGNALS_H
#define HOST_SIGNALS_H

#include <stdint.h>

/* The number of SIGHUP to SIGSYS, SIGRTMIN, SIGRTMIN+1 to +30, in a guest; 0: none has that name. */
uint32_t signals_number(const char *name);
/*
 * Blocks those numbers, which 0 ends, and SIGPIPE is ignored. What we were told to ignore (nohup, a shell's background)
 * stays ignored. A signalfd that does not block, or a negative errno.
 */
int signals_take(const int numbers[]);

#endif
