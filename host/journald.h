/* SPDX-License-Identifier: MIT */
/*
 * journald: lines as entries of the systemd journal, through its library.
 *
 * The library says nothing when there is no journal, and waits for ever for one that hangs. Both are looked for here,
 * on a socket of our own: before the first entry of a batch and after its last one whether somebody listens, before
 * each whether there is room. Entries cannot be taken back: after a failure they come again.
 */
#ifndef HOST_JOURNALD_H
#define HOST_JOURNALD_H

#include <stdbool.h>
#include <sys/uio.h>

#include "logline.h"

#define JOURNALD_SOCKET "/run/systemd/journal/socket"

struct journald {
	const char *path;                /* the journal's socket */
	int (*send)(const struct iovec *fields, int n);  /* sd_journal_sendv; in tests, something else */
	int fd;                          /* connected there while a batch is under way; else -1 */
	bool failed;                     /* the last time: it is not waited for again */
};

void journald_init(struct journald *journald);
/* 0, or a negative errno. */
int journald_piece(struct journald *journald, const struct logline_who *who, const struct line_piece *piece);
int journald_note(struct journald *journald, const struct logline_who *who, const struct logline_note *note);
int journald_end(struct journald *journald);     /* of a batch, whether it had entries or not */
int journald_probe(struct journald *journald);

#endif
