/* SPDX-License-Identifier: MIT */
#include "pace.h"

void pace_init(struct pace *pace, uint64_t now_ns)
{
	*pace = (struct pace){ .until_ns = now_ns + PACE_FIRST_NS, .rest_ns = PACE_REST_NS };
}

/* What is too little makes it longer up to a limit; what is too long for what comes becomes shorter down to it. */
static uint32_t adapted(uint32_t rest_ns, size_t bytes)
{
	uint32_t most_ns = bytes < PACE_TRICKLE ? PACE_TRICKLE_NS : PACE_REST_NS;

	if (rest_ns > PACE_REST_NS && bytes >= PACE_ENOUGH)
		return rest_ns / 2;
	if (rest_ns >= most_ns || bytes >= PACE_LITTLE)
		return rest_ns;
	rest_ns = rest_ns ? rest_ns * 2 : PACE_MIN_NS;
	return rest_ns < most_ns ? rest_ns : most_ns;
}

void pace_turn(struct pace *pace, uint64_t now_ns, size_t bytes, bool more)
{
	bool silence = now_ns > pace->until_ns + 2 * PACE_TRICKLE_NS;

	if (bytes == 0 && !more)
		return;
	if (more || bytes >= PACE_MUCH)
		pace->rest_ns = pace->rest_ns / 4 >= PACE_MIN_NS ? pace->rest_ns / 4 : 0;
	else
		pace->rest_ns = silence ? PACE_REST_NS : adapted(pace->rest_ns, bytes);
	pace->until_ns = more ? now_ns : now_ns + pace->rest_ns;
}
