/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ticks.h"

#define TRIES 20
#define GOOD_NS 500              /* between the clock before the counter and the clock behind it */
#define APART_NS 2000000         /* then GOOD_NS are 250 ppm at worst */

static uint64_t raw_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t counter(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

struct ticks ticks_read(void)
{
	struct ticks best = { 0 };
	uint64_t shortest = UINT64_MAX;
	/* Another process may have come between the two; then it is tried again. */
	for (int i = 0; i < TRIES && shortest > GOOD_NS; i++) {
		uint64_t before = raw_ns(), count = counter(), after = raw_ns();
		if (after - before < shortest) {
			shortest = after - before;
			best = (struct ticks){ count, before + shortest / 2 };
		}
	}
	return best;
}

uint32_t ticks_khz(struct ticks from, struct ticks to)
{
	if (!from.count || to.count <= from.count || to.ns < from.ns + APART_NS)
		return 0;
	return (uint32_t)((double)(to.count - from.count) * 1e6 / (double)(to.ns - from.ns) + 0.5);
}

bool ticks_even(void)
{
	char name[32] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	bool ok = f && fgets(name, sizeof name, f);
	if (f)
		fclose(f);
	name[strcspn(name, "\n")] = '\0';
	return ok && (strcmp(name, "tsc") == 0 || strcmp(name, "kvm-clock") == 0);
}
