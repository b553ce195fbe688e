/* SPDX-License-Identifier: MIT */
/* binding: a Unix socket that listens, and the file that it leaves behind. */
#ifndef HOST_BINDING_H
#define HOST_BINDING_H

#include <stdbool.h>
#include <sys/types.h>

#include "../vsock/address.h"
#include "problem.h"

struct binding {
	int fd;                  /* -1: none */
	dev_t dev;               /* of the file, so that nobody else's is removed */
	ino_t ino;
	char name[ADDRESS_PATH_MAX + 1];         /* in its directory */
};

/* The directory that path lies in. follow: symbolic links on the way are all right. -1 with the problem set. */
int binding_dir_open(const char *path, bool follow, struct problem *problem);
/*
 * Listens at path, where only the owner can connect. What is there already is removed if it is a socket of ours that
 * nobody listens on; everything else is a problem. One that was handed over to us is taken as it is. dirfd is the
 * directory that path lies in, and must stay open as long as the socket: nothing is followed on the way, and its number
 * is in the name that the socket is bound to. -1 with the problem set.
 */
int binding_open(struct binding *binding, int dirfd, const char *path, struct problem *problem);
/*
 * Begins to connect to the socket at path, below dirfd: itself, and nothing that a link leads to. A descriptor, as
 * dial_start's, or a negative errno.
 */
int binding_dial(int dirfd, const char *path);
/* Removes the file, too, if it is still the socket's. */
void binding_close(struct binding *binding, int dirfd);
/* Lets it go: whoever it was handed to for keeping (handover.h) has it, and the file stays. */
void binding_leave(struct binding *binding);
/*
 * Removes what binding_open would replace: files NAME.vsock_PORT below dirfd, of so many ports, on which nobody listens
 * any more, and which were not handed over to us.
 */
void binding_sweep(int dirfd, uint32_t port, unsigned ports);

#endif
