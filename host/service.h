/* SPDX-License-Identifier: MIT */
/* service: what hawserd tells the service manager that started it, by sd_notify(3); without one, nothing. */
#ifndef HOST_SERVICE_H
#define HOST_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "loop.h"

struct service {
	struct loop *loop;
	struct timer watchdog;
	uint64_t watchdog_ns;    /* between two signs of life; 0: nobody waits for them */
};

void service_init(struct service *service, struct loop *loop);
/* READY=1; from then on the watchdog, when there is one, hears of us for as long as the loop goes round. */
void service_ready(struct service *service, size_t machines);
/* RELOADING=1, and READY=1 from service_ready when it is done. */
void service_reloading(void);
void service_stopping(void);

#endif
