/* SPDX-License-Identifier: MIT */
/*
 * accel: whether KVM really works.
 *
 * A /dev/kvm may open, create machines, and then never run a stock kernel: QEMU spins without a byte of output. So the
 * only proof is a kernel that says something on its serial console, within a bound; and as that takes seconds where
 * it fails, the answer is remembered in $HAWSER_CACHE (or hawser/ in $XDG_CACHE_HOME or ~/.cache), in the file accel,
 * for as long as the machine is not booted anew, runs the same kernel, and has the same QEMU.
 */
#ifndef HOST_ACCEL_H
#define HOST_ACCEL_H

#include <stdbool.h>
#include <stddef.h>

struct janitor;
struct machine;

#define ACCEL_PROBE_MS 2000

enum accel { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };

/* -1: none of "auto", "kvm" and "tcg". */
int accel_parse(const char *text);

/*
 * ACCEL_KVM, or ACCEL_TCG with the reason in why when it was found out just now ("" otherwise), or -EINTR when cancel
 * became readable. machine needs qemu and kernel.
 */
int accel_find(const struct machine *machine, struct janitor *janitor, int cancel, char *why, size_t why_size);

/* What the answer depends on: the host's boot, its kernel, and QEMU's program file. false: that cannot be told. */
bool accel_key(const char *qemu, char *key, size_t size);
/* The answer in the file for this key: ACCEL_KVM, ACCEL_TCG, or ACCEL_AUTO when there is none. */
enum accel accel_recall(const char *file, const char *key);
/* 0 or a negative errno. */
int accel_remember(const char *file, const char *key, enum accel answer);

#endif
