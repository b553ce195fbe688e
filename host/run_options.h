/* SPDX-License-Identifier: MIT */
/* run_options: the command line of `hawser run`. */
#ifndef HOST_RUN_OPTIONS_H
#define HOST_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "accel.h"
#include "vmm.h"

enum run_vsock { RUN_VSOCK_AUTO, RUN_VSOCK_DEVICE, RUN_VSOCK_VHOST };

struct run_options {
	const char *dir;                 /* VMDIR */
	char *const *command;            /* what followed "--": n_command words; 0: none */
	size_t n_command;
	const char *name, *kernel, *initrd, *append, *runtime, *log;     /* NULL: not given */
	enum accel accel;
	enum vmm vmm;
	enum run_vsock vsock;
	bool own_hawserd, raw, json, quiet, serial, tty, dry_run, help;
	uint32_t cid;                    /* 0: not given */
	uint32_t wait_ready_s;           /* 0: not given */
};

/* argv[0] is "run". The words stay where they are. 0, or -1 with what is wrong, and how to mend it, in error. */
int run_options_parse(struct run_options *o, int argc, char *argv[], char *error, size_t error_size);
/* Whether they leave no place for a terminal. */
bool run_options_no_tty(const struct run_options *o);
void run_options_help(FILE *out);

#endif
