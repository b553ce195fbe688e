/* SPDX-License-Identifier: MIT */
/* modules: for kernels that have their vsock as modules. */
#ifndef INIT_MODULES_H
#define INIT_MODULES_H

#define MODULES_DIR "/lib/modules/hawser"
#define MODULES_MAX 64

/*
 * Loads every file of MODULES_DIR in the order of their names, which the image's packer made the order of their
 * dependencies (00-failover.ko, 01-...). .ko.gz, .ko.xz and .ko.zst are unpacked by the kernel. What it refuses is
 * named in the log, and the next one is tried.
 */
void modules_load(void);

#endif
