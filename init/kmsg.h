/* SPDX-License-Identifier: MIT */
/* kmsg: one record of /dev/kmsg (the kernel's Documentation/ABI/testing/dev-kmsg). Pure. */
#ifndef INIT_KMSG_H
#define INIT_KMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMSG_MAX 8192            /* a record is never longer: CONSOLE_EXT_LOG_MAX; a shorter buffer loses it */

struct kmsg {
	uint16_t pri;            /* facility * 8 + severity */
	uint64_t seq;
	uint64_t us;             /* since the kernel's start */
	bool fragment;           /* of a line that goes on in another record */
	const char *text;        /* the message, and behind a newline each the dictionary's KEY=value lines */
	size_t len;              /* without the last newline */
};

/* Reads "PRI,SEQ,US,FLAGS[,...];TEXT\n[ KEY=VALUE\n]...": false when it is none. Unknown fields are passed over. */
bool kmsg_parse(struct kmsg *kmsg, const char *s, size_t len);

#endif
