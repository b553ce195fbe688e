/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "findfile.h"
#include "run_state.h"
#include "source.h"

static int name_set(struct run *r)
{
	const char *slash = strrchr(r->dir, '/');
	const char *name = r->o.name ? r->o.name : slash ? slash + 1 : r->dir;
	if (!vmconfig_name_ok(name))
		return run_fail(r, NULL, "%s is no name for a machine: it must be 1 to %d letters, digits, \".\", \"_\" "
			"and \"-\"; give one with --name", *name ? name : r->dir, VMCONFIG_NAME_MAX);
	snprintf(r->name, sizeof r->name, "%s", name);
	r->print.name = r->name;
	return 0;
}

/* Reads the directory as hawserd will, so that its faults are told here, and before anything is started. */
static int directory_check(struct run *r)
{
	struct problem problem = { .text = "" };
	int dirfd = open(r->o.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || !(r->dir = realpath(r->o.dir, NULL))) {
		vmconfig_dir_problem(r->o.dir, errno, &problem);
		run_close(&dirfd);
		return run_fail(r, NULL, "cannot open the machine's directory %s", problem.text);
	}
	r->config = vmconfig_load(dirfd, r->o.dir, &problem);
	struct source *source = NULL;
	if (r->config && r->o.n_command && !vmconfig_set_args(r->config, r->o.n_command, r->o.command))
		problem_set(&problem, "--", 0, 0, "the command cannot take the place of vm.json's: is it too long?");
	else if (r->config)
		source = source_create(r->config, dirfd, r->o.dir, true, &problem);
	close(dirfd);
	if (!source)
		return run_fail(r, NULL, "%s", problem.text);
	source_destroy(source);
	return name_set(r);
}

/* A file that was named, or that belongs to us. */
static int file_find(struct run *r, char **path, const char *given, const char *option, const char *name)
{
	*path = given ? realpath(given, NULL) : findfile_data(name);
	if (*path && access(*path, R_OK) == 0)
		return 0;
	if (given)
		return run_fail(r, NULL, "cannot read %s, the file of --%s: %s", given, option, strerror(errno));
	return run_fail(r, NULL, "there is no %s beside this program or in ../share/hawser: build it (make), or name "
		"another with --%s", name, option);
}

static int files_find(struct run *r)
{
	const char *name;
	if (file_find(r, &r->kernel, r->o.kernel, "kernel", "vmlinux") < 0 ||
		file_find(r, &r->initrd, r->o.initrd, "initrd", "initramfs.cpio") < 0)
		return -1;
	if (r->o.dry_run)
		return 0;        /* on another host than this, perhaps */
	if (!(r->qemu = machine_qemu_find(&name)))
		return run_fail(r, NULL, "cannot find the program %s: install it (Debian: qemu-system-x86), or set "
			"HAWSER_QEMU to its path", name);
	return run_vsock_find(r);
}

int run_find(struct run *r)
{
	return directory_check(r) < 0 || run_terminal_init(r) < 0 || files_find(r) < 0 ? -1 : 0;
}
