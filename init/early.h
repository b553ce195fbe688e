/* SPDX-License-Identifier: MIT */
/* early: what has to be so before anything else can work. */
#ifndef INIT_EARLY_H
#define INIT_EARLY_H

#include "boot.h"

/* Signals blocked, file systems mounted, descriptors 0 to 2 open, the ring made. */
void early(struct boot *boot);
/* Reads the kernel command line; then the log knows its level. */
void early_options(struct boot *boot);

#endif
