/* SPDX-License-Identifier: MIT */
/* Frames of all sessions, the control session's among them: what decodes is encoded again, to the same bytes. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_frame frame;
	int whole;

	for (size_t at = 1; at < size && (whole = wire_split(data + at, size - at, &frame)) > 0; at += (size_t)whole)
		fuzz_frame(&frame);
	return 0;
}
