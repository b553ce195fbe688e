/* SPDX-License-Identifier: MIT */
/* scrape_place: where scrapers connect. On its own, because the settings are checked where there is no daemon. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "binding.h"
#include "scrape.h"

#define BACKLOG 4

union place {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static bool port_read(in_port_t *port, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	*port = htons((in_port_t)v);
	return *text >= '0' && *text <= '9' && !*end && v > 0 && v < 65536;
}

/* The size of the address; 0: none of ours. */
static socklen_t place_read(union place *place, const char *text)
{
	*place = (union place){ 0 };
	if (!strncmp(text, "127.0.0.1:", 10)) {
		place->in.sin_family = AF_INET;
		place->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return port_read(&place->in.sin_port, text + 10) ? sizeof place->in : 0;
	}
	if (!strncmp(text, "[::1]:", 6)) {
		place->in6.sin6_family = AF_INET6;
		place->in6.sin6_addr = in6addr_loopback;
		return port_read(&place->in6.sin6_port, text + 6) ? sizeof place->in6 : 0;
	}
	return 0;
}

const char *scrape_place(const char *text)
{
	union place place;

	if (!strncmp(text, "unix:/", 6) || place_read(&place, text))
		return NULL;
	return "must be \"unix:/PATH\", \"127.0.0.1:PORT\" or \"[::1]:PORT\": hawserd talks to no network";
}

static int listen_loopback(const char *text, struct problem *problem)
{
	union place place;
	socklen_t len = place_read(&place, text);
	int fd = socket(place.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) && !bind(fd, &place.any, len) &&
	    !listen(fd, BACKLOG))
		return fd;
	problem_set(problem, text, 0, 0, "cannot listen for scrapers of metrics: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int scrape_listen(const char *place, struct binding *binding, int *dir, struct problem *problem)
{
	if (!place)
		return 0;
	if (strncmp(place, "unix:", 5)) {
		binding->fd = listen_loopback(place, problem);
		return binding->fd < 0 ? -1 : 0;
	}
	*dir = binding_dir_open(place + 5, true, problem);
	return *dir < 0 ? -1 : binding_open(binding, *dir, place + 5, problem);
}
