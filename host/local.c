/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/log.h"
#include "channel.h"
#include "control.h"
#include "daemon.h"
#include "json.h"
#include "local.h"
#include "logs.h"
#include "status.h"
#include "tail.h"

#define REQUEST_MAX (512 << 10)  /* a workload's arguments may be long */
#define FOLLOWER_MAX (1 << 20)   /* bytes that wait for a follower, before he is cut off */
#define CHUNKS_A_ROUND 4         /* of stored lines, before others have their turn */
#define OWNER_HIGH (1 << 20)     /* bytes that wait for an owner, before his guest has to wait */
#define OWNER_LOW (256 << 10)

struct local {
	LIST_ENTRY(local) of_daemon;     /* daemon->locals */
	LIST_ENTRY(local) of_vm;         /* vm->followers, while follows is set */
	struct daemon *daemon;
	struct vm *follows, *owns;
	struct control *control;         /* the guest that is being dialled for him, or NULL */
	int fd, slot;
	uint32_t uid;                    /* whose program it is */
	struct timer timer;              /* fires at once: ends what must not be ended from where it was noticed */
	char *in;
	size_t in_len, in_size;
	char *out;                       /* out[out_start, out_end) waits */
	size_t out_start, out_end, out_size;
	struct tail *tail;               /* the stored lines he asked for, at his own pace; then come those that are made */
	int passed;                      /* the descriptor that came last, or -1 */
	bool attaching, follow_it;       /* his machine is not served yet; to be followed then */
};

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
	free(local->in);
	free(local->out);
	free(local);
	if (owned)
		vm_destroy(owned, true);
}

static void local_end(struct timer *timer)
{
	local_destroy((struct local *)((char *)timer - offsetof(struct local, timer)));
}

/* For callers that are in the middle of something with the machine. */
static void end_soon(struct local *local)
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
		end_soon(local);
	}
}

/* --- what goes out ---------------------------------------------------------------------------------------------- */

static bool crowded(const struct local *local)
{
	return local->out_end - local->out_start > FOLLOWER_MAX;
}

static bool waits(const struct local *local)
{
	return local->attaching || local->tail || crowded(local);
}

static void pace(struct local *local)
{
	size_t waiting = local->out_end - local->out_start;
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
	while (local->out_start < local->out_end) {
		ssize_t n = send(local->fd, local->out + local->out_start, local->out_end - local->out_start,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0)
			return false;
		local->out_start += (size_t)n;
	}
	local->out_start = local->out_end = 0;
	/* A burst's memory is given back. */
	if (local->out_size > FOLLOWER_MAX) {
		free(local->out);
		local->out = NULL;
		local->out_size = 0;
	}
	return true;
}

static bool queue(struct local *local, const char *bytes, size_t len)
{
	size_t waiting = local->out_end - local->out_start, size = local->out_size ? local->out_size : 4096;
	char *grown;

	if (local->out_start) {
		memmove(local->out, local->out + local->out_start, waiting);
		local->out_start = 0;
		local->out_end = waiting;
	}
	while (size < waiting + len)
		size *= 2;
	if (size != local->out_size) {
		grown = realloc(local->out, size);
		if (!grown)
			return false;
		local->out = grown;
		local->out_size = size;
	}
	memcpy(local->out + waiting, bytes, len);
	local->out_end += len;
	return true;
}

/* As much as the socket takes goes there straight away, without being copied. False: gone, or no memory. */
static bool say(struct local *local, const char *bytes, size_t len)
{
	if (local->out_start == local->out_end) {
		ssize_t n = send(local->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return !len || queue(local, bytes, len);
}

static bool too_far_behind(const struct local *local, size_t more)
{
	return local->out_end - local->out_start + more > FOLLOWER_MAX;
}

static void show(struct local *local, const char *lines, size_t len)
{
	bool owner = local->owns && local->owns == local->follows;

	if (!owner && too_far_behind(local, len) && !flush(local)) {
		end_soon(local);
		return;
	}
	if (!owner && too_far_behind(local, len)) {
		local->daemon->counters.followers_dropped++;
		log_warn("%s: a follower does not keep up and is cut off", local->follows->name);
		end_soon(local);
		return;
	}
	if (say(local, lines, len))
		pace(local);
	else
		end_soon(local);
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

static bool answer(struct local *local, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool answer(struct local *local, const char *key, const char *format, ...)
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
	return json_line_end(&out) && say(local, out.buf, out.len);
}

/* --- requests: true, or the connection is at its end ------------------------------------------------------------ */

struct request {
	char *op, *dir, *name, *socket, *vm, *verb, **args;
	size_t n_args;
	uint32_t cid, tail;
	uint64_t since;
	bool follow, ephemeral, feed;
};

static const char *absolute(const char *text)
{
	return *text == '/' ? NULL : "must be an absolute path";
}

#define AT(member) offsetof(struct request, member)

static const struct json_field attach_fields[] = {
	{ "op", JSON_KIND_STRING, AT(op) },
	{ "dir", JSON_KIND_STRING, AT(dir), .required = true, .check = absolute },
	{ "name", JSON_KIND_STRING, AT(name), .min = 1, .max = VMCONFIG_NAME_MAX },
	{ "socket", JSON_KIND_STRING, AT(socket), .check = absolute },
	{ "cid", JSON_KIND_U32, AT(cid), .min = ADDRESS_CID_GUEST, .max = ADDRESS_CID_ANY - 1 },
	{ "args", JSON_KIND_STRINGS, AT(args), .count = AT(n_args) },
	{ "follow", JSON_KIND_BOOL, AT(follow) },
	{ "ephemeral", JSON_KIND_BOOL, AT(ephemeral) },
	{ "feed", JSON_KIND_BOOL, AT(feed) },
	{ NULL },
};

static const struct json_field follow_fields[] = {
	{ "op", JSON_KIND_STRING, AT(op) },
	{ "vm", JSON_KIND_STRING, AT(vm), .required = true },
	{ "tail", JSON_KIND_U32, AT(tail), .max = TAIL_ALL },
	{ "since", JSON_KIND_U64, AT(since), .max = 1ull << 40 },
	{ NULL },
};

static const struct json_field access_fields[] = {
	{ "op", JSON_KIND_STRING, AT(op) },
	{ "vm", JSON_KIND_STRING, AT(vm), .required = true },
	{ NULL },
};

static const struct json_field control_fields[] = {
	{ "op", JSON_KIND_STRING, AT(op) },
	{ "vm", JSON_KIND_STRING, AT(vm), .required = true },
	{ "verb", JSON_KIND_STRING, AT(verb), .required = true },
	{ NULL },
};

static const struct json_field button_fields[] = {
	{ "op", JSON_KIND_STRING, AT(op) },
	{ NULL },
};

static const struct json_field status_fields[] = {
	{ "op", JSON_KIND_STRING, AT(op) },
	{ NULL },
};

static bool start_following(struct local *local, struct vm *vm)
{
	if (local->daemon->followers >= local->daemon->config.followers_max)
		return false;
	local->daemon->followers++;
	local->follows = vm;
	LIST_INSERT_HEAD(&vm->followers, local, of_vm);
	vm->store.watched = true;
	return true;
}

/* The arguments as a file, which the reader takes them from. -1: no memory. */
static int args_file(const struct request *request)
{
	int fd = memfd_create("args", MFD_CLOEXEC);
	bool ok = fd >= 0;

	for (size_t i = 0; ok && i < request->n_args; i++)
		ok = write(fd, request->args[i], strlen(request->args[i]) + 1) == (ssize_t)strlen(request->args[i]) + 1;
	if (ok || fd < 0)
		return fd;
	close(fd);
	return -1;
}

static struct vm_attach *attach_make(struct request *request)
{
	struct vm_attach *attach = calloc(1, sizeof *attach);
	int args = attach && request->n_args ? args_file(request) : -1;

	if (!attach || (request->n_args && args < 0)) {
		free(attach);
		return NULL;
	}
	*attach = (struct vm_attach){ .dir = request->dir, .socket = request->socket, .cid = request->cid,
		.args = args, .ephemeral = request->ephemeral, .feed = request->feed };
	request->dir = request->socket = NULL;
	return attach;
}

/* Answered when the reader of the directory has been heard of: local_attached. */
static bool op_attach(struct local *local, struct request *request)
{
	char name[VMCONFIG_NAME_MAX + 1];
	struct vm_attach *attach;
	struct problem problem;
	size_t len = strlen(request->dir);
	int dir = local->passed;

	if (local->owns || local->follows)
		return answer(local, "error", "this connection has attached or follows a machine already");
	if (dir < 0)
		return answer(local, "error", "%s: its descriptor must come with the request: hawserd opens no directory",
			request->dir);
	while (len > 1 && request->dir[len - 1] == '/')
		request->dir[--len] = 0;
	snprintf(name, sizeof name, "%s", request->name ? request->name : strrchr(request->dir, '/') + 1);
	attach = attach_make(request);
	if (!attach)
		return false;
	local->passed = -1;
	local->owns = readers_attach(local->daemon, name, dir, attach, &problem);
	if (!local->owns)
		return answer(local, "error", "%s", problem.text);
	local->attaching = true;
	local->follow_it = request->follow;
	return true;
}

/* False: the connection is at its end. */
static bool attached(struct local *local, struct vm *vm)
{
	bool served = vm->valid && (vm->base || (vm->cid && local->daemon->config.vsock)) && !vm->store.error;

	local->attaching = false;
	if (!served) {
		local->owns = NULL;
		return answer(local, "error", "%s", vm->problem ? vm->problem : vm->store.error ? "its log cannot be written"
			: "the directory has no vm.json");
	}
	log_info("%s: attached, from %s", vm->name, vm->dir);
	/* Before the first line of its log can come. */
	if (!answer(local, "vm", "%s", vm->name))
		return false;
	if (local->follow_it && !start_following(local, vm))
		return answer(local, "error", "too many followers");
	return true;
}

static bool op_follow(struct local *local, struct request *request)
{
	struct vm *vm = vms_find(local->daemon, request->vm);

	if (local->follows)
		return answer(local, "error", "this connection follows a machine already");
	if (!vm || !vm->served)
		return answer(local, "error", "no machine named %s is served", request->vm);
	if (!start_following(local, vm))
		return answer(local, "error", "too many followers");
	if (request->tail)
		local->tail = tail_open(&vm->store, request->tail, request->since);
	return answer(local, "vm", "%s", vm->name);
}

/* Whether or not it is served now: a machine whose vm.json is gone may have it again. */
static bool op_access(struct local *local, struct request *request)
{
	bool revoke = !strcmp(request->op, "revoke");
	struct vm *vm = vms_find(local->daemon, request->vm);
	int r = !vm ? -ENOENT : revoke ? vm_revoke(vm) : vm_rearm(vm);
	struct audit_entry entry = { .vm = request->vm, .epoch = vm ? vm->store.who.boot : NULL, .what = request->op,
		.outcome = r ? "failed" : "done", .reason = r ? strerror(-r) : NULL, .credentials = -1, .uid = local->uid };

	if (vm || vmconfig_name_ok(request->vm))
		audit_write(&local->daemon->audit, &entry);
	if (!vm)
		return answer(local, "error", "no machine named %s is known", request->vm);
	if (r)
		return answer(local, "error", "%s: %s", vm->name, strerror(-r));
	vm_audit(vm, revoke ? "revoked" : "rearmed", "by user %u of the host", local->uid);
	return answer(local, "vm", "%s", vm->name);
}

/* The answer and the connection in one message, or neither. */
static bool hand_over(struct local *local, int fd)
{
	static const char line[] = "{\"ok\":true}\n";

	return local->out_start == local->out_end &&
		channel_send(local->fd, line, sizeof line - 1, &fd, 1, false) == 0;
}

static void control_over(void *arg, int fd, const char *error)
{
	struct local *local = arg;

	local->control = NULL;
	if (error ? answer(local, "error", "%s", error) : hand_over(local, fd))
		pace(local);
	else
		end_soon(local);
}

static bool op_control(struct local *local, struct request *request)
{
	struct vm *vm = vms_find(local->daemon, request->vm);
	struct problem problem;

	if (local->control)
		return answer(local, "error", "this connection waits for a guest already");
	if (!vm || !vm->served)
		return answer(local, "error", "no machine named %s is served", request->vm);
	local->control = control_dial(vm, request->verb, local->uid, control_over, local, &problem);
	return local->control || answer(local, "error", "%s", problem.text);
}

static bool op_button(struct local *local)
{
	if (!local->owns)
		return answer(local, "error", "this connection has attached no machine");
	if (!logs_press(local->owns->logs))
		return answer(local, "error", "its guest cannot be reached");
	vm_audit(local->owns, "button", "its guest is asked to end");
	return answer(local, "vm", "%s", local->owns->name);
}

static bool op_status(struct local *local)
{
	size_t len;
	char *text = status_make(local->daemon, &len);
	bool ok = text && say(local, text, len);

	free(text);
	return ok;
}

static const struct {
	const char *op;
	const struct json_field *fields;
} ops[] = { { "attach", attach_fields }, { "follow", follow_fields }, { "status", status_fields },
	{ "revoke", access_fields }, { "rearm", access_fields }, { "control", control_fields }, { "button", button_fields } };

static bool request_do(struct local *local, struct request *request)
{
	if (!strcmp(request->op, "attach"))
		return op_attach(local, request);
	if (!strcmp(request->op, "follow"))
		return op_follow(local, request);
	if (!strcmp(request->op, "revoke") || !strcmp(request->op, "rearm"))
		return op_access(local, request);
	if (!strcmp(request->op, "control"))
		return op_control(local, request);
	if (!strcmp(request->op, "button"))
		return op_button(local);
	return op_status(local);
}

/* What may be said depends on the op, so that is looked at first. */
static const struct json_field *fields_of(const struct json *json)
{
	struct json_value op;
	const char *text;

	if (!json_member(json_top(json), "op", &op) || !(text = json_text(&op)))
		return NULL;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (!strcmp(text, ops[i].op))
			return ops[i].fields;
	return NULL;
}

static void request_free(struct request *request)
{
	for (size_t i = 0; i < request->n_args; i++)
		free(request->args[i]);
	free(request->args);
	free(request->op);
	free(request->dir);
	free(request->name);
	free(request->socket);
	free(request->vm);
	free(request->verb);
}

static bool take_line(struct local *local, const char *line, size_t len)
{
	struct request request = { 0 };
	struct problem problem;
	struct json *json = json_read(line, len, "request", &problem);
	const struct json_field *fields = json ? fields_of(json) : NULL;
	bool ok;

	if (!json)
		ok = answer(local, "error", "%s", problem.text);
	else if (!fields)
		ok = answer(local, "error", "op must be \"attach\", \"follow\", \"status\", \"revoke\", \"rearm\", \"control\" or "
			"\"button\"");
	else if (json_fields(json_top(json), fields, &request, &problem) < 0)
		ok = answer(local, "error", "%s", problem.text);
	else
		ok = request_do(local, &request);
	json_free(json);
	request_free(&request);
	return ok;
}

/* --- what comes in ---------------------------------------------------------------------------------------------- */

static bool take_lines(struct local *local)
{
	char *p = local->in, *end = local->in + local->in_len, *newline;
	bool ok = true;

	while (ok && !waits(local) && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		ok = take_line(local, p, (size_t)(newline - p));
		p = newline + 1;
	}
	local->in_len = (size_t)(end - p);
	memmove(local->in, p, local->in_len);
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
	if (!attached(local, vm) || !take_lines(local))
		end_soon(local);
	else
		pace(local);
	if (local->owns != vm)
		vm_destroy(vm, true);
}

static bool in_room(struct local *local)
{
	size_t size = local->in_size ? local->in_size * 2 : 4096;
	char *grown;

	if (local->in_len < local->in_size)
		return true;
	if (size > REQUEST_MAX)
		return false;
	grown = realloc(local->in, size);
	if (!grown)
		return false;
	local->in = grown;
	local->in_size = size;
	return true;
}

/* False: the connection is at its end. */
static bool local_read(struct local *local)
{
	int fds[CHANNEL_FDS];
	ssize_t n;

	if (!in_room(local)) {
		answer(local, "error", "a request of more than %d bytes", REQUEST_MAX);
		return false;
	}
	n = channel_receive(local->fd, local->in + local->in_len, local->in_size - local->in_len, fds, false);
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
	local->in_len += (size_t)n;
	return take_lines(local);
}

/* Some of the stored lines. False: the connection is at its end. */
static bool pump(struct local *local)
{
	size_t len = 1;

	for (int i = 0; i < CHUNKS_A_ROUND && local->tail && local->out_start == local->out_end; i++) {
		const char *lines = tail_next(local->tail, &len);

		if (len && !say(local, lines, len))
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
		pace(local);
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
	int slot = loop_add(&daemon->loop, daemon->control, EPOLLIN, LOOP_LOCAL_LISTENER, daemon);

	return slot < 0 ? slot : 0;
}

void local_finish(struct daemon *daemon)
{
	while (!LIST_EMPTY(&daemon->locals))
		local_destroy(LIST_FIRST(&daemon->locals));
}
