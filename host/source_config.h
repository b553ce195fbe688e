/* SPDX-License-Identifier: MIT */
/* source_config: vm.json as the records of a boot session. It holds no secret. */
#ifndef HOST_SOURCE_CONFIG_H
#define HOST_SOURCE_CONFIG_H

#include "../vsock/wire.h"
#include "problem.h"
#include "vmconfig.h"

/*
 * Encodes into out->buf, which is on the heap and is freed by the caller in any case, also what was there before. 0, or
 * -1 with the problem set. dir is for messages.
 */
int source_config(struct wire_out *out, const struct vmconfig *config, const char *dir, struct problem *problem);

#endif
