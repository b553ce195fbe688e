/* SPDX-License-Identifier: MIT */
/* daemon: what all parts of hawserd share. There is one, made in hawserd.c. */
#ifndef HOST_DAEMON_H
#define HOST_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemonconfig.h"
#include "journald.h"
#include "listen.h"
#include "loop.h"
#include "secret.h"
#include "service.h"
#include "store.h"
#include "vms.h"

struct boot;
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
	struct secret_arena arena;
	struct store_home home;
	struct journald journald;                /* used when home.journald is set */
	struct service service;
	struct outlet outlet;                    /* fd -1: there is none */
	struct vms vms;
	struct listener vsock[LISTEN_SERVICES];  /* AF_VSOCK: for all machines */
	struct daemon_counters counters;
	uint64_t started;                        /* CLOCK_MONOTONIC, ns */
	uint32_t connections, followers;
	int vms_fd, runtime_fd, once_fd;
	int spare_fd;                            /* given up to accept and turn away when there are no more */
	bool starved;                            /* listeners are paused because of that */
	TAILQ_HEAD(, boot) hungry;               /* boot sessions that wait for a secret slot */
	uint64_t strangers_second;               /* how many were logged in it: see listen.c */
	unsigned strangers;
	struct vm *unsettled;                    /* machines whose batches wait for the group commit */
	struct timer commit, sweep;
	LIST_HEAD(, local) locals;               /* all connections of tools */
};

#endif
