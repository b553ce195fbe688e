/* SPDX-License-Identifier: MIT */
/* log: what a program says of itself. Every call leaves errno as it found it. A secret never goes in here. */
#ifndef VSOCK_LOG_H
#define VSOCK_LOG_H

/* The numbers are those of syslog (RFC 5424), as printk uses them. */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

#define LOG_LINE_MAX 1024        /* longer lines are cut */

/* Where lines go: one call a line, without a newline. The default writes to descriptor 2. */
typedef void log_sink(enum log_level level, const char *line);

void log_set(enum log_level level, log_sink *sink);      /* NULL: the default */
void log_name(const char *name);                         /* set before each line of the default sink */
int log_level_parse(const char *text);                   /* "error", "warn", "info", "debug"; -1: none of them */

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and ": " and the text of errno behind it. */
void log_line_errno(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_error_errno(...) log_line_errno(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn_errno(...) log_line_errno(LOG_LEVEL_WARN, __VA_ARGS__)

#endif
