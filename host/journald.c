/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "journald.h"

#define WAIT_MS 1000             /* a journal that takes nothing for so long is as one that is not there */
#define FIELDS_MAX 20
#define MESSAGE "MESSAGE="

enum { PRIORITY_WARNING = 4, PRIORITY_NOTICE, PRIORITY_INFO };

/* An entry in the making. One is made at a time. */
static struct {
	struct iovec fields[FIELDS_MAX];
	int n;
	char words[FIELDS_MAX * 64 + 512];       /* of all fields but the message */
	size_t len;
	uint8_t message[sizeof MESSAGE + LOGLINE_TEXT_MAX];
} entry;

void journald_init(struct journald *journald)
{
	*journald = (struct journald){ .path = JOURNALD_SOCKET, .send = sd_journal_sendv, .fd = -1 };
}

/* --- the socket ------------------------------------------------------------------------------------------------- */

static int begin(struct journald *journald)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, error;

	if (journald->fd >= 0)
		return 0;
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", journald->path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa)) {
		error = errno;
		close(fd);
		return -error;
	}
	journald->fd = fd;
	return 0;
}

static int ready(struct journald *journald)
{
	struct pollfd p = { .events = POLLOUT };
	int r = begin(journald);

	if (r)
		return r;
	p.fd = journald->fd;
	r = poll(&p, 1, journald->failed ? 0 : WAIT_MS);
	return r > 0 ? 0 : r ? -errno : -ETIMEDOUT;
}

int journald_end(struct journald *journald)
{
	if (journald->fd < 0)
		return 0;
	close(journald->fd);
	journald->fd = -1;
	return access(journald->path, F_OK) ? -errno : 0;
}

int journald_probe(struct journald *journald)
{
	int r = ready(journald), end = journald_end(journald);

	return r ? r : end;
}

/* --- entries ---------------------------------------------------------------------------------------------------- */

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
	char *at = entry.words + entry.len;
	size_t room = sizeof entry.words - entry.len;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(at, room, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room || entry.n == FIELDS_MAX)
		return;
	entry.fields[entry.n++] = (struct iovec){ at, (size_t)n };
	entry.len += (size_t)n;
}

static void put_u64(const char *name, uint64_t value)
{
	put("%s=%llu", name, (unsigned long long)value);
}

static void put_who(const struct logline_who *who, uint64_t wall_ns, const char *stream)
{
	char time[LOGLINE_TIME];

	entry.n = 0;
	entry.len = 0;
	logline_time(time, wall_ns);
	put("SYSLOG_IDENTIFIER=%s", who->vm);
	put("SYSLOG_TIMESTAMP=%.*s", LOGLINE_TIME, time);
	put("HAWSER_VM=%s", who->vm);
	if (*who->boot)
		put("HAWSER_BOOT_ID=%s", who->boot);
	put("HAWSER_STREAM=%s", stream);
}

static void put_pri(uint16_t pri, unsigned otherwise)
{
	put_u64("PRIORITY", pri == WIRE_PRI_NONE ? otherwise : pri & 7);
	if (pri != WIRE_PRI_NONE)
		put_u64("SYSLOG_FACILITY", pri >> 3);
}

static void put_message(const void *bytes, size_t len)
{
	memcpy(entry.message, MESSAGE, sizeof MESSAGE - 1);
	if (len)
		memcpy(entry.message + sizeof MESSAGE - 1, bytes, len);
	entry.fields[entry.n++] = (struct iovec){ entry.message, sizeof MESSAGE - 1 + len };
}

static int entry_send(struct journald *journald)
{
	int r = ready(journald);

	if (!r)
		r = journald->send(entry.fields, entry.n);
	journald->failed = r < 0;
	return r < 0 ? r : 0;
}

int journald_piece(struct journald *journald, const struct logline_who *who, const struct line_piece *piece)
{
	put_who(who, who->offset_ns + piece->ns, wire_stream_name(piece->stream));
	put_u64("HAWSER_SEQ", piece->seq);
	put_u64("HAWSER_LINE", piece->index);
	put_u64("HAWSER_NS", piece->ns);
	if (piece->offset)
		put_u64("HAWSER_OFFSET", piece->offset);
	if (piece->stream == WIRE_STREAM_KERNEL)
		put_u64("HAWSER_KERNEL_SEQ", piece->kernel_seq);
	if (piece->partial)
		put_u64("HAWSER_PARTIAL", 1);
	put_pri(piece->pri, PRIORITY_INFO);
	put_message(piece->bytes, piece->len);
	return entry_send(journald);
}

/* What the text form says, without its time and stream. */
static void put_note_message(const struct logline_who *who, const struct logline_note *note)
{
	static uint8_t line[LOGLINE_TEXT_MAX];
	size_t len = logline_text_note(line, who, note) - 1;
	const uint8_t *blank = memchr(line + LOGLINE_TIME + 1, ' ', len - LOGLINE_TIME - 1);

	put_message(blank + 1, (size_t)(line + len - blank - 1));
}

int journald_note(struct journald *journald, const struct logline_who *who, const struct logline_note *note)
{
	bool lost = note->kind == LOGLINE_LOST;

	put_who(who, note->has_ns ? who->offset_ns + note->ns : note->wall_ns,
		note->stream ? wire_stream_name(note->stream) : "hawserd");
	if (note->has_seq)
		put_u64("HAWSER_SEQ", note->seq);
	if (note->has_ns)
		put_u64("HAWSER_NS", note->ns);
	if (lost) {
		put("HAWSER_LOST_REASON=%s", wire_loss_name(note->reason));
		put_u64("HAWSER_LOST_RECORDS", note->records);
		put_u64("HAWSER_LOST_BYTES", note->bytes);
	} else {
		put("HAWSER_EVENT=%s", note->event);
		if (note->kind == LOGLINE_EVENT)
			put("HAWSER_VALUE=%d", (int)note->value);
	}
	put_pri(note->has_ns ? note->pri : WIRE_PRI_NONE,
		lost ? PRIORITY_WARNING : note->kind == LOGLINE_EVENT ? PRIORITY_INFO : PRIORITY_NOTICE);
	put_note_message(who, note);
	return entry_send(journald);
}
