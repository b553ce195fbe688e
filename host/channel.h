/* SPDX-License-Identifier: MIT */
/*
 * channel: messages between the processes of hawserd: SOCK_SEQPACKET, so each comes whole, with its descriptors.
 * Sending and receiving are also good for the bytes of a stream, with a descriptor among them.
 */
#ifndef HOST_CHANNEL_H
#define HOST_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHANNEL_FDS 2            /* with one message, at most */

/* Two ends, CLOEXEC and not blocking. 0, or a negative errno. */
int channel_pair(int ends[static 2]);
/*
 * The first n descriptors go along; they stay open here. wait: until there is room, else -EAGAIN. 0, or a negative
 * errno: -EPIPE when the other end is gone.
 */
int channel_send(int fd, const void *message, size_t size, const int *fds, unsigned n, bool wait);
/*
 * The size of the next message, 0 when the other end is gone, or a negative errno: -EAGAIN, or -EMSGSIZE for one that
 * is larger than size or that has more descriptors. Descriptors that did not come are -1. wait: until there is one.
 */
ssize_t channel_receive(int fd, void *message, size_t size, int fds[static CHANNEL_FDS], bool wait);
void channel_drop(int fds[static CHANNEL_FDS]);  /* closes what came */

#endif
