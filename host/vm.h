/* SPDX-License-Identifier: MIT */
/*
 * vm: a machine that hawserd serves: its directory and its addresses; its log is in vm_log.c, its epoch in
 * vm_epoch.c.
 *
 * A machine is there because its directory is (or was, when it was last looked at), or because a tool attached it.
 * When its vm.json goes bad, the last good one is served on.
 */
#ifndef HOST_VM_H
#define HOST_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

#include "listen.h"
#include "loop.h"
#include "store.h"
#include "vmconfig.h"

struct boot;
struct local;
struct logs;

/* What a tool said when it attached the machine. */
struct vm_attach {
	char *dir, *socket;      /* absolute; socket NULL: by vm.json */
	uint32_t cid;            /* 0: by vm.json */
	char **args;             /* in place of process.args; n_args 0: as they are */
	size_t n_args;
	bool ephemeral;
};

/* A file that is told from another one, and from itself before it was changed. */
struct vm_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct vm {
	struct daemon *daemon;
	char name[VMCONFIG_NAME_MAX + 1];
	char *dir;
	struct vm_attach *attach;        /* NULL: a directory below vms */
	bool seen;                       /* in the scan that is going on */
	bool served;                     /* there is a vm.json, good or bad, and guests may come */
	int watch;                       /* inotify's, or -1 */
	struct vm_stamp stamp;           /* of the vm.json that was last read, good or bad */
	struct vmconfig *config;         /* the last good one; NULL: there was none */
	char *problem;                   /* with the vm.json of now, or with the listeners; NULL: none */
	uint32_t cid;                    /* served on AF_VSOCK as; 0: not */
	char *base;                      /* of its Unix sockets; NULL: none */
	struct listener listeners[LISTEN_SERVICES];

	struct store store;
	LIST_HEAD(, boot) boots;         /* all sessions, also those that have said nothing yet */
	LIST_HEAD(, logs) logses;
	struct boot *boot;               /* the one that is past its HELLO, or NULL */
	struct logs *logs;
	uint32_t connections;
	struct timer grace, retry, idle;
	bool turned_away;                /* since the grace began, a connection of it for which there was no room */
	bool paused;                     /* its owner does not keep up */
	LIST_HEAD(, local) followers;
	struct vm *next_unsettled;
	bool is_unsettled;
	uint64_t boots_served, log_sessions, refused;
	uint64_t refused_by[WIRE_REFUSE_CODES];
	unsigned audits;                 /* notes in this second: see vm_audit */
	unsigned audits_dropped;
	uint64_t audit_second;
	uint64_t batches;                /* of the store, at the last sweep */
};

struct vm *vm_create(struct daemon *daemon, const char *name, struct vm_attach *attach);
/* attach is taken over. NULL with the problem set. */
struct vm *vm_create_attached(struct daemon *daemon, const char *name, struct vm_attach *attach,
	struct problem *problem);
void vm_attach_free(struct vm_attach *attach);
/* Ends the machine's sessions and listeners; forget: its epoch's state, too. */
void vm_destroy(struct vm *vm, bool forget);

/* Reads vm.json again if it is another one now. */
void vm_refresh(struct vm *vm);
int vm_dir_open(const struct vm *vm);    /* a descriptor, or a negative errno */
/* Whether dirfd is still the machine's directory, and the vm.json in it the one that was last read. */
bool vm_dir_current(const struct vm *vm, int dirfd);
bool vm_secrets_spent(const struct vm *vm);      /* delivered once, and that was all */

/* --- the epoch -------------------------------------------------------------------------------------------------- */

void vm_epoch_init(struct vm *vm);
void vm_epoch_finish(struct vm *vm);     /* nobody will know it any more */
void vm_delivered(struct vm *vm, const char *how);
/* No log session is up any more, or none is yet: it may come within the grace. */
void vm_grace_begin(struct vm *vm);
void vm_grace_end(struct vm *vm);

/* --- the log ---------------------------------------------------------------------------------------------------- */

void vm_log_init(struct vm *vm);
void vm_log_open(struct vm *vm);
void vm_log_finish(struct vm *vm, bool forget);  /* forget: the epoch's state, too */
/* Closes its files when no session is up. */
void vm_rest(struct vm *vm);
/* A line of hawserd's own in the machine's log and in hawserd's, at most a few a second. */
void vm_audit(struct vm *vm, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/*
 * Ends a batch. The journal follows at once, or with the group commit; with `now`, at once in any case. False: it
 * could not be stored, and the log session is gone; or, with `now`, the outlet has not written it yet.
 */
bool vm_settle(struct vm *vm, bool now);
void vm_commit_group(struct timer *timer);
/* The outlet has written more: what waited for that is settled, and guests that were held up go on. */
void vm_outlet_moved(struct outlet *outlet);

#endif
