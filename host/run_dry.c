/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_state.h"

/* Where a hawserd that serves this directory listens for it: docs/CONFIG.md, hawser.socket. */
static char *base_of(const struct run *r)
{
	const char *socket = r->config->socket, *dir = r->o.runtime ? r->o.runtime : CLIENT_RUNTIME;
	char *base;
	int n;

	if (!socket)
		n = asprintf(&base, "%s/%s.vsock", dir, r->name);
	else if (*socket == '/')
		n = asprintf(&base, "%s", socket);
	else
		n = asprintf(&base, "%s/%s", r->dir, socket);
	return n < 0 ? NULL : base;
}

void run_dry(struct run *r)
{
	char *base = base_of(r);
	uint32_t cid = r->o.cid ? r->o.cid : r->config->cid;
	struct machine m = {
		.qemu = "qemu-system-x86_64", .kernel = r->kernel, .initrd = r->initrd, .kvm = r->o.accel != ACCEL_TCG,
		.vhost = r->o.vsock == RUN_VSOCK_VHOST, .verbose = r->o.serial, .cid = cid ? cid : RUN_CID_DEFAULT,
		.memory_mib = r->config->memory_mib, .cpus = r->config->cpus, .base = base,
		.secrets = machine_has_secrets(r->dir), .kernel_args = { r->config->kernel_args, r->o.append },
	};

	if (!base || !vmm_print(r->o.vmm, &m, stdout, stderr) || fflush(stdout))
		run_fail(r, NULL, "cannot print what would be run: %s", strerror(errno));
	else if (vmm_needs_pci(r->o.vmm) && !r->o.kernel)
		fprintf(stderr, "%s needs a kernel with PCI and ACPI: --kernel $(scripts/kernel --variant pci)/vmlinux\n",
			vmm_name(r->o.vmm));
	free(base);
	r->stage = OVER;
}
