/* SPDX-License-Identifier: MIT */
/*
 * hawser's init: PID 1 of a machine that has no network, from the kernel's start to the hand-off. docs/BOOT.md says
 * what holds after each of these lines, and what happens when one of them cannot be kept.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "apply.h"
#include "boot.h"
#include "control.h"
#include "early.h"
#include "event.h"
#include "fetch.h"
#include "handoff.h"
#include "modules.h"
#include "policy.h"
#include "relay.h"
#include "root.h"
#include "tool.h"

/* From here on two processes, which know no secret, carry the log; PID 1 writes to the ring no more. */
static void relay_begin(struct boot *boot, char *argv0)
{
	struct address host = address_vsock(boot->options.host_cid, boot->options.port + WIRE_PORT_LOG);
	int error;

	if (boot->options.ring_kib << 10 != RING_DEFAULT)
		boot->ring.shared->orders.size = boot->options.ring_kib << 10;
	sources_open(&boot->sources);
	boot->output = boot->sources.held[SOURCE_CONSOLE_PIPE];
	error = relay_start(&boot->ring, &boot->sources, &host, argv0);
	if (!error)
		error = event_to_socket();
	if (error) {
		errno = -error;
		log_error_errno("there is no relay: the log goes nowhere");
	}
}

/* The whole configuration or none: false with the reason when there is none. */
static bool configure(struct boot *boot, char *why, size_t size)
{
	if (fetch_run(&boot->fetch, &boot->plan, &boot->ring, &boot->options, boot->deadline_ns) < 0) {
		snprintf(why, size, "%s", boot->fetch.why);
		return false;
	}
	boot_phase(PHASE_COMMIT);
	if (apply(boot, why, size) < 0) {
		fetch_finish(&boot->fetch, &boot->ring, why);
		root_leave();
		boot->handoff = WIRE_HANDOFF_BUSYBOX;
		plan_reset(&boot->plan);
		return false;
	}
	boot_phase(PHASE_APPLY);
	fetch_finish(&boot->fetch, &boot->ring, NULL);
	plan_destroy(&boot->plan);
	control_start(boot);
	return true;
}

int main(int argc, char *argv[])
{
	struct boot boot;
	char why[512];

	if (getpid() != 1 || tool_called(argv[0]))
		return tool_main(argc, argv);

	boot_phase(PHASE_START);
	early(&boot);
	boot_phase(PHASE_EARLY);
	early_options(&boot);
	boot_phase(PHASE_OPTIONS);
	relay_begin(&boot, argv[0]);
	boot_phase(PHASE_RELAY);
	modules_load();
	boot_phase(PHASE_MODULES);
	if (!configure(&boot, why, sizeof why))
		policy_fail(&boot, why);
	handoff(&boot, why, sizeof why);
	policy_end(&boot, why);
}
