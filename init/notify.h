/* SPDX-License-Identifier: MIT */
/*
 * notify: what programs say of themselves, as sd_notify(3) has it: datagrams of lines "NAME=value" to $NOTIFY_SOCKET.
 *
 * The relay reads the socket and makes events of them. Where the machine has the credential vmm.notify_socket, two
 * processes take the socket's place: one hands each datagram on, to the relay and to the other, which sends it to the
 * address that the credential names.
 */
#ifndef INIT_NOTIFY_H
#define INIT_NOTIFY_H

#include <stdbool.h>

#include "../vsock/wire.h"

#define NOTIFY_SOCKET "/run/notify"      /* the workload's user may send to it, and root */
#define NOTIFY_DATAGRAM_MAX 4096
#define NOTIFY_CREDENTIAL "vmm.notify_socket"

/*
 * Takes the next line that means something to the host off the datagram; false when there is none left. Of a name that
 * comes twice in a datagram both are taken; what follows a NUL is part of no line.
 */
bool notify_next(struct wire_text *datagram, struct wire_event *event);
/* Starts those processes, if the credential is there; what is wrong with it is in the log. */
void notify_forward(void);

#endif
