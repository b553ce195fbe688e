/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "ctl.h"

/* One byte more than a frame: whoever executes something ends the last text with a NUL. */
static uint8_t in_storage[WIRE_FRAME_MAX + 1], out_storage[2 * WIRE_FRAME_MAX];

void ctl_init(struct ctl *session, int fd)
{
	*session = (struct ctl){ .fd = fd };
	frame_init(&session->in, in_storage, WIRE_FRAME_MAX);
	frame_init(&session->out, out_storage, sizeof out_storage);
}

void ctl_send(struct ctl *session, const struct wire_control *frame)
{
	struct wire_out out = frame_room(&session->out);

	if (wire_control_encode(&out, frame))
		frame_commit(&session->out, &out);
	/* A cut is noticed by who reads. */
	frame_flush(&session->out, session->fd);
}

_Noreturn void ctl_end(struct ctl *session)
{
	int state = frame_drain(&session->out, session->fd, -1);

	/* Until the host has closed: what we close first can be lost on the way. */
	while (state != FRAME_CUT) {
		struct pollfd polled = { .fd = session->fd, .events = POLLIN };

		frame_init(&session->in, in_storage, WIRE_FRAME_MAX);
		poll(&polled, 1, -1);
		state = frame_fill(&session->in, session->fd);
	}
	_exit(0);
}

static void abandon(struct ctl *session)
{
	if (session->abandon)
		session->abandon();
}

_Noreturn void ctl_refuse(struct ctl *session, uint16_t code, const char *what)
{
	struct wire_out out = frame_room(&session->out);

	abandon(session);
	log_warn("control session: %s: %s", wire_refuse_name(code), what);
	if (wire_refuse_encode(&out, code, what))
		frame_commit(&session->out, &out);
	ctl_end(session);
}

static void decode(struct ctl *session, int got, const struct wire_frame *frame, struct wire_control *message)
{
	const char *wrong = got == FRAME_MALFORMED ? "a frame header with a length or a zero that none has"
		: wire_control_decode(frame, message);

	if (wrong)
		ctl_refuse(session, WIRE_REFUSE_MALFORMED, wrong);
}

void ctl_wait(struct ctl *session, int timeout_ms, struct wire_control *message)
{
	struct wire_frame frame;
	int got = frame_wait(&session->in, session->fd, &frame, timeout_ms);

	if (got != 1 && got != FRAME_MALFORMED)
		_exit(0);
	decode(session, got, &frame, message);
}

void ctl_take(struct ctl *session, ctl_taker *take)
{
	static struct wire_control message;      /* large */
	struct wire_frame frame;
	int got;

	while ((got = frame_next(&session->in, &frame)) != 0) {
		decode(session, got, &frame, &message);
		if (!take(&message))
			ctl_refuse(session, WIRE_REFUSE_ORDER, wire_type_name(message.type));
	}
}

void ctl_hear(struct ctl *session, ctl_taker *take)
{
	int state = frame_fill(&session->in, session->fd);

	ctl_take(session, take);
	if (state != FRAME_CUT)
		return;
	abandon(session);
	_exit(0);
}
