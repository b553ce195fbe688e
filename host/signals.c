/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "signals.h"

/* Linux's numbers on x86_64 and aarch64, which are the guest's, not those of whoever compiles the host. */
static const char *const signals[] = {
	NULL, "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS",
	"SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
	"SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG",
	"SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
};
#define SIGNALS (sizeof signals / sizeof signals[0])
#define SIGNAL_RTMIN 34          /* as C libraries count; systemd stops a container with SIGRTMIN+3 */
#define SIGNAL_MAX 64

uint32_t signals_number(const char *name)
{
	static const char rtmin[] = "SIGRTMIN";
	const char *p = name + strlen(rtmin);
	uint32_t n = 0;

	for (uint32_t i = 1; i < SIGNALS; i++)
		if (strcmp(signals[i], name) == 0)
			return i;
	if (strncmp(name, rtmin, strlen(rtmin)) != 0)
		return 0;
	if (*p == '\0')
		return SIGNAL_RTMIN;
	if (*p++ != '+' || *p < '1' || *p > '9' || strlen(p) > 2)
		return 0;
	for (; isdigit((unsigned char)*p); p++)
		n = n * 10 + (uint32_t)(*p - '0');
	return *p || SIGNAL_RTMIN + n > SIGNAL_MAX ? 0 : SIGNAL_RTMIN + n;
}

int signals_take(const int numbers[])
{
	struct sigaction action;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (; *numbers; numbers++)
		if (!sigaction(*numbers, NULL, &action) && action.sa_handler != SIG_IGN)
			sigaddset(&set, *numbers);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
