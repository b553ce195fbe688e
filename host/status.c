/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "json.h"
#include "status.h"

#define BYTES 16384              /* more than one machine's part can take, save for its paths */

static void put_count(struct json_out *out, const char *key, const struct store_count *count)
{
	json_put_open(out, key, '{');
	json_put_u64(out, "records", count->records);
	json_put_u64(out, "bytes", count->bytes);
	json_put_close(out, '}');
}

static void put_reasons(struct json_out *out, const char *key, const struct store_count counts[static WIRE_LOSSES])
{
	json_put_open(out, key, '{');
	for (uint8_t reason = 1; reason < WIRE_LOSSES; reason++)
		if (counts[reason].records)
			put_count(out, wire_loss_name(reason), &counts[reason]);
	json_put_close(out, '}');
}

static bool counts_are_empty(const struct store_counts *counts)
{
	static const struct store_counts none;

	return memcmp(counts, &none, sizeof none) == 0;
}

static void put_counts(struct json_out *out, const char *stream, const struct store_counts *counts)
{
	if (counts_are_empty(counts))
		return;
	json_put_open(out, stream, '{');
	put_count(out, "produced", &counts->produced);
	put_count(out, "stored", &counts->stored);
	put_count(out, "duplicates", &counts->duplicate);
	put_count(out, "replayed", &counts->replayed);
	put_reasons(out, "lost", counts->lost);
	put_reasons(out, "gaps", counts->gap);
	json_put_close(out, '}');
}

/* This boot's, and those of all boots together. */
static void put_streams(struct json_out *out, const struct store *store)
{
	json_put_open(out, "streams", '{');
	for (uint8_t s = 1; s < WIRE_STREAMS; s++)
		put_counts(out, wire_stream_name(s), &store->streams[s].now);
	json_put_close(out, '}');
	json_put_open(out, "totals", '{');
	for (uint8_t s = 1; s < WIRE_STREAMS; s++) {
		struct store_counts total = store->streams[s].past;

		store_counts_add(&total, &store->streams[s].now);
		put_counts(out, wire_stream_name(s), &total);
	}
	json_put_close(out, '}');
}

static void put_fate(struct json_out *out, const struct fate *fate)
{
	json_put_bool(out, "ready", fate->ready);
	json_put_bool(out, "failed", fate->failed);
	json_put_bool(out, "powered", fate->powered);
	json_put_bool(out, "ended", fate->ended);
	json_put_string(out, "outcome", fate_name(fate->outcome));
	json_put_u64(out, "value", fate->value);
}

static void put_epoch(struct json_out *out, const struct store *store)
{
	json_put_open(out, "epoch", '{');
	json_put_string(out, "state", epoch_state_name(store->epoch.state));
	json_put_string(out, "boot", *store->who.boot ? store->who.boot : NULL);
	json_put_u64(out, "next", store->next);
	json_put_u64(out, "acknowledged", store->durable);
	put_fate(out, &store->fate);
	json_put_close(out, '}');
}

static void put_refusals(struct json_out *out, const char *key, const uint64_t refused[static WIRE_REFUSE_CODES])
{
	json_put_open(out, key, '{');
	for (uint16_t code = 1; code < WIRE_REFUSE_CODES; code++)
		if (refused[code])
			json_put_u64(out, wire_refuse_name(code), refused[code]);
	json_put_close(out, '}');
}

static void put_vm(struct json_out *out, const struct vm *vm)
{
	json_put_open(out, NULL, '{');
	json_put_string(out, "vm", vm->name);
	json_put_string(out, "dir", vm->dir);
	json_put_bool(out, "attached", vm->attach);
	json_put_bool(out, "valid", vm->valid);
	json_put_bool(out, "revoked", vm_revoked(vm));
	json_put_bool(out, "spent", vm->once && vm_secrets_spent(vm));
	if (vm->problem)
		json_put_string(out, "problem", vm->problem);
	if (vm->cid)
		json_put_u64(out, "cid", vm->cid);
	if (vm->base)
		json_put_string(out, "socket", vm->base);
	put_epoch(out, &vm->store);
	json_put_u64(out, "connections", vm->connections);
	json_put_bool(out, "booting", vm->boot);
	json_put_bool(out, "logging", vm->logs);
	if (vm->store.error)
		json_put_i64(out, "logError", -vm->store.error);
	json_put_u64(out, "boots", vm->boots_served);
	json_put_u64(out, "logSessions", vm->log_sessions);
	json_put_u64(out, "refused", vm->refused);
	put_refusals(out, "refusedBy", vm->refused_by);
	json_put_u64(out, "auditsDropped", vm->audits_dropped);
	json_put_u64(out, "accountingErrors", vm->store.accounting_errors);
	json_put_u64(out, "ownLinesDropped", vm->store.own_dropped);
	json_put_open(out, "quotaRemoved", '{');
	json_put_u64(out, "files", vm->store.quota_files);
	json_put_u64(out, "bytes", vm->store.quota_bytes);
	json_put_close(out, '}');
	put_streams(out, &vm->store);
	json_put_close(out, '}');
}

static void put_counters(struct json_out *out, const struct daemon *daemon)
{
	const struct daemon_counters *counters = &daemon->counters;

	json_put_open(out, "counters", '{');
	json_put_u64(out, "accepted", counters->accepted);
	json_put_u64(out, "boots", counters->boots);
	json_put_u64(out, "applied", counters->applied);
	json_put_u64(out, "logSessions", counters->log_sessions);
	json_put_u64(out, "helloTimeouts", counters->hello_timeouts);
	json_put_u64(out, "cuts", counters->cuts);
	json_put_u64(out, "noDescriptor", counters->no_descriptor);
	json_put_u64(out, "followersDropped", counters->followers_dropped);
	json_put_u64(out, "refusedByGuest", counters->refused_by_guest);
	put_refusals(out, "refused", counters->refused);
	json_put_close(out, '}');
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) * JSON_ESCAPED_MAX : 0;
}

static void put_outlet(struct json_out *out, const struct outlet *outlet)
{
	json_put_open(out, "stdout", '{');
	json_put_u64(out, "written", outlet->written);
	json_put_u64(out, "waiting", outlet->queued - outlet->written);
	json_put_u64(out, "ownDropped", outlet->own_dropped);
	json_put_bool(out, "crowded", outlet->crowded);
	if (outlet->error)
		json_put_i64(out, "error", -outlet->error);
	json_put_close(out, '}');
}

/* The server's, and that of the reader of the settings' directory. */
static void put_confinement(struct json_out *out, const struct daemon *daemon)
{
	const struct reader_link *link;

	json_put_open(out, "server", '{');
	json_put_u64(out, "pid", (uint64_t)getpid());
	json_put_u64(out, "landlock", (uint64_t)daemon->landlock);
	json_put_bool(out, "seccomp", daemon->seccomp);
	json_put_bool(out, "user", getuid() != daemon->owner);
	json_put_close(out, '}');
	json_put_open(out, "readers", '[');
	LIST_FOREACH(link, &daemon->readers, of_daemon) {
		json_put_open(out, NULL, '{');
		if (link->vm)
			json_put_string(out, "vm", link->vm->name);
		json_put_u64(out, "pid", (uint64_t)link->self.pid);
		json_put_bool(out, "up", link->fd >= 0);
		json_put_u64(out, "landlock", (uint64_t)link->self.landlock);
		json_put_bool(out, "seccomp", link->self.seccomp);
		json_put_bool(out, "user", link->self.user);
		json_put_bool(out, "memoryLocked", link->self.locked);
		json_put_close(out, '}');
	}
	json_put_close(out, ']');
}

char *status_make(struct daemon *daemon, size_t *len)
{
	struct json_out out = { .size = BYTES };

	for (size_t i = 0; i < daemon->vms.names.n; i++) {
		const struct vm *vm = vms_at(&daemon->vms, i);

		out.size += BYTES + text_bytes(vm->dir) + text_bytes(vm->base) + text_bytes(vm->problem);
	}
	/* Pages that are not written to are never there. */
	out.buf = malloc(out.size);
	if (!out.buf)
		return NULL;
	json_line_begin(&out);
	json_put_u64(&out, "uptimeMs", (loop_now(&daemon->loop) - daemon->started) / LOOP_MS);
	json_put_u64(&out, "connections", daemon->connections);
	json_put_u64(&out, "followers", daemon->followers);
	put_confinement(&out, daemon);
	put_counters(&out, daemon);
	if (daemon->home.outlet)
		put_outlet(&out, &daemon->outlet);
	json_put_open(&out, "vms", '[');
	for (size_t i = 0; i < daemon->vms.names.n; i++)
		if (vms_at(&daemon->vms, i)->served)
			put_vm(&out, vms_at(&daemon->vms, i));
	json_put_close(&out, ']');
	if (!json_line_end(&out)) {
		free(out.buf);
		return NULL;
	}
	*len = out.len;
	return out.buf;
}
