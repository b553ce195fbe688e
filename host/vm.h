/* SPDX-License-Identifier: MIT */
/*
 * vm: a machine that hawserd serves, as the server knows it; its log is in vm_log.c, its epoch in vm_epoch.c. What is
 * in its directory is its reader's business (reader.h).
 *
 * A machine is there because its reader says that its directory is, or because a tool attached it.
 */
#ifndef HOST_VM_H
#define HOST_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "listen.h"
#include "loop.h"
#include "split.h"
#include "store.h"

struct boot;
struct local;
struct logs;
struct reader_link;

/* What a tool said when it attached the machine. */
struct vm_attach {
	char *dir, *socket;      /* absolute; dir is for messages; socket NULL: by vm.json */
	uint32_t cid;            /* 0: by vm.json */
	int args;                /* a file of arguments in place of process.args, each with its NUL; -1: as they are */
	bool ephemeral;
	bool feed;               /* its workload's standard input comes from the tool */
	bool terminal;           /* it has none: the tool runs the program, in a control session */
};

struct vm {
	char name[VMCONFIG_NAME_MAX + 1];        /* first: see names.h */
	struct daemon *daemon;
	struct reader_link *reader;      /* who reads its directory */
	char *dir;
	struct vm_attach *attach;        /* NULL: a directory below vms */
	bool seen;                       /* since its reader was started */
	bool served;                     /* there is a vm.json, good or bad, and guests may come */
	bool valid;                      /* one of them was good */
	bool once;                       /* its credentials are delivered once */
	bool revoked;                    /* attached, and revoked */
	uint32_t verbs;                  /* of its control sessions */
	char *problem;                   /* with the vm.json of now, or with the listeners; NULL: none */
	uint32_t cid;                    /* served on AF_VSOCK as; 0: not */
	uint32_t cid_wanted;             /* by vm.json, or by the tool */
	char *base;                      /* of its Unix sockets; NULL: none */
	struct listener listeners[LISTEN_SERVICES];

	struct store store;
	int64_t rate_left;               /* of limits.logRateVm: bytes that may be read now; below 0: none for a while */
	uint64_t rate_at;                /* when that was so */
	struct timer rate;               /* when there are some again */
	LIST_HEAD(, boot) boots;         /* all sessions, also those that have said nothing yet */
	LIST_HEAD(, logs) logses;
	struct boot *boot;               /* the one that is past its HELLO, or NULL */
	struct logs *logs;
	bool over_vsock;                 /* its last session came by AF_VSOCK */
	uint32_t connections;
	uint64_t hellos_at;              /* when the last of its connections was paid for: see session.c */
	struct timer grace, retry, idle;
	bool turned_away;                /* since the grace began, a connection of it for which there was no room */
	uint64_t grace_stalls;           /* of the loop, when the grace began */
	bool paused;                     /* its owner does not keep up */
	LIST_HEAD(, local) followers;
	TAILQ_ENTRY(vm) of_files;        /* daemon->with_files, while has_files is set */
	bool has_files;
	struct vm *next_unsettled;
	bool is_unsettled;
	uint64_t boots_served, log_sessions, refused;
	uint64_t refused_by[WIRE_REFUSE_CODES];
	unsigned audits;                 /* notes in this second: see vm_audit */
	unsigned audits_dropped;
	uint64_t audit_second;
	uint64_t batches;                /* of the store, at the last sweep */
};

struct vm *vm_create(struct daemon *daemon, struct reader_link *reader, const char *name, struct vm_attach *attach);
void vm_attach_free(struct vm_attach *attach);
/* Ends the machine's sessions and listeners; forget: its epoch's state, too. */
void vm_destroy(struct vm *vm, bool forget);

/* What its reader says of it now. The descriptors of its sockets are taken over, as far as there are any. */
void vm_update(struct vm *vm, const struct split_machine *machine, int fds[static SPLIT_LISTENERS]);
bool vm_secrets_spent(const struct vm *vm);      /* delivered once; whether that was all, vm.json says */

/* An administrator closed its access to its configuration, or opened it again. 0, or a negative errno. */
int vm_revoke(struct vm *vm);
int vm_rearm(struct vm *vm);             /* its one-shot credentials may be delivered again, too */
bool vm_revoked(const struct vm *vm);
/* A line of the audit log (audit.h). False: it could not be written. */
bool vm_witness(const struct vm *vm, const char *what, const char *outcome, const char *reason, int credentials);

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
/* Its files may be open now: those of the machine that has not used its own for the longest time are closed for it. */
void vm_files_init(struct daemon *daemon);
void vm_files_used(struct vm *vm);
void vm_files_forget(struct vm *vm);
/* For want of a descriptor. False: there are none that could be closed. */
bool vm_files_close_oldest(struct daemon *daemon);
bool vm_files_make_room(struct store *store);    /* the same, for the store of a machine */
/* A line of hawserd's own in the machine's log and in hawserd's, at most a few a second. False: one too many. */
bool vm_audit(struct vm *vm, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/*
 * Ends a batch. The journal follows at once, or with the group commit; with `now`, at once in any case. False: it
 * could not be stored, and the log session is gone; or, with `now`, the outlet has not written it yet.
 */
bool vm_settle(struct vm *vm, bool now);
void vm_commit_group(struct timer *timer);
/* So much was read of its log: reading rests when that was above its rate (limits.logRateVm). */
void vm_rate_take(struct vm *vm, size_t bytes);
/* The syncer is done with machines' batches. */
void vm_synced(struct daemon *daemon);
/* The outlet has written more: what waited for that is settled, and guests that were held up go on. */
void vm_outlet_moved(struct outlet *outlet);

#endif
