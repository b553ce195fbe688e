/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon.h"
#include "metrics.h"

/* A family: all samples of one name, which the format wants together. */
struct family {
	const char *name, *type, *help;
	void (*put)(FILE *to, const struct family *family, const struct daemon *daemon);
	/* For put: where the number is, or which one it is. */
	size_t at;
	uint64_t (*vm)(const struct vm *vm);
	const struct store_count *(*counts)(const struct store_stream *stream);
};

/* --- hawserd's own ---------------------------------------------------------------------------------------------- */

static void put_counter(FILE *to, const struct family *family, const struct daemon *daemon)
{
	fprintf(to, "%s %" PRIu64 "\n", family->name,
		*(const uint64_t *)((const char *)&daemon->counters + family->at));
}

static void put_gauge(FILE *to, const struct family *family, const struct daemon *daemon)
{
	fprintf(to, "%s %" PRIu32 "\n", family->name, *(const uint32_t *)((const char *)daemon + family->at));
}

static void put_uptime(FILE *to, const struct family *family, const struct daemon *daemon)
{
	fprintf(to, "%s %.3f\n", family->name, (double)(daemon->loop.now - daemon->started) / 1e9);
}

static void put_refused(FILE *to, const struct family *family, const struct daemon *daemon)
{
	for (uint16_t code = 1; code < WIRE_REFUSE_CODES; code++)
		fprintf(to, "%s{reason=\"%s\"} %" PRIu64 "\n", family->name, wire_refuse_name(code),
			daemon->counters.refused[code]);
}

/* --- of each machine -------------------------------------------------------------------------------------------- */

/* The name and the first label; whoever calls goes on with more of them or with "} ". */
static void put_vm_name(FILE *to, const struct family *family, const struct vm *vm)
{
	fprintf(to, "%s{vm=\"", family->name);
	for (const char *c = vm->name; *c; c++) {
		if (*c == '\\' || *c == '"')
			putc('\\', to);
		if (*c == '\n')
			fputs("\\n", to);
		else
			putc(*c, to);
	}
	putc('"', to);
}

static void put_vms(FILE *to, const struct family *family, const struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->vms.names.n; i++) {
		const struct vm *vm = vms_at(&daemon->vms, i);

		if (!vm->served)
			continue;
		put_vm_name(to, family, vm);
		fprintf(to, "} %" PRIu64 "\n", family->vm(vm));
	}
}

static uint64_t vm_valid(const struct vm *vm)
{
	return vm->valid && !vm->problem;
}

static uint64_t vm_logging(const struct vm *vm)
{
	return vm->logs != NULL;
}

static uint64_t vm_connections(const struct vm *vm)
{
	return vm->connections;
}

static uint64_t vm_boots(const struct vm *vm)
{
	return vm->boots_served;
}

static uint64_t vm_log_sessions(const struct vm *vm)
{
	return vm->log_sessions;
}

static uint64_t vm_refused(const struct vm *vm)
{
	return vm->refused;
}

static uint64_t vm_log_failing(const struct vm *vm)
{
	return vm->store.error != 0;
}

static uint64_t vm_accounting_errors(const struct vm *vm)
{
	return vm->store.accounting_errors;
}

static uint64_t vm_quota_bytes(const struct vm *vm)
{
	return vm->store.quota_bytes;
}

static uint64_t vm_acknowledged(const struct vm *vm)
{
	return vm->store.durable;
}

/* --- of each machine's streams ---------------------------------------------------------------------------------- */

static const struct store_count *count_stored(const struct store_stream *stream)
{
	return &stream->now.stored;
}

static const struct store_count *count_duplicate(const struct store_stream *stream)
{
	return &stream->now.duplicate;
}

static const struct store_count *count_lost(const struct store_stream *stream)
{
	return stream->now.lost;
}

static const struct store_count *count_gap(const struct store_stream *stream)
{
	return stream->now.gap;
}

static uint64_t number_of(const struct family *family, const struct store_count *count)
{
	return *(const uint64_t *)((const char *)count + family->at);
}

static void put_streams(FILE *to, const struct family *family, const struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->vms.names.n; i++) {
		const struct vm *vm = vms_at(&daemon->vms, i);

		for (uint8_t s = 1; vm->served && s < WIRE_STREAMS; s++) {
			uint64_t number = number_of(family, family->counts(&vm->store.streams[s]));

			if (!number)
				continue;
			put_vm_name(to, family, vm);
			fprintf(to, ",stream=\"%s\"} %" PRIu64 "\n", wire_stream_name(s), number);
		}
	}
}

static void put_losses(FILE *to, const struct family *family, const struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->vms.names.n; i++) {
		const struct vm *vm = vms_at(&daemon->vms, i);

		for (uint8_t s = 1; vm->served && s < WIRE_STREAMS; s++)
			for (uint8_t reason = 1; reason < WIRE_LOSSES; reason++) {
				uint64_t number = number_of(family, &family->counts(&vm->store.streams[s])[reason]);

				if (!number)
					continue;
				put_vm_name(to, family, vm);
				fprintf(to, ",stream=\"%s\",reason=\"%s\"} %" PRIu64 "\n", wire_stream_name(s),
					wire_loss_name(reason), number);
			}
	}
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

#define COUNTER(member, name, help) { "hawserd_" name "_total", "counter", help, put_counter, \
	.at = offsetof(struct daemon_counters, member) }
#define GAUGE(member, name, help) { "hawserd_" name, "gauge", help, put_gauge, .at = offsetof(struct daemon, member) }
#define VM(get, name, type, help) { "hawser_vm_" name, type, help, put_vms, .vm = get }
#define STREAM(put, get, name, help) \
	{ "hawser_log_" name "_records_total", "counter", "Records of a log " help, put, \
		.at = offsetof(struct store_count, records), .counts = get }, \
	{ "hawser_log_" name "_bytes_total", "counter", "Bytes of a log " help, put, \
		.at = offsetof(struct store_count, bytes), .counts = get }

static const struct family families[] = {
	{ "hawserd_uptime_seconds", "gauge", "Time since the start of hawserd.", put_uptime },
	GAUGE(connections, "connections", "Connections from guests."),
	GAUGE(followers, "followers", "Tools that follow a log."),
	COUNTER(accepted, "connections", "Connections from guests that were accepted."),
	COUNTER(boots, "boots", "Boot sessions that got a configuration."),
	COUNTER(applied, "boots_applied", "Boot sessions that the guest ended with APPLIED."),
	COUNTER(log_sessions, "log_sessions", "Log sessions."),
	COUNTER(hello_timeouts, "hello_timeouts", "Connections that said no hello in time."),
	COUNTER(cuts, "cuts", "Sessions that were cut before their end."),
	COUNTER(no_descriptor, "no_descriptor", "Connections turned away for want of a descriptor."),
	COUNTER(followers_dropped, "followers_dropped", "Followers that did not keep up."),
	COUNTER(refused_by_guest, "refused_by_guest", "Sessions that the guest refused."),
	{ "hawserd_refused_total", "counter", "Sessions refused, by reason.", put_refused },
	VM(vm_valid, "valid", "gauge", "Whether the machine's configuration of now can be served."),
	VM(vm_logging, "logging", "gauge", "Whether a log session is up."),
	VM(vm_connections, "connections", "gauge", "Connections of the machine."),
	VM(vm_boots, "boots_total", "counter", "Boot sessions of the machine that got a configuration."),
	VM(vm_log_sessions, "log_sessions_total", "counter", "Log sessions of the machine."),
	VM(vm_refused, "refused_total", "counter", "Sessions of the machine that were refused."),
	VM(vm_log_failing, "log_failing", "gauge", "Whether the machine's log cannot be written now."),
	VM(vm_acknowledged, "log_acknowledged_records", "gauge", "Records of this boot that were acknowledged."),
	VM(vm_accounting_errors, "log_accounting_errors_total", "counter",
		"Logs whose counts did not add up: produced is not stored and lost."),
	VM(vm_quota_bytes, "log_quota_removed_bytes_total", "counter", "Bytes of old log files that the quota removed."),
	STREAM(put_streams, count_stored, "stored", "that every sink has, of this boot."),
	STREAM(put_streams, count_duplicate, "duplicate", "that came again and were dropped, of this boot."),
	STREAM(put_losses, count_lost, "lost", "that the guest had to drop, of this boot, by reason."),
	STREAM(put_losses, count_gap, "gap", "that their source lost before the guest read it, of this boot, by reason."),
};

char *metrics_make(struct daemon *daemon, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);
	bool failed;

	if (!to)
		return NULL;
	loop_now(&daemon->loop);
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		const struct family *family = &families[i];

		fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name, family->type);
		family->put(to, family, daemon);
	}
	failed = ferror(to);
	if (fclose(to) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
