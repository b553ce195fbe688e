/* SPDX-License-Identifier: MIT */
/* client: the other end of hawserd's control socket: one JSON object a line, both ways. */
#ifndef HOST_CLIENT_H
#define HOST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "json.h"

#define CLIENT_RUNTIME "/run/hawser"     /* where a hawserd of the system is */
#define CLIENT_SOCKET "control.sock"
#define CLIENT_SEND_MS 10000
#define CLIENT_LINE_MAX (64 << 20)       /* the longest is a status: 2 KiB or so for each machine */

struct client {
	int fd;                          /* not blocking; -1: not connected */
	struct bytes bytes;              /* what was read and not taken yet */
	int passed;                      /* a descriptor that came with them, or -1: whoever takes it puts -1 */
};

/* Connects to RUNTIME/control.sock. 0 or a negative errno. */
int client_connect(struct client *client, const char *runtime);
/* The same for commands of one request: a failure is said on stderr. runtime NULL: that of the system's hawserd. */
bool client_open(struct client *client, const char *runtime);
/* Sends lines made with json_line_begin to json_line_end. 0 or a negative errno: -ETIMEDOUT when nobody takes them. */
int client_send(struct client *client, const struct json_out *out);
/* The same, and a descriptor with them, which stays open here. */
int client_send_with(struct client *client, const struct json_out *out, int fd);
/* Reads once, without waiting. 1: go on, 0: the end, or a negative errno. */
int client_fill(struct client *client);
/* Takes the next whole line, without its newline; valid until the next fill. */
bool client_line(struct client *client, const char **line, size_t *len);
/* The same, waiting: 1, 0 at the end, or a negative errno (-ETIMEDOUT; timeout_ms -1 waits for ever). */
int client_line_wait(struct client *client, int timeout_ms, const char **line, size_t *len);
void client_close(struct client *client);

/*
 * Waits for the answer to the request that was sent, which sending it came to: 0 when it says "ok", or a negative errno
 * with the problem set: -EPROTO when hawserd refuses, -ETIMEDOUT, -ECONNRESET when it hangs up.
 */
int client_answer_wait(struct client *client, int sent, int timeout_ms, struct problem *problem);

struct client_follow {
	const char *vm;
	uint64_t tail;           /* so many of the lines that are stored, as far as hawserd still has them */
	uint64_t since;          /* without files of before: seconds since 1970; 0: all */
	bool status;             /* asks for the status as well: its answer comes behind those lines */
};

/* Asks for a machine's lines, and waits for the answer, as above. Then they come, those stored and those made. */
int client_follow(struct client *client, const struct client_follow *follow, int timeout_ms, struct problem *problem);
int client_status_ask(struct client *client);    /* 0 or a negative errno; the answer is one line */

/*
 * Asks for a control session with a machine's guest; verb as in control.h. The answer is a line for client_answer_read;
 * with it comes the connection, in passed, on which the guest has said CTL_WELCOME. 0 or a negative errno.
 */
int client_control_ask(struct client *client, const char *vm, const char *verb);

/* One line of what hawserd says of a machine (docs/LOGS.md). Texts are on the heap, or NULL. */
struct client_record {
	char *time, *vm, *boot, *stream;
	uint64_t offset, ns;             /* offset: where in its line this piece of one begins */
	bool has_ns;
	bool partial;                    /* the end of the line did not come: it goes on in a later record */
	uint8_t priority;                /* CLIENT_NO_PRIORITY: it has none */

	char *event, *lost_reason;       /* an event, a loss, or neither: then this is a line, or a piece of one */
	char *bytes;                     /* the line, or the event's text; and a NUL that len does not count */
	size_t len;
	uint64_t value;                  /* the event's */
	bool value_below_0;              /* ... which is not known, then */
	uint64_t lost_records, lost_bytes;
};

#define CLIENT_NO_PRIORITY 0xff

/*
 * 1; 0: this line is no record, but the answer to a request; -1 with the problem set. Free the record in any case.
 * Unknown keys are skipped: a newer hawserd may say more.
 */
int client_record_read(struct client_record *record, const char *line, size_t len, struct problem *problem);
void client_record_free(struct client_record *record);

/* The members of an object that a table knows, into a structure; others are skipped. 0, or -1 with the problem set. */
int client_fields_read(const struct json_value *object, const struct json_field fields[], void *into,
	struct problem *problem);

/* The answer to a request: 0 when it says "ok", -1 with the problem set to its "error". */
int client_answer_read(const char *line, size_t len, struct problem *problem);

#endif
