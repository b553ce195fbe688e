/* SPDX-License-Identifier: MIT */
/* vm.json: a text is taken, or there is a line that says what is wrong and where. */
#include <string.h>

#include "../../host/vmconfig.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problem problem = { 0 };
	struct vmconfig *config = vmconfig_parse((const char *)data, size, "vm.json", &problem);

	FUZZ_NEED(config || (strncmp(problem.text, "vm.json:", 8) == 0 && !strpbrk(problem.text, "\n\033")));
	vmconfig_destroy(config);
	return 0;
}
