/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "../vsock/wire.h"
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

static void byte_write(const char *path, uint8_t byte)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, &byte, 1) != 1)
		log_warn_errno("%s", path);
	if (fd >= 0)
		close(fd);
}

static uint8_t byte_read(const char *path, uint8_t otherwise)
{
	uint8_t byte = otherwise;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return otherwise;
	if (read(fd, &byte, 1) != 1)
		byte = otherwise;
	close(fd);
	return byte;
}

void power_ask(enum power_kind kind)
{
	/* The first one counts: a program that calls `reboot` and ends must not turn that into what its end means. */
	if (access(ASKED_PATH, F_OK) == 0)
		return;
	byte_write(ASKED_PATH, (uint8_t)kind);
}

enum power_kind power_asked(void)
{
	uint8_t kind = byte_read(ASKED_PATH, POWER_OFF);

	return kind <= POWER_HALT ? (enum power_kind)kind : POWER_OFF;
}

void power_how_set(uint8_t how)
{
	byte_write(HOW_PATH, how);
}

uint8_t power_how(void)
{
	return byte_read(HOW_PATH, WIRE_POWER_DETECT);
}
