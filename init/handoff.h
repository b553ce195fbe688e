/* SPDX-License-Identifier: MIT */
/* handoff: PID 1 becomes the next program. */
#ifndef INIT_HANDOFF_H
#define INIT_HANDOFF_H

#include <stddef.h>

#include "boot.h"

#define HANDOFF_PROGRAM "/sbin/init"
#define HANDOFF_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Returns only when the program cannot be executed: why is then what is wrong. */
void handoff(struct boot *boot, char *why, size_t size);

#endif
