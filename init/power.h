/* SPDX-License-Identifier: MIT */
/* power: the end of the machine, and the only file that calls reboot(). */
#ifndef INIT_POWER_H
#define INIT_POWER_H

#include <stdint.h>

#define POWER_DSDT "/sys/firmware/acpi/tables/DSDT"      /* the machine's description of itself, where there is ACPI */

enum power_kind { POWER_HALT, POWER_OFF, POWER_REBOOT };

/*
 * Who PID 1 is: BusyBox's init; one that is not asked, so that whoever ends the machine does all of it; systemd, which
 * takes as its signals the number and a kind, SIGRTMIN+3 to +5 of glibc's.
 */
enum power_init { POWER_BUSYBOX, POWER_ALONE, POWER_SYSTEMD = 37 };

/*
 * Ends the machine. `how` (WIRE_POWER_*) says what powering off means here: a system call of that name, or a reset, on
 * machines that have no power-off. Writes file systems back first. Returns only if the kernel refuses, and that is
 * logged.
 */
void power_end(enum power_kind kind, uint8_t how);
/* WIRE_POWER_OFF or WIRE_POWER_RESET, for WIRE_POWER_DETECT. */
uint8_t power_detect(void);

/* What was asked for first, and how this machine is ended, from one process of /init to another. */
void power_ask(enum power_kind kind);
enum power_kind power_asked(void);       /* POWER_OFF when nobody asked */
void power_how_set(uint8_t how, enum power_init init);
uint8_t power_how(void);
enum power_init power_init(void);

#endif
