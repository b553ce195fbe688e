/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <time.h>

#include "../vsock/log.h"
#include "audit.h"
#include "json.h"
#include "logline.h"

void audit_init(struct audit *audit, int dir, bool sync, uint64_t max_bytes, unsigned max_files)
{
	*audit = (struct audit){ .dir = dir, .sync = sync, .max_bytes = max_bytes, .max_files = max_files };
	sink_init(&audit->sink, AUDIT_FILE);
}

void audit_finish(struct audit *audit)
{
	sink_close(&audit->sink);
}

void audit_reopen(struct audit *audit)
{
	sink_close(&audit->sink);
}

static bool encode(struct json_out *out, const struct audit_entry *entry)
{
	struct timespec ts;
	char time[LOGLINE_TIME];

	clock_gettime(CLOCK_REALTIME, &ts);
	logline_time(time, (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
	json_line_begin(out);
	json_put_text(out, "time", time, sizeof time);
	if (entry->vm)
		json_put_string(out, "vm", entry->vm);
	if (entry->epoch && *entry->epoch)
		json_put_string(out, "epoch", entry->epoch);
	json_put_string(out, "what", entry->what);
	json_put_string(out, "outcome", entry->outcome);
	if (entry->reason)
		json_put_string(out, "reason", entry->reason);
	if (entry->credentials >= 0)
		json_put_u64(out, "credentials", (uint64_t)entry->credentials);
	if (entry->uid >= 0)
		json_put_u64(out, "uid", (uint64_t)entry->uid);
	return json_line_end(out);
}

static int append(struct audit *audit, const struct json_out *line)
{
	int r = sink_open(&audit->sink, audit->dir);

	if (!r && audit->max_bytes && audit->sink.size && audit->sink.size + line->len > audit->max_bytes)
		r = sink_rotate(&audit->sink, audit->dir, audit->max_files);
	if (!r)
		r = sink_write(&audit->sink, line->buf, line->len);
	return r || !audit->sync ? r : sink_sync(&audit->sink);
}

bool audit_write(struct audit *audit, const struct audit_entry *entry)
{
	char buf[8192];
	struct json_out line = { .buf = buf, .size = sizeof buf };
	int r;

	if (audit->dir < 0)
		return true;
	if (!encode(&line, entry))
		return false;
	r = append(audit, &line);
	if (r && !audit->failing)
		log_error(AUDIT_FILE ": cannot be written, and nothing is delivered meanwhile: %s", strerror(-r));
	if (!r && audit->failing)
		log_warn(AUDIT_FILE ": can be written again");
	audit->failing = r;
	return !r;
}
