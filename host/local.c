/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/log.h"
#include "channel.h"
#include "control.h"
#include "json.h"
#include "local_inside.h"
#include "logs.h"
#include "tail.h"

#define REQUEST_MAX (512 << 10)  /* a workload's arguments may be long */
#define READ_MIN 1024
#define FOLLOWER_MAX (1 << 20)   /* bytes that wait for a follower, before he is cut off */
#define CHUNKS_A_ROUND 4         /* of stored lines, before others have their turn */
#define OWNER_HIGH (1 << 20)     /* bytes that wait for an owner, before his guest has to wait */
#define OWNER_LOW (256 << 10)

/* --- ends ------------------------------------------------------------------------------------------------------- */

static void unfollow(struct local *local)
{
	struct vm *vm = local->follows;

	if (!vm)
		return;
	LIST_REMOVE(local, of_vm);
	tail_close(local->tail);
	local->tail = NULL;
	local->follows = NULL;
	local->daemon->followers--;
	vm->store.watched = !LIST_EMPTY(&vm->followers);
}

static void local_destroy(struct local *local)
{
	struct vm *owned = local->owns;

	unfollow(local);
	local->owns = NULL;
	if (local->control)
		control_cancel(local->control);
	timer_stop(&local->daemon->loop, &local->timer);
	loop_remove(&local->daemon->loop, local->slot);
	LIST_REMOVE(local, of_daemon);
	close(local->fd);
	if (local->passed >= 0)
		close(local->passed);
	bytes_free(&local->in);
	bytes_free(&local->out);
	free(local);
	if (owned)
		vm_destroy(owned, true);
}

static void local_end(struct timer *timer)
{
	local_destroy((struct local *)((char *)timer - offsetof(struct local, timer)));
}

void local_end_soon(struct local *local)
{
	unfollow(local);
	if (!local->timer.place)
		timer_set(&local->daemon->loop, &local->timer, 0);
}

void local_vm_gone(struct vm *vm)
{
	struct local *local;

	while ((local = LIST_FIRST(&vm->followers))) {
		if (local->owns == vm)
			local->owns = NULL;
		local_end_soon(local);
	}
}

/* --- what goes out ---------------------------------------------------------------------------------------------- */

static bool crowded(const struct local *local)
{
	return bytes_len(&local->out) > FOLLOWER_MAX;
}

static bool waits(const struct local *local)
{
	return local->attaching || local->tail || crowded(local);
}

void local_pace(struct local *local)
{
	size_t waiting = bytes_len(&local->out);
	struct vm *vm = local->owns;

	/* Who does not read answers does not get more of them, and one at a time. */
	loop_events(&local->daemon->loop, local->slot, (waits(local) ? 0 : EPOLLIN) | (waiting || local->tail ? EPOLLOUT : 0));
	if (!vm || local->follows != vm)
		return;
	if (!vm->paused && waiting > OWNER_HIGH)
		vm->paused = true;
	else if (vm->paused && waiting < OWNER_LOW)
		vm->paused = false;
	else
		return;
	logs_pace(vm->logs);
}

/* False: the other side is gone. */
static bool flush(struct local *local)
{
	struct bytes *out = &local->out;

	while (bytes_len(out)) {
		ssize_t n = send(local->fd, out->p + out->start, bytes_len(out), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0)
			return false;
		bytes_take(out, (size_t)n);
	}
	/* A burst's memory is given back. */
	if (out->size > FOLLOWER_MAX)
		bytes_free(out);
	return true;
}

bool local_say(struct local *local, const char *bytes, size_t len)
{
	if (!bytes_len(&local->out)) {
		ssize_t n = send(local->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return !len || bytes_put(&local->out, bytes, len);
}

static bool too_far_behind(const struct local *local, size_t more)
{
	return bytes_len(&local->out) + more > FOLLOWER_MAX;
}

static void show(struct local *local, const char *lines, size_t len)
{
	bool owner = local->owns && local->owns == local->follows;

	if (!owner && too_far_behind(local, len) && !flush(local)) {
		local_end_soon(local);
		return;
	}
	if (!owner && too_far_behind(local, len)) {
		local->daemon->counters.followers_dropped++;
		log_warn("%s: a follower does not keep up and is cut off", local->follows->name);
		local_end_soon(local);
		return;
	}
	if (local_say(local, lines, len))
		local_pace(local);
	else
		local_end_soon(local);
}

void local_show(struct store *store, const char *lines, size_t len)
{
	struct vm *vm = (struct vm *)((char *)store - offsetof(struct vm, store));
	struct local *local = LIST_FIRST(&vm->followers), *next;

	for (; local; local = next) {
		next = LIST_NEXT(local, of_vm);
		if (!local->tail)        /* he finds them in the file */
			show(local, lines, len);
	}
}

bool local_answer(struct local *local, const char *key, const char *format, ...)
{
	char line[2048], text[700];
	struct json_out out = { .buf = line, .size = sizeof line };
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	json_line_begin(&out);
	if (strcmp(key, "error"))
		json_put_bool(&out, "ok", true);
	json_put_string(&out, key, text);
	return json_line_end(&out) && local_say(local, out.buf, out.len);
}

/* --- what comes in ---------------------------------------------------------------------------------------------- */

static bool take_lines(struct local *local)
{
	struct bytes *in = &local->in;
	const char *newline;
	bool ok = true;

	while (ok && !waits(local) && bytes_len(in) && (newline = memchr(in->p + in->start, '\n', bytes_len(in)))) {
		const char *line = in->p + in->start;
		size_t len = (size_t)(newline - line);

		bytes_take(in, len + 1);         /* it is there until we read again */
		ok = local_take_line(local, line, len);
	}
	return ok;
}

void local_attached(struct vm *vm)
{
	struct local *local;

	LIST_FOREACH(local, &vm->daemon->locals, of_daemon)
		if (local->owns == vm && local->attaching)
			break;
	if (!local)
		return;
	if (!local_attach_answer(local, vm) || !take_lines(local))
		local_end_soon(local);
	else
		local_pace(local);
	if (local->owns != vm)
		vm_destroy(vm, true);
}

/* False: the connection is at its end. */
static bool local_read(struct local *local)
{
	struct bytes *in = &local->in;
	int fds[CHANNEL_FDS];
	ssize_t n;

	if (bytes_len(in) >= REQUEST_MAX) {
		local_answer(local, "error", "a request of more than %d bytes", REQUEST_MAX);
		return false;
	}
	if (!bytes_room(in, READ_MIN))
		return false;
	n = channel_receive(local->fd, in->p + in->end, in->size - in->end, fds, false);
	if (n < 0)
		return n == -EAGAIN;
	if (fds[0] >= 0) {
		if (local->passed >= 0)
			close(local->passed);
		local->passed = fds[0];
		fds[0] = -1;
	}
	channel_drop(fds);
	if (!n)
		return false;
	in->end += (size_t)n;
	return take_lines(local);
}

/* Some of the stored lines. False: the connection is at its end. */
static bool pump(struct local *local)
{
	size_t len = 1;

	for (int i = 0; i < CHUNKS_A_ROUND && local->tail && !bytes_len(&local->out); i++) {
		const char *lines = tail_next(local->tail, &len);

		if (len && !local_say(local, lines, len))
			return false;
		if (len)
			continue;
		tail_close(local->tail);
		local->tail = NULL;
	}
	return len || take_lines(local);
}

void local_event(struct local *local, uint32_t events)
{
	bool ok = true;

	if (events & EPOLLOUT)
		ok = flush(local) && pump(local) && take_lines(local);
	if (ok && waits(local))
		ok = !(events & (EPOLLHUP | EPOLLERR));
	else if (ok && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		ok = local_read(local);
	if (ok)
		local_pace(local);
	else
		local_destroy(local);
}

static void accept_one(struct daemon *daemon, int fd, const struct address_peer *peer)
{
	struct local *local;

	/* The file's mode says the same; this holds also where somebody changed that. */
	if (peer->uid != 0 && peer->uid != daemon->owner) {
		close(fd);
		return;
	}
	local = calloc(1, sizeof *local);
	if (!local) {
		close(fd);
		return;
	}
	*local = (struct local){ .daemon = daemon, .fd = fd, .uid = peer->uid, .passed = -1, .timer.fire = local_end };
	LIST_INSERT_HEAD(&daemon->locals, local, of_daemon);
	local->slot = loop_add(&daemon->loop, fd, EPOLLIN, LOOP_LOCAL, local);
	if (local->slot < 0)
		local_destroy(local);
}

void local_listener_event(struct daemon *daemon)
{
	struct address_peer peer;
	int fd;

	while ((fd = address_accept(daemon->control, &peer)) >= 0)
		accept_one(daemon, fd, &peer);
	/* No descriptors: tools are served before guests, out of the spare one. */
	if ((fd == -EMFILE || fd == -ENFILE) && daemon->spare_fd >= 0) {
		close(daemon->spare_fd);
		fd = address_accept(daemon->control, &peer);
		if (fd >= 0)
			accept_one(daemon, fd, &peer);
		daemon->spare_fd = listener_spare(daemon);
	}
}

int local_init(struct daemon *daemon)
{
	daemon->control_slot = loop_add(&daemon->loop, daemon->control, 0, LOOP_LOCAL_LISTENER, daemon);
	return daemon->control_slot < 0 ? daemon->control_slot : 0;
}

void local_resume(struct daemon *daemon)
{
	loop_events(&daemon->loop, daemon->control_slot, EPOLLIN);
}

void local_finish(struct daemon *daemon)
{
	while (!LIST_EMPTY(&daemon->locals))
		local_destroy(LIST_FIRST(&daemon->locals));
}
