/* SPDX-License-Identifier: MIT */
/*
 * Our standard input is the program's: by way of a control session whose verb is FEED, which hawserd dials for us once
 * the guest has its configuration. It is read only as the guest gives credit for it, so nothing grows.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "run_state.h"

#define NULL_MAJOR 1             /* of /dev/null */
#define NULL_MINOR 3

/* Empty input costs the guest nothing. */
void run_feed_init(struct run *r)
{
	struct stat st;
	bool empty = fstat(STDIN_FILENO, &st) < 0 ||
		(S_ISCHR(st.st_mode) && st.st_rdev == makedev(NULL_MAJOR, NULL_MINOR));

	r->feed.state = empty ? FEED_OFF : FEED_WANTED;
	r->feed.client = (struct client){ .fd = -1, .passed = -1 };
	remote_init(&r->feed.remote, -1);
}

void run_feed_finish(struct run *r)
{
	client_close(&r->feed.client);
	remote_close(&r->feed.remote);
	r->feed.state = FEED_OFF;
}

static void give_up(struct run *r, const char *why)
{
	run_feed_finish(r);
	if (r->stage == RUNNING && !r->summary.ended)
		run_print_note(&r->print, "standard input does not reach the program any more: %s", why);
}

void run_feed_advance(struct run *r)
{
	struct feed *feed = &r->feed;
	int result;

	if (feed->state != FEED_WANTED || r->stage != RUNNING || !r->summary.applied)
		return;
	feed->state = FEED_ASKED;
	result = client_connect(&feed->client, r->runtime);
	if (result == 0)
		result = client_control_ask(&feed->client, r->name, "feed");
	if (result < 0)
		give_up(r, strerror(-result));
}

int run_feed_fd(const struct run *r, short *events)
{
	const struct feed *feed = &r->feed;

	*events = POLLIN;
	if (feed->state == FEED_ASKED)
		return feed->client.fd;
	if (feed->state == FEED_UP && frame_pending(&feed->remote.out) > 0)
		*events |= POLLOUT;
	return feed->state == FEED_UP ? feed->remote.fd : -1;
}

/* A terminal that is another process's now must not be read: that would stop us. */
static bool foreground(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group < 0 || group == getpgrp();
}

bool run_feed_reads(const struct run *r)
{
	const struct feed *feed = &r->feed;

	return feed->state == FEED_UP && !feed->ended && feed->credit && !frame_pending(&feed->remote.out) && foreground();
}

void run_feed_read(struct run *r)
{
	struct feed *feed = &r->feed;

	feed->ended = !remote_put_input(&feed->remote, &feed->credit);
	frame_flush(&feed->remote.out, feed->remote.fd);
}

static void answer_take(struct run *r)
{
	struct feed *feed = &r->feed;
	struct problem problem;
	int result = client_fill(&feed->client);
	const char *line;
	size_t len;

	if (!client_line(&feed->client, &line, &len)) {
		if (result <= 0)
			give_up(r, "hawserd hung up");
		return;
	}
	if (client_answer_read(line, len, &problem) < 0) {
		give_up(r, problem.text);
		return;
	}
	if (feed->client.passed < 0) {
		give_up(r, "hawserd passed no connection");
		return;
	}
	remote_init(&feed->remote, feed->client.passed);
	feed->client.passed = -1;
	client_close(&feed->client);
	feed->state = FEED_UP;
	remote_put(&feed->remote, &(struct wire_control){ .type = WIRE_FEED });
	frame_flush(&feed->remote.out, feed->remote.fd);
}

static void session_take(struct run *r)
{
	static struct wire_control message;
	struct feed *feed = &r->feed;
	struct problem problem;
	int state = frame_fill(&feed->remote.in, feed->remote.fd), got;

	frame_flush(&feed->remote.out, feed->remote.fd);
	while ((got = remote_next(&feed->remote, &message, &problem)) > 0) {
		if (message.type != WIRE_CREDIT) {
			run_feed_finish(r);      /* DONE */
			return;
		}
		feed->credit += message.number;
	}
	if (got < 0)
		give_up(r, problem.text);
	else if (state == FRAME_CUT)
		give_up(r, "the connection was cut");
}

void run_feed_event(struct run *r)
{
	if (r->feed.state == FEED_ASKED)
		answer_take(r);
	else
		session_take(r);
}
