/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "note.h"

void note_write(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		log_warn_errno("%s", path);
	if (fd >= 0)
		close(fd);
}

bool note_read(const char *path, void *bytes, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool whole = fd >= 0 && read(fd, bytes, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	return whole;
}

bool note_tell(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool taken = fd >= 0 && write(fd, word, strlen(word)) >= 0;

	if (fd >= 0)
		close(fd);
	return taken;
}
