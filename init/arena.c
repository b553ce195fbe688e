/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena.h"

void *arena_create(size_t size)
{
	void *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (arena == MAP_FAILED)
		return NULL;
	/* Each is one more wall; a kernel that lacks one (no swap to lock against, say) still has the others. */
	syscall(SYS_mlock2, arena, size, MLOCK_ONFAULT);
	madvise(arena, size, MADV_DONTDUMP);
	madvise(arena, size, MADV_WIPEONFORK);
	return arena;
}

void arena_destroy(void *arena, size_t size)
{
	munmap(arena, size);
}
