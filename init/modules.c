/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/module.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "entries.h"
#include "modules.h"

static char names[MODULES_MAX][NAME_MAX + 1];

/* Keeps the names in order: an insertion into a list that is short. */
static unsigned name_insert(int dirfd, const char *name, void *arg)
{
	size_t *n = arg, at = *n;

	(void)dirfd;
	if (*n == MODULES_MAX || name[0] == '.')
		return 0;
	for (; at > 0 && strcmp(names[at - 1], name) > 0; at--)
		memcpy(names[at], names[at - 1], sizeof *names);
	strcpy(names[at], name);
	(*n)++;
	return 1;
}

static void module_load(int dirfd, const char *name)
{
	const char *suffix = strrchr(name, '.');
	int flags = suffix && strcmp(suffix, ".ko") != 0 ? MODULE_INIT_COMPRESSED_FILE : 0;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	/* EEXIST: it is there already, built in or loaded by another's dependency. */
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", flags) < 0 && errno != EEXIST))
		log_warn_errno("module %s: the kernel does not take it", name);
	if (fd >= 0)
		close(fd);
}

void modules_load(void)
{
	int dir = open(MODULES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;

	if (dir < 0)
		return;          /* nothing to load: the kernel has it all */
	entries_each(dir, name_insert, &n);
	for (size_t i = 0; i < n; i++)
		module_load(dir, names[i]);
	close(dir);
}
