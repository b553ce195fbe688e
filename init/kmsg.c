/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "kmsg.h"

static bool number_take(const char **s, const char *end, uint64_t *value)
{
	const char *p = *s;

	*value = 0;
	while (p < end && *p >= '0' && *p <= '9') {
		uint64_t digit = (uint64_t)(*p - '0');

		if (*value > (UINT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
		p++;
	}
	if (p == *s || p == end || *p != ',')
		return false;
	*s = p + 1;
	return true;
}

bool kmsg_parse(struct kmsg *kmsg, const char *s, size_t len)
{
	const char *end = s + len, *semicolon;
	uint64_t pri;

	if (!number_take(&s, end, &pri) || !number_take(&s, end, &kmsg->seq) || !number_take(&s, end, &kmsg->us))
		return false;
	semicolon = memchr(s, ';', (size_t)(end - s));
	if (!semicolon || semicolon == s || pri > 0xffe)
		return false;
	kmsg->pri = (uint16_t)pri;
	kmsg->fragment = *s == 'c';
	kmsg->text = semicolon + 1;
	kmsg->len = (size_t)(end - kmsg->text);
	if (kmsg->len > 0 && kmsg->text[kmsg->len - 1] == '\n')
		kmsg->len--;
	return true;
}
