/* SPDX-License-Identifier: MIT */
/* clock: what time it is, and how random the kernel is. */
#ifndef INIT_CLOCK_H
#define INIT_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t clock_boot_ns(void);    /* CLOCK_BOOTTIME: it counts from the kernel's start and goes on in suspend */
void clock_sleep_ms(unsigned ms);
/*
 * Sets the wall clock to wall_ns (since 1970 UTC) if it is off by more than a second. Returns the seconds it was
 * stepped by, 0 for none, saturated to int32_t.
 */
int32_t clock_set(uint64_t wall_ns);
/*
 * Mixes bytes from the host into the kernel's pool, and credits them as full entropy if told so. Returns the bytes
 * credited. Nothing here ever waits for randomness.
 */
int clock_entropy(const void *bytes, size_t len, bool credit);

#endif
