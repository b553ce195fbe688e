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

struct binding;
struct daemon;
struct scrape;

/* What is wrong with a place, or NULL. */
const char *scrape_place(const char *text);
/*
 * The monitor's: listens there, if place is not NULL. dir is the directory that a Unix socket is in. 0, or -1 with the
 * problem set.
 */
int scrape_listen(const char *place, struct binding *binding, int *dir, struct problem *problem);
int scrape_init(struct daemon *daemon);  /* its socket is daemon->scrape */
void scrape_finish(void);
void scrape_listener_event(struct daemon *daemon);
void scrape_event(struct scrape *scrape, uint32_t events);

#endif
