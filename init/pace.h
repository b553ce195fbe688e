/* SPDX-License-Identifier: MIT */
/*
 * pace: how long the relay rests between two turns.
 *
 * A process switch for every line that a program writes would be most of the work there is. So after each turn in which
 * there was something to read, the relay rests, and what is written meanwhile comes together in the pipes. The first
 * line after a silence goes out at once. The rest becomes shorter when the pipes were so full that their writers may
 * have had to wait, down to none, and longer when there was hardly anything in them: a trickle is collected.
 *
 * The first rest of all leaves the machine to its boot: the kernel's log and the events wait where they are.
 */
#ifndef INIT_PACE_H
#define INIT_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_FIRST_NS 10000000u
#define PACE_REST_NS 4000000u            /* after a silence, and at most, but for a trickle: */
#define PACE_TRICKLE_NS 32000000u
#define PACE_MIN_NS 125000u              /* below, a timer's own imprecision would be most of it: no rest */
#define PACE_MUCH (96 << 10)             /* of a pipe's 128 KiB */
#define PACE_LITTLE (64 << 10)
#define PACE_TRICKLE (1 << 10)           /* less than this in a turn makes frames that are mostly header */
#define PACE_ENOUGH (8 << 10)            /* no trickle any more */

struct pace {
	uint64_t until_ns;       /* the rest's end */
	uint32_t rest_ns;        /* its length */
};

void pace_init(struct pace *pace, uint64_t now_ns);
/* After a turn that read that much; more: and there was more, which there was no room for. */
void pace_turn(struct pace *pace, uint64_t now_ns, size_t bytes, bool more);

#endif
