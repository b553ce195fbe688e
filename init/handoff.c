/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apply.h"
#include "handoff.h"
#include "note.h"
#include "notify.h"
#include "power.h"
#include "root.h"
#include "tool.h"

/* 0 is empty, so nothing reads what others wrote; 1 and 2 are the relay's. Without a relay the kernel's console. */
static void stdio_connect(const struct boot *boot)
{
	int output = boot->output >= 0 ? boot->output : boot->console;
	int null = open("/dev/null", O_RDONLY);

	if (null > 0) {
		dup2(null, 0);
		close(null);
	}
	for (int fd = 1; fd <= 2 && output >= 0; fd++)
		dup2(output, fd);
}

static void signals_restore(const sigset_t *mask)
{
	/* PID 1 changed none of the dispositions; the mask alone has to be given back. */
	sigprocmask(SIG_SETMASK, mask, NULL);
}

static int busybox_become(const struct boot *boot)
{
	static char *const argv[] = { "init", NULL };
	char *envp[] = { "PATH=" HANDOFF_PATH, "HOME=/root", "TERM=linux", NULL, NULL };

	if (boot->credentials)
		envp[3] = "CREDENTIALS_DIRECTORY=" APPLY_CREDENTIALS;
	execve(HANDOFF_PROGRAM, argv, envp);
	return -errno;
}

/* What systemd wants for itself: its journal's socket, and its own signal to power off (SIGRTMIN+4). */
static void systemd_prepare(void)
{
	unlink("/dev/log");
	note_tell("/sys/module/tiny_power_button/parameters/power_signal", "38");
}

void handoff(struct boot *boot, char *why, size_t size)
{
	const char *what = "the program";
	int error = 0;

	power_how_set(boot->options.power, boot->handoff == WIRE_HANDOFF_BUSYBOX ? POWER_BUSYBOX :
		root_is_systemd() ? POWER_SYSTEMD : POWER_ALONE);
	if (boot->handoff == WIRE_HANDOFF_SWITCH_ROOT) {
		what = root_init();
		error = root_switch();
	}
	if (root_is_systemd())
		systemd_prepare();
	else
		notify_forward();
	boot_phase(PHASE_HANDOFF);
	stdio_connect(boot);
	signals_restore(&boot->mask);
	/* All our descriptors close on exec; this is for what the kernel or a bug may have left. 5.11 knows the flag. */
	syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
	if (boot->handoff == WIRE_HANDOFF_BUSYBOX) {
		what = HANDOFF_PROGRAM;
		error = busybox_become(boot);
	} else if (!error) {
		error = workload_become(root_init());
	}
	snprintf(why, size, "%s: %s", what, strerror(-error));
}
