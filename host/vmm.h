/* SPDX-License-Identifier: MIT */
/*
 * vmm: how each virtual machine monitor is told to boot a machine of ours, on a host where hawserd runs as a service.
 * Only QEMU is run by `hawser run` itself; for the others this is the configuration to copy (docs/VMM.md).
 */
#ifndef HOST_VMM_H
#define HOST_VMM_H

#include <stdbool.h>
#include <stdio.h>

#include "machine.h"

enum vmm { VMM_QEMU, VMM_QEMU_Q35, VMM_FIRECRACKER, VMM_CLOUD_HYPERVISOR, VMM_LIBKRUN, VMMS };

/* -1: there is none of that name. */
int vmm_parse(const char *name);
const char *vmm_name(enum vmm vmm);
/* Whether its machines have PCI and ACPI, so that they need the kernel of scripts/kernel --variant pci. */
bool vmm_needs_pci(enum vmm vmm);
/*
 * The command lines, the configuration file or the calls, to `to`; what is to be done with that, to `hints`.
 * m->base is the machine's base path, where hawserd listens. False: no memory.
 */
bool vmm_print(enum vmm vmm, const struct machine *m, FILE *to, FILE *hints);

#endif
