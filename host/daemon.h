/* SPDX-License-Identifier: MIT */
/* daemon: what all parts of hawserd's server share. There is one, made in hawserd.c. */
#ifndef HOST_DAEMON_H
#define HOST_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "audit.h"
#include "daemonconfig.h"
#include "journald.h"
#include "listen.h"
#include "loop.h"
#include "readers.h"
#include "service.h"
#include "store.h"
#include "vms.h"

struct boot;
struct control;
struct local;

/* Since the start. */
struct daemon_counters {
	uint64_t accepted, boots, applied, log_sessions;
	uint64_t refused[WIRE_REFUSE_CODES];     /* by us, by code */
	uint64_t refused_by_guest;
	uint64_t hello_timeouts, cuts, no_descriptor, followers_dropped;
};

struct daemon {
	struct daemonconfig config;
	struct loop loop;
	struct store_home home;
	struct journald journald;                /* used when home.journald is set */
	struct service service;
	struct outlet outlet;                    /* fd -1: there is none */
	struct syncer syncer;                    /* used when home.syncer is set */
	struct vms vms;
	int vsock_fds[LISTEN_SERVICES];          /* AF_VSOCK, for all machines; -1: not served */
	struct listener vsock[LISTEN_SERVICES];
	struct daemon_counters counters;
	uint64_t started;                        /* CLOCK_MONOTONIC, ns */
	uint32_t connections, followers;
	struct audit audit;
	int once_fd, revoked_fd;                 /* directories with a file for each machine to which it applies */
	int control, control_slot;               /* the socket for tools */
	int scrape;                              /* the one for metrics; -1: none */
	uid_t owner;                             /* who started hawserd: he may use it */
	int monitor, asks;                       /* the channels to it: split.h */
	LIST_HEAD(, reader_link) readers;
	uint32_t reader_numbers;                 /* the last that was given */
	int landlock;                            /* our own: see sandbox.h */
	bool seccomp;
	int spare_fd;                            /* given up to accept and turn away when there are no more */
	bool starved;                            /* listeners are paused because of that */
	uint64_t strangers_second;               /* how many were logged in it: see listen.c */
	unsigned strangers;
	TAILQ_HEAD(, vm) with_files;             /* machines by the last use of their log files, the latest last */
	uint32_t n_with_files;
	uint32_t crowded_fd;                     /* from this one on, descriptors are kept free for files */
	struct vm *unsettled;                    /* machines whose batches wait for the group commit */
	struct timer commit, sweep, starving;
	LIST_HEAD(, control) controls;           /* control sessions that begin */
	LIST_HEAD(, local) locals;               /* all connections of tools */
};

void daemon_up(struct daemon *daemon);   /* all machines of the settings are known */
void daemon_stop(void);

#endif
