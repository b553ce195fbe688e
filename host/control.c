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

#include "control.h"
#include "daemon.h"
#include "readers.h"
#include "refusal.h"
#include "session.h"

#define GREETING_MS 10000        /* from the dial to WELCOME: a guest may be busy */
#define VMM_LINE_MAX 32              /* of a VMM's "OK n\n" */

struct control {
	LIST_ENTRY(control) of_daemon;   /* daemon->controls */
	struct vm *vm;
	int fd, slot;
	uint32_t verb, uid;              /* what is asked, and by whom */
	bool hybrid;                     /* by way of a VMM's Unix socket */
	/* ASKING: the CONNECT line is sent to a VMM. GREETED: CTL_HELLO is sent. UNASKED: the guest did not wait for it. */
	enum { DIALLING, ASKING, GREETED, UNASKED } state;
	struct timer timer;
	control_done *done;
	void *arg;
	uint8_t in[WIRE_HEADER + 4 + WIRE_TEXT_MAX];     /* the line that answers it, then CTL_WELCOME or REFUSE */
	size_t len;
};

static const char *const verbs[] = { "exec", "signal", "stop", "ping", "feed" };
_Static_assert((1 << (sizeof verbs / sizeof *verbs)) - 1 == WIRE_VERBS_ALL, "verbs");

/* --- ends ------------------------------------------------------------------------------------------------------- */

void control_cancel(struct control *control)
{
	struct loop *loop = &control->vm->daemon->loop;

	timer_stop(loop, &control->timer);
	loop_remove(loop, control->slot);
	LIST_REMOVE(control, of_daemon);
	if (control->fd >= 0)
		close(control->fd);
	free(control);
}

static void finish(struct control *control, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* format NULL: it worked. */
static void finish(struct control *control, const char *format, ...)
{
	char text[WIRE_TEXT_MAX + 200];
	va_list ap;

	if (format) {
		va_start(ap, format);
		vsnprintf(text, sizeof text, format, ap);
		va_end(ap);
	}
	audit_write(&control->vm->daemon->audit, &(struct audit_entry){ .vm = control->vm->name,
		.epoch = control->vm->store.who.boot, .what = verbs[control->verb], .outcome = format ? "failed" : "done",
		.reason = format ? text : NULL, .credentials = -1, .uid = control->uid });
	control->done(control->arg, format ? -1 : control->fd, format ? text : NULL);
	control_cancel(control);
}

static void control_timeout(struct timer *timer)
{
	struct control *control = (struct control *)((char *)timer - offsetof(struct control, timer));

	finish(control, "the guest of %s did not answer within %d s", control->vm->name, GREETING_MS / 1000);
}

void control_cut_all(struct vm *vm)
{
	struct control *control = LIST_FIRST(&vm->daemon->controls), *next;

	for (; control; control = next) {
		next = LIST_NEXT(control, of_daemon);
		if (control->vm == vm)
			finish(control, "%s is not served any more", vm->name);
	}
}

/* --- the dial --------------------------------------------------------------------------------------------------- */

struct control *control_dial(struct vm *vm, const char *verb, uint32_t uid, control_done *done, void *arg,
	struct problem *problem)
{
	struct daemon *daemon = vm->daemon;
	struct control *control;
	uint32_t bit = 0;

	while (bit < sizeof verbs / sizeof *verbs && strcmp(verb, verbs[bit]))
		bit++;
	if (bit == sizeof verbs / sizeof *verbs)
		problem_set(problem, vm->name, 0, 0, "no verb of a control session is called %s", verb);
	else if (vm->store.epoch.state != EPOCH_LIVE)
		problem_set(problem, vm->name, 0, 0, "is not running");
	else if (!vm->store.epoch.has_token)
		problem_set(problem, vm->name, 0, 0, "its guest has not come back since hawserd was started");
	else if (!(control = calloc(1, sizeof *control)))
		problem_set(problem, vm->name, 0, 0, "%s", strerror(ENOMEM));
	else {
		*control = (struct control){ .vm = vm, .verb = bit, .uid = uid, .hybrid = !vm->over_vsock, .done = done, .arg = arg,
			.timer.fire = control_timeout };
		control->fd = readers_dial(vm, vm->over_vsock, daemon->config.port + WIRE_PORT_CONTROL);
		LIST_INSERT_HEAD(&daemon->controls, control, of_daemon);
		control->slot = control->fd < 0 ? 0 : loop_add(&daemon->loop, control->fd, EPOLLOUT, LOOP_CONTROL, control);
		if (control->fd >= 0 && control->slot > 0) {
			timer_set(&daemon->loop, &control->timer, GREETING_MS * LOOP_MS);
			return control;
		}
		problem_set(problem, vm->base ? vm->base : vm->name, 0, 0, "cannot be dialled: %s",
			strerror(-(control->fd < 0 ? control->fd : control->slot)));
		control_cancel(control);
	}
	return NULL;
}

/* --- the greeting ----------------------------------------------------------------------------------------------- */

static void send_all(struct control *control, const void *bytes, size_t len, int next)
{
	struct vm *vm = control->vm;
	ssize_t sent = send(control->fd, bytes, len, MSG_NOSIGNAL);

	/* A guest that has hung up may have said why. */
	if (sent != (ssize_t)len && !(next == GREETED && sent < 0 && errno == EPIPE)) {
		finish(control, "the guest of %s cannot be dialled: %s", vm->name, strerror(errno));
		return;
	}
	control->state = next;
	loop_events(&vm->daemon->loop, control->slot, EPOLLIN);
}

static void greet(struct control *control)
{
	struct wire_control hello = { .type = WIRE_CTL_HELLO, .hello.version = WIRE_VERSION };
	uint8_t bytes[WIRE_HEADER + 24];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };

	memcpy(hello.hello.token, control->vm->store.epoch.token, sizeof hello.hello.token);
	wire_control_encode(&out, &hello);
	send_all(control, bytes, out.len, GREETED);
	explicit_bzero(bytes, sizeof bytes);
	explicit_bzero(&hello, sizeof hello);
}

static void connected(struct control *control)
{
	char line[VMM_LINE_MAX];
	int error = 0;
	socklen_t size = sizeof error;

	getsockopt(control->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error)
		finish(control, "the guest of %s cannot be dialled: %s", control->vm->name, strerror(error));
	else if (control->hybrid)
		send_all(control, line, (size_t)snprintf(line, sizeof line, "CONNECT %u\n",
			control->vm->daemon->config.port + WIRE_PORT_CONTROL), ASKING);
	else
		greet(control);
}

static void welcome(struct control *control, const struct wire_frame *frame)
{
	struct vm *vm = control->vm;
	struct wire_control message;
	char text[WIRE_TEXT_MAX + 64];

	if (frame->type == WIRE_REFUSE) {
		refusal_text(text, sizeof text, frame);
		finish(control, "the guest of %s refuses: %s", vm->name, text);
	} else if (wire_control_decode(frame, &message) || message.type != WIRE_CTL_WELCOME ||
		message.welcome.version != WIRE_VERSION)
		finish(control, "the guest of %s answers with what is no CTL_WELCOME of version 1", vm->name);
	else if (!(message.welcome.verbs & 1u << control->verb))
		finish(control, "%s does not allow %s: add it to hawser.control in its vm.json; that counts from the "
			"machine's next boot", vm->name, verbs[control->verb]);
	else {
		vm_audit(vm, "control", "%s", verbs[control->verb]);
		finish(control, NULL);
	}
}

static void frame_take(struct control *control)
{
	struct wire_frame frame;
	int size = wire_split(control->in, control->len, &frame);

	/* The guest says nothing more before it is asked, and before it is greeted nothing but that it will not be. */
	if (size < 0 || (size && control->len > (size_t)size) || (!size && control->len == sizeof control->in) ||
	    (size && control->state == UNASKED && frame.type != WIRE_REFUSE))
		finish(control, "the guest of %s answers with nonsense", control->vm->name);
	else if (size > 0)
		welcome(control, &frame);
}

/* A VMM's "OK n\n", behind which a guest that has no room may have said so. */
static void line_take(struct control *control)
{
	const uint8_t *newline = memchr(control->in, '\n', control->len);
	bool right = memcmp(control->in, "OK ", control->len < 3 ? control->len : 3) == 0;
	size_t line = newline ? (size_t)(newline + 1 - control->in) : control->len;

	if (!right || line > VMM_LINE_MAX) {
		finish(control, "the VMM of %s answers CONNECT with nonsense", control->vm->name);
	} else if (newline && line == control->len) {
		control->len = 0;
		greet(control);
	} else if (newline) {
		control->len -= line;
		memmove(control->in, control->in + line, control->len);
		control->state = UNASKED;
		frame_take(control);
	}
}

static void control_read(struct control *control)
{
	ssize_t n = recv(control->fd, control->in + control->len, sizeof control->in - control->len, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(control, "nobody listens in the guest of %s: hawser.control in its vm.json allowed nothing when it "
			"booted, or it is going down", control->vm->name);
		return;
	}
	control->len += (size_t)n;
	if (control->state == ASKING)
		line_take(control);
	else
		frame_take(control);
}

void control_event(struct control *control, uint32_t events)
{
	(void)events;
	if (control->state == DIALLING)
		connected(control);
	else
		control_read(control);
}
