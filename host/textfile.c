/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "textfile.h"

static int open_problem(const char *label, int error, struct problem *problem)
{
	if (error == ENOENT)
		return problem_set(problem, label, 0, 0, "does not exist; write it");
	if (error == ELOOP)
		return problem_set(problem, label, 0, 0,
			"is a symbolic link, and none is followed; put the file itself here");
	return problem_set(problem, label, 0, 0, "cannot be opened: %s", strerror(error));
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Up to size bytes; fewer only at the file's end. -1 with errno set. */
static ssize_t read_whole(int fd, char *bytes, size_t size)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, bytes + len, size - len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 ? len < size : n < 0 && errno == EINTR);
	return n < 0 ? -1 : (ssize_t)len;
}

static char *read_checked(int fd, const char *label, size_t max, size_t *len, struct problem *problem)
{
	struct stat before, after;
	char *text;
	ssize_t n;

	if (fstat(fd, &before) < 0) {
		problem_set(problem, label, 0, 0, "cannot be read: %s", strerror(errno));
		return NULL;
	}
	if (!S_ISREG(before.st_mode)) {
		problem_set(problem, label, 0, 0, "is not a regular file; replace it with one");
		return NULL;
	}
	if ((size_t)before.st_size > max) {
		problem_set(problem, label, 0, 0, "has %lld bytes; there may be %zu", (long long)before.st_size, max);
		return NULL;
	}
	text = malloc((size_t)before.st_size + 1);
	if (!text) {
		problem_set(problem, label, 0, 0, "out of memory");
		return NULL;
	}
	n = read_whole(fd, text, (size_t)before.st_size);
	if (n < 0)
		problem_set(problem, label, 0, 0, "cannot be read: %s", strerror(errno));
	else if (n != before.st_size || fstat(fd, &after) < 0 || !same(&before, &after))
		problem_set(problem, label, 0, 0, "changed while it was read; replace it by rename, and try again");
	else {
		*len = (size_t)n;
		text[n] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

char *textfile_read(int dirfd, const char *name, const char *label, size_t max, size_t *len,
	struct problem *problem)
{
	/* Without O_NONBLOCK, a FIFO of that name would make us wait for somebody to write to it. */
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text;

	if (fd < 0) {
		open_problem(label, errno, problem);
		return NULL;
	}
	text = read_checked(fd, label, max, len, problem);
	close(fd);
	return text;
}
