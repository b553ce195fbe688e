/* SPDX-License-Identifier: MIT */
/*
 * Every line of every guest's log goes through here, so the common case, a run of plain ASCII, is found eight bytes
 * at a time and copied as a whole.
 */
#include <string.h>

#include "json.h"

#define REPEAT(byte) (0x0101010101010101u * (uint64_t)(byte))
#define HIGH REPEAT(0x80)

/* Not 0 when one of the eight bytes has its high bit set, is below 0x20, or is a quote or a backslash. */
static uint64_t special(uint64_t word)
{
	uint64_t quote = word ^ REPEAT('"'), backslash = word ^ REPEAT('\\');

	/* x - 1 borrows into the high bit of a byte that is 0, x - 0x20 of one below 0x20. A borrow may run on into
	   the next byte, which can only make a plain word look special, never the other way round. */
	return (word | (word - REPEAT(0x20)) | (quote - REPEAT(1)) | (backslash - REPEAT(1))) & HIGH;
}

static size_t plain_run(const unsigned char *p, size_t len)
{
	size_t n = 0;

	for (uint64_t word; len - n >= sizeof word; n += sizeof word) {
		memcpy(&word, p + n, sizeof word);
		if (special(word))
			break;
	}
	while (n < len && p[n] >= 0x20 && p[n] < 0x80 && p[n] != '"' && p[n] != '\\')
		n++;
	return n;
}

size_t json_char_size(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	unsigned char low = 0x80, high = 0xbf;
	size_t size;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	size = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	if (size == 0 || size > len)
		return 0;
	/* The second byte is where overlong forms, surrogates and what lies beyond U+10FFFF show. */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

bool json_text_ok(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t n = 0, size; n < len; n += size) {
		size = plain_run(p + n, len - n);
		if (size == 0)
			size = p[n] ? json_char_size(p + n, len - n) : 0;
		if (size == 0)
			return false;
	}
	return true;
}

/* Room for n more bytes; the bytes of a line that is full already go nowhere. */
static char *grow(struct json_out *out, size_t n)
{
	char *at = out->buf + out->len;

	if (out->full || n > out->size - out->len) {
		out->full = true;
		return NULL;
	}
	out->len += n;
	return at;
}

static void append(struct json_out *out, const void *bytes, size_t n)
{
	char *at = grow(out, n);

	if (at)
		memcpy(at, bytes, n);
}

static void append_char(struct json_out *out, char c)
{
	append(out, &c, 1);
}

static void append_key(struct json_out *out, const char *key)
{
	size_t len = key ? strlen(key) : 0;
	char *at = grow(out, (size_t)out->more + (key ? len + 3 : 0));

	if (at && out->more)
		*at++ = ',';
	if (at && key) {
		*at++ = '"';
		memcpy(at, key, len);
		at[len] = '"';
		at[len + 1] = ':';
	}
	out->more = true;
}

static void append_escape(struct json_out *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef", from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *short_form = c ? strchr(from, c) : NULL;
	char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	if (short_form)
		escape[1] = to[short_form - from];
	append(out, escape, short_form ? 2 : 6);
}

void json_line_begin(struct json_out *out)
{
	out->line = out->len;
	out->full = out->more = false;
	append_char(out, '{');
}

bool json_line_end(struct json_out *out)
{
	append(out, "}\n", 2);
	if (out->full)
		out->len = out->line;
	return !out->full;
}

void json_put_open(struct json_out *out, const char *key, char bracket)
{
	append_key(out, key);
	append_char(out, bracket);
	out->more = false;
}

void json_put_close(struct json_out *out, char bracket)
{
	append_char(out, bracket);
	out->more = true;
}

void json_put_bool(struct json_out *out, const char *key, bool v)
{
	append_key(out, key);
	append(out, v ? "true" : "false", v ? 4 : 5);
}

void json_put_null(struct json_out *out, const char *key)
{
	append_key(out, key);
	append(out, "null", 4);
}

void json_put_u64(struct json_out *out, const char *key, uint64_t v)
{
	char digits[20], *p = digits + sizeof digits;

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	append_key(out, key);
	append(out, p, (size_t)(digits + sizeof digits - p));
}

void json_put_i64(struct json_out *out, const char *key, int64_t v)
{
	if (v >= 0) {
		json_put_u64(out, key, (uint64_t)v);
		return;
	}
	append_key(out, key);
	append_char(out, '-');
	out->more = false;
	json_put_u64(out, NULL, -(uint64_t)v);
}

void json_put_text(struct json_out *out, const char *key, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	append_key(out, key);
	append_char(out, '"');
	for (size_t n = 0, size; n < len && !out->full; n += size) {
		size = plain_run(p + n, len - n);
		if (size == 0 && p[n] >= 0x80)
			size = json_char_size(p + n, len - n);
		if (size > 0) {
			append(out, p + n, size);
			continue;
		}
		size = 1;
		if (p[n] >= 0x80)
			append(out, "\xef\xbf\xbd", 3);
		else
			append_escape(out, p[n]);
	}
	append_char(out, '"');
}

void json_put_string(struct json_out *out, const char *key, const char *s)
{
	if (s)
		json_put_text(out, key, s, strlen(s));
	else
		json_put_null(out, key);
}

void json_put_base64(struct json_out *out, const char *key, const void *bytes, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = bytes;
	char *at;

	append_key(out, key);
	append_char(out, '"');
	at = len <= out->size ? grow(out, (len + 2) / 3 * 4) : NULL;
	if (!at) {
		out->full = true;
		return;
	}
	for (; len >= 3; len -= 3, p += 3) {
		*at++ = alphabet[p[0] >> 2];
		*at++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*at++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*at++ = alphabet[p[2] & 63];
	}
	if (len > 0) {
		*at++ = alphabet[p[0] >> 2];
		*at++ = alphabet[(p[0] & 3) << 4 | (len > 1 ? p[1] >> 4 : 0)];
		*at++ = '=';
		at[-1] = len > 1 ? alphabet[(p[1] & 15) << 2] : '=';
		*at++ = '=';
	}
	append_char(out, '"');
}

void json_put_data(struct json_out *out, const char *text_key, const char *base64_key, const void *bytes, size_t len)
{
	if (json_text_ok(bytes, len))
		json_put_text(out, text_key, bytes, len);
	else
		json_put_base64(out, base64_key, bytes, len);
}
