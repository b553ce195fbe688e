/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "entries.h"
#include "event.h"
#include "note.h"
#include "power.h"
#include "relay.h"
#include "tool.h"

#define TERM_GRACE_MS 2000
#define KILL_GRACE_MS 1000
#define POLL_MS 5

static pid_t pid_parse(const char *s)
{
	pid_t pid = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		pid = pid * 10 + (*s - '0');
	return pid;
}

struct others {
	pid_t keeper;
	int signal;
};

static unsigned other_signal(int proc, const char *name, void *arg)
{
	const struct others *others = arg;
	pid_t pid = pid_parse(name);
	char path[32], target[1];

	if (pid <= 1 || pid == getpid() || getsid(pid) == others->keeper)
		return 0;
	/* Kernel threads and zombies have no program. */
	snprintf(path, sizeof path, "%s/exe", name);
	if (readlinkat(proc, path, target, sizeof target) < 0)
		return 0;
	if (others->signal)
		kill(pid, others->signal);
	return 1;
}

/* Sends the signal (0: none) to every process but PID 1, this one and the relay's. Returns how many there are. */
static unsigned others_signal(pid_t keeper, int signal)
{
	struct others others = { keeper, signal };
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned n = 0;

	if (proc >= 0) {
		n = entries_each(proc, other_signal, &others);
		close(proc);
	}
	return n;
}

static bool others_end(pid_t keeper, int signal, unsigned grace_ms)
{
	unsigned n = others_signal(keeper, signal);

	for (unsigned waited = 0; n > 0 && waited < grace_ms; waited += POLL_MS) {
		clock_sleep_ms(POLL_MS);
		/* SIGKILL again: a process may have been forked behind our back. */
		n = others_signal(keeper, signal == SIGKILL ? SIGKILL : 0);
	}
	return n == 0;
}

/* In the way that is configured for it: its supervisor knows, and takes no longer than the grace. */
static void workload_end(void)
{
	struct tool_supervisor by;

	if (!note_read(TOOL_SUPERVISOR, &by, sizeof by) || kill(by.pid, SIGTERM) < 0)
		return;
	for (uint64_t waited = 0; kill(by.pid, 0) == 0 && waited < (uint64_t)by.grace_ms + KILL_GRACE_MS; waited += POLL_MS)
		clock_sleep_ms(POLL_MS);
}

int shutdown_main(void)
{
	enum power_kind kind = power_asked();
	uint8_t how = power_how();
	/* The relay's processes are a session of their own, and must outlive all others. */
	pid_t keeper = -1;

	note_read(RELAY_KEEPER_PID, &keeper, sizeof keeper);
	if (how == WIRE_POWER_DETECT)
		how = power_detect();
	workload_end();
	if (!others_end(keeper, SIGTERM, TERM_GRACE_MS))
		others_end(keeper, SIGKILL, KILL_GRACE_MS);
	event_send(WIRE_EVENT_POWER, kind == POWER_OFF && how == WIRE_POWER_OFF ? 0 : 1,
		kind == POWER_REBOOT ? "reboot" : kind == POWER_HALT ? "halt" : "poweroff");
	/* Not acknowledged in time: the host marks this end as unclean, and the machine ends all the same. */
	event_close();
	power_end(kind, how);
	return 1;        /* BusyBox goes on with its own way of ending */
}
