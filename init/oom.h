/* SPDX-License-Identifier: MIT */
/* oom: whether it was the kernel's out-of-memory killer. The workload's own control group counts that. */
#ifndef INIT_OOM_H
#define INIT_OOM_H

void oom_group_enter(void);              /* this process, and all that it starts */
/* How often it killed in that group, ever. 0 also in a kernel without such groups: then nobody knows. */
unsigned oom_kills(void);

#endif
