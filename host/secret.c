/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "secret.h"

_Static_assert(SECRET_SIZE % 4096 == 0, "slots are whole pages");
_Static_assert(SECRET_SLOTS <= 64, "one bit a slot");

/* In no core and in no child. NULL: no memory. */
static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	/* Neither fails on a kernel that has it; on one that has not, PR_SET_DUMPABLE and RLIMIT_CORE still hold. */
	madvise(memory, size, MADV_DONTDUMP);
	madvise(memory, size, MADV_DONTFORK);
	return memory;
}

int secret_init(struct secret_arena *arena)
{
	void *memory = map(SECRET_SLOTS * SECRET_SIZE);

	*arena = (struct secret_arena){ .memory = memory };
	if (!memory)
		return -ENOMEM;
	for (arena->n = SECRET_SLOTS; arena->n; arena->n /= 2) {
		arena->locked = !mlock(memory, arena->n * SECRET_SIZE);
		if (arena->locked)
			return 0;
	}
	arena->n = SECRET_SLOTS;
	return 0;
}

void secret_finish(struct secret_arena *arena)
{
	if (!arena->memory)
		return;
	explicit_bzero(arena->memory, arena->n * SECRET_SIZE);
	munmap(arena->memory, SECRET_SLOTS * SECRET_SIZE);
	*arena = (struct secret_arena){ 0 };
}

void *secret_take(struct secret_arena *arena)
{
	for (unsigned i = 0; i < arena->n; i++) {
		if (arena->used >> i & 1)
			continue;
		arena->used |= 1ull << i;
		return arena->memory + i * SECRET_SIZE;
	}
	return NULL;
}

void secret_give(struct secret_arena *arena, void *slot)
{
	size_t i;

	if (!slot)
		return;
	i = (size_t)((uint8_t *)slot - arena->memory) / SECRET_SIZE;
	assert(i < arena->n && arena->used >> i & 1);
	explicit_bzero(slot, SECRET_SIZE);
	arena->used &= ~(1ull << i);
}

int secret_vault_open(struct secret_vault *vault, size_t size)
{
	/* Locked as far as it may be: of what cannot be, secret_init's caller has warned. */
	*vault = (struct secret_vault){ .memory = map(size), .size = size };
	if (!vault->memory)
		return -ENOMEM;
	mlock(vault->memory, size);
	return 0;
}

void secret_vault_close(struct secret_vault *vault)
{
	if (!vault->memory)
		return;
	explicit_bzero(vault->memory, vault->size);
	munmap(vault->memory, vault->size);
	*vault = (struct secret_vault){ 0 };
}
