/* SPDX-License-Identifier: MIT */
/*
 * feed: the verb FEED of a control session: the workload's standard input.
 *
 * It is a pipe, both ends of which the listener for control sessions holds: so the workload can open it, and sees no
 * end, before anybody feeds it. The listener closes the writer for good once a session has had the end. A pipe and no
 * FIFO, so that a program that opens /dev/stdin does not wait for a writer.
 */
#ifndef INIT_FEED_H
#define INIT_FEED_H

#include <sys/types.h>

#include "ctl.h"

#define FEED_PATH "/run/hawser/stdin"    /* leads to it; there while the host may feed the workload */

int feed_open(void);                     /* makes it: 0 or a negative errno */
void feed_publish(pid_t listener);       /* makes the path */
void feed_close(void);                   /* this process's ends */
void feed_end(void);                     /* the listener's writer: the end has come */
/* Until the end; DONE is then in out, and the listener has been told by SIGUSR1. */
void feed_run(struct ctl *session, const struct wire_control *verb);

#endif
