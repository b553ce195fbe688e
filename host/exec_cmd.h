/* SPDX-License-Identifier: MIT */
/* exec_cmd: `hawser exec`: a program in a running machine, as if it ran here. */
#ifndef HOST_EXEC_CMD_H
#define HOST_EXEC_CMD_H

int exec_cmd_main(int argc, char *argv[]);

#endif
