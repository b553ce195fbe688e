/* SPDX-License-Identifier: MIT */
/* vms: the table of all machines. */
#ifndef HOST_VMS_H
#define HOST_VMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "names.h"
#include "vm.h"

struct vms {
	struct names names;
	struct vm **by_cid;              /* sorted, made when it is needed */
	size_t n_cid;
	bool cids_stale;
};

void vms_finish(struct daemon *daemon);
void vms_reopen(struct daemon *daemon);  /* log files that somebody moved are made anew */
struct vm *vms_at(const struct vms *vms, size_t i);
struct vm *vms_find(const struct daemon *daemon, const char *name);
struct vm *vms_find_cid(struct daemon *daemon, uint32_t cid);

bool vms_insert(struct vms *vms, struct vm *vm);         /* false: no memory */
void vms_remove(struct vms *vms, struct vm *vm);
/* Closes the files of machines that have been quiet for a while: there may be more machines than descriptors. */
void vms_sweep(struct timer *timer);

#endif
