/* SPDX-License-Identifier: MIT */
/*
 * machine: QEMU's and vhost-device-vsock's command lines, and when their sockets can be used.
 *
 * Each machine has a vhost-device-vsock of its own: in one that serves several, the guests of a group can talk to each
 * other, and one that is full blocks all.
 */
#ifndef HOST_MACHINE_H
#define HOST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "arglist.h"

#define MACHINE_SOCKET "vm.sock"         /* in the run's directory: where QEMU finds vhost-device-vsock */
#define MACHINE_BASE "vm.vsock"          /* and the base path of the guest's ports (address.h, hybrid) */
#define MACHINE_MEMORY_MIB 64            /* where vm.json says nothing */

struct machine {
	const char *qemu, *kernel, *initrd;      /* initrd NULL: none */
	bool kvm;                                /* else TCG */
	bool q35;                                /* PCI and ACPI; else microvm */
	bool vhost;                              /* the kernel's vhost-vsock, else vhost-device-vsock */
	bool verbose;                            /* the kernel's messages on the serial console, too */
	uint32_t cid, memory_mib, cpus;          /* memory_mib 0 and cpus 0: the defaults */
	uint32_t tsc_khz;                        /* TCG: the processor's clock; 0: the guest measures it itself */
	const char *dir;                         /* the run's directory */
	const char *socket, *base;               /* NULL: the two above, in dir */
	bool secrets;                            /* it has credentials: the guest's kernel clears what it frees */
	const char *kernel_args[2];              /* NULL or empty: none; appended in this order */
};

/* Whether there are credentials in it, good or bad: that is hawserd's to judge. */
bool machine_has_secrets(const char *dir);
/* $HAWSER_QEMU, or QEMU for this architecture in $PATH; on the heap. NULL, with *name what was looked for. */
char *machine_qemu_find(const char **name);
/* $HAWSER_VHOST_DEVICE_VSOCK, or vhost-device-vsock in $PATH or beside this program. */
char *machine_device_find(const char **name);

/* What every machine's kernel is told behind the words of its console and its reset; on the heap, or NULL. */
char *machine_kernel_words(const struct machine *m);
/* The words are freed with arglist_finish. */
void machine_qemu_args(const struct machine *m, struct arglist *args);
void machine_device_args(const struct machine *m, const char *program, struct arglist *args);
/* A machine that says something on its serial console as soon as it can, and nothing else. */
void machine_probe_args(const struct machine *m, struct arglist *args);

/* Whether a Unix socket is bound to the path and listens, without connecting to it. */
bool machine_listening(const char *path);

#endif
