/* SPDX-License-Identifier: MIT */
/* hawserd.json. */
#include <string.h>

#include "../../host/daemonconfig.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct daemonconfig config;
	struct problem problem = { 0 };

	daemonconfig_defaults(&config);
	if (daemonconfig_parse(&config, (const char *)data, size, "hawserd.json", &problem) < 0)
		FUZZ_NEED(strncmp(problem.text, "hawserd.json:", 13) == 0 && !strpbrk(problem.text, "\n\033"));
	daemonconfig_free(&config);
	return 0;
}
