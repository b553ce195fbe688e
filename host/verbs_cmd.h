/* SPDX-License-Identifier: MIT */
/* verbs_cmd: `hawser ping`, `hawser signal` and `hawser stop`: what is asked of a running machine in one word. */
#ifndef HOST_VERBS_CMD_H
#define HOST_VERBS_CMD_H

int ping_cmd_main(int argc, char *argv[]);
int signal_cmd_main(int argc, char *argv[]);
int stop_cmd_main(int argc, char *argv[]);

#endif
