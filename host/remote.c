/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../vsock/ready.h"
#include "client.h"
#include "refusal.h"
#include "remote.h"

#define DIAL_MS 20000            /* hawserd itself gives up before */

void remote_init(struct remote *remote, int fd)
{
	remote->fd = fd;
	frame_init(&remote->in, remote->in_bytes, sizeof remote->in_bytes);
	frame_init(&remote->out, remote->out_bytes, sizeof remote->out_bytes);
}

bool remote_open(struct remote *remote, const char *runtime, const char *vm, const char *verb)
{
	struct client client;
	struct problem problem;

	remote_init(remote, -1);
	if (!client_open(&client, runtime))
		return false;
	if (client_answer_wait(&client, client_control_ask(&client, vm, verb), DIAL_MS, &problem) < 0)
		fprintf(stderr, "hawser %s: %s\n", verb, problem.text);
	else if (client.passed < 0)
		fprintf(stderr, "hawser %s: hawserd passed no connection\n", verb);
	else {
		remote->fd = client.passed;
		client.passed = -1;
	}
	client_close(&client);
	return remote->fd >= 0;
}

void remote_close(struct remote *remote)
{
	/* vhost-device-vsock does not tell its guest of an end with bytes that nobody has read. */
	if (remote->fd >= 0) {
		while (recv(remote->fd, remote->in_bytes, sizeof remote->in_bytes, MSG_DONTWAIT) > 0)
			;
		close(remote->fd);
	}
	remote->fd = -1;
}

void remote_put(struct remote *remote, const struct wire_control *frame)
{
	struct wire_out out = frame_room(&remote->out);

	if (wire_control_encode(&out, frame))
		frame_commit(&remote->out, &out);
}

/* Straight into a frame. */
bool remote_put_input(struct remote *remote, uint32_t *credit, struct wire_text *taken)
{
	struct wire_out out = frame_room(&remote->out);
	size_t size = *credit < WIRE_PAYLOAD_MAX ? *credit : WIRE_PAYLOAD_MAX;
	ssize_t n;

	wire_begin(&out, WIRE_STDIN);
	n = read(STDIN_FILENO, out.buf + out.len, size);
	if (taken)
		*taken = (struct wire_text){ (char *)out.buf + out.len, n < 0 ? 0 : (uint32_t)n };
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		remote_put(remote, &(struct wire_control){ .type = WIRE_STDIN_END });
		return false;
	}
	out.len += (size_t)n;
	wire_end(&out);
	frame_commit(&remote->out, &out);
	*credit -= (uint32_t)n;
	return true;
}

int remote_next(struct remote *remote, struct wire_control *message, struct problem *problem)
{
	char why[sizeof problem->text - 32];
	struct wire_frame frame;
	int got = frame_next(&remote->in, &frame);
	const char *wrong;

	if (got == 0)
		return 0;
	if (got < 0) {
		snprintf(problem->text, sizeof problem->text, "the guest sends what is no frame");
		return -1;
	}
	if (frame.type == WIRE_REFUSE) {
		refusal_text(why, sizeof why, &frame);
		snprintf(problem->text, sizeof problem->text, "the guest refuses: %s", why);
		return -1;
	}
	wrong = wire_control_decode(&frame, message);
	if (wrong)
		snprintf(problem->text, sizeof problem->text, "the guest sends %s: %s", wire_type_name(frame.type), wrong);
	return wrong ? -1 : 1;
}

static int answer_wait(struct remote *remote, struct wire_control *answer, struct problem *problem)
{
	uint64_t deadline = ready_deadline(REMOTE_ANSWER_MS);
	int got, state = frame_drain(&remote->out, remote->fd, REMOTE_ANSWER_MS);

	while (state == FRAME_OK && (got = remote_next(remote, answer, problem)) == 0) {
		if (ready_wait(remote->fd, POLLIN, deadline) == 1)
			state = frame_fill(&remote->in, remote->fd);
		else
			state = -ETIMEDOUT;
	}
	if (state == FRAME_OK)
		return got;
	snprintf(problem->text, sizeof problem->text, "%s", state == -ETIMEDOUT ? "the guest does not answer"
		: "the guest is gone");
	return -1;
}

bool remote_ask(struct remote *remote, const char *name, const struct wire_control *verb, uint16_t type,
	struct wire_control *answer)
{
	struct problem problem;

	remote_put(remote, verb);
	if (answer_wait(remote, answer, &problem) == 1) {
		if (answer->type == type)
			return true;
		snprintf(problem.text, sizeof problem.text, "the guest answers with %s", wire_type_name(answer->type));
	}
	fprintf(stderr, "hawser %s: %s\n", name, problem.text);
	return false;
}
