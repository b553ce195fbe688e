/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "../vsock/wire.h"
#include "run_state.h"

/* The guest is not trusted: a line of its own in the text would be a word of ours to the manager. */
static void text_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void run_notify(struct run *r, const struct client_record *record)
{
	static const struct {
		const char *event, *word;
		bool text;
	} words[] = {
		{ "ready", "READY=1", false }, { "status", "STATUS=", true }, { "stopping", "STOPPING=1", false },
		{ "watchdog", "WATCHDOG=1", false },
	};
	char said[sizeof "STATUS=" + WIRE_EVENT_TEXT_MAX];

	if (!r->notify || !record->event || strcmp(record->stream, "init") != 0)
		return;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(record->event, words[i].event) != 0)
			continue;
		snprintf(said, sizeof said, "%s%s", words[i].word, words[i].text && record->bytes ? record->bytes : "");
		text_clean(said);
		/* The variable is ours only while it is used: a hawserd that we start has none. */
		setenv("NOTIFY_SOCKET", r->notify, 1);
		sd_notify(1, said);
	}
}
