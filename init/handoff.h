/* SPDX-License-Identifier: MIT */
/* handoff: PID 1 becomes the next program. */
#ifndef INIT_HANDOFF_H
#define INIT_HANDOFF_H

#include "boot.h"

#define HANDOFF_PROGRAM "/sbin/init"
#define HANDOFF_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Returns only when the program cannot be executed: a negative errno. */
int handoff(struct boot *boot);

#endif
