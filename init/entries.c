/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "entries.h"

/* What getdents64 fills in (the kernel's struct linux_dirent64). */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t size;
	uint8_t type;
	char name[];
};

unsigned entries_each(int dirfd, entries_visit *visit, void *arg)
{
	_Alignas(struct entry) char buf[2048];
	unsigned sum = 0;
	long n;

	lseek(dirfd, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, dirfd, buf, sizeof buf)) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *entry = (const struct entry *)(buf + at);

			if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
				sum += visit(dirfd, entry->name, arg);
			at += entry->size;
		}
	}
	return sum;
}
