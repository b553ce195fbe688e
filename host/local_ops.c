/* SPDX-License-Identifier: MIT */
/* local_ops: the requests of local.h. Each ends with true, or the connection is at its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/log.h"
#include "channel.h"
#include "control.h"
#include "json.h"
#include "local_inside.h"
#include "logs.h"
#include "status.h"
#include "tail.h"

struct request {
	char *op, *dir, *name, *socket, *vm, *verb, **args;
	size_t n_args;
	uint32_t cid, tail;
	uint64_t since;
	bool follow, ephemeral, feed, terminal;
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
	{ "terminal", JSON_KIND_BOOL, AT(terminal) },
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

static const struct json_field no_fields[] = {
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
		.args = args, .ephemeral = request->ephemeral, .feed = request->feed,
		.terminal = request->terminal };
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
		return local_answer(local, "error", "this connection has attached or follows a machine already");
	if (dir < 0)
		return local_answer(local, "error", "%s: its descriptor must come with the request: hawserd opens no directory",
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
		return local_answer(local, "error", "%s", problem.text);
	local->attaching = true;
	local->follow_it = request->follow;
	return true;
}

bool local_attach_answer(struct local *local, struct vm *vm)
{
	bool served = vm->valid && (vm->base || (vm->cid && local->daemon->config.vsock)) && !vm->store.error;

	local->attaching = false;
	if (!served) {
		local->owns = NULL;
		return local_answer(local, "error", "%s", vm->problem ? vm->problem : vm->store.error ? "its log cannot be written"
			: "the directory has no vm.json");
	}
	log_info("%s: attached, from %s", vm->name, vm->dir);
	/* Before the first line of its log can come. */
	if (!local_answer(local, "vm", "%s", vm->name))
		return false;
	if (local->follow_it && !start_following(local, vm))
		return local_answer(local, "error", "too many followers");
	return true;
}

static bool op_follow(struct local *local, struct request *request)
{
	struct vm *vm = vms_find(local->daemon, request->vm);

	if (local->follows)
		return local_answer(local, "error", "this connection follows a machine already");
	if (!vm || !vm->served)
		return local_answer(local, "error", "no machine named %s is served", request->vm);
	if (!start_following(local, vm))
		return local_answer(local, "error", "too many followers");
	if (request->tail)
		local->tail = tail_open(&vm->store, request->tail, request->since);
	return local_answer(local, "vm", "%s", vm->name);
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
		return local_answer(local, "error", "no machine named %s is known", request->vm);
	if (r)
		return local_answer(local, "error", "%s: %s", vm->name, strerror(-r));
	vm_audit(vm, revoke ? "revoked" : "rearmed", "by user %u of the host", local->uid);
	return local_answer(local, "vm", "%s", vm->name);
}

/* The answer and the connection in one message, or neither. */
static bool hand_over(struct local *local, int fd)
{
	static const char line[] = "{\"ok\":true}\n";

	return !bytes_len(&local->out) &&
		channel_send(local->fd, line, sizeof line - 1, &fd, 1, false) == 0;
}

static void control_over(void *arg, int fd, const char *error)
{
	struct local *local = arg;

	local->control = NULL;
	if (error ? local_answer(local, "error", "%s", error) : hand_over(local, fd))
		local_pace(local);
	else
		local_end_soon(local);
}

static bool op_control(struct local *local, struct request *request)
{
	struct vm *vm = vms_find(local->daemon, request->vm);
	struct problem problem;

	if (local->control)
		return local_answer(local, "error", "this connection waits for a guest already");
	if (!vm || !vm->served)
		return local_answer(local, "error", "no machine named %s is served", request->vm);
	local->control = control_dial(vm, request->verb, local->uid, control_over, local, &problem);
	return local->control || local_answer(local, "error", "%s", problem.text);
}

static bool op_button(struct local *local, struct request *request)
{
	(void)request;
	if (!local->owns)
		return local_answer(local, "error", "this connection has attached no machine");
	if (!logs_press(local->owns->logs))
		return local_answer(local, "error", "its guest cannot be reached");
	vm_audit(local->owns, "button", "its guest is asked to end");
	return local_answer(local, "vm", "%s", local->owns->name);
}

static bool op_status(struct local *local, struct request *request)
{
	size_t len;
	char *text = status_make(local->daemon, &len);
	bool ok = text && local_say(local, text, len);

	(void)request;
	free(text);
	return ok;
}

struct op {
	const char *name;
	const struct json_field *fields;
	bool (*run)(struct local *local, struct request *request);
};

static const struct op ops[] = {
	{ "attach", attach_fields, op_attach },
	{ "follow", follow_fields, op_follow },
	{ "status", no_fields, op_status },
	{ "revoke", access_fields, op_access },
	{ "rearm", access_fields, op_access },
	{ "control", control_fields, op_control },
	{ "button", no_fields, op_button },
};

/* What may be said depends on the op, so that is looked at first. */
static const struct op *op_of(const struct json *json)
{
	struct json_value op;
	const char *text;

	if (!json_member(json_top(json), "op", &op) || !(text = json_text(&op)))
		return NULL;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (!strcmp(text, ops[i].name))
			return &ops[i];
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

bool local_take_line(struct local *local, const char *line, size_t len)
{
	struct request request = { 0 };
	struct problem problem;
	struct json *json = json_read(line, len, "request", &problem);
	const struct op *op = json ? op_of(json) : NULL;
	bool ok;

	if (!json)
		ok = local_answer(local, "error", "%s", problem.text);
	else if (!op)
		ok = local_answer(local, "error", "op must be \"attach\", \"follow\", \"status\", \"revoke\", \"rearm\", "
			"\"control\" or \"button\"");
	else if (json_fields(json_top(json), op->fields, &request, &problem) < 0)
		ok = local_answer(local, "error", "%s", problem.text);
	else
		ok = op->run(local, &request);
	json_free(json);
	request_free(&request);
	return ok;
}
