/* SPDX-License-Identifier: MIT */
/*
 * A boot session as the reader has it: PREPARED, with the directory looked at, until the server says SEND; then the
 * stream of source.h, up to COMMIT. Whatever ends the session on the server's side, or the guest's, is seen as a
 * hang-up of the connection.
 *
 * What is sent lies in a slot of locked memory and nowhere else. A delivery has one only while it is SENDING; without
 * one it waits in the reader's queue. The slot is wiped each time it was sent out, not only when it is given back.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../vsock/frame.h"
#include "../vsock/log.h"
#include "reader.h"
#include "source.h"

#define STALL_MS 5000            /* a guest that takes nothing for so long is cut */
#define PREPARED_MS 30000        /* the server says SEND or hangs up at once */
#define SLOTS_A_ROUND 8          /* then others have their turn */

struct delivery {
	TAILQ_ENTRY(delivery) of_hungry; /* reader->hungry, while hungry is set */
	LIST_ENTRY(delivery) of_all;
	struct reader *reader;
	char name[VMCONFIG_NAME_MAX + 1];
	uint64_t session;
	int fd, slot;
	bool sending, hungry, committed; /* committed: COMMIT is in out */
	struct timer timer;
	struct source *source;
	void *secret;                    /* the slot of locked memory, or NULL */
	struct frame_buf out;            /* in it */
};

static LIST_HEAD(, delivery) all = LIST_HEAD_INITIALIZER(all);

/* --- ends ------------------------------------------------------------------------------------------------------- */

static void say(const struct delivery *delivery, uint32_t type, const char *text)
{
	struct split_session message = { .type = type, .session = delivery->session };

	snprintf(message.text, sizeof message.text, "%s", text);
	reader_tell(delivery->reader, &message, NULL, 0);
}

static void feed_next(struct reader *reader)
{
	struct delivery *next = TAILQ_FIRST(&reader->hungry);

	if (next)
		loop_events(&reader->loop, next->slot, EPOLLOUT);
}

static void secret_release(struct delivery *delivery)
{
	struct reader *reader = delivery->reader;

	if (delivery->hungry)
		TAILQ_REMOVE(&reader->hungry, delivery, of_hungry);
	delivery->hungry = false;
	if (!delivery->secret)
		return;
	secret_give(&reader->arena, delivery->secret);
	delivery->secret = NULL;
	feed_next(reader);
}

static void delivery_destroy(struct delivery *delivery)
{
	secret_release(delivery);
	timer_stop(&delivery->reader->loop, &delivery->timer);
	if (delivery->slot > 0)
		loop_remove(&delivery->reader->loop, delivery->slot);
	LIST_REMOVE(delivery, of_all);
	source_destroy(delivery->source);
	close(delivery->fd);
	free(delivery);
}

static void delivery_cut(struct delivery *delivery, const char *why)
{
	say(delivery, SPLIT_CUT, why);
	delivery_destroy(delivery);
}

static void timeout(struct timer *timer)
{
	struct delivery *delivery = (struct delivery *)((char *)timer - offsetof(struct delivery, timer));

	delivery_cut(delivery, delivery->sending ? "the guest took nothing for 5 s" : "the session was not begun in time");
}

static void deadline(struct delivery *delivery, unsigned ms)
{
	timer_set(&delivery->reader->loop, &delivery->timer, ms * LOOP_MS);
}

void deliveries_finish(struct reader *reader)
{
	(void)reader;
	while (!LIST_EMPTY(&all))
		delivery_destroy(LIST_FIRST(&all));
}

/* --- records ---------------------------------------------------------------------------------------------------- */

/* A slot to send from. False: none is free now. */
static bool secret_have(struct delivery *delivery)
{
	struct reader *reader = delivery->reader;

	if (delivery->secret)
		return true;
	delivery->secret = secret_take(&reader->arena);
	if (!delivery->secret) {
		if (!delivery->hungry)
			TAILQ_INSERT_TAIL(&reader->hungry, delivery, of_hungry);
		delivery->hungry = true;
		loop_events(&reader->loop, delivery->slot, 0);
		return false;
	}
	if (delivery->hungry) {
		TAILQ_REMOVE(&reader->hungry, delivery, of_hungry);
		delivery->hungry = false;
		feed_next(reader);       /* more than one may have been given back */
	}
	frame_init(&delivery->out, delivery->secret, SECRET_SIZE);
	return true;
}

/* False: the delivery is gone. */
static bool slot_fill(struct delivery *delivery)
{
	struct wire_out out = frame_room(&delivery->out);
	struct problem problem;
	int r = source_next(delivery->source, &out, &problem);

	if (r < 0) {
		log_error("%s: %s", delivery->name, problem.text);
		delivery_cut(delivery, "the directory could not be read to its end");
		return false;
	}
	frame_commit(&delivery->out, &out);
	delivery->committed = !r;
	/* Before it goes out: the guest's answer must not be there first. */
	if (delivery->committed)
		say(delivery, SPLIT_COMMITTING, "");
	return true;
}

/* Sends what is in the slot. 1: all of it; 0: the socket is full; -1: the delivery is gone. */
static int slot_flush(struct delivery *delivery)
{
	size_t before = frame_pending(&delivery->out), used = delivery->out.end;

	if (frame_flush(&delivery->out, delivery->fd) != FRAME_OK) {
		delivery_cut(delivery, errno ? strerror(errno) : "closed by the guest");
		return -1;
	}
	if (frame_pending(&delivery->out) < before)
		deadline(delivery, STALL_MS);
	if (frame_pending(&delivery->out))
		return 0;
	explicit_bzero(delivery->secret, used);
	frame_init(&delivery->out, delivery->secret, SECRET_SIZE);
	return 1;
}

static void send_on(struct delivery *delivery)
{
	if (!secret_have(delivery))
		return;
	for (int i = 0; i < SLOTS_A_ROUND; i++) {
		if (!delivery->committed && !slot_fill(delivery))
			return;
		switch (slot_flush(delivery)) {
		case -1:
			return;
		case 0:
			loop_events(&delivery->reader->loop, delivery->slot, EPOLLOUT);
			return;
		}
		if (delivery->committed) {
			delivery_destroy(delivery);
			return;
		}
	}
	loop_events(&delivery->reader->loop, delivery->slot, EPOLLOUT);
}

/* --- what is asked ---------------------------------------------------------------------------------------------- */

/* Whether the kernel says that this is a connection of the machine's guest, whatever the server says. */
static bool is_its(const struct dir *dir, int fd)
{
	const struct reader *reader = dir->reader;
	struct address own;
	struct address_peer peer;
	uint32_t cid = *reader->of.socket || reader->of.cid ? reader->of.cid : dir->config ? dir->config->cid : 0;

	if (address_read_own(fd, &own) || address_read_peer(fd, &peer) || own.kind != peer.kind)
		return false;
	if (own.kind == ADDRESS_VSOCK)
		return cid && peer.cid == cid && peer.port < ADDRESS_PORT_PRIVILEGED && own.port == reader->setup.port;
	return dir->base && !strcmp(own.path, dir->address.path) && (int32_t)peer.pid != reader->setup.server;
}

/*
 * vm.json was read before the trees are looked at. Unless it is the same file after that, what was seen of the trees
 * may belong to a later one; and a directory that is not in its place any more may be about to be removed, and half
 * empty.
 */
static void prepare(struct delivery *delivery, struct dir *dir, bool spent)
{
	struct split_session ready = { .type = SPLIT_READY, .session = delivery->session };
	struct problem problem;
	int fd = dir_open(dir);
	bool current = false;

	if (fd < 0) {
		problem_set(&problem, dir->path, 0, 0, "%s", strerror(-fd));
	} else {
		delivery->source = source_create(dir->config, fd, dir->path, !(spent && dir->config->credential_once),
			&problem);
		if (delivery->source)
			source_decrypts(delivery->source, &delivery->reader->decrypter);
		current = dir_current(dir, fd);
		close(fd);
	}
	if (!delivery->source) {
		log_error("%s: %s", dir->name, problem.text);
		say(delivery, SPLIT_REFUSED, "its directory cannot be served; the host's log says why");
		delivery_destroy(delivery);
	} else if (!current) {
		delivery_cut(delivery, "its directory or vm.json was replaced while it was looked at");
	} else {
		ready.flags = (uint16_t)((dir->config->clock ? WIRE_WELCOME_CLOCK : 0) |
			(dir->config->entropy ? WIRE_WELCOME_CREDIT : 0));
		ready.credentials = source_credentials(delivery->source);
		reader_tell(delivery->reader, &ready, NULL, 0);
		deadline(delivery, PREPARED_MS);
	}
}

void delivery_prepare(struct reader *reader, const struct split_session *request, int fd)
{
	struct dir *dir = names_find(&reader->dirs, request->name);
	struct delivery *delivery = calloc(1, sizeof *delivery);

	if (!delivery) {
		close(fd);
		return;
	}
	*delivery = (struct delivery){ .reader = reader, .session = request->session, .fd = fd, .timer.fire = timeout };
	snprintf(delivery->name, sizeof delivery->name, "%s", request->name);
	LIST_INSERT_HEAD(&all, delivery, of_all);
	if (dir)
		dir_refresh(dir);
	if (fd < 0 || (delivery->slot = loop_add(&reader->loop, fd, 0, LOOP_BOOT, delivery)) < 0) {
		delivery_cut(delivery, "the host has no descriptors left");
	} else if (!dir || !dir->served) {
		delivery_cut(delivery, "it is not served any more");
	} else if (!dir->config) {
		say(delivery, SPLIT_REFUSED, "its vm.json has never been valid; the host's log says why");
		delivery_destroy(delivery);
	} else if (!is_its(dir, fd)) {
		log_error("%s: a connection that is not of this machine's guest was to get its directory", dir->name);
		delivery_cut(delivery, "it is not a connection of this machine's guest");
	} else {
		prepare(delivery, dir, request->spent && !reader->of.type);
	}
}

void delivery_send(struct reader *reader, const struct split_session *request)
{
	struct delivery *delivery;

	(void)reader;
	LIST_FOREACH(delivery, &all, of_all)
		if (delivery->session == request->session)
			break;
	if (!delivery || delivery->sending)
		return;
	delivery->sending = true;
	deadline(delivery, STALL_MS);
	send_on(delivery);
}

void delivery_event(struct delivery *delivery, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		delivery_destroy(delivery);      /* the server sees it, too, or did it */
	else if (events & EPOLLOUT && delivery->sending)
		send_on(delivery);
}
