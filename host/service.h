/* SPDX-License-Identifier: MIT */
/*
 * service: what hawserd tells the service manager that started it, by sd_notify(3); without one, nothing. The manager
 * listens to the process it started, so the server's words go by way of the monitor (split.h).
 */
#ifndef HOST_SERVICE_H
#define HOST_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "loop.h"

enum service_word { SERVICE_READY = 1, SERVICE_RELOADING, SERVICE_STOPPING, SERVICE_ALIVE };

struct service {
	struct loop *loop;
	int monitor;             /* the channel to it */
	struct timer watchdog;
	uint64_t watchdog_ns;    /* between two signs of life; 0: nobody waits for them */
};

/* In the process that the manager started, before there are others. */
void service_init(struct service *service, struct loop *loop);
/* READY=1; from then on the watchdog, when there is one, hears of the server for as long as its loop goes round. */
void service_ready(struct service *service, size_t machines);
/* RELOADING=1, and READY=1 from service_ready when it is done. */
void service_reloading(const struct service *service);
void service_stopping(const struct service *service);
/* The monitor's: passes a word on. */
void service_tell(uint32_t word, uint32_t machines);

#endif
