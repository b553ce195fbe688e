/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "client.h"
#include "outqueue.h"
#include "show.h"
#include "status_cmd.h"

#define ANSWER_MS 10000

static const char usage[] =
	"usage: hawser status [--json] [--runtime DIR] [VM]\n"
	"\n"
	"Shows which machines a hawserd serves, and how they are; of one machine, the account of its log.\n"
	"\n"
	"  --json           as hawserd says it, one JSON object\n"
	"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 a failure; 2 wrong usage.\n";

struct options {
	const char *runtime, *vm;
	bool json;
};

/* -1: go on; else the exit status. */
static int parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' }, { "runtime", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 'j')
			o->json = true;
		else if (c == 'r')
			o->runtime = optarg;
		else if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs("See hawser status --help\n", stderr);
			return 2;
		}
	}
	o->vm = argv[optind];
	if (!o->vm || optind + 1 == argc)
		return -1;
	fprintf(stderr, "hawser status: %s: nothing is expected here; see hawser status --help\n", argv[optind + 1]);
	return 2;
}

/* --- the answer ------------------------------------------------------------------------------------------------- */

struct machine_status {
	char *name, *dir, *socket, *problem, *state;
	uint32_t cid;
	uint64_t boots, records, stored, lost;   /* records: of the object that is being read */
	bool logging, revoked, spent;
};

#define AT(member) offsetof(struct machine_status, member)
#define NUMBER .max = INT64_MAX

static const struct json_field epoch_fields[] = {
	{ "state", JSON_KIND_STRING, AT(state) },
	{ NULL },
};

static const struct json_field machine_fields[] = {
	{ "vm", JSON_KIND_STRING, AT(name) },
	{ "dir", JSON_KIND_STRING, AT(dir) },
	{ "socket", JSON_KIND_STRING, AT(socket) },
	{ "problem", JSON_KIND_STRING, AT(problem) },
	{ "cid", JSON_KIND_U32, AT(cid), .max = UINT32_MAX },
	{ "boots", JSON_KIND_U64, AT(boots), NUMBER },
	{ "logging", JSON_KIND_BOOL, AT(logging) },
	{ "revoked", JSON_KIND_BOOL, AT(revoked) },
	{ "spent", JSON_KIND_BOOL, AT(spent) },
	{ NULL },
};

static const struct json_field count_fields[] = {
	{ "records", JSON_KIND_U64, AT(records), NUMBER },
	{ NULL },
};

/* Adds the number at KEY.records of an object, or of all its members' when deep, to *sum. */
static int count_add(const struct json_value *object, const char *key, bool deep, struct machine_status *m,
	uint64_t *sum, struct problem *problem)
{
	struct json_value counts, member = { 0 };
	if (!json_member(object, key, &counts) || !json_is_map(&counts))
		return 0;
	m->records = 0;
	if (!deep && client_fields_read(&counts, count_fields, m, problem) < 0)
		return -1;
	*sum += m->records;
	while (deep && json_next(&counts, &member)) {
		m->records = 0;
		if (!json_is_map(&member) || client_fields_read(&member, count_fields, m, problem) < 0)
			return -1;
		*sum += m->records;
	}
	return 0;
}

static int streams_read(const struct json_value *streams, struct machine_status *m, struct problem *problem)
{
	struct json_value stream = { 0 };
	while (json_next(streams, &stream))
		if (!json_is_map(&stream) || count_add(&stream, "stored", false, m, &m->stored, problem) < 0 ||
			count_add(&stream, "lost", true, m, &m->lost, problem) < 0 ||
			count_add(&stream, "gaps", true, m, &m->lost, problem) < 0)
			return -1;
	return 0;
}

static int machine_read(const struct json_value *object, struct machine_status *m, struct problem *problem)
{
	struct json_value member;
	if (!json_is_map(object))
		return json_wrong_kind(object, "an object", problem);
	if (client_fields_read(object, machine_fields, m, problem) < 0)
		return -1;
	if (json_member(object, "epoch", &member) && json_is_map(&member) &&
		client_fields_read(&member, epoch_fields, m, problem) < 0)
		return -1;
	return json_member(object, "totals", &member) && json_is_map(&member) ? streams_read(&member, m, problem) : 0;
}

static void machine_free(struct machine_status *m)
{
	free(m->name);
	free(m->dir);
	free(m->socket);
	free(m->problem);
	free(m->state);
}

/* --- the table -------------------------------------------------------------------------------------------------- */

static void heading_show(struct outqueue *out)
{
	outqueue_printf(out, "%-20s %-8s %-4s %5s %10s %8s  %s\n", "NAME", "STATE", "LOG", "BOOTS", "STORED", "LOST",
		"ADDRESS");
}

static void machine_show(const struct machine_status *m, struct outqueue *out)
{
	char cid[24];
	snprintf(cid, sizeof cid, "CID %u", m->cid);
	outqueue_printf(out, "%-20s %-8s %-4s %5llu %10llu %8llu  %s\n", m->name ? m->name : "?",
		m->state ? m->state : "-", m->logging ? "up" : "-", (unsigned long long)m->boots,
		(unsigned long long)m->stored, (unsigned long long)m->lost, m->cid ? cid : m->socket ? m->socket : "-");
	if (m->revoked)
		outqueue_printf(out, "  revoked: boots are refused until \"hawser rearm\"\n");
	if (m->spent)
		outqueue_printf(out, "  its one-shot credentials are delivered; \"hawser rearm\" has them delivered again\n");
	if (!m->problem)
		return;
	outqueue_printf(out, "  problem: ");
	show_escaped(out, m->problem, strlen(m->problem));
	outqueue_printf(out, "\n");
}

static int account_of(const struct json_value *machine, struct outqueue *out, struct problem *problem)
{
	return account_show(machine, "streams", "This boot:", out, problem) < 0 ||
		account_show(machine, "totals", "All boots:", out, problem) < 0 ||
		account_show_refusals(machine, out, problem) < 0 ? -1 : 0;
}

/* 1: shown; 0: it is not the one that was asked for; -1 with the problem set. */
static int item_show(const struct options *o, const struct json_value *item, struct outqueue *out,
	struct problem *problem)
{
	struct machine_status m = { 0 };
	int result = machine_read(item, &m, problem) < 0 ? -1 : !o->vm || (m.name && strcmp(m.name, o->vm) == 0);
	if (result > 0)
		machine_show(&m, out);
	machine_free(&m);
	return result > 0 && o->vm && account_of(item, out, problem) < 0 ? -1 : result;
}

static int table_show(const struct options *o, const char *line, size_t len, struct outqueue *out,
	struct problem *problem)
{
	struct json *json = json_read(line, len, "status", problem);
	struct json_value machines, item = { 0 };
	int result = json ? 0 : -1, shown = 0;
	heading_show(out);
	if (json && json_member(json_top(json), "vms", &machines) && json_is_list(&machines))
		while (result >= 0 && json_next(&machines, &item)) {
			result = item_show(o, &item, out, problem);
			shown += result > 0;
		}
	if (result >= 0 && o->vm && !shown)
		result = problem_set(problem, o->vm, 0, 0, "no machine of this name is served");
	json_free(json);
	return result;
}

/* --- the command ------------------------------------------------------------------------------------------------ */

int status_cmd_main(int argc, char *argv[])
{
	struct client client;
	struct outqueue out;
	struct problem problem = { .text = "" };
	struct options o = { 0 };
	const char *line;
	size_t len;

	int result = parse(&o, argc, argv);
	if (result >= 0)
		return result;
	if (!client_open(&client, o.runtime))
		return 1;
	outqueue_init(&out, STDOUT_FILENO);
	result = client_status_ask(&client);
	if (result == 0)
		result = client_line_wait(&client, ANSWER_MS, &line, &len);
	if (result <= 0)
		fprintf(stderr, "hawser status: hawserd did not answer: %s\n",
			result ? strerror(-result) : "it hung up");
	else if (o.json) {
		outqueue_put(&out, line, len);
		outqueue_put(&out, "\n", 1);
	} else if (table_show(&o, line, len, &out, &problem) < 0) {
		fprintf(stderr, "hawser status: %s\n", problem.text);
		result = -1;
	}
	outqueue_drain(&out);
	outqueue_finish(&out);
	client_close(&client);
	return result <= 0;
}
