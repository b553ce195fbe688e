/* SPDX-License-Identifier: MIT */
/* mount: the only file that mounts. All return 0 or a negative errno. */
#ifndef INIT_MOUNT_H
#define INIT_MOUNT_H

#include <stdbool.h>

#include "../vsock/wire.h"

/* The table of docs/BOOT.md. What cannot be mounted is reported through the log, and the boot goes on. */
void mount_early(void);
int mount_bind(const char *from, const char *to);
/* A ramfs of our own, 0700: memory that is never swapped. */
int mount_secret(const char *where);
/* Moves a mount, and makes it read-only there if that is wanted. */
int mount_publish(const char *from, const char *to, bool readonly);
void mount_detach(const char *where);
/* One of vm.json's mounts; makes its mount point. */
int mount_configured(const struct wire_mount *mount);
int mount_at(const char *where, const char *type, const char *source, const char *options);      /* one of our own */
int mount_over_root(void);               /* the working directory's mount becomes the root of all */

#endif
