/* SPDX-License-Identifier: MIT */
/*
 * ticks: how fast this processor's clock runs, for guests that cannot find it out.
 *
 * Under TCG a guest sees the host's TSC, and measures it against timers that QEMU emulates. On a busy host that fails,
 * and the guest goes on with a clock of 4 ms; where it works, it is one of the longer waits of the boot. We measure
 * better and for nothing: between two points that a run has to pass anyway.
 */
#ifndef HOST_TICKS_H
#define HOST_TICKS_H

#include <stdbool.h>
#include <stdint.h>

struct ticks {
	uint64_t count, ns;      /* the counter, and CLOCK_MONOTONIC_RAW, at one moment; count 0: there is none */
};

struct ticks ticks_read(void);
/* 0: not known, because there is no counter, or the points are too close. */
uint32_t ticks_khz(struct ticks from, struct ticks to);
/* Whether this host's kernel itself tells the time by the counter: then it runs evenly. */
bool ticks_even(void);

#endif
