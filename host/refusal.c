/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "refusal.h"

void refusal_text(char *to, size_t size, const struct wire_frame *frame)
{
	struct wire_refuse refuse;
	int n;

	if (!wire_refuse_decode(frame, &refuse)) {
		snprintf(to, size, "with a malformed REFUSE");
		return;
	}
	n = snprintf(to, size, "%s: ", wire_refuse_name(refuse.code));
	for (uint32_t i = 0; i < refuse.text.len && (size_t)n + 1 < size; i++) {
		unsigned char c = (unsigned char)refuse.text.s[i];

		to[n++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	to[n] = 0;
}
