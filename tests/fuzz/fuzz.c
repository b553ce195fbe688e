/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../host/daemon.h"
#include "../unit/wire_any.h"
#include "fuzz.h"

static char directory[PATH_MAX];

/* hawserd.c's, for targets that have no need of the rest of it. */
__attribute__((weak)) void daemon_up(struct daemon *daemon)
{
	(void)daemon;
}

__attribute__((weak)) void daemon_stop(void)
{
}

_Noreturn void fuzz_broken(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void directory_remove(void)
{
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_directory(void)
{
	const char *tmp = getenv("TMPDIR");

	if (directory[0])
		return directory;
	snprintf(directory, sizeof directory, "%s/hawser-fuzz-XXXXXX", tmp ? tmp : "/tmp");
	FUZZ_NEED(mkdtemp(directory) && chdir(directory) == 0);
	atexit(directory_remove);
	return directory;
}

void fuzz_pair(int type, int fds[static 2])
{
	FUZZ_NEED(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
}

size_t fuzz_piece(uint8_t mode, const uint8_t *data, size_t size)
{
	struct wire_frame frame;
	int whole = mode ? 0 : wire_split(data, size, &frame);
	size_t piece = whole > 0 ? (size_t)whole : mode ? 16u * mode : size;

	return piece < size ? piece : size;
}

const char *fuzz_frame(const struct wire_frame *frame)
{
	return any_check(frame->type, frame->payload, frame->length);
}

void fuzz_sent(const uint8_t *bytes, size_t len)
{
	struct wire_frame frame;
	size_t at = 0;
	int whole;

	while ((whole = wire_split(bytes + at, len - at, &frame)) > 0) {
		const char *wrong = fuzz_frame(&frame);

		if (wrong)
			fprintf(stderr, "%s %s\n", wire_type_name(frame.type), wrong);
		FUZZ_NEED(!wrong);
		at += (size_t)whole;
	}
	FUZZ_NEED(whole == 0);
}
