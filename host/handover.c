/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/log.h"
#include "handover.h"

struct handed {
	int fd;                  /* -1: taken */
	char *name;
	struct address address;
};

static struct handed *handed;
static int n_handed;
static bool keeps;

/* In the words of FDNAME. */
static void name_put(char name[static 64], dev_t dev, ino_t ino)
{
	snprintf(name, 64, "unix-%llx-%llx", (unsigned long long)dev, (unsigned long long)ino);
}

static bool listens(int fd)
{
	return sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0;
}

void handover_init(void)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	keeps = getenv("NOTIFY_SOCKET");
	handed = n > 0 ? calloc((size_t)n, sizeof *handed) : NULL;
	for (int i = 0; i < n; i++) {
		struct handed to = { .fd = SD_LISTEN_FDS_START + i, .name = names ? names[i] : NULL };

		if (handed && to.name && listens(to.fd) && !address_read_own(to.fd, &to.address)) {
			handed[n_handed++] = to;
			continue;
		}
		log_warn("descriptor %d (%s) of the service manager is no socket that listens", to.fd,
			to.name ? to.name : "without a name");
		close(to.fd);
		free(to.name);
	}
	free(names);
}

static int take(struct handed *from)
{
	int fd = from->fd;

	from->fd = -1;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);     /* a socket unit's may be without */
	return fd;
}

int handover_unix(const char *path, dev_t dev, ino_t ino)
{
	char name[64];

	name_put(name, dev, ino);
	for (int i = 0; i < n_handed; i++) {
		struct handed *h = &handed[i];

		if (h->fd >= 0 && h->address.kind == ADDRESS_UNIX &&
		    (!strcmp(h->name, name) || !strcmp(h->address.path, path)))
			return take(h);
	}
	return -1;
}

bool handover_waits(dev_t dev, ino_t ino)
{
	char name[64];

	name_put(name, dev, ino);
	for (int i = 0; i < n_handed; i++)
		if (handed[i].fd >= 0 && handed[i].name && !strcmp(handed[i].name, name))
			return true;
	return false;
}

int handover_vsock(uint32_t port)
{
	for (int i = 0; i < n_handed; i++)
		if (handed[i].fd >= 0 && handed[i].address.kind == ADDRESS_VSOCK && handed[i].address.port == port)
			return take(&handed[i]);
	return -1;
}

bool handover_uses(int number)
{
	char start[40];

	snprintf(start, sizeof start, "/proc/self/fd/%d/", number);
	for (int i = 0; i < n_handed; i++)
		if (!strncmp(handed[i].address.path, start, strlen(start)))
			return true;
	return false;
}

void handover_keep(int fd, dev_t dev, ino_t ino)
{
	char name[64], text[128];

	if (!keeps)
		return;
	name_put(name, dev, ino);
	snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
	sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void handover_forget(dev_t dev, ino_t ino)
{
	char name[64];

	if (!keeps)
		return;
	name_put(name, dev, ino);
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

bool handover_keeps(void)
{
	return keeps;
}

void handover_close(void)
{
	for (int i = 0; i < n_handed; i++)
		if (handed[i].fd >= 0)
			close(take(&handed[i]));
}

void handover_finish(void)
{
	for (int i = 0; i < n_handed; i++) {
		if (handed[i].fd < 0)
			continue;
		log_info("a socket that was handed over (%s) is of no machine any more", handed[i].name);
		if (keeps)
			sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", handed[i].name);
		close(take(&handed[i]));
	}
}
