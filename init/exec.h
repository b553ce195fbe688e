/* SPDX-License-Identifier: MIT */
/* exec: the verb EXEC of a control session. */
#ifndef INIT_EXEC_H
#define INIT_EXEC_H

#include "ctl.h"

/* Runs the program to its end; EXIT is then in out. A host that vanishes, or makes no sense, ends it. */
void exec_run(struct ctl *session, const struct wire_control *verb);

#endif
