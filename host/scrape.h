/* SPDX-License-Identifier: MIT */
/*
 * scrape: as much of HTTP/1.1 (RFC 9112) as Prometheus needs to read the metrics: GET of /metrics, one answer, the end.
 *
 * Where, is one of
 *
 *     unix:/PATH           a Unix socket for hawserd's own user
 *     127.0.0.1:PORT       this machine, every user of it
 *     [::1]:PORT
 */
#ifndef HOST_SCRAPE_H
#define HOST_SCRAPE_H

#include <stdint.h>

#include "problem.h"

struct daemon;
struct scrape;

/* What is wrong with a place, or NULL. */
const char *scrape_place(const char *text);
/* Listens at config.metrics, if that is set. 0, or -1 with the problem set. */
int scrape_listen(struct daemon *daemon, struct problem *problem);
void scrape_finish(struct daemon *daemon);
void scrape_listener_event(struct daemon *daemon);
void scrape_event(struct scrape *scrape, uint32_t events);

#endif
