/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "../vsock/log.h"
#include "service.h"

static void say(int result)
{
	if (result < 0)
		log_warn("%s: the service manager cannot be told: %s", getenv("NOTIFY_SOCKET"), strerror(-result));
}

static void watchdog_fire(struct timer *timer)
{
	struct service *service = (struct service *)((char *)timer - offsetof(struct service, watchdog));

	sd_notify(0, "WATCHDOG=1");
	timer_set(service->loop, timer, service->watchdog_ns);
}

void service_init(struct service *service, struct loop *loop)
{
	uint64_t limit_us;

	*service = (struct service){ .loop = loop, .watchdog.fire = watchdog_fire };
	/* Twice in the time, as sd_watchdog_enabled(3) asks for. */
	if (sd_watchdog_enabled(0, &limit_us) > 0)
		service->watchdog_ns = limit_us * 1000 / 2;
}

void service_ready(struct service *service, size_t machines)
{
	say(sd_notifyf(0, "READY=1\nSTATUS=%zu machines", machines));
	if (service->watchdog_ns && !service->watchdog.place)
		timer_set(service->loop, &service->watchdog, service->watchdog_ns);
}

void service_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	say(sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		(long long)now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

void service_stopping(void)
{
	say(sd_notify(0, "STOPPING=1"));
}
