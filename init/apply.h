/* SPDX-License-Identifier: MIT */
/* apply: makes the machine what the plan says. */
#ifndef INIT_APPLY_H
#define INIT_APPLY_H

#include <stddef.h>

#include "boot.h"

#define APPLY_CREDENTIALS "/run/credentials/@system"     /* systemd's place for a machine's credentials */
#define APPLY_CREDENTIALS_INITRD "/run/credentials/@initrd"      /* where it looks for those of an initrd */
#define APPLY_WORKLOAD "/run/hawser/workload"    /* the workload's records, as they came, for `/init workload` */

/* All of it, in the order of docs/PROTOCOL.md. 0, or a negative errno with what could not be applied in `what`. */
int apply(struct boot *boot, char *what, size_t size);

#endif
