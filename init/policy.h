/* SPDX-License-Identifier: MIT */
/* policy: the one place that knows what happens when the boot fails. */
#ifndef INIT_POLICY_H
#define INIT_POLICY_H

#include "boot.h"

/* Says so, lets the relay deliver it, and does what hawser.on_failure says. Returns only under `continue`. */
void policy_fail(struct boot *boot, const char *what);
/* The same where going on makes no sense: `continue` is a power-off. */
_Noreturn void policy_end(struct boot *boot, const char *what);

#endif
