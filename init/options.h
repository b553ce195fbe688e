/* SPDX-License-Identifier: MIT */
/* options: what the kernel command line says to hawser (docs/BOOT.md). Pure. */
#ifndef INIT_OPTIONS_H
#define INIT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#define OPTIONS_LINE_MAX 4096    /* COMMAND_LINE_SIZE is 2048 on x86 and arm64; longer lines are cut, and said to be */

enum policy { POLICY_POWEROFF, POLICY_REBOOT, POLICY_SHELL, POLICY_CONTINUE };

struct options {
	uint32_t host_cid;
	uint32_t port;           /* the first of three */
	uint32_t deadline_s;
	uint32_t ring_kib;
	uint8_t on_failure;      /* enum policy */
	uint8_t power;           /* WIRE_POWER_* */
	uint8_t log;             /* enum log_level */
};

/* Told of everything that is wrong: the word (not terminated) and why. Its default stays. */
typedef void options_complain(const char *word, size_t len, const char *why);

void options_init(struct options *options);
void options_parse(struct options *options, const char *line, size_t len, options_complain *complain);

#endif
