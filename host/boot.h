/* SPDX-License-Identifier: MIT */
/*
 * boot: the host's side of the boot session (docs/PROTOCOL.md). Of a machine's directory it knows only what
 * vmconfig.h and source.h say, so that the reading of it can move to a process of its own.
 */
#ifndef HOST_BOOT_H
#define HOST_BOOT_H

#include <stdint.h>

struct boot;
struct vm;

/* Takes the connection over. */
void boot_accept(struct vm *vm, int fd);
void boot_event(struct boot *boot, uint32_t events);
/* Ends the session of a machine that is past its HELLO; NULL is nothing to do. */
void boot_cut(struct boot *boot);
/* Every session of the machine, also those that have said nothing yet. */
void boot_cut_all(struct vm *vm);

#endif
