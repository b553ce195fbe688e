/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "clock.h"
#include "link.h"

#define MS 1000000ull
#define GREETING_NS (1000 * MS)
#define SILENCE_NS (15000 * MS)  /* unacknowledged records and no ACK: the connection is as good as cut */
#define PATIENCE_NS (250 * MS)   /* without progress of the host, for which writers wait before records are dropped */

static uint8_t in_storage[WIRE_FRAME_MAX], out_storage[2 * WIRE_FRAME_MAX];

void link_init(struct link *link, const struct address *host, uint32_t seed)
{
	*link = (struct link){ .host = *host, .state = LINK_PAUSED, .fd = -1, .until_ns = UINT64_MAX };
	backoff_init(&link->backoff, seed);
	frame_init(&link->in, in_storage, sizeof in_storage);
	frame_init(&link->out, out_storage, sizeof out_storage);
}

void link_start(struct link *link)
{
	if (link->state == LINK_PAUSED)
		link->until_ns = 0;
}

static bool pending(const struct link *link)
{
	return frame_pending(&link->out) > 0 || link->rest.len > 0;
}

/* Every end of a connection, and of an attempt to get one, comes through here. */
static void link_cut(struct link *link, bool slowly)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->state = LINK_PAUSED;
	link->until_ns = clock_boot_ns() + MS * (slowly ? backoff_slow(&link->backoff) : backoff_next(&link->backoff));
	link->ended = 0;
	link->rest.len = 0;
	frame_init(&link->in, in_storage, sizeof in_storage);
	frame_init(&link->out, out_storage, sizeof out_storage);
}

static void link_flush(struct link *link)
{
	if (frame_send(&link->out, link->fd, &link->rest) == FRAME_CUT)
		link_cut(link, false);
}

static void link_dial(struct link *link)
{
	int fd = dial_start(&link->host, true);

	if (fd < 0) {
		link_cut(link, false);
		return;
	}
	link->fd = fd;
	link->state = LINK_DIALLING;
	link->until_ns = clock_boot_ns() + DIAL_TIMEOUT_MS * MS;
}

static void link_greet(struct link *link, struct ring *ring)
{
	struct wire_log hello = { .type = WIRE_LOG_HELLO, .hello = { .version = WIRE_VERSION,
		.first = ring_state(ring)->tail_seq } };
	struct wire_out out = frame_room(&link->out);
	int fd = dial_finish(link->fd);

	if (fd < 0) {
		link->fd = -1;
		link_cut(link, false);
		return;
	}
	memcpy(hello.hello.token, ring->shared->orders.token, sizeof hello.hello.token);
	wire_log_encode(&out, &hello);
	frame_commit(&link->out, &out);
	ring_lends(ring, &link->out, &link->rest);
	link->state = LINK_GREETING;
	link->until_ns = clock_boot_ns() + GREETING_NS;
	/* Most hosts are quick: the first frame goes with the hello's acknowledgement in the same turn. */
	link_flush(link);
}

/* The host's last frame. */
static void link_refused(struct link *link, const struct wire_frame *frame)
{
	/* What is over in a moment, or was of that one session. */
	static const uint32_t soon = 1 << WIRE_REFUSE_MALFORMED | 1 << WIRE_REFUSE_ORDER | 1 << WIRE_REFUSE_BUSY;
	struct wire_refuse refuse;
	bool decoded = wire_refuse_decode(frame, &refuse);

	if (decoded)
		log_warn("the host refuses the log session: %s: %.*s", wire_refuse_name(refuse.code),
			(int)refuse.text.len, refuse.text.s);
	link_cut(link, !decoded || !(soon >> refuse.code & 1));
}

/* Ours. */
static void link_refuse(struct link *link, uint16_t code, const char *what)
{
	struct wire_out out;

	log_warn("the host's log session: %s: %s", wire_refuse_name(code), what);
	frame_keep(&link->out, &link->rest);
	out = frame_room(&link->out);
	if (wire_refuse_encode(&out, code, what))
		frame_commit(&link->out, &out);
	frame_flush(&link->out, link->fd);
	link_cut(link, true);
}

static void progress(struct link *link)
{
	link->heard_ns = clock_boot_ns();
	link->until_ns = link->heard_ns + SILENCE_NS;
}

/* One frame from the host: 0, or the code to refuse it with. */
static uint16_t link_take(struct link *link, struct ring *ring, const struct wire_frame *frame)
{
	struct wire_log log;

	if (wire_log_decode(frame, &log) != NULL)
		return WIRE_REFUSE_MALFORMED;
	if (log.type == WIRE_LOG_WELCOME && link->state == LINK_GREETING) {
		if (log.welcome.version != WIRE_VERSION)
			return WIRE_REFUSE_VERSION;
		if (!ring_resume(ring, log.welcome.next))
			return WIRE_REFUSE_MALFORMED;
		link->sent = log.welcome.next;
		link->state = LINK_UP;
		progress(link);
		backoff_reset(&link->backoff);
		return 0;
	}
	if (log.type == WIRE_BUTTON && link->state == LINK_UP) {
		link->button = true;
		return 0;
	}
	if (log.type == WIRE_ACK && link->state == LINK_UP)
		progress(link);
	else if (log.type == WIRE_END_ACK && link->state == LINK_UP && link->ended)
		link->end_acked = log.ack == ring_state(ring)->head_seq;
	else
		return WIRE_REFUSE_ORDER;
	return ring_ack(ring, log.ack, link->sent) ? 0 : WIRE_REFUSE_MALFORMED;
}

static void link_hear(struct link *link, struct ring *ring)
{
	struct wire_frame frame;
	int state = frame_fill(&link->in, link->fd), got;

	while ((got = frame_next(&link->in, &frame)) > 0) {
		uint16_t code;

		if (frame.type == WIRE_REFUSE) {
			link_refused(link, &frame);
			return;
		}
		code = link_take(link, ring, &frame);
		if (code) {
			link_refuse(link, code, wire_type_name(frame.type));
			return;
		}
	}
	if (got == FRAME_MALFORMED)
		link_refuse(link, WIRE_REFUSE_MALFORMED, "a frame header with a length or a zero that none has");
	else if (state == FRAME_CUT)
		link_cut(link, false);
}

/* Frames until the ring is empty or the socket is full. */
static void link_speak(struct link *link, struct ring *ring, bool close)
{
	while (link->state == LINK_UP && !pending(link) && ring_unsent(ring, link->sent)) {
		struct wire_out out = frame_room(&link->out);
		uint64_t next = ring_frame(ring, link->sent, &out, &link->rest);

		if (next == link->sent)
			break;           /* only an acknowledgement lets the next frame out */
		link->sent = next;
		link->end_acked = false;
		frame_commit(&link->out, &out);
		link_flush(link);
	}
	if (close && link->state == LINK_UP && !pending(link) && !ring_unsent(ring, link->sent) &&
	    link->ended != link->sent + 1) {
		struct wire_out out = frame_room(&link->out);

		ring_end(ring, &out);
		frame_commit(&link->out, &out);
		link->ended = link->sent + 1;
		link_flush(link);
	}
}

void link_run(struct link *link, struct ring *ring, short revents, bool close)
{
	uint64_t now = clock_boot_ns();

	if (link->state == LINK_PAUSED && now >= link->until_ns)
		link_dial(link);
	if (link->state == LINK_DIALLING && (revents & (POLLOUT | POLLERR | POLLHUP)))
		link_greet(link, ring);
	if (link->state >= LINK_GREETING && (revents & (POLLIN | POLLERR | POLLHUP)))
		link_hear(link, ring);
	if (link->state >= LINK_GREETING && pending(link))
		link_flush(link);
	if (link->state == LINK_UP && ring_state(ring)->acked == link->sent)
		progress(link);          /* nothing was awaited until now: silence begins with what is sent next */
	if (link->state == LINK_UP)
		link_speak(link, ring, close);
	if (link->state != LINK_PAUSED && now >= link->until_ns)
		link_cut(link, false);
}

short link_events(const struct link *link)
{
	switch (link->state) {
	case LINK_PAUSED:
		return 0;
	case LINK_DIALLING:
		return POLLOUT;
	default:
		return (short)(POLLIN | (pending(link) ? POLLOUT : 0));
	}
}

uint64_t link_timer(const struct link *link, const struct ring *ring)
{
	if (link->state == LINK_UP && ring_state(ring)->acked == link->sent && !ring_unsent(ring, link->sent))
		return UINT64_MAX;
	return link->until_ns;
}

bool link_flows(const struct link *link, const struct ring *ring)
{
	return link->state == LINK_UP &&
		(ring_state(ring)->acked == link->sent || clock_boot_ns() < link->heard_ns + PATIENCE_NS);
}

bool link_done(const struct link *link, const struct ring *ring)
{
	return link->end_acked && ring_state(ring)->acked == ring_state(ring)->head_seq;
}
