/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "source.h"
#include "vmcheck.h"

static bool vm_check(int vms_fd, const char *vms, const char *name)
{
	char dir[PATH_MAX];
	struct problem problem;
	struct vmconfig *config = NULL;
	struct source *source = NULL;
	int fd = openat(vms_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	snprintf(dir, sizeof dir, "%s/%s", vms, name);
	if (fd < 0 || (faccessat(fd, "vm.json", F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)) {
		if (fd >= 0)
			close(fd);
		return true;             /* no machine */
	}
	if (!vmconfig_name_ok(name))
		problem_set(&problem, dir, 0, 0, "its name must be 1 to %d letters, digits, \".\", \"_\" or \"-\"",
			VMCONFIG_NAME_MAX);
	else if ((config = vmconfig_load(fd, dir, &problem)))
		source = source_create(config, fd, dir, true, &problem);
	close(fd);
	if (!source)
		log_error("%s", problem.text);
	source_destroy(source);
	vmconfig_destroy(config);
	return source;
}

unsigned vmcheck_all(const char *vms)
{
	int fd = open(vms, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	unsigned wrong = 0;

	if (!dir) {
		log_error_errno("%s", vms);
		return 1;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !vm_check(fd, vms, entry->d_name))
			wrong++;
	closedir(dir);
	return wrong;
}
