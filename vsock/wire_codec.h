/* SPDX-License-Identifier: MIT */
/*
 * codec: the inside of wire_boot.c, wire_log.c and wire_control.c.
 *
 * The fields of each frame are written down once, as a walk over the fields of its struct, and walked in both
 * directions: a reader fills the struct from the frame, a writer fills the frame from the struct and changes nothing
 * in it. So both directions have the same order, the same sizes and the same checks, and what a reader would refuse
 * cannot be sent. Payload sizes need no table: a walk that runs out of bytes, or leaves some, was the wrong size.
 *
 * A walk goes on after the first thing that is wrong, over zeros: it must not trust a count or a size that a codec_
 * call did not return as good.
 */
#ifndef VSOCK_WIRE_CODEC_H
#define VSOCK_WIRE_CODEC_H

#include "wire.h"

struct codec {
	struct wire_in in;
	struct wire_out *out;    /* NULL: reading */
	const char *wrong;       /* the first thing that is */
	bool newer;              /* of a version that may have more fields behind those known here */
};

struct codec codec_reader(const struct wire_frame *frame);
const char *codec_read_end(struct codec *c);             /* NULL, or what is wrong */
struct codec codec_writer(struct wire_out *out, uint16_t type);
bool codec_write_end(struct codec *c);                   /* false: nothing was written */

bool codec_require(struct codec *c, bool ok, const char *why);   /* returns ok */
void codec_unknown(struct codec *c);                     /* no walk knows this type */

void codec_u8(struct codec *c, uint8_t *v);
void codec_u16(struct codec *c, uint16_t *v);
void codec_u32(struct codec *c, uint32_t *v);
void codec_u64(struct codec *c, uint64_t *v);
void codec_bytes(struct codec *c, void *bytes, size_t len);
void codec_zero(struct codec *c, size_t len);
void codec_version(struct codec *c, uint16_t *version);
void codec_hello(struct codec *c, uint16_t *version);    /* magic, version, zero */

/* Values with a bound: 0 to max, or no bit but those in mask. */
void codec_enum(struct codec *c, uint8_t *v, uint8_t max);
void codec_bits(struct codec *c, uint32_t v, uint32_t mask);
/* How many entries of size bytes there are: 0 when it is out of range. Not a field of the frame. */
uint32_t codec_count(struct codec *c, uint32_t *n, size_t size, uint32_t min, uint32_t max);

void codec_str(struct codec *c, struct wire_text *text, size_t min, size_t max);
void codec_absolute(struct codec *c, struct wire_text *text);    /* a str that is an absolute path */
void codec_rest(struct codec *c, struct wire_text *text, size_t min, size_t max);
void codec_blob(struct codec *c, struct wire_text *bytes);       /* the rest, 1 byte or more, of any value */
void codec_is_absolute(struct codec *c, struct wire_text text);
void codec_is_variable(struct codec *c, struct wire_text text);  /* NAME=value */

/* How many of len bytes to keep so that there are at most max, no NUL, and no UTF-8 sequence is cut. */
size_t codec_cut(const char *s, size_t len, size_t max);

#endif
