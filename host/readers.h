/* SPDX-License-Identifier: MIT */
/* readers: the server's ends of the channels to the monitor and to the readers of directories (split.h). */
#ifndef HOST_READERS_H
#define HOST_READERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "split.h"

struct daemon;
struct vm;
struct vm_attach;

struct reader_link {
	LIST_ENTRY(reader_link) of_daemon;       /* daemon->readers */
	struct daemon *daemon;
	uint32_t number;                 /* 0: that of the settings' directory */
	int fd, slot;                    /* -1, 0: it is about to be started, again or for the first time */
	bool scanned;                    /* all its machines are known */
	struct vm *vm;                   /* the one that a tool attached; NULL: number 0 */
	struct split_reader self;        /* what it said of itself */
};

int readers_init(struct daemon *daemon, bool settings);  /* settings: there is a directory of machines */
void readers_finish(struct daemon *daemon);
/* Has the settings' directory looked at again, which ends with service_ready. False: it cannot be asked now. */
bool readers_rescan(const struct daemon *daemon);
void readers_monitor_event(struct daemon *daemon);
void readers_event(struct reader_link *link);

/*
 * A machine whose directory a tool has opened. It is not served before its reader has been heard of: local_attached
 * is called then. NULL with the problem set. attach and the directory are taken over in any case.
 */
struct vm *readers_attach(struct daemon *daemon, const char *name, int dir, struct vm_attach *attach,
	struct problem *problem);
/* The machine is gone: its reader is to end. */
void readers_detach(struct reader_link *link);

/* Passes a connection for a boot session on, and has it begin. False: the reader cannot be reached now. */
bool readers_prepare(const struct vm *vm, uint64_t session, int fd);
bool readers_send(const struct vm *vm, uint64_t session);

/*
 * Begins to connect to a port of the machine's guest: on AF_VSOCK, or to the Unix socket of its VMM. The monitor does
 * it, who may. A descriptor to be given to dial_finish when it can be written to, or a negative errno.
 */
int readers_dial(const struct vm *vm, bool vsock, uint32_t port);

#endif
