/* SPDX-License-Identifier: MIT */
#include <sys/reboot.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "../vsock/wire.h"
#include "note.h"
#include "power.h"

#define ASKED_PATH "/run/hawser/power"   /* one byte: enum power_kind */
#define HOW_PATH "/run/hawser/power-how" /* one byte: WIRE_POWER_* */

uint8_t power_detect(void)
{
#if defined(__x86_64__) || defined(__i386__)
	/* Without ACPI an x86 kernel has nothing to turn the power off with, and would halt for ever. */
	return access("/sys/firmware/acpi", F_OK) == 0 ? WIRE_POWER_OFF : WIRE_POWER_RESET;
#else
	return WIRE_POWER_OFF;   /* PSCI */
#endif
}

void power_end(enum power_kind kind, uint8_t how)
{
	int command = RB_AUTOBOOT;

	if (how == WIRE_POWER_DETECT)
		how = power_detect();
	if (kind == POWER_HALT)
		command = RB_HALT_SYSTEM;
	else if (kind == POWER_OFF && how == WIRE_POWER_OFF)
		command = RB_POWER_OFF;
	sync();
	reboot(command);
	log_error_errno("reboot");
}

void power_ask(enum power_kind kind)
{
	uint8_t byte;

	/* The first one counts: a program that calls `reboot` and ends must not turn that into what its end means. */
	if (access(ASKED_PATH, F_OK) == 0)
		return;
	byte = (uint8_t)kind;
	note_write(ASKED_PATH, &byte, 1);
}

enum power_kind power_asked(void)
{
	uint8_t kind;

	return note_read(ASKED_PATH, &kind, 1) && kind <= POWER_HALT ? (enum power_kind)kind : POWER_OFF;
}

void power_how_set(uint8_t how)
{
	note_write(HOW_PATH, &how, 1);
}

uint8_t power_how(void)
{
	uint8_t how;

	return note_read(HOW_PATH, &how, 1) ? how : WIRE_POWER_DETECT;
}
