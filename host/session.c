/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session.h"

/* What a Unix socket holds at most by default, and then a frame. */
static uint8_t shared[(256 << 10) + WIRE_FRAME_MAX];
static struct frame_buf buffer;

struct frame_buf *intake_fill(struct intake *intake, int fd, int *result)
{
	frame_init(&buffer, shared, sizeof shared);
	if (intake->len)
		memcpy(shared, intake->rest, intake->len);
	buffer.end = intake->len;
	*result = frame_fill(&buffer, fd);
	return &buffer;
}

bool intake_keep(struct intake *intake, const struct frame_buf *b)
{
	size_t len = frame_pending(b);
	uint8_t *rest;

	if (!len) {
		intake_clear(intake);
		return true;
	}
	rest = realloc(intake->rest, len);
	if (!rest)
		return false;
	memcpy(rest, b->buf + b->start, len);
	intake->rest = rest;
	intake->len = (uint32_t)len;
	return true;
}

void intake_clear(struct intake *intake)
{
	free(intake->rest);
	*intake = (struct intake){ 0 };
}

uint32_t intake_announced(const struct frame_buf *b)
{
	struct wire_in in = { .p = b->buf + b->start, .end = b->buf + b->end };

	return frame_pending(b) < WIRE_HEADER ? 0 : wire_get_u32(&in);
}

/*
 * Each connection is paid for with its part of a second; a second's worth may be had in advance. hellos_at is up to
 * when the machine has paid.
 */
static bool rate_allows(struct vm *vm)
{
	uint32_t rate = vm->daemon->config.hello_rate_vm;
	uint64_t now = vm->daemon->loop.now;

	if (!rate)
		return true;
	if (vm->hellos_at < now - LOOP_SECOND)
		vm->hellos_at = now - LOOP_SECOND;
	if (vm->hellos_at + LOOP_SECOND / rate > now)
		return false;
	vm->hellos_at += LOOP_SECOND / rate;
	return true;
}

/* NULL, or why there is no room for one more. */
static const char *no_room(const struct daemon *daemon, struct vm *vm)
{
	const struct daemonconfig *config = &daemon->config;

	if (config->connections_max && daemon->connections >= config->connections_max)
		return "too many connections to this host";
	if (vm && vm->connections >= config->connections_vm_max)
		return "too many connections from this machine";
	return !vm || rate_allows(vm) ? NULL : "too many connections a second from this machine";
}

bool session_begin(struct daemon *daemon, struct vm *vm, int fd)
{
	const char *why = no_room(daemon, vm);

	daemon->counters.accepted++;
	if (why) {
		session_refuse(daemon, fd, WIRE_REFUSE_BUSY, why);
		if (vm)
			vm->turned_away = true;
		close(fd);
		return false;
	}
	daemon->connections++;
	if (vm)
		vm->connections++;
	return true;
}

void session_end(struct daemon *daemon, struct vm *vm, int fd)
{
	daemon->connections--;
	if (vm)
		vm->connections--;
	close(fd);
	if (daemon->starved)
		listener_resume(daemon);
}

void session_refuse(struct daemon *daemon, int fd, enum wire_refuse_code code, const char *text)
{
	uint8_t storage[WIRE_HEADER + 4 + WIRE_TEXT_MAX];
	struct wire_out out = { .buf = storage, .size = sizeof storage };
	ssize_t n;

	daemon->counters.refused[code]++;
	if (!wire_refuse_encode(&out, (uint16_t)code, text))
		return;
	/* One that does not fit says no more than the close that follows. */
	n = send(fd, storage, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n;
}
