/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <nettle/base64.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"
#include "client.h"

#define READ_MIN (32 << 10)

/* --- the connection --------------------------------------------------------------------------------------------- */

int client_connect(struct client *client, const char *runtime)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t dir_len = strlen(runtime);

	*client = (struct client){ .fd = -1, .passed = -1 };
	if (dir_len + sizeof "/" CLIENT_SOCKET > sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, runtime, dir_len);
	memcpy(address.sun_path + dir_len, "/" CLIENT_SOCKET, sizeof "/" CLIENT_SOCKET);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	client->fd = fd;
	return 0;
}

bool client_open(struct client *client, const char *runtime)
{
	const char *dir = runtime ? runtime : CLIENT_RUNTIME;
	int result = client_connect(client, dir);
	if (result < 0)
		fprintf(stderr, "hawser: no hawserd answers at %s/" CLIENT_SOCKET ": %s; start one%s\n", dir,
			strerror(-result), runtime ? "" : ", or name its runtime directory with --runtime");
	return result == 0;
}

int client_send(struct client *client, const struct json_out *out)
{
	for (size_t sent = 0; sent < out->len;) {
		ssize_t n = send(client->fd, out->buf + sent, out->len - sent, MSG_NOSIGNAL);
		struct pollfd p = { client->fd, POLLOUT, 0 };
		if (n > 0)
			sent += (size_t)n;
		else if (errno == EAGAIN && poll(&p, 1, CLIENT_SEND_MS) == 0)
			return -ETIMEDOUT;
		else if (errno == EAGAIN)
			continue;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int client_send_with(struct client *client, const struct json_out *out, int fd)
{
	const struct json_out rest = { .buf = out->buf + 1, .len = out->len - 1 };
	int r = channel_send(client->fd, out->buf, 1, &fd, 1, true);
	return r < 0 ? r : client_send(client, &rest);
}

int client_fill(struct client *client)
{
	struct bytes *b = &client->bytes;
	if (bytes_len(b) >= CLIENT_LINE_MAX)
		return -EMSGSIZE;
	if (!bytes_room(b, READ_MIN))
		return -ENOMEM;
	int fds[CHANNEL_FDS];
	ssize_t n = channel_receive(client->fd, b->p + b->end, b->size - b->end, fds, false);
	if (n < 0)
		return n == -EAGAIN ? 1 : (int)n;
	/* One at a time is asked for. */
	if (fds[0] >= 0 && client->passed < 0) {
		client->passed = fds[0];
		fds[0] = -1;
	}
	channel_drop(fds);
	b->end += (size_t)n;
	return n > 0;
}

bool client_line(struct client *client, const char **line, size_t *len)
{
	struct bytes *b = &client->bytes;
	const char *from = b->p + b->start;
	const char *newline = bytes_len(b) ? memchr(from, '\n', bytes_len(b)) : NULL;
	if (!newline)
		return false;
	*line = from;
	*len = (size_t)(newline - from);
	bytes_take(b, *len + 1);
	return true;
}

int client_line_wait(struct client *client, int timeout_ms, const char **line, size_t *len)
{
	while (!client_line(client, line, len)) {
		struct pollfd p = { client->fd, POLLIN, 0 };
		int n = poll(&p, 1, timeout_ms);
		if (n == 0)
			return -ETIMEDOUT;
		int result = n < 0 ? errno == EINTR ? 1 : -errno : client_fill(client);
		if (result <= 0)
			return result;
	}
	return 1;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	if (client->passed >= 0)
		close(client->passed);
	bytes_free(&client->bytes);
	*client = (struct client){ .fd = -1, .passed = -1 };
}

int client_control_ask(struct client *client, const char *vm, const char *verb)
{
	char buf[1024];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	json_line_begin(&out);
	json_put_string(&out, "op", "control");
	json_put_string(&out, "vm", vm);
	json_put_string(&out, "verb", verb);
	return json_line_end(&out) ? client_send(client, &out) : -ENAMETOOLONG;
}

static bool status_put(struct json_out *out)
{
	json_line_begin(out);
	json_put_string(out, "op", "status");
	return json_line_end(out);
}

int client_status_ask(struct client *client)
{
	char buf[64];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	return status_put(&out) ? client_send(client, &out) : -ENAMETOOLONG;
}

static int follow_ask(struct client *client, const struct client_follow *follow)
{
	char buf[1024];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	json_line_begin(&out);
	json_put_string(&out, "op", "follow");
	json_put_string(&out, "vm", follow->vm);
	json_put_u64(&out, "tail", follow->tail);
	json_put_u64(&out, "since", follow->since);
	return json_line_end(&out) && (!follow->status || status_put(&out)) ? client_send(client, &out) : -ENAMETOOLONG;
}

int client_answer_wait(struct client *client, int sent, int timeout_ms, struct problem *problem)
{
	const char *line;
	size_t len;
	int result = sent < 0 ? sent : client_line_wait(client, timeout_ms, &line, &len);
	if (result > 0)
		return client_answer_read(line, len, problem) < 0 ? -EPROTO : 0;
	snprintf(problem->text, sizeof problem->text, "hawserd did not answer: %s",
		result ? strerror(-result) : "it hung up");
	return result ? result : -ECONNRESET;
}

int client_follow(struct client *client, const struct client_follow *follow, int timeout_ms, struct problem *problem)
{
	return client_answer_wait(client, follow_ask(client, follow), timeout_ms, problem);
}

/* --- records ---------------------------------------------------------------------------------------------------- */

static const struct json_field record_fields[] = {
	{ "time", JSON_KIND_STRING, offsetof(struct client_record, time) },
	{ "vm", JSON_KIND_STRING, offsetof(struct client_record, vm) },
	{ "boot", JSON_KIND_STRING, offsetof(struct client_record, boot) },
	{ "stream", JSON_KIND_STRING, offsetof(struct client_record, stream) },
	{ "offset", JSON_KIND_U64, offsetof(struct client_record, offset), .max = INT64_MAX },
	{ "ns", JSON_KIND_U64, offsetof(struct client_record, ns), .max = INT64_MAX },
	{ "priority", JSON_KIND_U8, offsetof(struct client_record, priority), .max = 7 },
	{ "partial", JSON_KIND_BOOL, offsetof(struct client_record, partial) },
	{ "event", JSON_KIND_STRING, offsetof(struct client_record, event) },
	/* Whatever they are called, they end in the same place; a record has one of them. */
	{ "message", JSON_KIND_STRING, offsetof(struct client_record, bytes) },
	{ "text", JSON_KIND_STRING, offsetof(struct client_record, bytes) },
	{ "base64", JSON_KIND_STRING, offsetof(struct client_record, bytes) },
	{ NULL },
};

static const struct json_field lost_fields[] = {
	{ "reason", JSON_KIND_STRING, offsetof(struct client_record, lost_reason) },
	{ "records", JSON_KIND_U64, offsetof(struct client_record, lost_records), .max = INT64_MAX },
	{ "bytes", JSON_KIND_U64, offsetof(struct client_record, lost_bytes), .max = INT64_MAX },
	{ NULL },
};

static const struct json_field value_field = { "value", JSON_KIND_U64, offsetof(struct client_record, value),
	.max = INT64_MAX };

static const struct json_field *field_find(const struct json_field fields[], const char *key)
{
	while (fields->key && strcmp(fields->key, key) != 0)
		fields++;
	return fields->key ? fields : NULL;
}

int client_fields_read(const struct json_value *object, const struct json_field fields[], void *into,
	struct problem *problem)
{
	struct json_value member = { 0 };
	while (json_next(object, &member)) {
		const struct json_field *field = field_find(fields, member.key);
		if (field && json_field(&member, field, into, problem) < 0)
			return -1;
	}
	return 0;
}

/* In place: nettle takes the text letter by letter, and what it stands for is shorter. */
static bool base64_decode(char *bytes, size_t *len)
{
	struct base64_decode_ctx context;
	size_t decoded = *len;
	base64_decode_init(&context);
	if (!base64_decode_update(&context, &decoded, (uint8_t *)bytes, *len, bytes) ||
		!base64_decode_final(&context))
		return false;
	*len = decoded;
	bytes[decoded] = '\0';
	return true;
}

/* Those that a table cannot say. */
static int member_read(const struct json_value *member, struct client_record *record, struct problem *problem)
{
	const struct json_field *field = field_find(record_fields, member->key);
	struct problem ignored;

	if (strcmp(member->key, "value") == 0)
		record->value_below_0 = json_field(member, &value_field, record, &ignored) < 0;
	else if (strcmp(member->key, "lost") == 0)
		return client_fields_read(member, lost_fields, record, problem);
	else if (field && json_field(member, field, record, problem) < 0)
		return -1;
	if (strcmp(member->key, "ns") == 0)
		record->has_ns = true;
	if (!field || field->offset != offsetof(struct client_record, bytes))
		return 0;
	record->len = strlen(record->bytes);
	return strcmp(member->key, "base64") == 0 && !base64_decode(record->bytes, &record->len) ?
		json_problem(member, problem, "must be base64") : 0;
}

static int top_read(const struct json_value *top, struct client_record *record, struct problem *problem)
{
	struct json_value member = { 0 };
	while (json_next(top, &member))
		if (member_read(&member, record, problem) < 0)
			return -1;
	return record->stream != NULL;
}

int client_record_read(struct client_record *record, const char *line, size_t len, struct problem *problem)
{
	*record = (struct client_record){ .priority = CLIENT_NO_PRIORITY };
	struct json *json = json_read(line, len, "hawserd", problem);
	int result = json ? top_read(json_top(json), record, problem) : -1;
	json_free(json);
	return result;
}

void client_record_free(struct client_record *record)
{
	free(record->time);
	free(record->vm);
	free(record->boot);
	free(record->stream);
	free(record->event);
	free(record->lost_reason);
	free(record->bytes);
	*record = (struct client_record){ .priority = CLIENT_NO_PRIORITY };
}

int client_answer_read(const char *line, size_t len, struct problem *problem)
{
	struct json *json = json_read(line, len, "hawserd", problem);
	if (!json)
		return -1;
	struct json_value member;
	bool refused = json_member(json_top(json), "error", &member);
	if (refused)
		snprintf(problem->text, sizeof problem->text, "%s",
			json_text(&member) ? json_text(&member) : "refused");
	else if (!json_member(json_top(json), "ok", &member))
		refused = json_problem(json_top(json), problem, "neither \"ok\" nor \"error\" in the answer") < 0;
	json_free(json);
	return refused ? -1 : 0;
}
