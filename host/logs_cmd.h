/* SPDX-License-Identifier: MIT */
/* logs_cmd: `hawser logs`: a machine's log, from its hawserd. */
#ifndef HOST_LOGS_CMD_H
#define HOST_LOGS_CMD_H

#define LOGS_TIME 32             /* of a point in time, "2026-11-22T08:00:00.123456Z" */

/* argv[0] is "logs". 0; 1: a failure, said on stderr; 2: usage. */
int logs_cmd_main(int argc, char *argv[]);

/*
 * A point in time as records have it, from "2026-11-22", "2026-11-22T08:00", "2026-11-22 08:00:30" (all UTC), RFC 3339
 * with an offset, or from how long ago it was: "90s", "15m", "2 hours ago". now is in seconds since 1970.
 * NULL, or what is wrong with the text.
 */
const char *logs_cmd_since(char point[static LOGS_TIME], const char *text, long long now);
/* 0 to 7 for a number or a name of syslog ("err", "warning", ...), or -1. */
int logs_cmd_priority(const char *text);

#endif
