/* SPDX-License-Identifier: MIT */
/* A tool's connection, for local.c and local_ops.c. */
#ifndef HOST_LOCAL_INSIDE_H
#define HOST_LOCAL_INSIDE_H

#include "bytes.h"
#include "daemon.h"
#include "local.h"

struct local {
	LIST_ENTRY(local) of_daemon;     /* daemon->locals */
	LIST_ENTRY(local) of_vm;         /* vm->followers, while follows is set */
	struct daemon *daemon;
	struct vm *follows, *owns;
	struct control *control;         /* the guest that is being dialled for him, or NULL */
	int fd, slot;
	uint32_t uid;                    /* whose program it is */
	struct timer timer;              /* fires at once: ends what must not be ended from where it was noticed */
	struct bytes in, out;            /* requests that came; what waits for him */
	struct tail *tail;               /* the stored lines he asked for, at his own pace; then come those that are made */
	int passed;                      /* the descriptor that came last, or -1 */
	bool attaching, follow_it;       /* his machine is not served yet; to be followed then */
};

/* For callers that are in the middle of something with the machine. */
void local_end_soon(struct local *local);
/* What is polled for, and whether the guest of an owner has to wait: after whatever changes what waits. */
void local_pace(struct local *local);
/* As much as the socket takes goes there straight away, without being copied. False: gone, or no memory. */
bool local_say(struct local *local, const char *bytes, size_t len);
/* {"ok":true,"KEY":"..."}; with "error" as the key, that alone. False as local_say. */
bool local_answer(struct local *local, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* local_ops.c. False: the connection is at its end. */
bool local_take_line(struct local *local, const char *line, size_t len);
/* The machine that is being attached has been heard of. */
bool local_attach_answer(struct local *local, struct vm *vm);

#endif
