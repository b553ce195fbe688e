/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "channel.h"
#include "split.h"

struct text {
	uint16_t at, size;
};

#define TEXT(part, member) { offsetof(struct split_##part, member), sizeof(((struct split_##part *)0)->member) }

/* The first text is the machine's name, where `named`. */
static const struct {
	size_t size;
	bool named;
	struct text texts[3];
} types[SPLIT_TYPES] = {
	[SPLIT_SETUP] = { sizeof(struct split_setup), false, { TEXT(setup, dir), TEXT(setup, runtime) } },
	[SPLIT_BIND] = { sizeof(struct split_bind), true, { TEXT(bind, name), TEXT(bind, base) } },
	[SPLIT_BOUND] = { sizeof(struct split_bound), false, { TEXT(bound, problem) } },
	[SPLIT_UNBIND] = { sizeof(struct split_name), true, { TEXT(name, name) } },
	[SPLIT_DECRYPT] = { sizeof(struct split_credential), false, { TEXT(credential, name) } },
	[SPLIT_DECRYPTING] = { sizeof(struct split_status) },
	[SPLIT_DECRYPTED] = { sizeof(struct split_status) },
	[SPLIT_CHANNEL] = { sizeof(struct split_number) },
	[SPLIT_ATTACH] = { sizeof(struct split_number) },
	[SPLIT_DIAL] = { sizeof(struct split_dial), true, { TEXT(dial, name) } },
	[SPLIT_DIALLED] = { sizeof(struct split_dialled) },
	[SPLIT_NOTICE] = { sizeof(struct split_notice) },
	[SPLIT_MACHINE_OF] = { sizeof(struct split_machine_of), true,
		{ TEXT(machine_of, name), TEXT(machine_of, socket), TEXT(machine_of, dir) } },
	[SPLIT_READER] = { sizeof(struct split_reader) },
	[SPLIT_MACHINE] = { sizeof(struct split_machine), true,
		{ TEXT(machine, name), TEXT(machine, base), TEXT(machine, problem) } },
	[SPLIT_GONE] = { sizeof(struct split_name), true, { TEXT(name, name) } },
	[SPLIT_SCANNED] = { sizeof(struct split_word) },
	[SPLIT_RESCAN] = { sizeof(struct split_word) },
	[SPLIT_PREPARE] = { sizeof(struct split_session), true, { TEXT(session, name), TEXT(session, text) } },
	[SPLIT_READY] = { sizeof(struct split_session), false, { TEXT(session, name), TEXT(session, text) } },
	[SPLIT_SEND] = { sizeof(struct split_session), false, { TEXT(session, name), TEXT(session, text) } },
	[SPLIT_COMMITTING] = { sizeof(struct split_session), false, { TEXT(session, name), TEXT(session, text) } },
	[SPLIT_REFUSED] = { sizeof(struct split_session), false, { TEXT(session, name), TEXT(session, text) } },
	[SPLIT_CUT] = { sizeof(struct split_session), false, { TEXT(session, name), TEXT(session, text) } },
};

size_t split_size(uint32_t type)
{
	return type < SPLIT_TYPES ? types[type].size : 0;
}

bool split_valid(const union split *message, size_t size)
{
	const char *bytes = (const char *)message;

	if (size < sizeof message->type || !split_size(message->type) || size != split_size(message->type))
		return false;
	for (size_t i = 0; i < sizeof types->texts / sizeof *types->texts; i++) {
		const struct text *text = &types[message->type].texts[i];

		if (text->size && !memchr(bytes + text->at, 0, text->size))
			return false;
	}
	return !types[message->type].named || vmconfig_name_ok(bytes + types[message->type].texts[0].at);
}

int split_send(int fd, const void *message, const int *fds, unsigned n, bool wait)
{
	uint32_t type;

	memcpy(&type, message, sizeof type);
	return channel_send(fd, message, split_size(type), fds, n, wait);
}

int split_receive(int fd, union split *message, int fds[static 2], bool wait)
{
	ssize_t n = channel_receive(fd, message, sizeof *message, fds, wait);

	if (n <= 0)
		return (int)n;
	if (split_valid(message, (size_t)n))
		return 1;
	channel_drop(fds);
	return -EBADMSG;
}
