/* SPDX-License-Identifier: MIT */
/* listen: sockets that guests and tools connect to, and the files that Unix sockets leave behind. */
#ifndef HOST_LISTEN_H
#define HOST_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "problem.h"

struct daemon;
struct vm;

enum listen_service { LISTEN_BOOT, LISTEN_LOG, LISTEN_SERVICES };

struct listener {
	struct daemon *daemon;
	struct vm *vm;           /* NULL: AF_VSOCK, where the CID says who it is */
	uint8_t service;
	bool paused;             /* out of descriptors */
	int fd, slot;            /* -1, 0: not listening */
	dev_t dev;               /* of the Unix socket's file, so that nobody else's is removed */
	ino_t ino;
	char *path;              /* NULL: AF_VSOCK */
};

/*
 * Makes a Unix socket at path that only its owner can connect to. What is there already is removed if it is a socket
 * of ours that nobody listens on; everything else is a problem. dirfd is the directory that path lies in, which the
 * caller opened: nothing is followed on the way. Returns the descriptor, or -1 with the problem set.
 */
int listen_unix(int dirfd, const char *path, struct problem *problem);
/* Removes path if it still is the socket with this identity. */
void listen_unlink(const char *path, dev_t dev, ino_t ino);

/* Both of a machine's Unix listeners, or none. follow: symbolic links in the path of the directory are all right. */
int listener_open_unix(struct listener listeners[static LISTEN_SERVICES], struct vm *vm, const char *base,
	bool follow, struct problem *problem);
int listener_open_vsock(struct listener listeners[static LISTEN_SERVICES], struct daemon *daemon,
	struct problem *problem);
void listener_close(struct listener listeners[static LISTEN_SERVICES]);
void listener_event(struct listener *listener);
/* Descriptors may be free again. */
void listener_resume(struct daemon *daemon);

#endif
