/* SPDX-License-Identifier: MIT */
/* cid: this machine's own address on the vsock. */
#ifndef VSOCK_CID_H
#define VSOCK_CID_H

#include <stdbool.h>
#include <stdint.h>

/* True for an address that a guest can have: not ANY, hypervisor (0), local (1) or host (2). */
bool cid_is_guest(uint32_t cid);
/*
 * What the kernel says now: 0, with ADDRESS_CID_ANY while it has a driver and no device, or a negative errno: -ENOENT
 * or -ENODEV while it has no driver.
 */
int cid_read(uint32_t *cid);
/*
 * Polls until the CID is a guest's or the clock (CLOCK_BOOTTIME, ns) passes the deadline. 0, or -ETIMEDOUT with *cid
 * the last that was seen (ADDRESS_CID_ANY if none).
 */
int cid_wait(uint32_t *cid, uint64_t deadline_ns);

#endif
