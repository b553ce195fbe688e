/* SPDX-License-Identifier: MIT */
/* tool: what /init is when it is not PID 1. Each is named in the image's inittab or by a link to /init. */
#ifndef INIT_TOOL_H
#define INIT_TOOL_H

int tool_main(int argc, char *argv[]);

int workload_main(void);         /* `/init workload`: runs and watches the configured program */
int shutdown_main(void);         /* `/init shutdown`: ends all processes, delivers the log, ends the machine */

#endif
