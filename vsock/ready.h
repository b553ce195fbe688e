/* SPDX-License-Identifier: MIT */
/* ready: waiting for one descriptor until a deadline. */
#ifndef VSOCK_READY_H
#define VSOCK_READY_H

#include <stdint.h>

#define READY_NEVER UINT64_MAX   /* a deadline that does not come */

uint64_t ready_now_ns(void);                             /* CLOCK_BOOTTIME */
uint64_t ready_deadline(int timeout_ms);                 /* from now; negative: READY_NEVER */
/* Whatever signals arrive: 1 when events, an error or a hang-up are there, 0 when the deadline passed, or -errno. */
int ready_wait(int fd, short events, uint64_t deadline_ns);

#endif
