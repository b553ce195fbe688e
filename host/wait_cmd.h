/* SPDX-License-Identifier: MIT */
/* wait_cmd: `hawser wait`: until a machine is ready, or has ended, and how. */
#ifndef HOST_WAIT_CMD_H
#define HOST_WAIT_CMD_H

int wait_cmd_main(int argc, char *argv[]);

#endif
