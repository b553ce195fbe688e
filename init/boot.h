/* SPDX-License-Identifier: MIT */
/* boot: what PID 1 knows, from the kernel's start to the hand-off, and the nine phases of docs/BOOT.md by number. */
#ifndef INIT_BOOT_H
#define INIT_BOOT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "options.h"
#include "plan.h"
#include "ring.h"
#include "source.h"

enum phase {
	PHASE_START,             /* PID 1 runs; nothing holds yet */
	PHASE_EARLY,
	PHASE_OPTIONS,
	PHASE_RELAY,
	PHASE_MODULES,
	PHASE_CID,
	PHASE_HELLO,
	PHASE_COMMIT,
	PHASE_APPLY,
	PHASE_HANDOFF,
};

struct boot {
	uint64_t start_ns, deadline_ns;
	struct options options;
	struct ring ring;
	struct sources sources;
	int console;             /* the kernel's, -1 without one */
	int output;              /* the console pipe's writing end, for whoever is PID 1 next */
	sigset_t mask;           /* as the kernel gave it */
	struct plan plan;
	struct fetch fetch;
	bool credentials;        /* they are published */
	uint8_t handoff;         /* WIRE_HANDOFF_* */
	uint32_t verbs;          /* WIRE_VERB_*: what the host may ask of the running machine */
	int control;             /* where it asks, while verbs is not 0 */
};

void boot_phase(enum phase phase);       /* it has been reached: an event */

#endif
