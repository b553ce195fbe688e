/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "../vsock/log.h"
#include "service.h"
#include "split.h"

static void say(const struct service *service, enum service_word word, size_t machines)
{
	const struct split_notice notice = { SPLIT_NOTICE, word, (uint32_t)machines };

	split_send(service->monitor, &notice, NULL, 0, false);
}

static void watchdog_fire(struct timer *timer)
{
	struct service *service = (struct service *)((char *)timer - offsetof(struct service, watchdog));

	say(service, SERVICE_ALIVE, 0);
	timer_set(service->loop, timer, service->watchdog_ns);
}

void service_init(struct service *service, struct loop *loop)
{
	uint64_t limit_us;

	*service = (struct service){ .loop = loop, .monitor = -1, .watchdog.fire = watchdog_fire };
	/* Twice in the time, as sd_watchdog_enabled(3) asks for. */
	if (sd_watchdog_enabled(0, &limit_us) > 0)
		service->watchdog_ns = limit_us * 1000 / 2;
}

void service_ready(struct service *service, size_t machines)
{
	say(service, SERVICE_READY, machines);
	if (service->watchdog_ns && !service->watchdog.place)
		timer_set(service->loop, &service->watchdog, service->watchdog_ns);
}

void service_reloading(const struct service *service)
{
	say(service, SERVICE_RELOADING, 0);
}

void service_stopping(const struct service *service)
{
	say(service, SERVICE_STOPPING, 0);
}

void service_tell(uint32_t word, uint32_t machines)
{
	struct timespec now;
	int r = 0;

	if (word == SERVICE_READY) {
		r = sd_notifyf(0, "READY=1\nSTATUS=%u machines", machines);
	} else if (word == SERVICE_RELOADING) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		r = sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
			(long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	} else {
		r = sd_notify(0, word == SERVICE_ALIVE ? "WATCHDOG=1" : "STOPPING=1");
	}
	if (r < 0)
		log_warn("%s: the service manager cannot be told: %s", getenv("NOTIFY_SOCKET"), strerror(-r));
}
