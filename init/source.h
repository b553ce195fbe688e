/* SPDX-License-Identifier: MIT */
/* source: the descriptors that the relay reads, each into records of its stream, straight into the ring. */
#ifndef INIT_SOURCE_H
#define INIT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "ring.h"

enum source_id {
	SOURCE_KERNEL,           /* /dev/kmsg */
	SOURCE_CONSOLE_PIPE,     /* BusyBox's descriptors 1 and 2, and those of what it starts */
	SOURCE_CONSOLE_PTY,      /* what is written to /dev/console */
	SOURCE_SYSLOG,           /* /dev/log */
	SOURCE_STDOUT,           /* the workload's */
	SOURCE_STDERR,
	SOURCE_NOTIFY,           /* $NOTIFY_SOCKET */
	SOURCE_EVENT,            /* read last: what was written before an event goes out before it */
	SOURCES,
};

#define SOURCE_STDOUT_PATH "/run/hawser/stdout"
#define SOURCE_STDERR_PATH "/run/hawser/stderr"

/* All descriptors, -1 where there is none. Both ends of pipes are held, so that no reader ever sees an end. */
struct sources {
	int fd[SOURCES];
	int held[SOURCES];       /* the other end: a writer, or the pseudo-terminal's user side */
	int dev;                 /* /dev, which has no name here any more once PID 1 has another root */
};

/* Opens everything. What cannot be had is named in the log, and -1. The console pipe's writing end is the caller's. */
void sources_open(struct sources *sources);
/* A fresh look at the kernel's log: its reader's place dies with the relay. */
void sources_reopen(struct sources *sources);
/*
 * Reads what one source has now, up to a bound, into the ring. Returns how much that was: in bytes, or in proportion
 * where writers have to wait after less than the 128 KiB of a pipe. *close: somebody asks for the log's end. *blocked:
 * the ring is full and its policy is to wait.
 */
size_t source_read(struct sources *sources, enum source_id id, struct ring *ring, bool *close, bool *blocked);
/* Answers everyone who asked to be told that the host has everything. */
void source_answer_closers(struct sources *sources);

#endif
