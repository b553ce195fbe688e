/* SPDX-License-Identifier: MIT */
/* Lines of JSON that tools read, from hawserd or from a file of a log. */
#include <string.h>

#include "../../host/client.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_record record;
	struct problem problem = { 0 };
	const char *line = (const char *)data, *end = line + size;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((newline ? newline : end) - line);

		client_record_read(&record, line, len, &problem);
		client_record_free(&record);
		client_answer_read(line, len, &problem);
		line += len + 1;
	}
	return 0;
}
