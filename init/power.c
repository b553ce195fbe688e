/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "../vsock/wire.h"
#include "note.h"
#include "power.h"

#define ASKED_PATH "/run/hawser/power"   /* one byte: enum power_kind */
#define HOW_PATH "/run/hawser/power-how" /* struct power_note */

struct power_note {
	uint8_t how;             /* WIRE_POWER_* */
	uint8_t init;            /* enum power_init */
};

#if defined(__x86_64__) || defined(__i386__)
/* Whether the machine's description has the object _S5_, which says how it is powered off. Firecracker's has none. */
static bool soft_off_known(void)
{
	static const char name[] = "_S5_";
	char text[4096 + 3];
	int fd = open(POWER_DSDT, O_RDONLY | O_CLOEXEC);
	size_t kept = 0;
	bool found = false;
	ssize_t n;

	while (fd >= 0 && !found && (n = read(fd, text + kept, sizeof text - kept)) > 0) {
		size_t len = kept + (size_t)n;

		for (size_t i = 0; i + 4 <= len && !found; i++)
			found = memcmp(text + i, name, 4) == 0;
		kept = len < 3 ? len : 3;
		memmove(text, text + len - kept, kept);
	}
	if (fd >= 0)
		close(fd);
	return found;
}
#endif

uint8_t power_detect(void)
{
#if defined(__x86_64__) || defined(__i386__)
	/* Without ACPI, or with one that knows no soft-off, an x86 kernel would halt for ever. */
	return soft_off_known() ? WIRE_POWER_OFF : WIRE_POWER_RESET;
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

	return note_read(ASKED_PATH, &kind, 1) && kind <= POWER_REBOOT ? (enum power_kind)kind : POWER_OFF;
}

void power_how_set(uint8_t how, enum power_init init)
{
	const struct power_note note = { how, (uint8_t)init };

	if (how != WIRE_POWER_DETECT || init != POWER_BUSYBOX)
		note_write(HOW_PATH, &note, sizeof note);
}

uint8_t power_how(void)
{
	struct power_note note;

	return note_read(HOW_PATH, &note, sizeof note) ? note.how : WIRE_POWER_DETECT;
}

enum power_init power_init(void)
{
	struct power_note note;

	return note_read(HOW_PATH, &note, sizeof note) ? note.init : POWER_BUSYBOX;
}
