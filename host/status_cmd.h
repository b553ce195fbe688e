/* SPDX-License-Identifier: MIT */
/* status_cmd: `hawser status`: what a hawserd serves. */
#ifndef HOST_STATUS_CMD_H
#define HOST_STATUS_CMD_H

/* argv[0] is "status". 0; 1: a failure, said on stderr; 2: usage. */
int status_cmd_main(int argc, char *argv[]);

#endif
