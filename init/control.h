/* SPDX-License-Identifier: MIT */
/*
 * control: what the host asks of the running machine (docs/PROTOCOL.md, "Control session").
 *
 * Only where the configuration allows it: else there is neither process nor descriptor. One process listens and does
 * nothing but judge the peer and fork; each session is a process of its own, so that what one host sends, or does not
 * read, is no other session's business. SIGTERM ends them with everything else when the machine is shut down.
 */
#ifndef INIT_CONTROL_H
#define INIT_CONTROL_H

#include "boot.h"

/* The port, before the host is told that all is applied: 0 or a negative errno. Nothing where nothing is allowed. */
int control_listen(struct boot *boot);
/* The process, once no secret is in memory any more. */
void control_start(struct boot *boot);

#endif
