/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "event.h"
#include "power.h"
#include "tool.h"

/* Leaves word of what is wanted, and tells PID 1 in its own way, if it has one and is not this process. */
static int ask(enum power_kind kind, int signal, bool force)
{
	enum power_init init = power_init();

	if (force)
		power_end(kind, power_how());
	else
		power_ask(kind);
	if (!force && (init == POWER_ALONE || getpid() == 1))
		return shutdown_main();
	if (init == POWER_SYSTEMD)
		signal = POWER_SYSTEMD + (int)kind;
	if (force || kill(1, signal) < 0) {
		log_error_errno("PID 1 cannot be told");
		return 1;
	}
	return 0;
}

/* BusyBox init: SIGUSR1 is halt, SIGUSR2 power-off, SIGTERM reboot. */
static const struct {
	const char *name;
	enum power_kind kind;
	int signal;
} powers[] = {
	{ "poweroff", POWER_OFF, SIGUSR2 },
	{ "reboot", POWER_REBOOT, SIGTERM },
	{ "halt", POWER_HALT, SIGUSR1 },
};

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool tool_called(const char *argv0)
{
	const char *name = name_of(argv0);
	bool called = strcmp(name, "shutdown") == 0;

	for (size_t i = 0; i < sizeof powers / sizeof *powers; i++)
		called |= strcmp(name, powers[i].name) == 0;
	return called;
}

int tool_power(enum power_kind kind)
{
	size_t i = 0;

	while (powers[i].kind != kind)
		i++;
	return ask(kind, powers[i].signal, false);
}

int tool_main(int argc, char *argv[])
{
	const char *name = name_of(argv[0]);
	bool force;

	/* Also as the `shutdown` of an initrd, with what is wanted behind it, which then is PID 1. */
	if (argc > 1 && (strcmp(name, "init") == 0 || strcmp(name, "shutdown") == 0)) {
		name = argv[1];
		argv++;
		argc--;
	}
	force = argc > 1 && strcmp(argv[1], "-f") == 0;
	log_name(name);
	event_to_socket();
	if (strcmp(name, "workload") == 0)
		return workload_main();
	if (strcmp(name, "shutdown") == 0)
		return shutdown_main();
	for (size_t i = 0; i < sizeof powers / sizeof *powers; i++)
		if (strcmp(name, powers[i].name) == 0)
			return ask(powers[i].kind, powers[i].signal, force);
	log_error("hawser's init is PID 1, or one of: poweroff [-f], reboot [-f], halt [-f]");
	return 2;
}
