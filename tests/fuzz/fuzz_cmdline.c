/* SPDX-License-Identifier: MIT */
/* The kernel command line, with a NUL in it or not: what is wrong is complained about, what is taken is in range. */
#include <stdlib.h>
#include <string.h>

#include "../../init/options.h"
#include "fuzz.h"

static const char *line;
static size_t line_len;

static void complain(const char *word, size_t len, const char *why)
{
	FUZZ_NEED(word >= line && len <= line_len && word + len <= line + line_len && *why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);
	struct options options;

	if (size)
		memcpy(copy, data, size);
	line = copy;
	line_len = size;
	options_init(&options);
	options_parse(&options, copy, size, complain);
	FUZZ_NEED(options.port >= 1 && options.port <= 1021);
	FUZZ_NEED(options.deadline_s >= 1 && options.deadline_s <= 86400);
	FUZZ_NEED(options.ring_kib >= 64 && options.ring_kib <= 16384 && options.ring_kib % 4 == 0);
	FUZZ_NEED(options.on_failure <= POLICY_CONTINUE && options.power < WIRE_POWERS);
	free(copy);
	return 0;
}
