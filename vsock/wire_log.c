/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "wire_codec.h"

#define EVENT_HEADER 8
#define KERNEL_HEADER 8          /* the kernel's own sequence number, in front of its text */

static const char stream_names[][8] = { "unknown", "init", "kernel", "console", "syslog", "stdout", "stderr" };
_Static_assert(sizeof(stream_names) / sizeof(*stream_names) == WIRE_STREAMS, "one name for each stream");

static const char loss_names[][9] = { "unknown", "overrun", "full", "relay", "datagram" };
_Static_assert(sizeof(loss_names) / sizeof(*loss_names) == WIRE_LOSSES, "one name for each reason");

static const struct {
	uint16_t code;
	char name[12];
} event_names[] = {
	{ WIRE_EVENT_PHASE, "phase" },
	{ WIRE_EVENT_CONNECT, "connect" },
	{ WIRE_EVENT_CLOCK, "clock" },
	{ WIRE_EVENT_ENTROPY, "entropy" },
	{ WIRE_EVENT_FAILURE, "failure" },
	{ WIRE_EVENT_RELAY, "relay" },
	{ WIRE_EVENT_POWER, "power" },
	{ WIRE_EVENT_STARTED, "started" },
	{ WIRE_EVENT_EXITED, "exited" },
	{ WIRE_EVENT_KILLED, "killed" },
	{ WIRE_EVENT_OOM, "oom" },
	{ WIRE_EVENT_UNSTARTED, "unstarted" },
	{ WIRE_EVENT_RESTART, "restart" },
	{ WIRE_EVENT_READY, "ready" },
	{ WIRE_EVENT_STATUS, "status" },
	{ WIRE_EVENT_STOPPING, "stopping" },
	{ WIRE_EVENT_EXIT_STATUS, "exit-status" },
	{ WIRE_EVENT_WATCHDOG, "watchdog" },
};

const char *wire_stream_name(uint8_t stream)
{
	return stream_names[stream < WIRE_STREAMS ? stream : 0];
}

const char *wire_loss_name(uint8_t reason)
{
	return loss_names[reason < WIRE_LOSSES ? reason : 0];
}

const char *wire_event_name(uint16_t code)
{
	for (size_t i = 0; i < sizeof(event_names) / sizeof(*event_names); i++)
		if (event_names[i].code == code)
			return event_names[i].name;
	return "unknown";
}

static bool stream_ok(uint8_t stream)
{
	return stream >= 1 && stream < WIRE_STREAMS;
}

static bool reason_ok(uint8_t reason)
{
	return reason >= 1 && reason < WIRE_LOSSES;
}

/* --- records ---------------------------------------------------------------------------------------------------- */

static struct wire_frame record_frame(const struct wire_record *record)
{
	return (struct wire_frame){ .length = record->length, .payload = record->data };
}

/* A record's data has the fields of a frame's payload, so the same walks do. */
static void event_walk(struct codec *c, struct wire_event *event)
{
	uint32_t value = (uint32_t)event->value;

	codec_u16(c, &event->code);
	codec_zero(c, 2);
	codec_u32(c, &value);
	codec_rest(c, &event->text, 0, WIRE_EVENT_TEXT_MAX);
	if (!c->out)
		event->value = (int32_t)value;
}

static void gap_walk(struct codec *c, struct wire_gap *gap)
{
	codec_u8(c, &gap->reason);
	codec_require(c, reason_ok(gap->reason), "a reason that is not listed");
	codec_zero(c, 7);
	codec_u64(c, &gap->records);
	codec_u64(c, &gap->bytes);
}

bool wire_event_decode(const struct wire_record *record, struct wire_event *event)
{
	struct wire_frame data = record_frame(record);
	struct codec c = codec_reader(&data);

	event->value = 0;
	event_walk(&c, event);
	return !codec_read_end(&c);
}

size_t wire_event_encode(uint8_t *buf, size_t size, const struct wire_event *event)
{
	struct wire_out out = { .buf = buf, .size = size };
	struct codec c = { .out = &out };
	struct wire_event cut = *event;
	size_t max = size < EVENT_HEADER ? 0 : size - EVENT_HEADER;

	if (max > WIRE_EVENT_TEXT_MAX)
		max = WIRE_EVENT_TEXT_MAX;
	cut.text.len = (uint32_t)codec_cut(cut.text.s, cut.text.len, max);
	event_walk(&c, &cut);
	return out.full ? 0 : out.len;
}

bool wire_gap_decode(const struct wire_record *record, struct wire_gap *gap)
{
	struct wire_frame data = record_frame(record);
	struct codec c = codec_reader(&data);

	gap_walk(&c, gap);
	return !codec_read_end(&c);
}

size_t wire_gap_encode(uint8_t *buf, size_t size, const struct wire_gap *gap)
{
	struct wire_out out = { .buf = buf, .size = size };
	struct codec c = { .out = &out };

	gap_walk(&c, (struct wire_gap *)gap);        /* a writer's walk changes nothing */
	return out.full || c.wrong ? 0 : out.len;
}

static bool record_ok(const struct wire_record *record)
{
	/* Which streams a kind comes from, a bit each. */
	static const uint8_t streams[] = {
		[WIRE_KIND_BYTES] = 1 << WIRE_STREAM_CONSOLE | 1 << WIRE_STREAM_STDOUT | 1 << WIRE_STREAM_STDERR,
		[WIRE_KIND_MESSAGE] = 1 << WIRE_STREAM_INIT | 1 << WIRE_STREAM_KERNEL | 1 << WIRE_STREAM_SYSLOG,
		[WIRE_KIND_EVENT] = 1 << WIRE_STREAM_INIT,
		[WIRE_KIND_GAP] = (1 << WIRE_STREAMS) - 2,
	};
	uint8_t kind = record->kind;
	struct wire_event event;
	struct wire_gap gap;

	if ((kind & ~(WIRE_KIND_MORE | WIRE_KIND_FRAGMENT)) == WIRE_KIND_MESSAGE)
		kind = WIRE_KIND_MESSAGE;        /* nothing else has flags */
	if (kind >= sizeof(streams) || !stream_ok(record->stream) || !(streams[kind] >> record->stream & 1))
		return false;
	if (kind == WIRE_KIND_EVENT)
		return wire_event_decode(record, &event);
	if (kind == WIRE_KIND_GAP)
		return wire_gap_decode(record, &gap);
	return record->stream != WIRE_STREAM_KERNEL || record->length >= KERNEL_HEADER;
}

_Static_assert(offsetof(struct wire_record, data) == WIRE_RECORD_HEADER, "a header is copied as it is");

bool wire_record_next(struct wire_in *in, struct wire_record *record)
{
	if (in->bad || in->p == in->end)
		return false;
	wire_get_bytes(in, record, WIRE_RECORD_HEADER);
	record->data = in->p;
	if (in->bad || record->length > WIRE_RECORD_MAX || record->length > (size_t)(in->end - in->p)
			|| !record_ok(record)) {
		in->bad = true;
		return false;
	}
	in->p += record->length;
	return true;
}

void wire_record_header(uint8_t header[static WIRE_RECORD_HEADER], const struct wire_record *record)
{
	memcpy(header, record, WIRE_RECORD_HEADER);
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

static void records_walk(struct codec *c, struct wire_log *log)
{
	struct wire_record record;
	struct wire_in in;

	if (c->out) {
		codec_unknown(c);
		return;
	}
	codec_u64(c, &log->records.first);
	in = log->records.in = c->in;
	for (log->records.count = 0; wire_record_next(&in, &record); log->records.count++)
		;
	codec_require(c, !in.bad, "a malformed record");
	codec_require(c, log->records.count > 0, "no records");
	c->in.p = c->in.end;
}

static void lost_walk(struct codec *c, struct wire_log *log)
{
	codec_u64(c, &log->lost.from);
	codec_u64(c, &log->lost.to);
	codec_require(c, log->lost.from < log->lost.to, "an empty range");
	for (uint32_t i = 0, n = codec_count(c, &log->lost.n, 16, 1, WIRE_LOST_MAX); i < n; i++) {
		struct wire_lost *lost = &log->lost.lost[i];

		codec_u8(c, &lost->stream);
		codec_u8(c, &lost->reason);
		codec_require(c, stream_ok(lost->stream) && reason_ok(lost->reason), "a stream or reason that is not listed");
		codec_zero(c, 2);
		codec_u32(c, &lost->records);
		codec_u64(c, &lost->bytes);
	}
}

static void end_walk(struct codec *c, struct wire_log *log)
{
	codec_u64(c, &log->end.next);
	for (uint32_t i = 0, n = codec_count(c, &log->end.n, 24, 0, WIRE_TOTALS_MAX); i < n; i++) {
		struct wire_total *total = &log->end.totals[i];

		codec_u8(c, &total->stream);
		codec_require(c, stream_ok(total->stream), "a stream that is not listed");
		codec_zero(c, 7);
		codec_u64(c, &total->records);
		codec_u64(c, &total->bytes);
	}
}

static void log_walk(struct codec *c, struct wire_log *log)
{
	switch (log->type) {
	case WIRE_LOG_HELLO:
		codec_hello(c, &log->hello.version);
		codec_bytes(c, log->hello.token, sizeof(log->hello.token));
		codec_u64(c, &log->hello.first);
		break;
	case WIRE_LOG_WELCOME:
		codec_version(c, &log->welcome.version);
		codec_zero(c, 6);
		codec_u64(c, &log->welcome.next);
		break;
	case WIRE_RECORDS:
		records_walk(c, log);
		break;
	case WIRE_LOST:
		lost_walk(c, log);
		break;
	case WIRE_ACK:
	case WIRE_END_ACK:
		codec_u64(c, &log->ack);
		break;
	case WIRE_END:
		end_walk(c, log);
		break;
	case WIRE_BUTTON:
		break;
	default:
		codec_unknown(c);
	}
}

const char *wire_log_decode(const struct wire_frame *frame, struct wire_log *log)
{
	struct codec c = codec_reader(frame);

	log->type = frame->type;
	log_walk(&c, log);
	return codec_read_end(&c);
}

bool wire_log_encode(struct wire_out *out, const struct wire_log *log)
{
	struct codec c = codec_writer(out, log->type);

	log_walk(&c, (struct wire_log *)log);        /* a writer's walk changes nothing */
	return codec_write_end(&c);
}
