/* SPDX-License-Identifier: MIT */
/*
 * relay: the process that carries the log to the host, and its keeper.
 *
 * The keeper is a child of PID 1, forked before the machine knows any secret. It holds every descriptor and the ring
 * and does nothing but fork the relay, and fork it again should it die. Both live until the machine ends.
 */
#ifndef INIT_RELAY_H
#define INIT_RELAY_H

#include "../vsock/address.h"
#include "ring.h"
#include "source.h"

#define RELAY_KEEPER_PID "/run/hawser/keeper"    /* a note, its pid_t: its session is not to be killed */

/*
 * Forks the keeper. 0 or a negative errno. The sources' descriptors are then the keeper's; close them here. argv0 is
 * this program's own, which the keeper changes for itself.
 */
int relay_start(struct ring *ring, struct sources *sources, const struct address *host, char *argv0);

#endif
