/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "clock.h"
#include "early.h"
#include "event.h"
#include "mount.h"
#include "note.h"

static int console = -1;

/* Every line goes to the host; what somebody must see when no host can be reached also to the kernel's console. */
static void log_everywhere(enum log_level level, const char *line)
{
	struct iovec parts[] = {
		{ "hawser: ", 8 }, { (char *)line, strlen(line) }, { "\r\n", 2 },
	};

	event_log(level, line);
	/* A console that does not take it has nobody looking. */
	if (level <= LOG_LEVEL_WARN && console >= 0 && writev(console, parts, 3) < 0)
		return;
}

/* Faults stay loud: a bug in PID 1 must not turn into a spin. */
static void signals_block(sigset_t *before)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t all;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		sigdelset(&all, faults[i]);
	sigprocmask(SIG_SETMASK, &all, before);
}

/* Without /dev/console in the image 0 to 2 are closed, and the next socket would land there. */
static void stdio_open(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= 2)
		fd = dup(fd);
	if (fd > 2)
		close(fd);
	console = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

/* What every program expects beside the devices, of which devtmpfs has no idea. */
static void links_make(void)
{
	static const char links[][2][16] = {
		{ "/proc/self/fd", "/dev/fd" }, { "fd/0", "/dev/stdin" }, { "fd/1", "/dev/stdout" },
		{ "fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			log_warn_errno("%s", links[i][1]);
}

void early(struct boot *boot)
{
	int error;

	*boot = (struct boot){ .start_ns = clock_boot_ns(), .output = -1 };
	signals_block(&boot->mask);
	/* Nobody traces PID 1, reads its memory or gets a core of it, while it handles secrets; exec undoes this. */
	prctl(PR_SET_DUMPABLE, 0);
	error = ring_create(&boot->ring, RING_DEFAULT);
	if (error == 0 && ring_open(&boot->ring) == 0)
		event_to_ring(&boot->ring);
	log_set(LOG_LEVEL_INFO, log_everywhere);
	mount_early();
	links_make();
	stdio_open();
	boot->console = console;
	mkdir(EVENT_DIR, 0700);
	/* It is 10: too few for a program that logs a burst, or for our own events. Without it senders wait more often. */
	note_tell("/proc/sys/net/unix/max_dgram_qlen", "512");
}

static void option_complain(const char *word, size_t len, const char *why)
{
	log_warn("kernel command line: %.*s: %s; its default is used", (int)len, word, why);
}

void early_options(struct boot *boot)
{
	static char line[OPTIONS_LINE_MAX];
	ssize_t n = -1;
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

	options_init(&boot->options);
	if (fd >= 0) {
		n = read(fd, line, sizeof line);
		close(fd);
	}
	if (n < 0)
		log_warn_errno("/proc/cmdline: no options are known");
	else if (n == sizeof line)
		log_warn("/proc/cmdline: longer than %zu bytes; the rest is not looked at", sizeof line);
	if (n > 0)
		options_parse(&boot->options, line, (size_t)n, option_complain);
	log_set(boot->options.log, log_everywhere);
	boot->deadline_ns = boot->start_ns + boot->options.deadline_s * 1000000000ull;
}
