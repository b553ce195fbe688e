/* SPDX-License-Identifier: MIT */
/*
 * What a guest sends in the log session, into hawserd, of an epoch of its own; a token of all 'T' is that epoch's.
 * Nothing is acknowledged that was not sent, and what is there is stored or lost.
 */
#include "hawserd.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	hawserd_start(*argc, *argv);
	return 0;
}

static void token_put(uint8_t *bytes, size_t len)
{
	uint8_t *token = memmem(bytes, len, "TTTTTTTTTTTTTTTT", WIRE_TOKEN);

	if (token)
		memcpy(token, the_vm()->store.epoch.token, WIRE_TOKEN);
}

/* The answers, of which no number is higher than what the guest can have. */
static void answers_check(const uint8_t *bytes, size_t len, uint64_t most)
{
	struct wire_frame frame;
	struct wire_log log;
	int whole;

	fuzz_sent(bytes, len);
	for (size_t at = 0; (whole = wire_split(bytes + at, len - at, &frame)) > 0; at += (size_t)whole)
		if (frame.type != WIRE_REFUSE && !wire_log_decode(&frame, &log) && log.type != WIRE_LOG_WELCOME)
			FUZZ_NEED(log.ack <= most);
}

static uint64_t highest(const uint8_t *bytes, size_t len)
{
	struct wire_frame frame;
	struct wire_log log;
	uint64_t most = 0;
	int whole;

	for (size_t at = 0; (whole = wire_split(bytes + at, len - at, &frame)) > 0; at += (size_t)whole) {
		uint64_t end = 0;

		if (!wire_log_decode(&frame, &log))
			end = log.type == WIRE_RECORDS ? log.records.first + log.records.count :
				log.type == WIRE_LOST ? log.lost.to : log.type == WIRE_END ? log.end.next : 0;
		most = end > most ? end : most;
	}
	return most;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t input[1 << 18], answer[1 << 20];
	size_t heard = 0, len;
	int fd;

	if (size < 2 || size > sizeof input)
		return 0;
	hang_up(boot_begin());           /* cut before APPLIED: its log session may come all the same */
	memcpy(input, data, size);
	token_put(input, size);
	fd = guest_connect(WIRE_PORT_BASE + WIRE_PORT_LOG);
	for (size_t at = 1; at < size; at += len) {
		len = fuzz_piece(input[0], input + at, size - at);
		if (send(fd, input + at, len, MSG_NOSIGNAL) < (ssize_t)len)
			break;
		rounds(1);
		vm_settle(the_vm(), true);
		heard += hawserd_hear(fd, answer + heard, sizeof answer - heard);
	}
	answers_check(answer, heard, highest(input + 1, size - 1));
	if (the_vm()->store.error)
		fprintf(stderr, "the log cannot be written: %s\n", strerror(-the_vm()->store.error));
	FUZZ_NEED(!the_vm()->store.error);
	hang_up(fd);
	return 0;
}
