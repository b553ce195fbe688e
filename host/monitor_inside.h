/* SPDX-License-Identifier: MIT */
/* The readers, the programs that decrypt for them, and the sockets that they asked for: monitor_readers.c. */
#ifndef HOST_MONITOR_INSIDE_H
#define HOST_MONITOR_INSIDE_H

#include "monitor.h"

struct monitor_reader {
	LIST_ENTRY(monitor_reader) of_monitor;
	uint32_t number;                 /* 0: the one of the settings' directory */
	int dir;
	pid_t pid;                       /* 0: it died, and is to be started again */
	int channel;
	pid_t decrypting;                /* a child that decrypts for it; 0: none */
	uint64_t started;
};

/* dir is the reader's from now on. */
void monitor_reader_add(struct monitor *monitor, uint32_t number, int dir);
/* What it says. */
void monitor_reader_event(struct monitor *monitor, struct monitor_reader *reader);
/* Starts those again that are to run. When the next one may be started, in ms; -1: none is to be. */
int monitor_readers_start(struct monitor *monitor);
/* A reader, or who decrypts for one. */
void monitor_child_ended(struct monitor *monitor, pid_t pid, int status);
/* Begins to connect to the guest of a reader's machine, as binding_dial. */
int monitor_socket_dial(const struct monitor *monitor, uint32_t reader, const char *name);
void monitor_readers_finish(struct monitor *monitor);

#endif
