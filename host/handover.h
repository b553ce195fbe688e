/* SPDX-License-Identifier: MIT */
/*
 * handover: listening sockets that are there before hawserd is, and stay when it goes.
 *
 * The service manager holds them, by sd_listen_fds(3): those of a socket unit, and those that an earlier hawserd gave
 * it to keep (FDSTORE, sd_notify(3)). A guest that dials while hawserd is upgraded waits in the backlog of a socket
 * that was never closed, and at a path that was never unlinked. Without a service manager nothing is taken, and nothing
 * is kept.
 *
 * Sockets that are kept are named after their file, "unix-DEVICE-INODE" in hexadecimal, so that one whose file is gone,
 * or was replaced, is not taken for another; those of socket units are known by the path that they are bound to.
 */
#ifndef HOST_HANDOVER_H
#define HOST_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Takes what LISTEN_FDS says, and remembers whether there is somebody to keep sockets. */
void handover_init(void);
/* The socket that listens at this file, path as a socket unit names it; or AF_VSOCK's at a port. -1: there is none. */
int handover_unix(const char *path, dev_t dev, ino_t ino);
int handover_vsock(uint32_t port);
/* Whether the one that listens at this file is still to be taken. */
bool handover_waits(dev_t dev, ino_t ino);
/* Whether a socket was handed over that is bound by way of this descriptor's number: it must not name a directory. */
bool handover_uses(int number);
/* From now on it outlives us, until it is forgotten. */
void handover_keep(int fd, dev_t dev, ino_t ino);
void handover_forget(dev_t dev, ino_t ino);
/* Whether handover_keep keeps: then files of sockets stay at our end. */
bool handover_keeps(void);
/* Closes what nobody has taken, and has it kept no longer; or, in a child that has nothing to do with them, all. */
void handover_finish(void);
void handover_close(void);

#endif
