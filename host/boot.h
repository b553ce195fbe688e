/* SPDX-License-Identifier: MIT */
/* boot: the host's side of the boot session (docs/PROTOCOL.md), but for what is in it, which is its reader's. */
#ifndef HOST_BOOT_H
#define HOST_BOOT_H

#include <stdint.h>

struct boot;
struct reader_link;
struct split_session;
struct vm;

/* Takes the connection over. */
void boot_accept(struct vm *vm, int fd);
void boot_event(struct boot *boot, uint32_t events);
/* Ends the session of a machine that is past its HELLO; NULL is nothing to do. */
void boot_cut(struct boot *boot);
/* Every session of the machine, also those that have said nothing yet. */
void boot_cut_all(struct vm *vm);

/* Those that the reader is at, who is gone. */
void boot_cut_read(struct vm *vm);
/* What a reader says of the session, if it is the machine's. */
void boot_told(struct boot *boot, const struct reader_link *link, const struct split_session *said);

#endif
