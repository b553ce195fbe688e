/* SPDX-License-Identifier: MIT */
/*
 * metrics: hawserd's counters for Prometheus, in its text exposition format 0.0.4, over as much of HTTP/1.1 as a
 * scraper needs, on a Unix socket or a loopback address.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#ifndef HOST_METRICS_H
#define HOST_METRICS_H

#include <stddef.h>

struct daemon;
struct metrics_client;

/* All of it, on the heap; NULL: no memory. */
char *metrics_make(struct daemon *daemon, size_t *len);

#endif
