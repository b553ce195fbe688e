/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "accel.h"
#include "janitor.h"
#include "machine.h"
#include "subprocess.h"

static const char *const names[] = { [ACCEL_AUTO] = "auto", [ACCEL_KVM] = "kvm", [ACCEL_TCG] = "tcg" };

int accel_parse(const char *text)
{
	for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return -1;
}

/* --- the answer that is remembered: one line, the key and the answer -------------------------------------------- */

static bool line_read(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, (int)size, f);
	if (f)
		fclose(f);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

/* The program file stands for QEMU's version, which it would take 20 ms or more to ask for. */
bool accel_key(const char *qemu, char *key, size_t size)
{
	char boot[64];
	struct utsname uts;
	struct stat st;
	if (!line_read("/proc/sys/kernel/random/boot_id", boot, sizeof boot) || uname(&uts) < 0 || stat(qemu, &st) < 0)
		return false;
	int n = snprintf(key, size, "%s %s %s:%llu:%lld.%09ld:%lld", boot, uts.release, qemu,
		(unsigned long long)st.st_ino, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
		(long long)st.st_size);
	return n > 0 && (size_t)n < size;
}

enum accel accel_recall(const char *file, const char *key)
{
	char line[1024];
	size_t len = strlen(key);
	if (!line_read(file, line, sizeof line) || strncmp(line, key, len) != 0 || line[len] != ' ')
		return ACCEL_AUTO;
	int answer = accel_parse(line + len + 1);
	return answer < 0 ? ACCEL_AUTO : (enum accel)answer;
}

int accel_remember(const char *file, const char *key, enum accel answer)
{
	char staged[4096];
	if (snprintf(staged, sizeof staged, "%s.%ld", file, (long)getpid()) >= (int)sizeof staged)
		return -ENAMETOOLONG;
	FILE *f = fopen(staged, "we");
	if (!f)
		return -errno;
	bool ok = fprintf(f, "%s %s\n", key, names[answer]) > 0;
	ok = fclose(f) == 0 && ok && rename(staged, file) == 0;
	int error = errno;
	if (!ok)
		unlink(staged);
	return ok ? 0 : -error;
}

/* The cache's file, its directory made where it lacks. */
static bool cache_file(char *file, size_t size)
{
	const char *own = getenv("HAWSER_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;
	if (own && *own)
		n = snprintf(file, size, "%s/accel", own);
	else if (xdg && *xdg)
		n = snprintf(file, size, "%s/hawser/accel", xdg);
	else if (home && *home)
		n = snprintf(file, size, "%s/.cache/hawser/accel", home);
	else
		return false;
	if (n < 0 || (size_t)n >= size)
		return false;
	for (char *p = file + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		int result = mkdir(file, 0777);
		*p = '/';
		if (result < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
			return false;
	}
	return true;
}

/* --- the probe -------------------------------------------------------------------------------------------------- */

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 1: a byte came; 0: the bound passed, or QEMU ended; -EINTR. Lines of QEMU are collected meanwhile. */
static int byte_wait(struct subprocess *qemu, int cancel)
{
	for (long end = now_ms() + ACCEL_PROBE_MS, left; (left = end - now_ms()) > 0;) {
		struct pollfd p[] = {
			{ cancel, POLLIN, 0 }, { qemu->out, POLLIN, 0 }, { qemu->pidfd, POLLIN, 0 },
			{ qemu->err, POLLIN, 0 },
		};
		char byte;
		if (poll(p, 4, (int)left) < 0 && errno != EINTR)
			return 0;
		if (p[0].revents)
			return -EINTR;
		if ((p[1].revents & POLLIN) && read(qemu->out, &byte, 1) == 1)
			return 1;
		if (p[2].revents) {
			subprocess_reap(qemu);
			return 0;
		}
		subprocess_listen(qemu);
	}
	return 0;
}

static void line_keep(void *why, const char *text, size_t len)
{
	snprintf(why, 200, "%.*s", (int)len, text);
}

static int probe(const struct machine *machine, struct janitor *janitor, int cancel, char *why, size_t why_size)
{
	struct machine m = *machine;
	struct arglist args = { 0 };
	struct subprocess qemu;
	char line[200] = "", how[64];

	m.kvm = true;
	machine_probe_args(&m, &args);
	subprocess_init(&qemu, "QEMU");
	/* It may dump core: into a directory that does not stay. */
	struct subprocess_io io = { .apart = true, .pass = -1, .dir = janitor->dir };
	int result = args.failed ? -ENOMEM : subprocess_start(&qemu, janitor, args.v, &io);
	arglist_finish(&args);
	if (result < 0) {
		snprintf(why, why_size, "%s: %s", m.qemu, strerror(-result));
		return 0;
	}
	result = byte_wait(&qemu, cancel);
	if (result == 0 && qemu.ended) {
		tailbuf_lines(&qemu.said, 1, line_keep, line);
		snprintf(why, why_size, "QEMU with KVM %s%s%s", subprocess_how(&qemu, how, sizeof how),
			*line ? ": " : "", line);
	} else if (result == 0)
		snprintf(why, why_size, "/dev/kvm opens, but a kernel that was started on it said nothing for %d s",
			ACCEL_PROBE_MS / 1000);
	subprocess_signal(&qemu, SIGKILL);
	subprocess_finish(&qemu);
	return result;
}

int accel_find(const struct machine *machine, struct janitor *janitor, int cancel, char *why, size_t why_size)
{
	char file[4096], key[512];

	*why = '\0';
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return ACCEL_TCG;
	bool cached = cache_file(file, sizeof file) && accel_key(machine->qemu, key, sizeof key);
	enum accel answer = cached ? accel_recall(file, key) : ACCEL_AUTO;
	if (answer != ACCEL_AUTO)
		return (int)answer;
	int result = probe(machine, janitor, cancel, why, why_size);
	if (result < 0)
		return result;
	answer = result ? ACCEL_KVM : ACCEL_TCG;
	if (cached)
		accel_remember(file, key, answer);       /* not writable: it is found out again each time */
	return (int)answer;
}
