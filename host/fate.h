/* SPDX-License-Identifier: MIT */
/* fate: how a machine fares, by its guest's events: whether it is ready, and how its program ended. Pure. */
#ifndef HOST_FATE_H
#define HOST_FATE_H

#include <stdbool.h>
#include <stdint.h>

enum fate_outcome { FATE_UNKNOWN, FATE_EXITED, FATE_KILLED, FATE_UNSTARTED, FATE_OUTCOMES };

#define FATE_FAILED 125          /* the exit status when the machine or what it needs failed */

struct fate {
	uint8_t outcome;         /* of the program, by its last event */
	uint32_t value;          /* exit code, signal or errno */
	bool ready;              /* it said READY=1, and was not started anew since */
	bool failed;             /* the boot failed: nothing was handed on */
	bool powered;            /* the end of the machine was meant */
	bool ended;              /* END was said */
};

void fate_event(struct fate *fate, uint16_t code, int32_t value);        /* code: WIRE_EVENT_* */
/* The same, by the event's name; others change nothing. */
void fate_named(struct fate *fate, const char *event, uint64_t value);
/*
 * The exit status of the program, as a shell has it. One that never ended, in a machine that was ended in good order,
 * is none that is watched: PID 1 itself, or there is none; that is 0. Else it is FATE_FAILED.
 */
int fate_status(const struct fate *fate);
const char *fate_name(uint8_t outcome);  /* "unknown", "exited", "killed", "unstarted" */

#endif
