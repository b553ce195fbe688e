/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "wire_codec.h"

static const uint8_t magic[4] = { 'H', 'W', 'S', 'R' };

struct codec codec_reader(const struct wire_frame *frame)
{
	return (struct codec){ .in = wire_in(frame) };
}

const char *codec_read_end(struct codec *c)
{
	/* Everything behind the end was read as 0, so no complaint about a value means anything then. */
	if (c->in.bad)
		return "too short";
	if (!c->wrong && !c->newer && !wire_in_done(&c->in))
		return "bytes left over";
	return c->wrong;
}

struct codec codec_writer(struct wire_out *out, uint16_t type)
{
	wire_begin(out, type);
	return (struct codec){ .out = out };
}

bool codec_write_end(struct codec *c)
{
	if (c->wrong) {
		c->out->len = c->out->frame;
		return false;
	}
	return wire_end(c->out);
}

bool codec_require(struct codec *c, bool ok, const char *why)
{
	if (!ok && !c->wrong)
		c->wrong = why;
	return ok;
}

void codec_unknown(struct codec *c)
{
	codec_require(c, false, "unknown type");
}

void codec_u8(struct codec *c, uint8_t *v)
{
	if (c->out)
		wire_put_u8(c->out, *v);
	else
		*v = wire_get_u8(&c->in);
}

void codec_u16(struct codec *c, uint16_t *v)
{
	if (c->out)
		wire_put_u16(c->out, *v);
	else
		*v = wire_get_u16(&c->in);
}

void codec_u32(struct codec *c, uint32_t *v)
{
	if (c->out)
		wire_put_u32(c->out, *v);
	else
		*v = wire_get_u32(&c->in);
}

void codec_u64(struct codec *c, uint64_t *v)
{
	if (c->out)
		wire_put_u64(c->out, *v);
	else
		*v = wire_get_u64(&c->in);
}

void codec_bytes(struct codec *c, void *bytes, size_t len)
{
	if (c->out)
		wire_put_bytes(c->out, bytes, len);
	else
		wire_get_bytes(&c->in, bytes, len);
}

void codec_zero(struct codec *c, size_t len)
{
	while (len--) {
		uint8_t zero = 0;

		codec_u8(c, &zero);
		codec_require(c, !zero, "a zero field is not 0");
	}
}

void codec_version(struct codec *c, uint16_t *version)
{
	codec_u16(c, version);
	c->newer = *version > WIRE_VERSION;
}

void codec_hello(struct codec *c, uint16_t *version)
{
	uint8_t m[sizeof(magic)];

	memcpy(m, magic, sizeof(m));
	codec_bytes(c, m, sizeof(m));
	codec_require(c, !memcmp(m, magic, sizeof(m)), "the magic differs");
	codec_version(c, version);
	codec_zero(c, 2);
}

void codec_enum(struct codec *c, uint8_t *v, uint8_t max)
{
	codec_u8(c, v);
	codec_require(c, *v <= max, "a value that is not listed");
}

void codec_bits(struct codec *c, uint32_t v, uint32_t mask)
{
	codec_require(c, !(v & ~mask), "a bit that is not listed");
}

uint32_t codec_count(struct codec *c, uint32_t *n, size_t size, uint32_t min, uint32_t max)
{
	if (!c->out)
		*n = (uint32_t)((size_t)(c->in.end - c->in.p) / size);
	return codec_require(c, *n >= min && *n <= max, "too few or too many entries") ? *n : 0;
}

static void check(struct codec *c, struct wire_text text, size_t min, size_t max)
{
	codec_require(c, wire_text_clean(text, min, max), "a text of the wrong size, or with a NUL");
}

void codec_str(struct codec *c, struct wire_text *text, size_t min, size_t max)
{
	if (c->out)
		wire_put_str(c->out, *text);
	else
		*text = wire_get_str(&c->in);
	check(c, *text, min, max);
}

static void rest(struct codec *c, struct wire_text *text)
{
	if (c->out)
		wire_put_bytes(c->out, text->s, text->len);
	else
		*text = wire_get_rest(&c->in);
}

void codec_rest(struct codec *c, struct wire_text *text, size_t min, size_t max)
{
	rest(c, text);
	check(c, *text, min, max);
}

void codec_blob(struct codec *c, struct wire_text *bytes)
{
	rest(c, bytes);
	codec_require(c, bytes->len > 0, "empty");
}

void codec_is_absolute(struct codec *c, struct wire_text text)
{
	codec_require(c, text.len && text.s[0] == '/', "a path that is not absolute");
}

void codec_absolute(struct codec *c, struct wire_text *text)
{
	codec_str(c, text, 1, WIRE_PATH_MAX);
	codec_is_absolute(c, *text);
}

void codec_is_variable(struct codec *c, struct wire_text text)
{
	codec_require(c, text.len && text.s[0] != '=' && memchr(text.s, '=', text.len), "not NAME=value");
}

size_t codec_cut(const char *s, size_t len, size_t max)
{
	const char *nul = len ? memchr(s, 0, len) : NULL;

	if (nul)
		len = (size_t)(nul - s);
	if (len <= max)
		return len;
	/* A sequence has at most three bytes 10xxxxxx behind its first; more are no UTF-8 and may be cut anywhere. */
	for (int i = 0; i < 3 && max && (s[max] & 0xc0) == 0x80; i++)
		max--;
	return max;
}
