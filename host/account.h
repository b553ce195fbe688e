/* SPDX-License-Identifier: MIT */
/* account: what hawserd says of a machine's log, by stream, as a table for people. */
#ifndef HOST_ACCOUNT_H
#define HOST_ACCOUNT_H

#include "json.h"
#include "outqueue.h"

/* The member "streams" or "totals" of a machine in the status, with a heading. 0, or -1 with the problem set. */
int account_show(const struct json_value *machine, const char *key, const char *heading, struct outqueue *out,
	struct problem *problem);
/* The reasons for which sessions of it were refused. */
int account_show_refusals(const struct json_value *machine, struct outqueue *out, struct problem *problem);

#endif
