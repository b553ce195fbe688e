/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "log.h"

static const char *own_name;

/* One write, so that lines of several processes do not mix. There is nobody to tell when it fails. */
static void sink_stderr(enum log_level level, const char *line)
{
	struct iovec iov[] = {
		{ .iov_base = (char *)(own_name ? own_name : ""), .iov_len = own_name ? strlen(own_name) : 0 },
		{ .iov_base = (char *)": ", .iov_len = own_name ? 2 : 0 },
		{ .iov_base = (char *)line, .iov_len = strlen(line) },
		{ .iov_base = (char *)"\n", .iov_len = 1 },
	};

	(void)level;
	if (writev(2, iov, sizeof(iov) / sizeof(*iov)) < 0)
		return;
}

static enum log_level threshold = LOG_LEVEL_INFO;
static log_sink *current_sink = sink_stderr;

void log_set(enum log_level level, log_sink *sink)
{
	threshold = level;
	current_sink = sink ? sink : sink_stderr;
}

void log_name(const char *name)
{
	own_name = name;
}

int log_level_parse(const char *text)
{
	static const char names[][6] = {
		[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug",
	};

	for (int i = 0; i < (int)(sizeof(names) / sizeof(*names)); i++)
		if (*names[i] && !strcmp(text, names[i]))
			return i;
	return -1;
}

/* A text of the other side may be in the line: it must not look like a second line, or drive a terminal. */
static void clean(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
}

__attribute__((format(printf, 2, 0)))
static void emit(enum log_level level, const char *format, va_list args, int error)
{
	char line[LOG_LINE_MAX];
	size_t len;
	int n;

	if (level > threshold)
		return;
	n = vsnprintf(line, sizeof(line), format, args);
	if (n < 0)
		line[0] = 0;
	len = strlen(line);
	if (error)
		snprintf(line + len, sizeof(line) - len, ": %s", strerror(error));
	clean(line);
	current_sink(level, line);
}

void log_line(enum log_level level, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	emit(level, format, args, 0);
	va_end(args);
	errno = saved;
}

void log_line_errno(enum log_level level, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	emit(level, format, args, saved);
	va_end(args);
	errno = saved;
}
