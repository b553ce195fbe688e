/* SPDX-License-Identifier: MIT */
/* run: `hawser run`: one machine from its directory to its program's exit status. */
#ifndef HOST_RUN_H
#define HOST_RUN_H

int run_main(int argc, char *argv[]);

#endif
