/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "account.h"
#include "client.h"

struct count {
	uint64_t records, bytes, refusals;
};

#define NUMBER(member) { #member, JSON_KIND_U64, offsetof(struct count, member), .max = INT64_MAX }

static const struct json_field count_fields[] = { NUMBER(records), NUMBER(bytes), { NULL } };
static const struct json_field refusals_field = NUMBER(refusals);

/* One that is not there is zero. */
static int count_read(const struct json_value *object, const char *key, struct count *count, struct problem *problem)
{
	struct json_value member;
	*count = (struct count){ 0 };
	return json_member(object, key, &member) && json_is_map(&member) ?
		client_fields_read(&member, count_fields, count, problem) : 0;
}

/* What is missing: of that which had a number, and of that which never got one. */
static int losses_show(const struct json_value *stream, const char *key, struct outqueue *out, struct problem *problem)
{
	struct json_value losses, loss = { 0 };
	if (!json_member(stream, key, &losses) || !json_is_map(&losses))
		return 0;
	while (json_next(&losses, &loss)) {
		struct count count = { 0 };
		if (!json_is_map(&loss) || client_fields_read(&loss, count_fields, &count, problem) < 0)
			return -1;
		outqueue_printf(out, "  %s %llu (%llu bytes)", loss.key, (unsigned long long)count.records,
			(unsigned long long)count.bytes);
	}
	return 0;
}

static int stream_show(const struct json_value *stream, struct outqueue *out, struct problem *problem)
{
	static const char *const columns[] = { "produced", "stored", "replayed", "duplicates" };
	outqueue_printf(out, "  %-8s", stream->key);
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
		struct count count;
		if (count_read(stream, columns[i], &count, problem) < 0)
			return -1;
		outqueue_printf(out, i < 2 ? " %11llu %14llu" : " %11llu", (unsigned long long)count.records,
			(unsigned long long)count.bytes);
	}
	if (losses_show(stream, "lost", out, problem) < 0 || losses_show(stream, "gaps", out, problem) < 0)
		return -1;
	outqueue_printf(out, "\n");
	return 0;
}

int account_show(const struct json_value *machine, const char *key, const char *heading, struct outqueue *out,
	struct problem *problem)
{
	struct json_value streams, stream = { 0 };
	if (!json_member(machine, key, &streams) || !json_is_map(&streams))
		return 0;
	outqueue_printf(out, "%s\n  %-8s %11s %14s %11s %14s %11s %11s  %s\n", heading, "STREAM", "PRODUCED", "BYTES",
		"STORED", "BYTES", "REPLAYED", "DUPLICATES", "LOST, BY REASON");
	while (json_next(&streams, &stream))
		if (!json_is_map(&stream) || stream_show(&stream, out, problem) < 0)
			return -1;
	return 0;
}

int account_show_refusals(const struct json_value *machine, struct outqueue *out, struct problem *problem)
{
	struct json_value refused, reason = { 0 };
	const char *before = "Refused:";
	if (!json_member(machine, "refusedBy", &refused) || !json_is_map(&refused))
		return 0;
	for (; json_next(&refused, &reason); before = ",") {
		struct count count = { 0 };
		if (json_field(&reason, &refusals_field, &count, problem) < 0)
			return -1;
		outqueue_printf(out, "%s %s %llu", before, reason.key, (unsigned long long)count.refusals);
	}
	if (*before == ',')
		outqueue_printf(out, "\n");
	return 0;
}
