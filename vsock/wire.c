/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "wire_codec.h"

/* --- numbers and bytes ------------------------------------------------------------------------------------------ */

/* A number's first bytes are its lowest, here as on the wire. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");

static uint64_t load(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len);
	return v;
}

static void store(uint8_t *p, uint64_t v, size_t len)
{
	memcpy(p, &v, len);
}

/* The next len bytes, or NULL. After that nothing is left, so that no later, smaller read finds anything. */
static const uint8_t *take(struct wire_in *in, size_t len)
{
	const uint8_t *p = in->p;

	if (len > (size_t)(in->end - p)) {
		in->bad = true;
		in->p = in->end;
		return NULL;
	}
	in->p += len;
	return p;
}

void wire_get_bytes(struct wire_in *in, void *to, size_t len)
{
	const uint8_t *p = take(in, len);

	if (p)
		memcpy(to, p, len);
	else
		memset(to, 0, len);
}

static uint64_t get(struct wire_in *in, size_t len)
{
	uint64_t v = 0;

	wire_get_bytes(in, &v, len);
	return v;
}

uint8_t wire_get_u8(struct wire_in *in)
{
	return (uint8_t)get(in, 1);
}

uint16_t wire_get_u16(struct wire_in *in)
{
	return (uint16_t)get(in, 2);
}

uint32_t wire_get_u32(struct wire_in *in)
{
	return (uint32_t)get(in, 4);
}

uint64_t wire_get_u64(struct wire_in *in)
{
	return get(in, 8);
}

static struct wire_text text_take(struct wire_in *in, size_t len)
{
	const uint8_t *p = take(in, len);

	return (struct wire_text){ .s = (const char *)(p ? p : in->end), .len = p ? (uint32_t)len : 0 };
}

struct wire_text wire_get_str(struct wire_in *in)
{
	return text_take(in, wire_get_u16(in));
}

struct wire_text wire_get_rest(struct wire_in *in)
{
	return text_take(in, (size_t)(in->end - in->p));
}

struct wire_in wire_in(const struct wire_frame *frame)
{
	return (struct wire_in){ .p = frame->payload, .end = frame->payload + frame->length };
}

bool wire_in_done(const struct wire_in *in)
{
	return !in->bad && in->p == in->end;
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

int wire_split(const uint8_t *buf, size_t len, struct wire_frame *frame)
{
	uint32_t length;

	if (len < WIRE_HEADER)
		return 0;
	length = (uint32_t)load(buf, 4);
	if (length > WIRE_PAYLOAD_MAX || load(buf + 6, 2))
		return -1;
	if (len < WIRE_HEADER + length)
		return 0;
	*frame = (struct wire_frame){ (uint16_t)load(buf + 4, 2), length, buf + WIRE_HEADER };
	return (int)(WIRE_HEADER + length);
}

void wire_header(uint8_t header[static WIRE_HEADER], uint16_t type, uint32_t length)
{
	store(header, length, 4);
	store(header + 4, type, 4);
}

static uint8_t *room(struct wire_out *out, size_t len)
{
	uint8_t *p = out->buf + out->len;

	if (out->full || len > out->size - out->len) {
		out->full = true;
		return NULL;
	}
	out->len += len;
	return p;
}

static void put(struct wire_out *out, uint64_t v, unsigned len)
{
	uint8_t *p = room(out, len);

	if (p)
		store(p, v, len);
}

void wire_put_u8(struct wire_out *out, uint8_t v)
{
	put(out, v, 1);
}

void wire_put_u16(struct wire_out *out, uint16_t v)
{
	put(out, v, 2);
}

void wire_put_u32(struct wire_out *out, uint32_t v)
{
	put(out, v, 4);
}

void wire_put_u64(struct wire_out *out, uint64_t v)
{
	put(out, v, 8);
}

void wire_put_bytes(struct wire_out *out, const void *from, size_t len)
{
	uint8_t *p = room(out, len);

	if (p && len)
		memmove(p, from, len);
}

void wire_put_str(struct wire_out *out, struct wire_text text)
{
	/* What a u16 does not hold no frame holds either: wire_end takes such a frame back. */
	wire_put_u16(out, (uint16_t)text.len);
	wire_put_bytes(out, text.s, text.len);
}

void wire_begin(struct wire_out *out, uint16_t type)
{
	out->frame = out->len;
	put(out, (uint64_t)type << 32, WIRE_HEADER);
}

bool wire_end(struct wire_out *out)
{
	size_t size = out->len - out->frame;

	if (out->full || size > WIRE_FRAME_MAX) {
		out->len = out->frame;
		return false;
	}
	store(out->buf + out->frame, size - WIRE_HEADER, 4);
	return true;
}

/* --- texts ------------------------------------------------------------------------------------------------------ */

struct wire_text wire_text(const char *s)
{
	return (struct wire_text){ .s = s, .len = (uint32_t)strlen(s) };
}

bool wire_text_is(struct wire_text text, const char *s)
{
	return strlen(s) == text.len && !memcmp(text.s, s, text.len);
}

bool wire_text_copy(char *to, size_t size, struct wire_text text)
{
	if (text.len >= size)
		return false;
	if (text.len)
		memcpy(to, text.s, text.len);
	to[text.len] = 0;
	return true;
}

bool wire_text_clean(struct wire_text text, size_t min, size_t max)
{
	return text.len >= min && text.len <= max && !(text.len && memchr(text.s, 0, text.len));
}

static bool dots(const char *s, size_t len)
{
	return (len == 1 || len == 2) && s[0] == '.' && s[len - 1] == '.';
}

bool wire_path_ok(struct wire_text path)
{
	const char *p = path.s, *end, *slash;

	if (!wire_text_clean(path, 1, WIRE_PATH_MAX))
		return false;
	for (end = p + path.len;; p = slash + 1) {
		slash = memchr(p, '/', (size_t)(end - p));
		if (!slash)
			break;
		if (slash == p || dots(p, (size_t)(slash - p)))
			return false;
	}
	return p < end && !dots(p, (size_t)(end - p));
}

/* Word by word from the directory the link is in: never above where the path began. */
bool wire_target_ok(struct wire_text path, struct wire_text target)
{
	const char *p = target.s, *end = target.s + target.len;
	long depth = 0;

	for (uint32_t i = 0; i < path.len; i++)
		depth += path.s[i] == '/';
	if (!wire_text_clean(target, 1, WIRE_PATH_MAX) || *p == '/')
		return false;
	while (p < end && depth >= 0) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t len = (size_t)((slash ? slash : end) - p);

		if (len == 2 && p[0] == '.' && p[1] == '.')
			depth--;
		else if (len > 0 && !dots(p, len))
			depth++;
		p += len + (slash != NULL);
	}
	return depth >= 0;
}

static bool name_char(char c)
{
	return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool wire_name_ok(struct wire_text name)
{
	if (name.len < 1 || name.len > WIRE_NAME_MAX || dots(name.s, name.len))
		return false;
	for (uint32_t i = 0; i < name.len; i++)
		if (!name_char(name.s[i]))
			return false;
	return true;
}

/* --- CRC-32 ----------------------------------------------------------------------------------------------------- */

/*
 * Four bytes a step ("slicing by four"): crc_table[k][b] is what byte b does to the checksum when k more bytes follow.
 * It is linear in b, so eight entries come from shifting and all others are the sum of two: some 7,000 instructions,
 * which is why the tables are made when first needed instead of lying in the image. The entry tested is written last.
 */
static uint32_t crc_table[4][256];

static void crc_fill(void)
{
	uint32_t bit[32], crc = 1;

	for (int i = 0; i < 32; i++)
		bit[i] = crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
	for (int k = 0; k < 4; k++)
		for (int b = 0; b < 8; b++) {
			uint32_t *low = crc_table[k], *high = low + (1 << b), v = bit[8 * k + 7 - b];

			for (int i = 0; i < 1 << b; i++)
				high[i] = low[i] ^ v;
		}
}

uint32_t wire_crc32(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	if (!crc_table[3][255])
		crc_fill();
	crc = ~crc;
	for (; len >= 4; p += 4, len -= 4) {
		crc ^= p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		crc = crc_table[3][crc & 255] ^ crc_table[2][crc >> 8 & 255] ^ crc_table[1][crc >> 16 & 255]
			^ crc_table[0][crc >> 24];
	}
	while (len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 255];
	return ~crc;
}

/* Straight into memory; of words that lie anywhere. */
static void mix(uint8_t *p, uint64_t word)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	v ^= word;
	memcpy(p, &v, sizeof v);
}

/*
 * x^300 + x^155 + x^117 + x^89 + 1 is a multiple of the checksum's polynomial, and so it is with x^64 for each x. So
 * a word of 64 bits counts for nothing once it was added to those 145, 183, 211 and 300 words behind it, which takes
 * a third of the instructions of a table, until only the last 300 words are left.
 */
uint32_t wire_crc32_spend(uint32_t crc, void *bytes, size_t len)
{
	uint8_t *p = bytes;

	mix(p, (uint32_t)~crc);
	for (; len >= 8 * 301; p += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, p, sizeof word);
		mix(p + 8 * 145, word);
		mix(p + 8 * 183, word);
		mix(p + 8 * 211, word);
		mix(p + 8 * 300, word);
	}
	return wire_crc32(~0u, p, len);
}

/* --- REFUSE and names ------------------------------------------------------------------------------------------- */

/* Names lie in the tables themselves: in a position-independent image a pointer costs its relocation as well. */
static const char refuse_names[][12] = {
	"unknown", "version", "malformed", "order", "unknown-vm", "epoch-alive", "not-allowed", "config", "busy", "token",
	"apply", "checksum", "revoked",
};
_Static_assert(sizeof(refuse_names) / sizeof(*refuse_names) == WIRE_REFUSE_CODES, "one name for each code");

static const struct {
	uint16_t type;
	char name[12];
} types[] = {
	{ WIRE_REFUSE, "REFUSE" },
	{ WIRE_HELLO, "HELLO" },
	{ WIRE_WELCOME, "WELCOME" },
	{ WIRE_HOSTNAME, "HOSTNAME" },
	{ WIRE_ARG, "ARG" },
	{ WIRE_ENV, "ENV" },
	{ WIRE_CWD, "CWD" },
	{ WIRE_USER, "USER" },
	{ WIRE_SYSCTL, "SYSCTL" },
	{ WIRE_MOUNT, "MOUNT" },
	{ WIRE_WORKLOAD, "WORKLOAD" },
	{ WIRE_LOG, "LOG" },
	{ WIRE_POWER, "POWER" },
	{ WIRE_CONTROL, "CONTROL" },
	{ WIRE_HANDOFF, "HANDOFF" },
	{ WIRE_DIR, "DIR" },
	{ WIRE_FILE, "FILE" },
	{ WIRE_DATA, "DATA" },
	{ WIRE_SYMLINK, "SYMLINK" },
	{ WIRE_CREDENTIAL, "CREDENTIAL" },
	{ WIRE_COMMIT, "COMMIT" },
	{ WIRE_APPLIED, "APPLIED" },
	{ WIRE_LOG_HELLO, "LOG_HELLO" },
	{ WIRE_LOG_WELCOME, "LOG_WELCOME" },
	{ WIRE_RECORDS, "RECORDS" },
	{ WIRE_LOST, "LOST" },
	{ WIRE_ACK, "ACK" },
	{ WIRE_END, "END" },
	{ WIRE_END_ACK, "END_ACK" },
	{ WIRE_BUTTON, "BUTTON" },
	{ WIRE_CTL_HELLO, "CTL_HELLO" },
	{ WIRE_CTL_WELCOME, "CTL_WELCOME" },
	{ WIRE_PING, "PING" },
	{ WIRE_PONG, "PONG" },
	{ WIRE_EXEC, "EXEC" },
	{ WIRE_STDIN, "STDIN" },
	{ WIRE_STDIN_END, "STDIN_END" },
	{ WIRE_CREDIT, "CREDIT" },
	{ WIRE_RESIZE, "RESIZE" },
	{ WIRE_EXEC_SIGNAL, "EXEC_SIGNAL" },
	{ WIRE_FEED, "FEED" },
	{ WIRE_STDOUT, "STDOUT" },
	{ WIRE_STDERR, "STDERR" },
	{ WIRE_EXIT, "EXIT" },
	{ WIRE_SIGNAL, "SIGNAL" },
	{ WIRE_STOP, "STOP" },
	{ WIRE_DONE, "DONE" },
};

const char *wire_type_name(uint16_t type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (types[i].type == type)
			return types[i].name;
	return "unknown";
}

const char *wire_refuse_name(uint16_t code)
{
	return refuse_names[code < WIRE_REFUSE_CODES ? code : 0];
}

static void refuse_walk(struct codec *c, struct wire_refuse *refuse)
{
	codec_u16(c, &refuse->code);
	codec_require(c, refuse->code >= 1 && refuse->code < WIRE_REFUSE_CODES, "a code that is not listed");
	codec_zero(c, 2);
	codec_rest(c, &refuse->text, 0, WIRE_TEXT_MAX);
}

bool wire_refuse_decode(const struct wire_frame *frame, struct wire_refuse *refuse)
{
	struct codec c = codec_reader(frame);

	refuse_walk(&c, refuse);
	return frame->type == WIRE_REFUSE && !codec_read_end(&c);
}

bool wire_refuse_encode(struct wire_out *out, uint16_t code, const char *text)
{
	struct codec c = codec_writer(out, WIRE_REFUSE);
	struct wire_refuse refuse = { .code = code, .text = wire_text(text) };

	refuse.text.len = (uint32_t)codec_cut(text, refuse.text.len, WIRE_TEXT_MAX);
	refuse_walk(&c, &refuse);
	return codec_write_end(&c);
}
