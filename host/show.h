/* SPDX-License-Identifier: MIT */
/*
 * show: records as lines for people:
 *
 *     [   0.312] kernel  | text
 *
 * In front, the time since the guest's boot clock started, or with `wall` the time of day in UTC. On a terminal, what
 * a terminal would obey instead of showing (control bytes, bytes that are no UTF-8) is escaped; into a pipe or file,
 * the bytes are written as they are. Pure: the output is appended to a queue.
 */
#ifndef HOST_SHOW_H
#define HOST_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#include "client.h"
#include "outqueue.h"

struct show {
	bool colour;             /* by stream and priority */
	bool escape;             /* for a terminal */
	bool wall;
	char open[16];           /* the stream of a line that was left without its end; "": none */
};

/* For a descriptor: escapes on a terminal, colours there too unless $NO_COLOR is set or the terminal is dumb. */
void show_init(struct show *show, int fd);
void show_record(struct show *show, struct outqueue *out, const struct client_record *record);
/* A line of the serial console. */
void show_serial(struct show *show, struct outqueue *out, const char *line, size_t len);
/* Ends a line that was left open. */
void show_end(struct show *show, struct outqueue *out);

/* Bytes as a terminal may have them: \x1b and the like for what is not printable; tabs stay. */
void show_escaped(struct outqueue *out, const char *bytes, size_t len);
/* An event or loss in words, without time, stream and newline. */
void show_words(const struct client_record *record, struct outqueue *out);

#endif
