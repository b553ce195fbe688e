/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "clock.h"
#include "event.h"
#include "policy.h"
#include "power.h"

#define SHELL "/bin/sh"
#define SHELL_PAUSE_MS 1000

static const char *const names[] = {
	[POLICY_POWEROFF] = "poweroff", [POLICY_REBOOT] = "reboot", [POLICY_SHELL] = "shell",
	[POLICY_CONTINUE] = "continue",
};

/* PID 1 never exits. */
static _Noreturn void rest(void)
{
	for (;;)
		if (wait(NULL) < 0)
			clock_sleep_ms(1000);
}

static _Noreturn void shell_exec(const struct boot *boot)
{
	static char *const argv[] = { "-sh", NULL };
	static char *const envp[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=linux", NULL };

	setsid();
	ioctl(boot->console, TIOCSCTTY, 0);
	ioctl(boot->console, FIONBIO, &(int){ 0 });
	for (int fd = 0; fd < 3; fd++)
		dup2(boot->console, fd);
	sigprocmask(SIG_SETMASK, &boot->mask, NULL);
	execve(SHELL, argv, envp);
	_exit(127);
}

static _Noreturn void shells(const struct boot *boot)
{
	for (;;) {
		pid_t pid = _Fork(), ended;

		if (pid == 0)
			shell_exec(boot);
		do
			ended = wait(NULL);
		while (ended != pid && (ended >= 0 || errno == EINTR));
		clock_sleep_ms(SHELL_PAUSE_MS);
	}
}

static _Noreturn void end(const struct boot *boot, enum power_kind kind)
{
	event_close();
	power_end(kind, boot->options.power);
	rest();
}

void policy_fail(struct boot *boot, const char *what)
{
	log_error("the boot failed: %s; hawser.on_failure=%s", what, names[boot->options.on_failure]);
	event_send(WIRE_EVENT_FAILURE, 0, what);
	switch ((enum policy)boot->options.on_failure) {
	case POLICY_REBOOT:
		end(boot, POWER_REBOOT);
	case POLICY_SHELL:
		if (boot->console >= 0)
			shells(boot);
		log_error("there is no console for a shell");
		end(boot, POWER_OFF);
	case POLICY_CONTINUE:
		return;
	case POLICY_POWEROFF:
		break;
	}
	end(boot, POWER_OFF);
}

_Noreturn void policy_end(struct boot *boot, const char *what)
{
	policy_fail(boot, what);
	end(boot, POWER_OFF);
}
