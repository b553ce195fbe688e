/* SPDX-License-Identifier: MIT */
/*
 * wire: the bytes of docs/PROTOCOL.md, and nothing but the bytes.
 *
 * Pure: no I/O, no heap, no state but the tables of the checksum, which are made when first needed. What decodes here
 * is valid: sizes, ranges, NULs, paths and names have been checked, and a caller never checks them again. Texts point
 * into the frame that was decoded and are not terminated.
 */
#ifndef VSOCK_WIRE_H
#define VSOCK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_HEADER 8            /* bytes before each payload */
#define WIRE_PAYLOAD_MAX 32760   /* so that no frame exceeds 32 KiB */
#define WIRE_FRAME_MAX (WIRE_HEADER + WIRE_PAYLOAD_MAX)
#define WIRE_TEXT_MAX 512        /* REFUSE's text */
#define WIRE_BOOT_ID 16
#define WIRE_TOKEN 16
#define WIRE_ENTROPY 64
#define WIRE_PATH_MAX 4095
#define WIRE_HOSTNAME_MAX 64
#define WIRE_SYSCTL_MAX 4096
#define WIRE_GROUPS_MAX 32
#define WIRE_NAME_MAX 255                /* of a credential */
#define WIRE_CREDENTIAL_MAX (1 << 20)    /* bytes, each and all together: systemd's limit */
#define WIRE_PLAN_MAX (4 << 20)          /* bytes of all records but DATA */
#define WIRE_ARGS_MAX (128 << 10)        /* bytes of ARG and ENV together */
#define WIRE_RING_MIN (64 << 10)
#define WIRE_RING_MAX (16 << 20)
#define WIRE_RECORD_HEADER 16
#define WIRE_RECORD_MAX 16384            /* bytes of a record's data */
#define WIRE_EVENT_TEXT_MAX 1024
#define WIRE_LOST_MAX 64                 /* entries in LOST */
#define WIRE_TOTALS_MAX 16               /* entries in END */
#define WIRE_EXEC_MAX 256                /* arguments, and variables, in EXEC */

#define WIRE_PORT_BASE 610
#define WIRE_PORT_BOOT 0                 /* offsets from the base */
#define WIRE_PORT_LOG 1
#define WIRE_PORT_CONTROL 2

enum wire_type {
	WIRE_REFUSE = 0x0001,

	WIRE_HELLO = 0x0101,
	WIRE_WELCOME = 0x0102,
	WIRE_HOSTNAME = 0x0110,
	WIRE_ARG = 0x0111,
	WIRE_ENV = 0x0112,
	WIRE_CWD = 0x0113,
	WIRE_USER = 0x0114,
	WIRE_SYSCTL = 0x0115,
	WIRE_MOUNT = 0x0116,
	WIRE_WORKLOAD = 0x0117,
	WIRE_LOG = 0x0118,
	WIRE_POWER = 0x0119,
	WIRE_CONTROL = 0x011a,
	WIRE_HANDOFF = 0x011b,
	WIRE_DIR = 0x0120,
	WIRE_FILE = 0x0121,
	WIRE_DATA = 0x0122,
	WIRE_SYMLINK = 0x0123,
	WIRE_CREDENTIAL = 0x0124,
	WIRE_COMMIT = 0x013f,
	WIRE_APPLIED = 0x0140,

	WIRE_LOG_HELLO = 0x0201,
	WIRE_LOG_WELCOME = 0x0202,
	WIRE_RECORDS = 0x0203,
	WIRE_LOST = 0x0204,
	WIRE_ACK = 0x0205,
	WIRE_END = 0x0206,
	WIRE_END_ACK = 0x0207,
	WIRE_BUTTON = 0x0208,

	WIRE_CTL_HELLO = 0x0301,
	WIRE_CTL_WELCOME = 0x0302,
	WIRE_PING = 0x0310,
	WIRE_PONG = 0x0311,
	WIRE_EXEC = 0x0320,
	WIRE_STDIN = 0x0321,
	WIRE_STDIN_END = 0x0322,
	WIRE_CREDIT = 0x0323,
	WIRE_RESIZE = 0x0324,
	WIRE_EXEC_SIGNAL = 0x0325,
	WIRE_FEED = 0x0326,
	WIRE_STDOUT = 0x0330,
	WIRE_STDERR = 0x0331,
	WIRE_EXIT = 0x0332,
	WIRE_SIGNAL = 0x0340,
	WIRE_STOP = 0x0341,
	WIRE_DONE = 0x0342,
};

enum wire_refuse_code {
	WIRE_REFUSE_VERSION = 1,
	WIRE_REFUSE_MALFORMED = 2,
	WIRE_REFUSE_ORDER = 3,
	WIRE_REFUSE_UNKNOWN_VM = 4,
	WIRE_REFUSE_EPOCH_ALIVE = 5,
	WIRE_REFUSE_NOT_ALLOWED = 6,
	WIRE_REFUSE_CONFIG = 7,
	WIRE_REFUSE_BUSY = 8,
	WIRE_REFUSE_TOKEN = 9,
	WIRE_REFUSE_APPLY = 10,
	WIRE_REFUSE_CHECKSUM = 11,
	WIRE_REFUSE_REVOKED = 12,
	WIRE_REFUSE_CODES,
};

enum wire_stream {
	WIRE_STREAM_INIT = 1,
	WIRE_STREAM_KERNEL = 2,
	WIRE_STREAM_CONSOLE = 3,
	WIRE_STREAM_SYSLOG = 4,
	WIRE_STREAM_STDOUT = 5,
	WIRE_STREAM_STDERR = 6,
	WIRE_STREAMS,            /* streams are 1 to WIRE_STREAMS - 1 */
};

enum wire_kind {
	WIRE_KIND_BYTES = 0,
	WIRE_KIND_MESSAGE = 1,
	WIRE_KIND_EVENT = 2,
	WIRE_KIND_GAP = 3,
};
#define WIRE_KIND_MORE 0x80      /* a message goes on in the next record of its stream */
#define WIRE_KIND_FRAGMENT 0x40  /* the kernel marked it as a fragment of a line */

#define WIRE_PRI_NONE 0x0fff     /* a record whose source has no priority */

enum wire_loss {
	WIRE_LOSS_OVERRUN = 1,
	WIRE_LOSS_FULL = 2,
	WIRE_LOSS_RELAY = 3,
	WIRE_LOSS_DATAGRAM = 4,
	WIRE_LOSSES,
};

enum wire_event_code {
	WIRE_EVENT_PHASE = 1,
	WIRE_EVENT_CONNECT = 2,
	WIRE_EVENT_CLOCK = 3,
	WIRE_EVENT_ENTROPY = 4,
	WIRE_EVENT_FAILURE = 5,
	WIRE_EVENT_RELAY = 6,
	WIRE_EVENT_POWER = 7,
	WIRE_EVENT_STARTED = 16,
	WIRE_EVENT_EXITED = 17,
	WIRE_EVENT_KILLED = 18,
	WIRE_EVENT_OOM = 19,
	WIRE_EVENT_UNSTARTED = 20,
	WIRE_EVENT_RESTART = 21,
	WIRE_EVENT_READY = 32,
	WIRE_EVENT_STATUS = 33,
	WIRE_EVENT_STOPPING = 34,
	WIRE_EVENT_EXIT_STATUS = 35,
	WIRE_EVENT_WATCHDOG = 36,
};

enum { WIRE_WELCOME_CLOCK = 1, WIRE_WELCOME_CREDIT = 2 };
enum { WIRE_RESTART_NO, WIRE_RESTART_ON_FAILURE, WIRE_RESTART_ALWAYS, WIRE_RESTARTS };
enum { WIRE_AT_END_POWER_OFF, WIRE_AT_END_STAY, WIRE_AT_END_REBOOT, WIRE_AT_ENDS };
enum { WIRE_FULL_DROP, WIRE_FULL_BLOCK, WIRE_FULLS };
enum { WIRE_POWER_DETECT, WIRE_POWER_OFF, WIRE_POWER_RESET, WIRE_POWERS };
enum { WIRE_HANDOFF_BUSYBOX, WIRE_HANDOFF_EXEC, WIRE_HANDOFF_SWITCH_ROOT, WIRE_HANDOFFS };
enum { WIRE_HANDOFF_OVERLAY = 1 };
enum { WIRE_VERB_EXEC = 1, WIRE_VERB_SIGNAL = 2, WIRE_VERB_STOP = 4, WIRE_VERB_PING = 8, WIRE_VERB_FEED = 16 };
#define WIRE_VERBS_CONFIG 15     /* those that a configuration names; FEED is for whoever starts the machine */
#define WIRE_VERBS_ALL 31
enum { WIRE_EXEC_TTY = 1 };

/* Bytes inside a frame, not terminated. */
struct wire_text {
	const char *s;
	uint32_t len;
};

struct wire_frame {
	uint16_t type;
	uint32_t length;         /* of the payload */
	const uint8_t *payload;
};

/* Reads fields one after the other; past the end every read gives 0 and sets bad. */
struct wire_in {
	const uint8_t *p, *end;
	bool bad;
};

/*
 * Writes frames one after the other into storage of the caller; what does not fit sets full and is not written, nor is
 * anything behind it. An encoder that returns false without setting full was given values that the protocol does not
 * allow, or more than a frame holds, and will never return true for them.
 */
struct wire_out {
	uint8_t *buf;
	size_t size, len;
	size_t frame;            /* where the frame being written begins */
	bool full;
};

/*
 * Splits the first frame off the bytes at buf. Returns its whole size (header and payload), 0 when bytes are still
 * missing, -1 when the header is malformed: a length over WIRE_PAYLOAD_MAX or a zero field that is not 0.
 */
int wire_split(const uint8_t *buf, size_t len, struct wire_frame *frame);
void wire_header(uint8_t header[static WIRE_HEADER], uint16_t type, uint32_t length);

uint8_t wire_get_u8(struct wire_in *in);
uint16_t wire_get_u16(struct wire_in *in);
uint32_t wire_get_u32(struct wire_in *in);
uint64_t wire_get_u64(struct wire_in *in);
void wire_get_bytes(struct wire_in *in, void *to, size_t len);
struct wire_text wire_get_str(struct wire_in *in);       /* u16 length, then the bytes */
struct wire_text wire_get_rest(struct wire_in *in);
struct wire_in wire_in(const struct wire_frame *frame);
bool wire_in_done(const struct wire_in *in);             /* nothing bad, nothing left over */

void wire_begin(struct wire_out *out, uint16_t type);
void wire_put_u8(struct wire_out *out, uint8_t v);
void wire_put_u16(struct wire_out *out, uint16_t v);
void wire_put_u32(struct wire_out *out, uint32_t v);
void wire_put_u64(struct wire_out *out, uint64_t v);
void wire_put_bytes(struct wire_out *out, const void *from, size_t len);
void wire_put_str(struct wire_out *out, struct wire_text text);
bool wire_end(struct wire_out *out);                     /* false: the frame did not fit, and is taken back */

/* Text helpers. */
struct wire_text wire_text(const char *s);
bool wire_text_is(struct wire_text text, const char *s);
bool wire_text_copy(char *to, size_t size, struct wire_text text);       /* terminated; false when it does not fit */
bool wire_text_clean(struct wire_text text, size_t min, size_t max);     /* the size is in range and there is no NUL */
bool wire_path_ok(struct wire_text path);                /* relative, no empty, "." or ".." component */
bool wire_target_ok(struct wire_text path, struct wire_text target);     /* a link at path to it stays below the root */
bool wire_name_ok(struct wire_text name);                /* of a credential */

/* CRC-32 of ISO 3309 (zlib, Ethernet); start with crc 0, go on with what the call before returned. */
uint32_t wire_crc32(uint32_t crc, const void *bytes, size_t len);
/* The same, faster, of 8 bytes or more, which are worth nothing then. */
uint32_t wire_crc32_spend(uint32_t crc, void *bytes, size_t len);

/* --- REFUSE ----------------------------------------------------------------------------------------------------- */

struct wire_refuse {
	uint16_t code;
	struct wire_text text;
};

bool wire_refuse_decode(const struct wire_frame *frame, struct wire_refuse *refuse);
bool wire_refuse_encode(struct wire_out *out, uint16_t code, const char *text);  /* cuts the text to WIRE_TEXT_MAX */
const char *wire_refuse_name(uint16_t code);

/* --- boot session ----------------------------------------------------------------------------------------------- */

struct wire_hello {
	uint16_t version;
	uint8_t boot_id[WIRE_BOOT_ID];
	uint64_t boot_ns;
};

struct wire_welcome {
	uint16_t version, flags;
	uint64_t wall_ns;
	uint8_t token[WIRE_TOKEN];
	uint8_t entropy[WIRE_ENTROPY];
};

struct wire_user {
	uint32_t uid, gid, n;
	uint32_t groups[WIRE_GROUPS_MAX];
};

struct wire_mount {
	struct wire_text destination, type, source, options;
};

struct wire_workload {
	uint8_t restart, at_end;
	uint16_t restarts_max;
	uint32_t stop_signal, stop_grace_ms;
};

struct wire_handoff {
	uint8_t mode, flags;
	struct wire_text type, source, options, init;
};

/* DIR, FILE, SYMLINK and CREDENTIAL; what a type has not got is 0. For a credential, path is its name. */
struct wire_node {
	uint32_t mode, uid, gid;
	uint64_t size;
	struct wire_text target, path;
};

struct wire_boot {
	uint16_t type;
	union {
		struct wire_hello hello;
		struct wire_welcome welcome;
		struct wire_text text;           /* HOSTNAME, ARG, ENV, CWD and DATA */
		struct wire_user user;
		struct { struct wire_text name, value; } sysctl;
		struct wire_mount mount;
		struct wire_workload workload;
		struct { uint32_t ring; uint8_t full; } log;
		uint8_t power;
		uint32_t verbs;
		struct wire_handoff handoff;
		struct wire_node node;
		struct { uint32_t count, crc; } commit;
		uint64_t applied_ns;
	};
};

/*
 * Decodes a frame of the boot session, of either direction. Returns NULL, or what is wrong with it, in words that fit
 * behind the frame's name. A hello or welcome of a higher version may be longer; its version is left to the caller.
 */
const char *wire_boot_decode(const struct wire_frame *frame, struct wire_boot *boot);
bool wire_boot_encode(struct wire_out *out, const struct wire_boot *boot);
const char *wire_type_name(uint16_t type);

/* --- log session ------------------------------------------------------------------------------------------------ */

/* Up to data it is the header, as it lies in the frame. */
struct wire_record {
	uint32_t length;
	uint8_t kind, stream;
	uint16_t pri;
	uint64_t ns;
	const uint8_t *data;
};

struct wire_event {
	uint16_t code;
	int32_t value;
	struct wire_text text;
};

struct wire_gap {
	uint8_t reason;
	uint64_t records, bytes;
};

struct wire_lost {
	uint8_t stream, reason;
	uint32_t records;
	uint64_t bytes;
};

struct wire_total {
	uint8_t stream;
	uint64_t records, bytes;
};

struct wire_log {
	uint16_t type;
	union {
		struct { uint16_t version; uint8_t token[WIRE_TOKEN]; uint64_t first; } hello;
		struct { uint16_t version; uint64_t next; } welcome;
		struct { uint64_t first; uint32_t count; struct wire_in in; } records;   /* in: for wire_record_next */
		struct { uint64_t from, to; uint32_t n; struct wire_lost lost[WIRE_LOST_MAX]; } lost;
		uint64_t ack;                                                            /* ACK and END_ACK */
		struct { uint64_t next; uint32_t n; struct wire_total totals[WIRE_TOTALS_MAX]; } end;
	};
};

const char *wire_log_decode(const struct wire_frame *frame, struct wire_log *log);
/* RECORDS is not encoded here: the relay sends them as they lie in its ring. */
bool wire_log_encode(struct wire_out *out, const struct wire_log *log);
bool wire_record_next(struct wire_in *in, struct wire_record *record);   /* false at the end, or when in->bad */
void wire_record_header(uint8_t header[static WIRE_RECORD_HEADER], const struct wire_record *record);
bool wire_event_decode(const struct wire_record *record, struct wire_event *event);
size_t wire_event_encode(uint8_t *buf, size_t size, const struct wire_event *event);     /* cuts the text */
bool wire_gap_decode(const struct wire_record *record, struct wire_gap *gap);
size_t wire_gap_encode(uint8_t *buf, size_t size, const struct wire_gap *gap);
const char *wire_stream_name(uint8_t stream);
const char *wire_loss_name(uint8_t reason);
const char *wire_event_name(uint16_t code);

/* --- control session -------------------------------------------------------------------------------------------- */

struct wire_exec {
	uint32_t flags, uid, gid;
	uint16_t rows, cols;
	struct wire_text cwd;
	uint16_t argc, envc;
	struct wire_text args[WIRE_EXEC_MAX], env[WIRE_EXEC_MAX];
};

struct wire_control {
	uint16_t type;
	union {
		struct { uint16_t version; uint8_t token[WIRE_TOKEN]; } hello;
		struct { uint16_t version; uint32_t verbs; } welcome;
		struct { uint64_t boot_ns, mem_total, mem_available; } pong;
		struct wire_exec exec;
		struct wire_text bytes;          /* STDIN, STDOUT, STDERR */
		uint32_t number;                 /* CREDIT, EXEC_SIGNAL, SIGNAL, STOP, DONE */
		struct { uint16_t rows, cols; } resize;
		struct { uint32_t code, signal; } exit;
	};
};

const char *wire_control_decode(const struct wire_frame *frame, struct wire_control *control);
bool wire_control_encode(struct wire_out *out, const struct wire_control *control);

#endif
