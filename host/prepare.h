/* SPDX-License-Identifier: MIT */
/*
 * prepare: what takes the rights of who started hawserd, before there is a server that has given them up: users,
 * directories, and sockets at ports and paths that are not everybody's.
 */
#ifndef HOST_PREPARE_H
#define HOST_PREPARE_H

#include "problem.h"

struct daemon;
struct monitor;

/* Fills what both have of that. 0, or -1 with the problem set; what was opened is open in any case. */
int prepare(struct daemon *daemon, struct monitor *monitor, struct problem *problem);

#endif
