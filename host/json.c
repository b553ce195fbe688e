/* SPDX-License-Identifier: MIT */
/*
 * jansson says whether a text is valid, and gives a tree; but it keeps no place of a value in the text. So a
 * complaint walks the text again, along the way from the top to the value: parent by parent, by the number of the
 * member or element, which is safe because jansson keeps the order of the text and refuses keys that come twice. The
 * walk costs a pass over the text, and only when there is something to complain about. It trusts what jansson found
 * valid, and still never leaves the text.
 */
#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_inside.h"

#define NUMBER_MAX ((uint64_t)1 << 53)

struct json {
	const char *text, *end, *file;
	json_t *tree;
	struct json_value top;
};

/* --- places ----------------------------------------------------------------------------------------------------- */

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

/* A string, a bracket, a comma or colon, or a number or word as a whole. */
static const char *skip_token(const char *p, const char *end)
{
	if (p == end)
		return p;
	if (*p == '"')
		return skip_string(p, end);
	if (strchr("{}[],:", *p))
		return p + 1;
	while (p < end && !strchr(" \t\r\n\"{}[],:", *p))
		p++;
	return p;
}

static const char *skip_value(const char *p, const char *end)
{
	size_t depth = 0;

	do {
		depth += p < end && (*p == '{' || *p == '[');
		depth -= p < end && depth > 0 && (*p == '}' || *p == ']');
		p = skip_space(skip_token(p, end), end);
	} while (depth > 0 && p < end);
	return p;
}

/* Where a value begins in the text, or with key, where its key does. */
static const char *place(const struct json_value *value, bool key)
{
	const char *p, *end = value->json->end;

	if (!value->parent)
		return skip_space(value->json->text, end);
	p = skip_space(place(value->parent, false) + 1, end);
	for (size_t n = 0;; n++) {
		const char *start = p;

		if (value->key) {
			p = skip_space(skip_token(p, end), end);
			p = skip_space(skip_token(p, end), end);         /* the colon */
		}
		if (n == value->nth || p == end)
			return key ? start : p;
		p = skip_space(skip_token(skip_value(p, end), end), end);        /* and the comma */
	}
}

static int problem_at(const struct json *json, const char *at, struct problem *problem, const char *text)
{
	unsigned line = 1, column = 1;

	for (const char *p = json->text; p < at; p++)
		if (*p == '\n') {
			line++;
			column = 1;
		} else if ((*p & 0xc0) != 0x80) {
			column++;
		}
	return problem_set(problem, json->file, line, column, "%s", text);
}

/* --- complaints ------------------------------------------------------------------------------------------------- */

/* "process.env[1]", cut where it does not fit. */
static void put_path(const struct json_value *value, char *path, size_t size)
{
	size_t len;

	if (!value->parent) {
		path[0] = '\0';
		return;
	}
	put_path(value->parent, path, size);
	len = strlen(path);
	if (value->key)
		snprintf(path + len, size - len, "%s" KEY_SHOWN, len ? "." : "", value->key);
	else
		snprintf(path + len, size - len, "[%zu]", value->nth);
}

__attribute__((format(printf, 4, 0)))
static int complain(const struct json_value *value, bool key, struct problem *problem, const char *format,
	va_list args)
{
	char text[sizeof problem->text], path[256];
	size_t len;

	put_path(value, path, sizeof path);
	len = (size_t)snprintf(text, sizeof text, "%s%s", path, path[0] ? ": " : "");
	vsnprintf(text + len, sizeof text - len, format, args);
	return problem_at(value->json, place(value, key), problem, text);
}

int json_problem(const struct json_value *value, struct problem *problem, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(value, false, problem, format, args);
	va_end(args);
	return -1;
}

int json_key_problem(const struct json_value *value, struct problem *problem, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(value, true, problem, format, args);
	va_end(args);
	return -1;
}

static const char *kind_name(const struct json_value *value)
{
	switch (json_typeof((const json_t *)value->node)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a string";
	case JSON_INTEGER:
	case JSON_REAL: return "a number";
	case JSON_TRUE:
	case JSON_FALSE: return "true or false";
	case JSON_NULL: break;
	}
	return "null";
}

int json_key_problem_bare(const struct json_value *member, struct problem *problem, const char *text)
{
	return problem_at(member->json, place(member, true), problem, text);
}

int json_wrong_kind(const struct json_value *value, const char *what, struct problem *problem)
{
	return json_problem(value, problem, "must be %s, not %s", what, kind_name(value));
}

/* --- the text as a whole ---------------------------------------------------------------------------------------- */

static int hex4(const char *p, const char *end)
{
	int v = 0;

	for (int i = 0; i < 4; i++, p++) {
		if (p >= end || !isxdigit((unsigned char)*p))
			return -1;
		v = v << 4 | (isdigit((unsigned char)*p) ? *p - '0' : tolower((unsigned char)*p) - 'a' + 10);
	}
	return v;
}

/* What is wrong inside of the string at p, and where; NULL: nothing. */
static const char *string_fault(const char *p, const char *end, const char **at)
{
	for (p++; p < end && *p != '"'; p++) {
		int unit;

		*at = p;
		if ((unsigned char)*p < ' ')
			return "a control character or the end of the line inside of a string; write it as an escape "
				"(\\n, \\t, \\u001b), or add the missing quote";
		if (*p != '\\')
			continue;
		if (++p == end)
			break;
		if (*p != 'u' && !strchr("\"\\/bfnrt", *p))
			return "not an escape of JSON; these are: \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with "
				"four hexadecimal digits";
		if (*p != 'u')
			continue;
		unit = hex4(p + 1, end);
		if (unit < 0)
			return "\\u must be followed by four hexadecimal digits";
		if (unit == 0)
			return "a NUL character; no text may hold one";
		p += 4;
		if (unit >= 0xdc00 && unit <= 0xdfff)
			return "half of a surrogate pair; write the character itself, or both halves";
		if (unit < 0xd800 || unit > 0xdbff)
			continue;
		if (end - p < 7 || p[1] != '\\' || p[2] != 'u' || (hex4(p + 3, end) & ~0x3ff) != 0xdc00)
			return "half of a surrogate pair; write the character itself, or both halves";
		p += 6;
	}
	return NULL;
}

/*
 * jansson's words for a fault, and ours. Its own would do, if they did not go on with what is near the fault: that
 * could be a secret.
 */
static const struct { const char *theirs, *ours; } faults[] = {
	{ "string or '}' expected",
		"a key in double quotes or \"}\" is expected here; there is no comma after the last member" },
	{ "duplicate object key", "this key is there already; remove one of the two" },
	{ "':' expected", "a \":\" is expected here, between key and value" },
	{ "'}' expected", "a \",\" or \"}\" is expected here" },
	{ "']' expected", "a \",\" or \"]\" is expected here" },
	{ "'[' or '{' expected", "the document must be an object: begin with \"{\"; JSON has no comments" },
	{ "end of file expected", "nothing may follow the end of the object; remove this" },
	{ "invalid token", "not a value; texts are in double quotes, other values are numbers, true and false" },
	{ "unexpected token", "a value is expected here; there is no comma after the last element" },
	{ "premature end of input", "this string has no end; add the missing quote" },
	{ "invalid escape", "this string has no end; add the missing quote" },   /* others: string_fault() */
	{ "too big integer", "this number is too large" },
	{ "too big negative integer", "this number is too small" },
	{ "real number overflow", "this number is too large" },
	{ "maximum parsing depth reached", "nested too deeply" },
};

static int syntax_problem(const struct json *json, const json_error_t *error, struct problem *problem)
{
	const char *at = json->text, *next, *inside, *end = json->end;
	const char *text = "not valid JSON", *no_end = "premature end of input";
	bool at_end = json_error_code(error) == json_error_premature_end_of_input &&
		strncmp(error->text, no_end, strlen(no_end)) != 0;

	if (json_error_code(error) == json_error_out_of_memory)
		return problem_set(problem, json->file, 0, 0, "out of memory");
	if (skip_space(at, end) == end)
		return problem_set(problem, json->file, 0, 0, "empty; the shortest document is {}");
	/* The position is behind the token that is wrong, or at the end; tokens tell where it begins. */
	for (at = skip_space(at, end); at < end; at = next) {
		next = skip_space(skip_token(at, end), end);
		if (!at_end && skip_token(at, end) - json->text >= error->position)
			break;
	}
	if (at == end)
		return problem_at(json, end, problem, "the document ends too early; a quote or bracket is missing");
	if (*at == '"') {
		const char *fault = string_fault(at, end, &inside);

		if (fault)
			return problem_at(json, inside, problem, fault);
	}
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		if (strncmp(error->text, faults[i].theirs, strlen(faults[i].theirs)) == 0)
			text = faults[i].ours;
	return problem_at(json, at, problem, text);
}

/* Before jansson sees it: faults of bytes, exactly where they are. */
static int check_bytes(const struct json *json, struct problem *problem)
{
	size_t left = (size_t)(json->end - json->text), size;

	if (left >= 3 && memcmp(json->text, "\xef\xbb\xbf", 3) == 0)
		return problem_at(json, json->text, problem, "a byte order mark; save the file as UTF-8 without one");
	if (json_text_ok(json->text, left))
		return 0;
	for (const char *p = json->text; left > 0; p += size, left -= size) {
		size = json_char_size(p, left);
		if (size == 0)
			return problem_at(json, p, problem, "not UTF-8; save the file as UTF-8");
		if (*p == '\0')
			return problem_at(json, p, problem, "a NUL byte; remove it");
	}
	return 0;
}

struct json *json_read(const char *text, size_t len, const char *file, struct problem *problem)
{
	struct json *json = calloc(1, sizeof *json);
	json_error_t error;

	if (!json) {
		problem_set(problem, file, 0, 0, "out of memory");
		return NULL;
	}
	*json = (struct json){ .text = text, .end = text + len, .file = file };
	if (check_bytes(json, problem) < 0)
		goto fail;
	json->tree = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!json->tree) {
		syntax_problem(json, &error, problem);
		goto fail;
	}
	json->top = (struct json_value){ .json = json, .node = json->tree };
	if (!json_is_map(&json->top)) {
		json_wrong_kind(&json->top, "an object", problem);
		goto fail;
	}
	return json;

fail:
	json_free(json);
	return NULL;
}

void json_free(struct json *json)
{
	if (!json)
		return;
	json_decref(json->tree);
	free(json);
}

/* --- values ----------------------------------------------------------------------------------------------------- */

const struct json_value *json_top(const struct json *json)
{
	return &json->top;
}

bool json_is_map(const struct json_value *value)
{
	return json_typeof((const json_t *)value->node) == JSON_OBJECT;
}

bool json_is_list(const struct json_value *value)
{
	return json_typeof((const json_t *)value->node) == JSON_ARRAY;
}

const char *json_text(const struct json_value *value)
{
	return json_string_value(value->node);
}

bool json_next(const struct json_value *container, struct json_value *item)
{
	/* jansson's iterators want an object they could change; these do not. */
	json_t *object = (json_t *)(uintptr_t)container->node;
	size_t nth = item->json ? item->nth + 1 : 0;
	void *iter;

	*item = (struct json_value){ .json = container->json, .parent = container, .key = item->key, .nth = nth };
	if (json_is_list(container)) {
		item->node = json_array_get(container->node, nth);
		return item->node != NULL;
	}
	iter = nth ? json_object_iter_next(object, json_object_key_to_iter(item->key)) : json_object_iter(object);
	if (!iter)
		return false;
	item->key = json_object_iter_key(iter);
	item->node = json_object_iter_value(iter);
	return true;
}

bool json_member(const struct json_value *object, const char *key, struct json_value *member)
{
	*member = (struct json_value){ 0 };
	while (json_next(object, member))
		if (strcmp(member->key, key) == 0)
			return true;
	return false;
}

bool json_is_numeric(const struct json_value *value)
{
	return json_is_number((const json_t *)value->node);
}

bool json_whole_number(const struct json_value *value, int64_t *v)
{
	const json_t *node = value->node;
	double real = json_real_value(node);

	if (json_is_integer(node)) {
		*v = json_integer_value(node);
		return true;
	}
	if (!json_is_real(node) || real < -(double)NUMBER_MAX || real > (double)NUMBER_MAX)
		return false;
	*v = (int64_t)real;
	return (double)*v == real;
}

bool json_truth(const struct json_value *value, bool *truth)
{
	if (!json_is_boolean((const json_t *)value->node))
		return false;
	*truth = json_is_true((const json_t *)value->node);
	return true;
}

size_t json_count(const struct json_value *list)
{
	return json_array_size(list->node);
}
