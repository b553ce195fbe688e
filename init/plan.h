/* SPDX-License-Identifier: MIT */
/*
 * plan: the records of a boot session, kept until COMMIT and then applied.
 *
 * The records lie one behind the other, in the frames they came in. Files and credentials are staged as they come:
 * files below PLAN_STAGE on the root file system, so that they move into place without a copy; credentials in a ramfs
 * of their own. Until COMMIT has been checked nothing is anywhere else, and plan_reset leaves no trace.
 */
#ifndef INIT_PLAN_H
#define INIT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vsock/wire.h"

#define PLAN_STAGE ".hawser"     /* relative: PID 1's working directory is the initramfs's root, also in another one */
#define PLAN_SECRETS "/run/hawser/credentials"

struct plan {
	uint8_t *buf;
	size_t len;
	uint32_t count, crc;     /* of all frames, as COMMIT counts them */
	uint32_t once;           /* which of the types that come once have come, a bit each */
	uint32_t hashes;         /* names that must not come twice */
	size_t args_len, secrets_len;
	int stage, secrets;      /* directories, -1 before the first file or credential */
	int open;                /* what DATA goes to, or -1 */
	uint64_t open_left;
	struct wire_text wrong;  /* the path of what could not be staged, in the last frame */
};

int plan_create(struct plan *plan);      /* 0 or a negative errno */
/*
 * Takes a frame between WELCOME and COMMIT, whose bytes, header included, are spent then (wire_crc32_spend). NULL, or
 * what is wrong with it (with errno 0), or what could not be staged (with errno set).
 */
const char *plan_take(struct plan *plan, const struct wire_frame *frame);
/* NULL, or how COMMIT differs from what came. */
const char *plan_check(const struct plan *plan, uint32_t count, uint32_t crc);
void plan_reset(struct plan *plan);      /* wipes all that came */
void plan_destroy(struct plan *plan);    /* after it was applied */

/* The records' frames, one after the other; start with *at 0. They are valid until plan_reset or plan_destroy. */
bool plan_frame(const struct plan *plan, size_t *at, struct wire_frame *frame);

#endif
