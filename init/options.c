/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <string.h>

#include "../vsock/log.h"
#include "../vsock/wire.h"
#include "options.h"

#define PREFIX "hawser."

void options_init(struct options *options)
{
	*options = (struct options){ .host_cid = 2, .port = WIRE_PORT_BASE, .deadline_s = 30, .ring_kib = 256,
		.on_failure = POLICY_POWEROFF, .power = WIRE_POWER_DETECT, .log = LOG_LEVEL_INFO };
}

/* Either a number in [min, max] that is a multiple of `step`, or one of the words, each ended by a NUL. */
static const struct option {
	const char *name;
	size_t offset;
	uint32_t min, max, step;
	const char *words;               /* the value is the word's place in the list, or values[place] */
	const uint8_t *values;
	const char *why;
} table[] = {
	{ "host", offsetof(struct options, host_cid), 0, 0xfffffffe, 1, NULL, NULL,
		"needs a CID from 0 to 4294967294" },
	{ "port", offsetof(struct options, port), 1, 1021, 1, NULL, NULL,
		"needs a port from 1 to 1021" },
	{ "deadline", offsetof(struct options, deadline_s), 1, 86400, 1, NULL, NULL,
		"needs seconds from 1 to 86400" },
	{ "ring", offsetof(struct options, ring_kib), WIRE_RING_MIN >> 10, WIRE_RING_MAX >> 10, 4, NULL, NULL,
		"needs KiB from 64 to 16384, a multiple of 4" },
	{ "on_failure", offsetof(struct options, on_failure), 0, 0, 0, "poweroff\0reboot\0shell\0continue\0", NULL,
		"is one of poweroff, reboot, shell, continue" },
	{ "power", offsetof(struct options, power), 0, 0, 0, "detect\0poweroff\0reset\0", NULL,
		"is one of detect, poweroff, reset" },
	{ "log", offsetof(struct options, log), 0, 0, 0, "error\0warn\0info\0debug\0",
		(const uint8_t[]){ LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG },
		"is one of error, warn, info, debug" },
};

/* The kernel takes quotes off a word, and off a value. */
static void unquote(const char **s, size_t *len)
{
	if (*len >= 2 && (*s)[0] == '"' && (*s)[*len - 1] == '"') {
		(*s)++;
		*len -= 2;
	}
}

static bool number_parse(const char *s, size_t len, const struct option *option, uint32_t *value)
{
	uint64_t n = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(s[i] - '0');
	}
	*value = (uint32_t)n;
	return n >= option->min && n <= option->max && n % option->step == 0;
}

static bool word_parse(const char *s, size_t len, const struct option *option, uint8_t *value)
{
	uint8_t place = 0;

	for (const char *word = option->words; *word; word += strlen(word) + 1, place++) {
		if (strlen(word) == len && memcmp(word, s, len) == 0) {
			*value = option->values ? option->values[place] : place;
			return true;
		}
	}
	return false;
}

static const char *option_parse(struct options *options, const char *s, size_t len)
{
	const char *equals = memchr(s, '=', len);
	size_t name = equals ? (size_t)(equals - s) : len;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const struct option *option = &table[i];
		void *field = (char *)options + option->offset;
		const char *value = equals ? equals + 1 : s + len;
		size_t value_len = (size_t)(s + len - value);
		uint32_t number;

		if (strlen(option->name) != name || memcmp(option->name, s, name) != 0)
			continue;
		unquote(&value, &value_len);
		if (option->words)
			return word_parse(value, value_len, option, field) ? NULL : option->why;
		if (!number_parse(value, value_len, option, &number))
			return option->why;
		memcpy(field, &number, sizeof number);
		return NULL;
	}
	return "is not an option of hawser";
}

static size_t word_end(const char *line, size_t len, size_t i)
{
	bool quoted = false;

	/* As the kernel does it: a quote anywhere in a word keeps blanks in it. */
	for (; i < len && (quoted || (line[i] != ' ' && line[i] != '\t' && line[i] != '\n')); i++)
		if (line[i] == '"')
			quoted = !quoted;
	return i;
}

void options_parse(struct options *options, const char *line, size_t len, options_complain *complain)
{
	const size_t prefix = sizeof PREFIX - 1;
	size_t end;

	for (size_t i = 0; i < len; i = end + 1) {
		const char *word = line + i, *why;
		size_t n;

		end = word_end(line, len, i);
		n = end - i;
		if (n == 2 && memcmp(word, "--", 2) == 0)
			return;
		unquote(&word, &n);
		if (n < prefix || memcmp(word, PREFIX, prefix) != 0)
			continue;
		why = option_parse(options, word + prefix, n - prefix);
		if (why)
			complain(word, n, why);
	}
}
