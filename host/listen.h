/* SPDX-License-Identifier: MIT */
/* listen: the sockets that guests connect to. */
#ifndef HOST_LISTEN_H
#define HOST_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct timer;
struct vm;

enum listen_service { LISTEN_BOOT, LISTEN_LOG, LISTEN_SERVICES };

struct listener {
	struct daemon *daemon;
	struct vm *vm;           /* NULL: AF_VSOCK, where the CID says who it is */
	uint8_t service;
	bool paused;             /* out of descriptors */
	int fd, slot;            /* -1, 0: not listening */
};

/* Takes over what the monitor has made (split.h): a machine's, or AF_VSOCK's with vm NULL. 0, or a negative errno. */
int listener_adopt(struct listener listeners[static LISTEN_SERVICES], struct daemon *daemon, struct vm *vm,
	const int fds[static LISTEN_SERVICES]);
void listener_close(struct listener listeners[static LISTEN_SERVICES]);
void listener_event(struct listener *listener);
/* A descriptor that is good for nothing but to be closed when there are no others. */
int listener_spare(const struct daemon *daemon);
/* Nobody is accepted: whoever comes waits in the kernel, until listener_resume. */
void listener_hold(struct listener listeners[static LISTEN_SERVICES]);
/* All that are paused: descriptors may be free again, or all machines are known. */
void listener_resume(struct daemon *daemon);
void listener_starving(struct timer *timer);     /* daemon->starving's */

#endif
