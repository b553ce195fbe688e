/* SPDX-License-Identifier: MIT */
/* json_fields: what a document may hold, by tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_inside.h"
#include "nearest.h"

#define HINT_MAX 96              /* of "did you mean"; nearest.c looks at no longer words */

/* --- complaints ------------------------------------------------------------------------------------------------- */

static int unknown_key(const struct json_value *member, const struct json_field fields[], struct problem *problem)
{
	char text[sizeof problem->text];
	const char *best = NULL;
	unsigned far = NEAREST_FAR;
	size_t len;

	len = (size_t)snprintf(text, sizeof text, "unknown key \"" KEY_SHOWN "\"; ", member->key);
	for (const struct json_field *field = fields; field->key; field++)
		nearest_consider(member->key, field->key, &best, &far);
	if (best) {
		snprintf(text + len, sizeof text - len, "did you mean \"%s\"?", best);
	} else {
		len += (size_t)snprintf(text + len, sizeof text - len, "known here:");
		for (const struct json_field *field = fields; field->key && len < sizeof text; field++)
			len += (size_t)snprintf(text + len, sizeof text - len, " %s%s", field->key,
				field[1].key ? "," : "");
	}
	return json_key_problem_bare(member, problem, text);
}

static int unknown_name(const struct json_value *value, const char *const names[], struct problem *problem)
{
	char list[256] = "", hint[HINT_MAX] = "";
	const char *best = NULL;
	unsigned far = NEAREST_FAR;
	size_t len = 0;

	for (size_t i = 0; names[i]; i++) {
		if (len < sizeof list)
			len += (size_t)snprintf(list + len, sizeof list - len, "%s\"%s\"",
				i == 0 ? "" : names[i + 1] ? ", " : " or ", names[i]);
		nearest_consider(json_text(value), names[i], &best, &far);
	}
	if (best)
		snprintf(hint, sizeof hint, "; did you mean \"%s\"?", best);
	return json_problem(value, problem, "must be %s%s", list, hint);
}

/* --- kinds ------------------------------------------------------------------------------------------------------ */

static int read_number(const struct json_value *value, const struct json_field *field, uint64_t *v,
	struct problem *problem)
{
	int64_t number;

	if (!json_is_numeric(value))
		return json_wrong_kind(value, "a number", problem);
	if (!json_whole_number(value, &number))
		return json_problem(value, problem, "must be a whole number, %llu to %llu",
			(unsigned long long)field->min, (unsigned long long)field->max);
	if (number < 0 || (uint64_t)number < field->min || (uint64_t)number > field->max)
		return json_problem(value, problem, "is %lld; must be %llu to %llu", (long long)number,
			(unsigned long long)field->min, (unsigned long long)field->max);
	*v = (uint64_t)number * (field->unit ? field->unit : 1);
	return 0;
}

static int check_text(const struct json_value *value, const struct json_field *field, struct problem *problem)
{
	const char *text = json_text(value), *fault;
	size_t len;

	if (!text)
		return json_wrong_kind(value, "a string", problem);
	len = strlen(text);
	if (len < field->min && field->min == 1)
		return json_problem(value, problem, "must not be empty; give a value, or remove it");
	if (len < field->min || (field->max && len > field->max))
		return json_problem(value, problem, "has %zu bytes; must have %llu to %llu", len,
			(unsigned long long)field->min, (unsigned long long)field->max);
	fault = field->check ? field->check(text) : NULL;
	return fault ? json_problem(value, problem, "%s", fault) : 0;
}

static int read_string(const struct json_value *value, const struct json_field *field, char **to,
	struct problem *problem)
{
	char *copy;

	if (check_text(value, field, problem) < 0)
		return -1;
	copy = strdup(json_text(value));
	if (!copy)
		return json_problem(value, problem, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

static int read_strings(const struct json_value *value, const struct json_field *field, char ***to, size_t *count,
	struct problem *problem)
{
	struct json_value item = { 0 };

	if (!json_is_list(value))
		return json_wrong_kind(value, "an array of strings", problem);
	for (size_t i = 0; i < *count; i++)
		free((*to)[i]);
	free(*to);
	*count = 0;
	*to = calloc(json_count(value) + 1, sizeof **to);
	if (!*to)
		return json_problem(value, problem, "out of memory");
	/* Counted one by one: on failure, what has been read so far is the caller's to free. */
	for (; json_next(value, &item); ++*count) {
		if (field->items && *count == field->items)
			return json_problem(&item, problem, "is one too many; there may be %zu", field->items);
		if (read_string(&item, field, &(*to)[*count], problem) < 0)
			return -1;
	}
	return 0;
}

static int read_name(const struct json_value *value, const char *const names[], size_t *nth, struct problem *problem)
{
	const char *text = json_text(value);

	if (!text)
		return json_wrong_kind(value, "a string", problem);
	for (*nth = 0; names[*nth]; ++*nth)
		if (strcmp(names[*nth], text) == 0)
			return 0;
	return unknown_name(value, names, problem);
}

static int read_set(const struct json_value *value, const char *const names[], uint32_t *set, struct problem *problem)
{
	struct json_value item = { 0 };
	size_t nth;

	if (!json_is_list(value))
		return json_wrong_kind(value, "an array of strings", problem);
	*set = 0;
	while (json_next(value, &item)) {
		if (read_name(&item, names, &nth, problem) < 0)
			return -1;
		if (*set & UINT32_C(1) << nth)
			return json_problem(&item, problem, "\"%s\" is there already; remove one of the two",
				names[nth]);
		*set |= UINT32_C(1) << nth;
	}
	return 0;
}

int json_field(const struct json_value *value, const struct json_field *field, void *into, struct problem *problem)
{
	void *to = (char *)into + field->offset;
	uint64_t number = 0;
	size_t nth = 0;

	switch (field->kind) {
	case JSON_KIND_BOOL:
		return json_truth(value, to) ? 0 : json_wrong_kind(value, "true or false", problem);
	case JSON_KIND_U8:
	case JSON_KIND_U16:
	case JSON_KIND_U32:
	case JSON_KIND_U64:
		if (read_number(value, field, &number, problem) < 0)
			return -1;
		if (field->kind == JSON_KIND_U8)
			*(uint8_t *)to = (uint8_t)number;
		else if (field->kind == JSON_KIND_U16)
			*(uint16_t *)to = (uint16_t)number;
		else if (field->kind == JSON_KIND_U32)
			*(uint32_t *)to = (uint32_t)number;
		else
			*(uint64_t *)to = number;
		return 0;
	case JSON_KIND_STRING:
		return read_string(value, field, to, problem);
	case JSON_KIND_CHARS:
		if (check_text(value, field, problem) < 0)
			return -1;
		memcpy(to, json_text(value), strlen(json_text(value)) + 1);
		return 0;
	case JSON_KIND_STRINGS:
		return read_strings(value, field, to, (size_t *)(void *)((char *)into + field->count), problem);
	case JSON_KIND_CHOICE:
		if (read_name(value, field->names, &nth, problem) < 0)
			return -1;
		*(uint8_t *)to = (uint8_t)nth;
		return 0;
	case JSON_KIND_SET:
		return read_set(value, field->names, to, problem);
	case JSON_KIND_OBJECT:
		return json_fields(value, field->fields, into, problem);
	case JSON_KIND_READ:
		return field->read(value, into, problem);
	}
	return -1;
}

int json_fields(const struct json_value *object, const struct json_field fields[], void *into,
	struct problem *problem)
{
	struct json_value member = { 0 };
	const struct json_field *field;

	if (!json_is_map(object))
		return json_wrong_kind(object, "an object", problem);
	while (json_next(object, &member)) {
		for (field = fields; field->key && strcmp(field->key, member.key) != 0; field++)
			;
		if (!field->key)
			return unknown_key(&member, fields, problem);
		if (json_field(&member, field, into, problem) < 0)
			return -1;
	}
	for (field = fields; field->key; field++)
		if (field->required && !json_member(object, field->key, &member))
			return json_problem(object, problem, "the key \"%s\" is missing; add it", field->key);
	return 0;
}
