/* SPDX-License-Identifier: MIT */
/* check: `hawser check`: what hawserd would say of machines' directories, before it has to. */
#ifndef HOST_CHECK_H
#define HOST_CHECK_H

/* argv[0] is "check". 0: all are good; 1: problems, each on stderr; 2: usage. */
int check_main(int argc, char *argv[]);

#endif
