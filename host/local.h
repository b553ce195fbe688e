/* SPDX-License-Identifier: MIT */
/*
 * local: the socket for tools of this host, JSON lines both ways. A line is a request; its answer is a line, and what
 * follows are records.
 *
 *     {"op":"attach","dir":"/DIR","name":"N","socket":"/BASE","cid":N,"args":["sh"],"follow":true,
 *      "ephemeral":true,"feed":true}
 *         serves the directory as a machine, as long as this connection is there: {"ok":true,"vm":"N"}. With the
 *         request comes a descriptor of the directory, which the tool has opened (SCM_RIGHTS); dir is for messages.
 *     {"op":"follow","vm":"N","tail":10,"since":1795334400}
 *         the last lines that are stored, without files of before that second, then those that come
 *     {"op":"control","vm":"N","verb":"ping"}
 *         dials the guest: {"ok":true} and, with its first byte, the connection (SCM_RIGHTS), behind CTL_WELCOME
 *     {"op":"button"}
 *         asks the guest of the machine that was attached to end in good order
 *     {"op":"status"}
 *         one object
 *     {"op":"revoke","vm":"N"}, {"op":"rearm","vm":"N"}
 *         closes and opens the machine's access to its configuration: {"ok":true,"vm":"N"}
 *
 * What cannot be done is answered with {"error":"..."}.
 *
 * Who only follows never holds a guest up: he is cut off when he does not read. Who attached a machine and follows it
 * is its only reader, often its only sink: he slows it down instead, and nobody else.
 */
#ifndef HOST_LOCAL_H
#define HOST_LOCAL_H

#include <stddef.h>
#include <stdint.h>

struct daemon;
struct local;
struct store;
struct vm;

/* Its socket is daemon->control. Before local_resume nobody is served, as not all machines are known. */
int local_init(struct daemon *daemon);
void local_resume(struct daemon *daemon);
void local_finish(struct daemon *daemon);
void local_listener_event(struct daemon *daemon);
void local_event(struct local *local, uint32_t events);
/* JSON lines for the machine's followers. Never ends a session, and never a machine. */
void local_show(struct store *store, const char *lines, size_t len);
/* The reader of a machine's directory has been heard of: the tool that attached it is told. The machine may be gone. */
void local_attached(struct vm *vm);
/* The machine is about to go. */
void local_vm_gone(struct vm *vm);

#endif
