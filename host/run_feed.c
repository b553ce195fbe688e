/* SPDX-License-Identifier: MIT */
/*
 * Our standard input is the program's: by way of a control session whose verb is FEED, which hawserd dials for us once
 * the guest has its configuration. It is read only as the guest gives credit for it, so nothing grows.
 */
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
	terminal_restore(&r->terminal);
}

static void give_up(struct run *r, const char *why)
{
	run_feed_finish(r);
	if (r->stage != RUNNING || r->summary.ended)
		return;
	if (r->tty)
		run_fail(r, NULL, "the program has no terminal any more: %s", why);
	else
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
		result = client_control_ask(&feed->client, r->name, r->tty ? "exec" : "feed");
	if (result < 0)
		give_up(r, strerror(-result));
}

int run_feed_fd(const struct run *r, short *events)
{
	const struct feed *feed = &r->feed;

	*events = POLLIN;
	if (feed->state == FEED_ASKED)
		return feed->client.fd;
	if (feed->state != FEED_UP)
		return -1;
	/* It would wake us for ever while the terminal is slow, and so would its end. */
	*events = run_output_full(r) ? 0 : POLLIN;
	if (frame_pending(&feed->remote.out) > 0)
		*events |= POLLOUT;
	return *events ? feed->remote.fd : -1;
}

/* A terminal that is another process's now must not be read: that would stop us. */
static bool foreground(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group < 0 || group == getpgrp();
}

static bool takes(const struct feed *feed)
{
	return feed->credit && !frame_pending(&feed->remote.out);
}

bool run_feed_reads(const struct run *r)
{
	const struct feed *feed = &r->feed;

	return feed->state == FEED_UP && !feed->ended && (r->tty || takes(feed)) && foreground();
}

/* Typed for a program that does not read, on a terminal that is full. Who wants out is heard all the same. */
static void drop(struct run *r)
{
	char bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);

	if (n > 0)
		run_terminal_typed(r, bytes, (size_t)n);
}

void run_feed_read(struct run *r)
{
	struct feed *feed = &r->feed;
	struct wire_text typed;

	if (!takes(feed)) {
		drop(r);
		return;
	}
	feed->ended = !remote_put_input(&feed->remote, &feed->credit, &typed);
	if (r->tty)
		run_terminal_typed(r, typed.s, typed.len);
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
	if (r->tty)
		run_terminal_begin(r);
	else
		remote_put(&feed->remote, &(struct wire_control){ .type = WIRE_FEED });
	frame_flush(&feed->remote.out, feed->remote.fd);
}

static void session_take(struct run *r)
{
	static struct wire_control message;
	struct feed *feed = &r->feed;
	struct problem problem;
	int state = frame_fill(&feed->remote.in, feed->remote.fd), got = 0;

	frame_flush(&feed->remote.out, feed->remote.fd);
	while (feed->state == FEED_UP && (got = remote_next(&feed->remote, &message, &problem)) > 0) {
		if (message.type == WIRE_CREDIT)
			feed->credit += message.number;
		else if (r->tty)
			run_terminal_message(r, &message);
		else
			run_feed_finish(r);      /* DONE */
	}
	if (feed->state != FEED_UP)
		return;
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
