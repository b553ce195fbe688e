/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "stdin.h"

#define TERMINAL_END 4           /* what a terminal takes for the end of a file */

static void credit(struct stdin_flow *flow, struct ctl *session, uint32_t bytes)
{
	flow->credit += bytes;
	flow->owed = 0;
	ctl_send(session, &(struct wire_control){ .type = WIRE_CREDIT, .number = bytes });
}

void stdin_begin(struct stdin_flow *flow, struct ctl *session, int fd, bool terminal)
{
	flow->fd = fd;
	flow->terminal = terminal;
	credit(flow, session, STDIN_WINDOW);
}

/* What is held and the credit that is out fill the window at most, so there is room. */
static void hold(struct stdin_flow *flow, const void *bytes, size_t len)
{
	if (flow->end + len > sizeof flow->bytes) {
		memmove(flow->bytes, flow->bytes + flow->start, flow->end - flow->start);
		flow->end -= flow->start;
		flow->start = 0;
	}
	memcpy(flow->bytes + flow->end, bytes, len);
	flow->end += len;
}

bool stdin_take(struct stdin_flow *flow, const struct wire_control *frame)
{
	if (flow->ended)
		return false;
	if (frame->type == WIRE_STDIN_END) {
		flow->ended = true;
		if (flow->terminal)
			hold(flow, &(uint8_t){ TERMINAL_END }, 1);
		return true;
	}
	if (frame->bytes.len > flow->credit)
		return false;
	flow->credit -= frame->bytes.len;
	if (flow->fd >= 0)
		hold(flow, frame->bytes.s, frame->bytes.len);
	return true;
}

bool stdin_waits(const struct stdin_flow *flow)
{
	return flow->fd >= 0 && flow->start < flow->end;
}

static void finish(struct stdin_flow *flow)
{
	/* A terminal's description is also what its output is read from. */
	if (!flow->terminal)
		close(flow->fd);
	flow->fd = -1;
}

void stdin_run(struct stdin_flow *flow, struct ctl *session)
{
	while (stdin_waits(flow)) {
		ssize_t n = write(flow->fd, flow->bytes + flow->start, flow->end - flow->start);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* Nobody reads any more: no credit from here on, so that the host stops. */
			finish(flow);
			return;
		}
		flow->start += (size_t)n;
		flow->owed += (uint32_t)n;
	}
	if (flow->fd >= 0 && flow->ended && !stdin_waits(flow))
		finish(flow);
	/* Not for every few bytes of a stream, but at once for a person who types; and only to a host who reads. */
	if (!flow->ended && flow->owed && (!stdin_waits(flow) || flow->owed >= STDIN_WINDOW / 2) &&
	    !frame_pending(&session->out))
		credit(flow, session, flow->owed);
}
