/* SPDX-License-Identifier: MIT */
/*
 * secret: the only memory that a credential's bytes ever lie in. A few slots of one frame each, locked, left out of
 * core dumps and of children, wiped whenever they are given back.
 */
#ifndef HOST_SECRET_H
#define HOST_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vsock/wire.h"

#define SECRET_SLOTS 64
#define SECRET_SIZE WIRE_FRAME_MAX

struct secret_arena {
	uint8_t *memory;
	unsigned n;                      /* slots there are: fewer where less memory may be locked */
	uint64_t used;                   /* a bit for each */
	bool locked;
};

/* 0, or a negative errno. locked is false where not even one slot could be locked: the caller warns. */
int secret_init(struct secret_arena *arena);
void secret_finish(struct secret_arena *arena);
void *secret_take(struct secret_arena *arena);           /* SECRET_SIZE bytes, or NULL: all are taken */
void secret_give(struct secret_arena *arena, void *slot); /* wiped; NULL is nothing to do */

/*
 * A credential as a whole, where it cannot be read in place: memory as the slots are, of the size that is needed. Never
 * grown, never moved. memory NULL: none.
 */
struct secret_vault {
	uint8_t *memory;
	size_t size, len;                /* len: what is in it */
};

/* 0, or a negative errno. */
int secret_vault_open(struct secret_vault *vault, size_t size);
void secret_vault_close(struct secret_vault *vault);     /* wiped */

#endif
