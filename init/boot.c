/* SPDX-License-Identifier: MIT */
#include "boot.h"
#include "clock.h"
#include "event.h"

void boot_phase(enum phase phase)
{
	static const char names[][8] = {
		[PHASE_START] = "start", [PHASE_EARLY] = "early", [PHASE_OPTIONS] = "options",
		[PHASE_RELAY] = "relay", [PHASE_MODULES] = "modules", [PHASE_CID] = "cid",
		[PHASE_HELLO] = "hello", [PHASE_COMMIT] = "commit", [PHASE_APPLY] = "apply",
		[PHASE_HANDOFF] = "handoff",
	};
	static uint64_t reached_ns[PHASE_HANDOFF + 1];

	/* What was reached before there was a relay is told after the kernel's log, which is older. */
	reached_ns[phase] = clock_boot_ns();
	if (phase < PHASE_RELAY)
		return;
	for (enum phase p = phase == PHASE_RELAY ? PHASE_START : phase; p <= phase; p++)
		event_send_at(reached_ns[p], WIRE_EVENT_PHASE, (int32_t)p, names[p]);
}
