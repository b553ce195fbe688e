/* SPDX-License-Identifier: MIT */
/* chart_cmd: hawser chart, a boot as a picture. */
#ifndef HOST_CHART_CMD_H
#define HOST_CHART_CMD_H

int chart_cmd_main(int argc, char *argv[]);

#endif
