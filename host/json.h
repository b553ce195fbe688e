/* SPDX-License-Identifier: MIT */
/*
 * json: strict reading with a place for every complaint, and fast writing of JSON lines. json.c reads, and is the
 * only file that knows the JSON library; json_fields.c knows tables; json_write.c writes, without a tree and without
 * heap.
 *
 * Reading. A document is a text in memory whose top is an object. Refused at once: anything that is not JSON (RFC
 * 8259), bytes that are not UTF-8, a byte order mark, NUL (raw or escaped), a key given twice, bytes behind the
 * object. What the document may hold is then said by a table:
 *
 *	struct thing { char *name; uint32_t cpus; uint8_t mode; };
 *	static const char *const modes[] = { "slow", "fast", NULL };
 *	static const struct json_field fields[] = {
 *		{ "name", JSON_KIND_STRING, offsetof(struct thing, name), .min = 1, .max = 64, .required = true },
 *		{ "cpus", JSON_KIND_U32, offsetof(struct thing, cpus), .min = 1, .max = 255 },
 *		{ "mode", JSON_KIND_CHOICE, offsetof(struct thing, mode), .names = modes },
 *		{ NULL },
 *	};
 *
 *	struct thing thing = { .cpus = 1 };                            the defaults; strings on the heap or NULL
 *	struct json *json = json_read(text, len, "thing.json", problem);
 *	if (!json || json_fields(json_top(json), fields, &thing, problem) < 0)
 *		...                                                    thing.name may be set: free it in any case
 *	json_free(json);
 *
 * Members are read in the order of the text, so the first complaint is the topmost, save for missing keys. Every
 * complaint reads "FILE:LINE:COLUMN: what; how to mend it": lines and columns count from 1, columns in characters, at
 * the key for an unknown one, at the value for a wrong one, at the opening brace of an object for a missing one. Of
 * the document itself, messages hold keys and numbers only, never a string's value: it could be a secret.
 */
#ifndef HOST_JSON_H
#define HOST_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/* --- reading ---------------------------------------------------------------------------------------------------- */

struct json;

/* A value of a document and the way to it. Valid as long as the document and the parent are. */
struct json_value {
	const struct json *json;
	const struct json_value *parent;         /* NULL: the top */
	const char *key;                         /* NULL: the top, or an element of an array */
	size_t nth;                              /* which member or element of its parent, from 0 */
	const void *node;                        /* the library's */
};

enum json_kind {
	JSON_KIND_BOOL,          /* bool */
	JSON_KIND_U8,            /* numbers from min to max (at most 2^53), multiplied by unit when it is not 0 */
	JSON_KIND_U16,
	JSON_KIND_U32,
	JSON_KIND_U64,
	JSON_KIND_STRING,        /* char *, on the heap, of min to max bytes (max 0: any); the one before is freed */
	JSON_KIND_CHARS,         /* char[max + 1] */
	JSON_KIND_STRINGS,       /* char **, on the heap, and at `count` a size_t; at most `items` of STRING */
	JSON_KIND_CHOICE,        /* uint8_t: the index in names */
	JSON_KIND_SET,           /* uint32_t: an array of names, each at most once; names[i] is bit 1 << i */
	JSON_KIND_OBJECT,        /* fields, with the same base; nothing is stored itself */
	JSON_KIND_READ,          /* whatever read() makes of it */
};

struct json_field {
	const char *key;                         /* NULL ends a table */
	enum json_kind kind;
	size_t offset;                           /* in the structure that is being filled */
	size_t count;                            /* STRINGS: the offset of their number */
	size_t items;                            /* STRINGS: how many there may be; 0: any number */
	uint64_t min, max, unit;
	bool required;
	const char *const *names;                /* ends with NULL */
	const struct json_field *fields;
	/* STRING, CHARS, STRINGS: NULL, or what is wrong with the text, in words that follow "PATH: ". */
	const char *(*check)(const char *text);
	/* READ: 0, or -1 with the problem set. `into` is the structure that is being filled, not the offset. */
	int (*read)(const struct json_value *value, void *into, struct problem *problem);
};

/* The text must live as long as the document; `file` only names it in messages. NULL with the problem set. */
struct json *json_read(const char *text, size_t len, const char *file, struct problem *problem);
void json_free(struct json *json);               /* NULL is fine */
const struct json_value *json_top(const struct json *json);

/* Reads all members of an object by a table. An unknown key is refused, with the nearest known one. */
int json_fields(const struct json_value *object, const struct json_field fields[], void *into,
	struct problem *problem);

/* By hand, for read(). The first reads one value, whatever its key, by one line of a table. */
int json_field(const struct json_value *value, const struct json_field *field, void *into, struct problem *problem);
bool json_is_map(const struct json_value *value);             /* an object */
bool json_is_list(const struct json_value *value);            /* an array */
const char *json_text(const struct json_value *value);           /* NULL: not a string */
/* The next member or element, in the order of the text. Begin with a zeroed item; false after the last. */
bool json_next(const struct json_value *container, struct json_value *item);
bool json_member(const struct json_value *object, const char *key, struct json_value *member);
/* Sets the problem to "must be WHAT, not a number" or the like, at the value. All of these return -1. */
int json_wrong_kind(const struct json_value *value, const char *what, struct problem *problem);
/* "FILE:LINE:COLUMN: PATH: " and what follows, at the value, or at its key. */
int json_problem(const struct json_value *value, struct problem *problem, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int json_key_problem(const struct json_value *value, struct problem *problem, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* --- writing ---------------------------------------------------------------------------------------------------- */

/*
 * Appends JSON lines to storage of the caller:
 *
 *	struct json_out out = { .buf = buf, .size = sizeof buf };
 *
 *	json_line_begin(&out);
 *	json_put_u64(&out, "seq", seq);
 *	json_put_data(&out, "text", "base64", data, len);
 *	if (!json_line_end(&out))
 *		...                             did not fit: write out.buf[0..out.len), set out.len to 0, again
 *
 * A line is there whole or not at all. Keys are constants of the program and are written as they are; a NULL key is
 * for the elements of an array.
 */
struct json_out {
	char *buf;
	size_t size, len;
	size_t line;             /* where the line being written begins */
	bool full;               /* the line being written did not fit */
	bool more;               /* a comma comes before the next value */
};

#define JSON_ESCAPED_MAX 6       /* a byte becomes at most that many in a string */

void json_line_begin(struct json_out *out);              /* "{" */
bool json_line_end(struct json_out *out);                /* "}\n"; false: did not fit, and is taken back */
void json_put_open(struct json_out *out, const char *key, char bracket);         /* '{' or '[' */
void json_put_close(struct json_out *out, char bracket);                         /* '}' or ']' */
void json_put_bool(struct json_out *out, const char *key, bool v);
void json_put_null(struct json_out *out, const char *key);
void json_put_u64(struct json_out *out, const char *key, uint64_t v);
void json_put_i64(struct json_out *out, const char *key, int64_t v);
/* Always a valid JSON string: what is not UTF-8 in it becomes U+FFFD, a byte each. */
void json_put_text(struct json_out *out, const char *key, const char *text, size_t len);
void json_put_string(struct json_out *out, const char *key, const char *s);      /* NULL: null */
void json_put_base64(struct json_out *out, const char *key, const void *bytes, size_t len);
/* Nothing is ever lost: as text under one key when json_text_ok(), in base64 under the other when not. */
void json_put_data(struct json_out *out, const char *text_key, const char *base64_key, const void *bytes, size_t len);

/* Valid UTF-8 without NUL: what json_read() accepts in a string. Half a character at the end is not valid. */
bool json_text_ok(const void *bytes, size_t len);
/* The size of the UTF-8 character at p, 1 to 4; 0: there is none. */
size_t json_char_size(const void *p, size_t len);

#endif
