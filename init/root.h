/* SPDX-License-Identifier: MIT */
/*
 * root: another root file system for PID 1, and the way back to the initramfs as long as nothing is handed on.
 *
 * root_enter makes the new root complete below ROOT_WHERE, with the file systems of the initramfs bound into it, and
 * calls that the root directory. The working directory stays the initramfs's root: it is what leads back. From there on
 * paths mean the new root's files, relative paths the initramfs's. root_switch then makes it so for the machine.
 */
#ifndef INIT_ROOT_H
#define INIT_ROOT_H

#include <stdbool.h>

#include "../vsock/wire.h"

#define ROOT_WHERE "/sysroot"
#define ROOT_SHUTDOWN_DIR "/run/initramfs"       /* with `shutdown`, a copy of /init: see tool.c */

/*
 * Mounts what HANDOFF says and enters it. The device may be late: it is waited for until deadline_ns (CLOCK_BOOTTIME).
 * 0, or a negative errno with what is wrong in *what: the source, a directory that the root lacks, or the program.
 */
int root_enter(const struct wire_handoff *handoff, uint64_t deadline_ns, struct wire_text *what);
void root_leave(void);                   /* back in the initramfs; the new root is let go */
/* Makes the new root everybody's and frees the initramfs. 0, or a negative errno. */
int root_switch(void);

const char *root_init(void);             /* the program that becomes PID 1; NULL without another root */
bool root_is_systemd(void);              /* that program is systemd */

#endif
