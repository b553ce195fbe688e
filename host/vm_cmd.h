/* SPDX-License-Identifier: MIT */
/* vm_cmd: `hawser revoke` and `hawser rearm`: argv[0] says which. Exit status: 0, 1 a failure, 2 wrong usage. */
#ifndef HOST_VM_CMD_H
#define HOST_VM_CMD_H

int vm_cmd_main(int argc, char *argv[]);

#endif
