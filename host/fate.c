/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "../vsock/wire.h"
#include "fate.h"

void fate_event(struct fate *fate, uint16_t code, int32_t value)
{
	switch (code) {
	case WIRE_EVENT_STARTED:
	case WIRE_EVENT_RESTART:
		fate->outcome = FATE_UNKNOWN;
		fate->ready = false;
		return;
	case WIRE_EVENT_EXITED:
		fate->outcome = FATE_EXITED;
		break;
	case WIRE_EVENT_KILLED:
	case WIRE_EVENT_OOM:
		fate->outcome = FATE_KILLED;
		break;
	case WIRE_EVENT_UNSTARTED:
		fate->outcome = FATE_UNSTARTED;
		break;
	case WIRE_EVENT_EXIT_STATUS:
		/* What it says of itself counts where nobody sees its end. */
		if (fate->outcome != FATE_UNKNOWN)
			return;
		fate->outcome = FATE_EXITED;
		break;
	case WIRE_EVENT_READY:
		fate->ready = true;
		return;
	case WIRE_EVENT_FAILURE:
		fate->failed = true;
		return;
	case WIRE_EVENT_POWER:
		fate->powered = true;
		return;
	default:
		return;
	}
	fate->value = (uint32_t)value;
}

void fate_named(struct fate *fate, const char *event, uint64_t value)
{
	for (uint16_t code = 1; code <= WIRE_EVENT_WATCHDOG; code++)
		if (strcmp(wire_event_name(code), event) == 0)
			fate_event(fate, code, (int32_t)value);
}

int fate_status(const struct fate *fate)
{
	switch (fate->outcome) {
	case FATE_EXITED:
		return (int)(fate->value & 255);
	case FATE_KILLED:
		return 128 + (int)(fate->value & 127);
	case FATE_UNSTARTED:
		return fate->value == ENOENT ? 127 : 126;
	default:
		return fate->ended && fate->powered && !fate->failed ? 0 : FATE_FAILED;
	}
}

const char *fate_name(uint8_t outcome)
{
	static const char names[FATE_OUTCOMES][10] = { "unknown", "exited", "killed", "unstarted" };

	return names[outcome < FATE_OUTCOMES ? outcome : 0];
}
