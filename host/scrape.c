/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"
#include "metrics.h"
#include "scrape.h"

#define REQUEST_MAX 4096
#define SCRAPES_MAX 4            /* at once; more of them wait in the backlog */
#define PATIENCE_NS (10 * LOOP_SECOND)

struct scrape {
	LIST_ENTRY(scrape) of_all;
	struct daemon *daemon;
	int fd, slot;
	struct timer timer;              /* its end, however far it is */
	char request[REQUEST_MAX];
	size_t request_len;
	char *answer;                    /* NULL: the request has not come yet */
	size_t answer_len, sent;
};

static struct {
	int slot;
	unsigned n;
	LIST_HEAD(, scrape) all;
} listener;

int scrape_init(struct daemon *daemon)
{
	if (daemon->scrape < 0)
		return 0;
	listener.slot = loop_add(&daemon->loop, daemon->scrape, EPOLLIN, LOOP_SCRAPE_LISTENER, daemon);
	return listener.slot < 0 ? listener.slot : 0;
}

/* --- a scrape --------------------------------------------------------------------------------------------------- */

static void scrape_destroy(struct scrape *scrape)
{
	struct daemon *daemon = scrape->daemon;

	timer_stop(&daemon->loop, &scrape->timer);
	loop_remove(&daemon->loop, scrape->slot);
	LIST_REMOVE(scrape, of_all);
	close(scrape->fd);
	free(scrape->answer);
	free(scrape);
	if (listener.n-- == SCRAPES_MAX)
		loop_events(&daemon->loop, listener.slot, EPOLLIN);
}

static void scrape_late(struct timer *timer)
{
	scrape_destroy((struct scrape *)((char *)timer - offsetof(struct scrape, timer)));
}

void scrape_listener_event(struct daemon *daemon)
{
	int fd = accept4(daemon->scrape, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct scrape *scrape = fd < 0 ? NULL : calloc(1, sizeof *scrape);

	if (!scrape) {
		if (fd >= 0)
			close(fd);
		return;
	}
	*scrape = (struct scrape){ .daemon = daemon, .fd = fd, .timer.fire = scrape_late };
	LIST_INSERT_HEAD(&listener.all, scrape, of_all);
	if (++listener.n == SCRAPES_MAX)
		loop_events(&daemon->loop, listener.slot, 0);
	timer_set(&daemon->loop, &scrape->timer, PATIENCE_NS);
	scrape->slot = loop_add(&daemon->loop, fd, EPOLLIN, LOOP_SCRAPE, scrape);
	if (scrape->slot < 0)
		scrape_destroy(scrape);
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* False: no memory. */
static bool answer_make(struct scrape *scrape)
{
	const char *status = "200 OK", *more = "";
	char head[256], *body = NULL;
	size_t head_len, body_len = 0;

	if (!starts(scrape->request, "GET ")) {
		status = "405 Method Not Allowed";
		more = "Allow: GET\r\n";
	} else if (!starts(scrape->request, "GET /metrics ") && !starts(scrape->request, "GET /metrics?"))
		status = "404 Not Found";
	else if (!(body = metrics_make(scrape->daemon, &body_len)))
		return false;
	head_len = (size_t)snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%sContent-Type: text/plain; version=0.0.4; "
		"charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, more, body_len);
	scrape->answer = malloc(head_len + body_len);
	if (scrape->answer) {
		scrape->answer_len = head_len + body_len;
		memcpy(scrape->answer, head, head_len);
		if (body)
			memcpy(scrape->answer + head_len, body, body_len);
	}
	free(body);
	return scrape->answer;
}

/* False: the connection is at its end. */
static bool request_read(struct scrape *scrape)
{
	size_t room = sizeof scrape->request - 1 - scrape->request_len;
	ssize_t n = read(scrape->fd, scrape->request + scrape->request_len, room);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	scrape->request_len += (size_t)n;
	if (n == 0 || memchr(scrape->request, 0, scrape->request_len))
		return false;
	if (!strstr(scrape->request, "\r\n\r\n"))
		return scrape->request_len < sizeof scrape->request - 1;
	loop_events(&scrape->daemon->loop, scrape->slot, EPOLLOUT);
	return answer_make(scrape);
}

static bool answer_send(struct scrape *scrape)
{
	ssize_t n = send(scrape->fd, scrape->answer + scrape->sent, scrape->answer_len - scrape->sent, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	scrape->sent += (size_t)n;
	return scrape->sent < scrape->answer_len;
}

void scrape_event(struct scrape *scrape, uint32_t events)
{
	(void)events;
	if (!(scrape->answer ? answer_send(scrape) : request_read(scrape)))
		scrape_destroy(scrape);
}

void scrape_finish(void)
{
	while (!LIST_EMPTY(&listener.all))
		scrape_destroy(LIST_FIRST(&listener.all));
}
