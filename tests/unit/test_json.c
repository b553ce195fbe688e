/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../host/json.h"

struct thing {
	bool flag;
	uint8_t u8;
	uint16_t u16;
	uint32_t u32, set;
	uint64_t u64;
	char *name, chars[5];
	char **list;
	size_t n_list;
	uint8_t choice;
	uint32_t inner;
	unsigned reads;
};

static const char *check_name(const char *text)
{
	return strcmp(text, "bad") == 0 ? "must not be that; take another" : NULL;
}

static int read_it(const struct json_value *value, void *into, struct problem *problem)
{
	struct thing *thing = into;
	struct json_value item = { 0 };

	if (!json_is_list(value))
		return json_wrong_kind(value, "a list", problem);
	while (json_next(value, &item)) {
		if (item.nth != thing->reads++)
			return json_problem(&item, problem, "out of order");
		if (!json_text(&item))
			return json_problem(&item, problem, "no text at %zu; make it one", item.nth);
	}
	return 0;
}

#define AT(member) .offset = offsetof(struct thing, member)

static const char *const names[] = { "zero", "one", "two", NULL };
static const struct json_field inner_fields[] = {
	{ "inner", JSON_KIND_U32, AT(inner), .max = 9 },
	{ NULL },
};
static const struct json_field fields[] = {
	{ "flag", JSON_KIND_BOOL, AT(flag) },
	{ "u8", JSON_KIND_U8, AT(u8), .min = 1, .max = UINT8_MAX },
	{ "u16", JSON_KIND_U16, AT(u16), .max = UINT16_MAX },
	{ "u32", JSON_KIND_U32, AT(u32), .max = 100, .unit = 1024 },
	{ "u64", JSON_KIND_U64, AT(u64), .max = (uint64_t)1 << 53 },
	{ "name", JSON_KIND_STRING, AT(name), .min = 2, .max = 4, .check = check_name },
	{ "chars", JSON_KIND_CHARS, AT(chars), .min = 1, .max = 4 },
	{ "list", JSON_KIND_STRINGS, AT(list), .count = offsetof(struct thing, n_list), .items = 3, .max = 3 },
	{ "choice", JSON_KIND_CHOICE, AT(choice), .names = names },
	{ "set", JSON_KIND_SET, AT(set), .names = names },
	{ "object", JSON_KIND_OBJECT, .fields = inner_fields },
	{ "it", JSON_KIND_READ, .read = read_it },
	{ NULL },
};

static void finish(struct thing *thing)
{
	for (size_t i = 0; i < thing->n_list; i++)
		free(thing->list[i]);
	free(thing->list);
	free(thing->name);
}

/* The text goes to the heap without a NUL behind it, so that reading past its end is seen. */
static int read_text(const char *text, size_t len, const struct json_field table[], struct thing *thing,
	struct problem *problem)
{
	char *copy = malloc(len ? len : 1);
	struct json *json;
	int rc;

	memcpy(copy, text, len);
	problem->text[0] = '\0';
	json = json_read(copy, len, "f", problem);
	rc = json ? json_fields(json_top(json), table, thing, problem) : -1;
	json_free(json);
	free(copy);
	return rc;
}

static void assert_good(const char *text, struct thing *thing)
{
	struct problem problem;

	if (read_text(text, strlen(text), fields, thing, &problem) < 0)
		fail_msg("%s: %s", text, problem.text);
}

static void assert_bad(const char *text, const char *expected)
{
	struct thing thing = { 0 };
	struct problem problem;

	assert_int_equal(read_text(text, strlen(text), fields, &thing, &problem), -1);
	assert_string_equal(problem.text, expected);
	finish(&thing);
}

static void reads_all_kinds(void **state)
{
	struct thing thing = { .name = strdup("default") };

	(void)state;
	assert_good("{\"flag\":true,\"u8\":255,\"u16\":65535,\"u32\":2,\"u64\":9007199254740992,\"name\":\"ab\","
		"\"chars\":\"wxyz\",\"list\":[\"a\",\"\",\"ccc\"],\"choice\":\"two\",\"set\":[\"two\",\"zero\"],"
		"\"object\":{\"inner\":7},\"it\":[\"a\",\"b\"]}", &thing);
	assert_true(thing.flag);
	assert_int_equal(thing.u8, 255);
	assert_int_equal(thing.u16, 65535);
	assert_int_equal(thing.u32, 2048);
	assert_int_equal(thing.u64, (uint64_t)1 << 53);
	assert_string_equal(thing.name, "ab");
	assert_string_equal(thing.chars, "wxyz");
	assert_int_equal(thing.n_list, 3);
	assert_string_equal(thing.list[2], "ccc");
	assert_int_equal(thing.choice, 2);
	assert_int_equal(thing.set, 5);
	assert_int_equal(thing.inner, 7);
	assert_int_equal(thing.reads, 2);
	finish(&thing);
}

static void keeps_defaults(void **state)
{
	struct thing thing = { .u8 = 9, .choice = 1 };

	(void)state;
	assert_good(" {\n} \n", &thing);
	assert_int_equal(thing.u8, 9);
	assert_int_equal(thing.choice, 1);
	assert_null(thing.name);
}

static void places_wrong_values(void **state)
{
	(void)state;
	assert_bad("{\"flag\":1}", "f:1:9: flag: must be true or false, not a number");
	assert_bad("{\n\t\"u8\" :\n\n  256}", "f:4:3: u8: is 256; must be 1 to 255");
	assert_bad("{\"u8\":0}", "f:1:7: u8: is 0; must be 1 to 255");
	assert_bad("{\"u8\":1.5}", "f:1:7: u8: must be a whole number, 1 to 255");
	assert_bad("{\"u8\":-1e300}", "f:1:7: u8: must be a whole number, 1 to 255");
	assert_bad("{\"u64\":9007199254740993}", "f:1:8: u64: is 9007199254740993; must be 0 to 9007199254740992");
	assert_bad("{\"name\":\"abcde\"}", "f:1:9: name: has 5 bytes; must have 2 to 4");
	assert_bad("{\"name\":\"bad\"}", "f:1:9: name: must not be that; take another");
	assert_bad("{\"name\":[]}", "f:1:9: name: must be a string, not an array");
	assert_bad("{\"chars\":\"\"}", "f:1:10: chars: must not be empty; give a value, or remove it");
	assert_bad("{\"chars\":\"vwxyz\"}", "f:1:10: chars: has 5 bytes; must have 1 to 4");
	assert_bad("{\"list\":[\"a\",null]}", "f:1:14: list[1]: must be a string, not null");
	assert_bad("{\"list\":[\"\",\"\",\"\",\"\"]}", "f:1:19: list[3]: is one too many; there may be 3");
	assert_bad("{\"list\":[[1,[2]],\"a\"]}", "f:1:10: list[0]: must be a string, not an array");
	assert_bad("{\"choice\":\"tow\"}",
		"f:1:11: choice: must be \"zero\", \"one\" or \"two\"; did you mean \"two\"?");
	assert_bad("{\"choice\":\"secret\"}", "f:1:11: choice: must be \"zero\", \"one\" or \"two\"");
	assert_bad("{\"set\":[\"one\",\"one\"]}", "f:1:15: set[1]: \"one\" is there already; remove one of the two");
	assert_bad("{\"object\":{\"inner\":10}}", "f:1:20: object.inner: is 10; must be 0 to 9");
	assert_bad("{\"it\":[\"}]\\\"\", \"a\",\n {\"x\":[1,2,{\"y\":\"]\"}]}]}",
		"f:2:2: it[2]: no text at 2; make it one");
	/* What stands before the value, strings with brackets, escapes and all, does not move the place. */
	assert_bad("{\"it\":[\"[{\\\\\", \"\\\"]\"],\"object\":{},\"list\":[ ] ,\"flag\":\"\"}",
		"f:1:54: flag: must be true or false, not a string");
}

static void counts_characters(void **state)
{
	(void)state;
	assert_bad("{\"name\":\"\xc3\xa4\", \"\xf0\x9f\x9a\xa2\":1}",
		"f:1:14: unknown key \"\xf0\x9f\x9a\xa2\"; known here: flag, u8, u16, u32, u64, name, chars, list, "
		"choice, set, object, it");
}

static void names_the_nearest_key(void **state)
{
	(void)state;
	assert_bad("{\"flga\":1}", "f:1:2: unknown key \"flga\"; did you mean \"flag\"?");
	assert_bad("{\"FLAG\":1}", "f:1:2: unknown key \"FLAG\"; did you mean \"flag\"?");
	assert_bad("{\"choic_\":1}", "f:1:2: unknown key \"choic_\"; did you mean \"choice\"?");
	assert_bad("{\"object\":{\"iner\":1}}", "f:1:12: unknown key \"iner\"; did you mean \"inner\"?");
	assert_bad("{\"object\":{\"xyz\":1}}", "f:1:12: unknown key \"xyz\"; known here: inner");
	assert_bad("{\"object\":{\"\":1}}", "f:1:12: unknown key \"\"; known here: inner");
	/* A key cannot break the line or steer a terminal, and a long one is cut. */
	assert_bad("{\"object\":{\"a\\n\\u001b[1m\":1}}", "f:1:12: unknown key \"a??[1m\"; known here: inner");
	assert_bad("{\"object\":{\"0123456789012345678901234567890123456789012345678901234567890123456789\":1}}",
		"f:1:12: unknown key \"0123456789012345678901234567890123456789012345678901234567890123\"; "
		"known here: inner");
}

static void requires(void **state)
{
	static const struct json_field table[] = {
		{ "u8", JSON_KIND_U8, AT(u8), .max = 1, .required = true },
		{ NULL },
	};
	struct thing thing = { 0 };
	struct problem problem;

	(void)state;
	assert_int_equal(read_text("\n {}", 4, table, &thing, &problem), -1);
	assert_string_equal(problem.text, "f:2:2: the key \"u8\" is missing; add it");
	assert_int_equal(read_text("{\"u8\":1}", 8, table, &thing, &problem), 0);
}

static void refuses_text(void **state)
{
	static const struct { const char *text, *expected; } bad[] = {
		{ "", "f: empty; the shortest document is {}" },
		{ "\xef\xbb\xbf{}", "f:1:1: a byte order mark; save the file as UTF-8 without one" },
		{ "{\"flag\":\n \"\xff\"}", "f:2:3: not UTF-8; save the file as UTF-8" },
		{ "{\"a\":\"\xed\xa0\x80\"}", "f:1:7: not UTF-8; save the file as UTF-8" },
		{ "{\"flag\":true,\n\"flag\":true}", "f:2:1: this key is there already; remove one of the two" },
		{ "{\"object\":{\"inner\":1,\"inner\":1}}",
			"f:1:22: this key is there already; remove one of the two" },
		{ "{\"a\":\"x\\u0000\"}", "f:1:8: a NUL character; no text may hold one" },
		{ "{\"x\\u0000\":1}", "f:1:4: a NUL character; no text may hold one" },
		{ "{\"a\":\"\\ud83d\\ude\"}",
			"f:1:7: half of a surrogate pair; write the character itself, or both halves" },
		{ "{\"a\":\"\\ude00\"}",
			"f:1:7: half of a surrogate pair; write the character itself, or both halves" },
		{ "{\"a\":\"\\u12x4\"}", "f:1:7: \\u must be followed by four hexadecimal digits" },
		{ "{\"a\":1,\"b\"", "f:1:11: the document ends too early; a quote or bracket is missing" },
		{ "{\"a\":\"hunter2", "f:1:6: this string has no end; add the missing quote" },
		{ "{\"a\":\"hunter2\\", "f:1:6: this string has no end; add the missing quote" },
		{ "{} {}", "f:1:4: nothing may follow the end of the object; remove this" },
		{ "[{}]", "f:1:1: must be an object, not an array" },
		{ "{\"a\":truefalse}",
			"f:1:6: not a value; texts are in double quotes, other values are numbers, true and false" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_bad(bad[i].text, bad[i].expected);
}

static void refuses_nul_bytes(void **state)
{
	struct thing thing = { 0 };
	struct problem problem;

	(void)state;
	assert_int_equal(read_text("{}\n\0", 4, fields, &thing, &problem), -1);
	assert_string_equal(problem.text, "f:2:1: a NUL byte; remove it");
	assert_int_equal(read_text("{\"name\":\"a\0b\"}", 14, fields, &thing, &problem), -1);
	assert_string_equal(problem.text, "f:1:11: a NUL byte; remove it");
}

/* Whatever is cut off or changed: a verdict, with a place inside of the text, and no byte read beyond it. */
static void survives_mutation(void **state)
{
	static const char text[] = "{\"flag\":true,\"u8\":25,\"name\":\"\\u00e4b\",\"list\":[\"a\",\"\\\"\"],"
		"\"object\":{\"inner\":7},\n\"it\":[\"a\",\"\\ud83d\\udea2\"]}";
	static const char bytes[] = "\0\"\\{}[],:u0 \n\x01\xc3\xa4t";
	char copy[sizeof text];
	struct problem problem;

	(void)state;
	for (size_t len = 0; len < sizeof text; len++) {
		struct thing thing = { 0 };
		int rc = read_text(text, len, fields, &thing, &problem);

		assert_int_equal(rc, len == sizeof text - 1 ? 0 : -1);
		assert_int_equal(problem.text[0] != '\0', rc < 0);
		finish(&thing);
	}
	for (size_t i = 0; i < sizeof text - 1; i++)
		for (size_t j = 0; j < sizeof bytes - 1; j++) {
			struct thing thing = { 0 };

			memcpy(copy, text, sizeof text);
			copy[i] = bytes[j];
			if (read_text(copy, sizeof text - 1, fields, &thing, &problem) < 0)
				assert_int_equal(strncmp(problem.text, "f:", 2), 0);
			finish(&thing);
		}
}

static void nests_deeply(void **state)
{
	struct thing thing = { 0 };
	struct problem problem;
	size_t n = 100000;
	char *text = malloc(2 * n + 8);

	(void)state;
	memcpy(text, "{\"it\":", 6);
	memset(text + 6, '[', n);
	memset(text + 6 + n, ']', n);
	text[6 + 2 * n] = '}';
	assert_int_equal(read_text(text, 2 * n + 7, fields, &thing, &problem), -1);
	assert_non_null(strstr(problem.text, "nested too deeply"));
	free(text);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static void writes_lines(void **state)
{
	char buf[512];
	struct json_out out = { .buf = buf, .size = sizeof buf };

	(void)state;
	json_line_begin(&out);
	assert_true(json_line_end(&out));
	json_line_begin(&out);
	json_put_u64(&out, "max", UINT64_MAX);
	json_put_i64(&out, "min", INT64_MIN);
	json_put_i64(&out, "one", 1);
	json_put_bool(&out, "yes", true);
	json_put_string(&out, "none", NULL);
	json_put_open(&out, "list", '[');
	json_put_u64(&out, NULL, 0);
	json_put_open(&out, NULL, '{');
	json_put_close(&out, '}');
	json_put_i64(&out, NULL, -1);
	json_put_close(&out, ']');
	json_put_open(&out, "object", '{');
	json_put_string(&out, "a", "b");
	json_put_close(&out, '}');
	json_put_bool(&out, "no", false);
	assert_true(json_line_end(&out));
	buf[out.len] = '\0';
	assert_string_equal(buf, "{}\n{\"max\":18446744073709551615,\"min\":-9223372036854775808,\"one\":1,"
		"\"yes\":true,\"none\":null,\"list\":[0,{},-1],\"object\":{\"a\":\"b\"},\"no\":false}\n");
}

static void assert_text(const char *bytes, size_t len, const char *expected)
{
	char buf[256];
	struct json_out out = { .buf = buf, .size = sizeof buf };

	json_put_text(&out, NULL, bytes, len);
	assert_false(out.full);
	buf[out.len] = '\0';
	assert_string_equal(buf, expected);
}

static void escapes(void **state)
{
	(void)state;
	assert_text("", 0, "\"\"");
	assert_text("plain text, longer than a word", 30, "\"plain text, longer than a word\"");
	assert_text("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
	assert_text("\b\f\n\r\t\x1b\x1f\x7f", 8, "\"\\b\\f\\n\\r\\t\\u001b\\u001f\x7f\"");
	assert_text("a\0b", 3, "\"a\\u0000b\"");
	assert_text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2\"");
	assert_text("x\xff" "y\xc3", 4, "\"x\xef\xbf\xbdy\xef\xbf\xbd\"");
	assert_text("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	/* A special byte in every place of a word, before and behind plain ones. */
	for (size_t i = 0; i < 24; i++) {
		char text[24], expected[64];

		memset(text, 'x', sizeof text);
		text[i] = '"';
		snprintf(expected, sizeof expected, "\"%.*s\\\"%.*s\"", (int)i, "xxxxxxxxxxxxxxxxxxxxxxxx",
			(int)(23 - i), "xxxxxxxxxxxxxxxxxxxxxxxx");
		assert_text(text, sizeof text, expected);
	}
}

static void encodes_base64(void **state)
{
	static const struct { const char *bytes, *expected; } vectors[] = {       /* RFC 4648 */
		{ "", "\"\"" }, { "f", "\"Zg==\"" }, { "go", "\"Z28=\"" }, { "foo", "\"Zm9v\"" },
		{ "foob", "\"Zm9vYg==\"" }, { "fooba", "\"Zm9vYmE=\"" }, { "foobar", "\"Zm9vYmFy\"" },
		{ "\xff\xfe\xfd", "\"//79\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		char buf[32];
		struct json_out out = { .buf = buf, .size = sizeof buf };

		json_put_base64(&out, NULL, vectors[i].bytes, strlen(vectors[i].bytes));
		buf[out.len] = '\0';
		assert_string_equal(buf, vectors[i].expected);
	}
}

static bool write_line(struct json_out *out)
{
	json_line_begin(out);
	json_put_u64(out, "a", 1234567);
	json_put_text(out, "t", "\x01\n\"text\xc3\xa4", 9);
	json_put_base64(out, "b", "12345", 5);
	json_put_open(out, "l", '[');
	json_put_null(out, NULL);
	json_put_close(out, ']');
	return json_line_end(out);
}

static void takes_back_what_does_not_fit(void **state)
{
	char whole[256];
	struct json_out out = { .buf = whole, .size = sizeof whole };
	size_t size;

	(void)state;
	assert_true(write_line(&out));
	size = out.len;
	for (size_t room = 0; room <= size; room++) {
		char *buf = malloc(3 + room);    /* exactly, so that a byte too many is seen */

		out = (struct json_out){ .buf = buf, .size = 3 + room };
		json_line_begin(&out);
		assert_true(json_line_end(&out));
		assert_int_equal(write_line(&out), room == size);
		assert_int_equal(out.len, room == size ? 3 + size : 3);
		assert_memory_equal(buf, "{}\n", 3);
		/* After making room, the same writer goes on. */
		out.len = 0;
		json_line_begin(&out);
		assert_true(json_line_end(&out));
		free(buf);
	}
}

static void base64_of_huge_sizes_does_not_overflow(void **state)
{
	char buf[16];
	struct json_out out = { .buf = buf, .size = sizeof buf };

	(void)state;
	json_line_begin(&out);
	json_put_base64(&out, "b", buf, SIZE_MAX - 1);
	assert_false(json_line_end(&out));
	assert_int_equal(out.len, 0);
}

/* Decodes by the definition: shortest form, no surrogate, at most U+10FFFF. */
static size_t reference_size(const unsigned char *p, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 :
		(p[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t c = size == 1 ? p[0] : p[0] & (0x7f >> size);

	if (size == 0 || size > len)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return size > 1 && (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) ? 0 : size;
}

static void knows_utf8(void **state)
{
	static const char mixed[] = "plain \"\\ \n\t and longer than a word \xe2\x82\xac";
	static const unsigned char third[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff };

	(void)state;
	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++)
			for (unsigned c = 0; c < 36; c++) {
				unsigned char p[] = { (uint8_t)a, (uint8_t)b, third[c / 6], third[c % 6] };

				for (size_t len = 1; len <= 4; len++)
					assert_int_equal(json_char_size(p, len), reference_size(p, len));
			}
	assert_int_equal(json_char_size("", 0), 0);
	assert_true(json_text_ok("", 0));
	assert_true(json_text_ok(mixed, sizeof mixed - 1));
	assert_false(json_text_ok("a\0b", 3));
	assert_false(json_text_ok("12345678901234567890\xe2\x82", 22));
}

/* A line of any bytes, read again, gives the same bytes, or the base64 says so. */
static void comes_back(void **state)
{
	static const struct json_field table[] = {
		{ "text", JSON_KIND_STRING, AT(name) },
		{ "base64", JSON_KIND_CHARS, AT(chars), .max = 4 },
		{ NULL },
	};
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		unsigned char bytes[40];
		char buf[40 * JSON_ESCAPED_MAX + 32];
		struct json_out out = { .buf = buf, .size = sizeof buf };
		struct thing thing = { 0 };
		struct problem problem;
		size_t len;

		seed = seed * 1103515245 + 12345;
		len = (seed >> 16) % sizeof bytes;
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = round % 2 ? (seed >> 16) & 0x7f : (seed >> 16) & 0xff;
		}
		json_line_begin(&out);
		json_put_data(&out, "text", "base64", bytes, len);
		assert_true(json_line_end(&out));
		if (!json_text_ok(bytes, len)) {
			assert_memory_equal(buf, "{\"base64\":\"", 11);
			continue;
		}
		assert_int_equal(read_text(buf, out.len, table, &thing, &problem), 0);
		assert_int_equal(strlen(thing.name), len);
		assert_memory_equal(thing.name, bytes, len);
		finish(&thing);
	}
}

static void cuts_long_problems(void **state)
{
	struct problem problem;
	char text[1000];

	(void)state;
	for (size_t i = 0; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	for (int shift = 0; shift < 4; shift++) {
		assert_int_equal(problem_set(&problem, "file", 0, 0, "%.*s%s", shift, "xxx", text), -1);
		assert_true(strlen(problem.text) < sizeof problem.text);
		assert_true(json_text_ok(problem.text, strlen(problem.text)));
	}
	/* Its own text as an argument. */
	problem_set(&problem, "a", 1, 2, "b");
	problem_set(&problem, "c", 0, 0, "%s", problem.text);
	assert_string_equal(problem.text, "c: a:1:2: b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all_kinds), cmocka_unit_test(keeps_defaults),
		cmocka_unit_test(places_wrong_values), cmocka_unit_test(counts_characters),
		cmocka_unit_test(names_the_nearest_key), cmocka_unit_test(requires), cmocka_unit_test(refuses_text),
		cmocka_unit_test(refuses_nul_bytes), cmocka_unit_test(survives_mutation),
		cmocka_unit_test(nests_deeply), cmocka_unit_test(writes_lines), cmocka_unit_test(escapes),
		cmocka_unit_test(encodes_base64), cmocka_unit_test(takes_back_what_does_not_fit),
		cmocka_unit_test(base64_of_huge_sizes_does_not_overflow), cmocka_unit_test(knows_utf8),
		cmocka_unit_test(comes_back), cmocka_unit_test(cuts_long_problems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
