/* SPDX-License-Identifier: MIT */
/*
 * control: the beginning of control sessions (docs/PROTOCOL.md). hawserd dials the guest for a tool, proves with the
 * token that it is its host, and hands the connection on once the guest has said WELCOME. So the token never leaves
 * hawserd, and what the tool and the guest then say to each other never goes through it.
 */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include <stdint.h>

#include "problem.h"

struct control;
struct vm;

/*
 * How it ended, once: fd is the connection, behind WELCOME, and stays control's, who closes it afterwards; or -1 and
 * error says why there is none, and what to do.
 */
typedef void control_done(void *arg, int fd, const char *error);

/*
 * verb: "exec", "signal", "stop", "ping" or "feed"; uid: whose tool it is, for the audit log. NULL, the problem set;
 * done is then never called.
 */
struct control *control_dial(struct vm *vm, const char *verb, uint32_t uid, control_done *done, void *arg,
	struct problem *problem);
void control_cancel(struct control *control);            /* done is not called */
void control_event(struct control *control, uint32_t events);
void control_cut_all(struct vm *vm);                     /* the machine is about to go */

#endif
