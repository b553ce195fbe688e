/* SPDX-License-Identifier: MIT */
/* vms: the table of all machines, and the directory that most of them come from, which is watched. */
#ifndef HOST_VMS_H
#define HOST_VMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemonconfig.h"
#include "loop.h"
#include "vm.h"

struct vms {
	struct vm **all;                 /* sorted by name */
	struct vm **by_cid;              /* sorted, made when it is needed */
	size_t n, n_cid, size;
	bool cids_stale;
	int inotify, slot;
};

/* Looks at every machine's directory as far as it can be without a guest. How many problems it logged. */
unsigned vms_check(const struct daemonconfig *config);
int vms_init(struct daemon *daemon);
void vms_finish(struct daemon *daemon);
/* Looks at the directory of all machines: new ones, those that are gone, and changed files. */
void vms_scan(struct daemon *daemon);
void vms_reopen(struct daemon *daemon);  /* log files that somebody moved are made anew */
void vms_inotify(struct daemon *daemon);
struct vm *vms_find(const struct daemon *daemon, const char *name);
struct vm *vms_find_cid(struct daemon *daemon, uint32_t cid);

bool vms_insert(struct vms *vms, struct vm *vm);         /* false: no memory */
void vms_remove(struct vms *vms, struct vm *vm);
/* Closes the files of machines that have been quiet for a while: there may be more machines than descriptors. */
void vms_sweep(struct timer *timer);

#endif
