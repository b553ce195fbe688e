/* SPDX-License-Identifier: MIT */
/* run_summary: what a run's records add up to: how it ended, how long it took, how much it said. Pure. */
#ifndef HOST_RUN_SUMMARY_H
#define HOST_RUN_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "fate.h"

struct run_summary {
	struct fate fate;
	uint64_t first_ns, handoff_ns;   /* init's first phase, and its last; 0: not seen */
	uint64_t lines, bytes, lost;
	bool booted;                     /* hawserd had a boot session with it */
	bool connected;                  /* ... and a log session */
	bool applied;                    /* the guest has its configuration */
	bool ended;                      /* the guest said END, and nothing was cut since */
	bool cut;                        /* its log session was, or will not come back */
	char refused[600];               /* why hawserd last refused it, or it what hawserd sent */
};

/* How the run went, as the summary line says it. */
struct run_facts {
	const char *name, *accel;
	uint32_t cid;
	double seconds;
};

void run_summary_add(struct run_summary *s, const struct client_record *record);
int run_summary_status(const struct run_summary *s);
/* "exit 0; CID 3, kernel 0.048 s, init 0.9 ms, 214 lines, 11.3 KiB, 0 lost, tcg, 0.71 s" */
const char *run_summary_line(const struct run_summary *s, const struct run_facts *facts, char *line, size_t size);

#endif
