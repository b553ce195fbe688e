/* SPDX-License-Identifier: MIT */
/* logs: the host's side of the log session (docs/PROTOCOL.md). What becomes of records is store.h's business. */
#ifndef HOST_LOGS_H
#define HOST_LOGS_H

#include <stdint.h>

struct logs;
struct vm;

/* Takes the connection over. */
void logs_accept(struct vm *vm, int fd);
void logs_event(struct logs *logs, uint32_t events);
/* The batch is settled: what it holds may be acknowledged. NULL is nothing to do. */
void logs_settled(struct logs *logs);
/* The machine's power button. False: its log session is not up, by which it would get there. */
bool logs_press(struct logs *logs);
/* Reads on, or not, as vm->paused and the outlet say. */
void logs_pace(struct logs *logs);
/* Ends the session, without a word: the guest comes again. NULL is nothing to do. */
void logs_cut(struct logs *logs);
void logs_cut_all(struct vm *vm);

#endif
