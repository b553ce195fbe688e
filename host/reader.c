/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "channel.h"
#include "reader.h"
#include "sandbox.h"

#define ARGS_MAX (1 << 20)

static struct reader the_reader;

void reader_tell(struct reader *reader, const void *message, const int *fds, unsigned n)
{
	int r = reader->stop ? 0 : split_send(READER_SERVER, message, fds, n, true);

	if (r) {
		reader->stop = true;
		reader->done = r == -EPIPE;
	}
}

/* --- what comes ------------------------------------------------------------------------------------------------- */

/* The arguments, each with its NUL, from a file of the server's. */
static bool args_take(struct reader *reader, int fd)
{
	char *bytes = malloc(ARGS_MAX), *p = bytes;
	ssize_t len = bytes ? pread(fd, bytes, ARGS_MAX, 0) : -1;

	if (len <= 0 || bytes[len - 1])
		return false;
	reader->args = calloc((size_t)len, sizeof *reader->args);
	for (; reader->args && p < bytes + len; p += strlen(p) + 1)
		reader->args[reader->n_args++] = p;      /* and stays, as long as we do */
	return reader->args;
}

static void scan(struct reader *reader)
{
	const struct split_word scanned = { SPLIT_SCANNED };

	dirs_scan(reader);
	reader_tell(reader, &scanned, NULL, 0);
	if (!reader->stop && split_send(READER_MONITOR, &scanned, NULL, 0, true))
		reader->stop = true;
}

static void take(struct reader *reader, const union split *message, int fds[static CHANNEL_FDS])
{
	switch (message->type) {
	case SPLIT_MACHINE_OF:
		if (!reader->setup.attached || reader->of.type || (fds[0] >= 0 && !args_take(reader, fds[0]))) {
			reader->stop = true;
			break;
		}
		reader->of = message->machine_of;
		dirs_take(reader);
		reader_tell(reader, &(struct split_word){ SPLIT_SCANNED }, NULL, 0);
		break;
	case SPLIT_RESCAN:
		scan(reader);
		break;
	case SPLIT_PREPARE:
		delivery_prepare(reader, &message->session, fds[0]);
		fds[0] = -1;
		break;
	case SPLIT_SEND:
		delivery_send(reader, &message->session);
		break;
	default:
		reader->stop = true;
	}
	channel_drop(fds);
}

static void server_event(struct reader *reader)
{
	union split message;
	int fds[CHANNEL_FDS], r = 1;

	while (!reader->stop && r > 0) {
		r = split_receive(READER_SERVER, &message, fds, false);
		if (r > 0)
			take(reader, &message, fds);
		else if (r != -EAGAIN)
			reader->stop = true;
		reader->done = !r;
	}
}

static void handle(enum loop_kind kind, void *owner, uint32_t events)
{
	if (kind == LOOP_CHANNEL)
		server_event(owner);
	else if (kind == LOOP_INOTIFY)
		dirs_inotify(owner);
	else if (kind == LOOP_BOOT)
		delivery_event(owner, events);
}

/* --- the process ------------------------------------------------------------------------------------------------ */

/* Before anything of a directory is read, and while it can still be done. */
static int confine(struct reader *reader)
{
	const struct split_setup *setup = &reader->setup;
	const struct sandbox_path paths[] = { { READER_DIR, SANDBOX_READ } };
	struct split_reader self = { .type = SPLIT_READER, .pid = getpid(), .user = setup->change_user,
		.locked = reader->arena.locked };
	int r = setup->change_user ? sandbox_user(setup->uid, setup->gid, true) : 0;

	if (r) {
		log_error("the reader of directories cannot become user %u: %s", setup->uid, strerror(-r));
		return r;
	}
	self.landlock = sandbox_files(paths, 1);
	self.seccomp = sandbox_calls(SANDBOX_READER);
	reader_tell(reader, &self, NULL, 0);
	return 0;
}

static int start(struct reader *reader)
{
	union split message;
	int fds[CHANNEL_FDS], r, slot;

	if (split_receive(READER_MONITOR, &message, fds, true) <= 0 || message.type != SPLIT_SETUP)
		return -EPROTO;
	reader->setup = message.setup;
	log_set((enum log_level)reader->setup.log_level, NULL);
	TAILQ_INIT(&reader->hungry);
	reader->decrypter = (struct source_decrypter){ reader_decrypt, reader };
	r = loop_init(&reader->loop);
	if (!r)
		r = secret_init(&reader->arena);
	if (!r)
		r = dirs_init(reader);
	if (r)
		return r;
	slot = loop_add(&reader->loop, READER_SERVER, EPOLLIN, LOOP_CHANNEL, reader);
	return slot < 0 ? slot : confine(reader);
}

int reader_main(void)
{
	struct reader *reader = &the_reader;
	int r;

	/* Signals to end are blocked, as the monitor has them: it ends us when it is time, or the server's end does. */
	prctl(PR_SET_NAME, "hawserd-reader");
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	signal(SIGPIPE, SIG_IGN);
	log_name("hawserd");
	r = start(reader);
	if (r) {
		log_error("the reader of directories cannot start: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	if (!reader->setup.attached)
		scan(reader);
	while (!reader->stop && !loop_round(&reader->loop, handle, -1))
		;
	deliveries_finish(reader);
	dirs_finish(reader);
	secret_finish(&reader->arena);
	loop_finish(&reader->loop);
	return reader->done ? EXIT_SUCCESS : EXIT_FAILURE;
}
