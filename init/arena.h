/* SPDX-License-Identifier: MIT */
/* arena: the one place in PID 1 where secrets pass through. Locked, not in any core, not in any child; wiped. */
#ifndef INIT_ARENA_H
#define INIT_ARENA_H

#include <stddef.h>

void *arena_create(size_t size);         /* NULL: no memory */
void arena_destroy(void *arena, size_t size);            /* and whoever wrote to it has wiped that */

#endif
