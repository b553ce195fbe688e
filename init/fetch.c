/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vsock/cid.h"
#include "../vsock/dial.h"
#include "../vsock/log.h"
#include "arena.h"
#include "boot.h"
#include "clock.h"
#include "event.h"
#include "fetch.h"

#define WELCOME_TIMEOUT_MS 1000
#define FRAME_TIMEOUT_MS 5000
#define FINISH_TIMEOUT_MS 500

enum outcome { OUTCOME_DONE, OUTCOME_AGAIN, OUTCOME_AGAIN_SLOWLY };

static enum outcome fail(struct fetch *f, enum outcome outcome, const char *what, const char *detail)
{
	snprintf(f->why, sizeof f->why, "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
	return outcome;
}

/* --- the session ------------------------------------------------------------------------------------------------ */

/* Tells the host what was wrong with its stream, and gives up this connection. */
static enum outcome refuse(struct fetch *f, uint16_t code, const char *what, const char *detail)
{
	struct wire_out out = frame_room(&f->out);
	enum outcome outcome = fail(f, OUTCOME_AGAIN_SLOWLY, what, detail);

	if (wire_refuse_encode(&out, code, f->why))
		frame_commit(&f->out, &out);
	frame_drain(&f->out, f->fd, FINISH_TIMEOUT_MS);
	return outcome;
}

static enum outcome refused(struct fetch *f, const struct wire_frame *frame)
{
	struct wire_refuse refuse;
	char text[WIRE_TEXT_MAX + 1];

	if (!wire_refuse_decode(frame, &refuse))
		return fail(f, OUTCOME_AGAIN_SLOWLY, "the host refuses, in a frame that makes no sense", NULL);
	wire_text_copy(text, sizeof text, refuse.text);
	fail(f, OUTCOME_AGAIN, "the host refuses", wire_refuse_name(refuse.code));
	snprintf(f->why + strlen(f->why), sizeof f->why - strlen(f->why), ": %s", text);
	/* Which of them pass by themselves: the table of REFUSE in docs/PROTOCOL.md. */
	switch (refuse.code) {
	case WIRE_REFUSE_MALFORMED:
	case WIRE_REFUSE_ORDER:
	case WIRE_REFUSE_BUSY:
		return OUTCOME_AGAIN;
	default:
		return OUTCOME_AGAIN_SLOWLY;
	}
}

static enum outcome no_frame(struct fetch *f, int state, const char *what)
{
	if (state == FRAME_MALFORMED)
		return refuse(f, WIRE_REFUSE_MALFORMED, what, "a frame header with a length or a zero that none has");
	return fail(f, OUTCOME_AGAIN, what, state == -ETIMEDOUT ? "the host is silent" : "the connection was cut");
}

static void boot_id_read(uint8_t id[static WIRE_BOOT_ID])
{
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC), digits = 0;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

	memset(id, 0, WIRE_BOOT_ID);
	for (ssize_t i = 0; i < n && digits < 2 * WIRE_BOOT_ID; i++) {
		int c = text[i], value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (value >= 0) {
			id[digits / 2] |= (uint8_t)(value << (digits % 2 ? 0 : 4));
			digits++;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void welcome_use(const struct wire_welcome *welcome, uint64_t hello_ns, struct ring *ring)
{
	uint64_t half = (clock_boot_ns() - hello_ns) / 2;

	memcpy(ring->shared->orders.token, welcome->token, WIRE_TOKEN);
	event_send(WIRE_EVENT_ENTROPY,
		clock_entropy(welcome->entropy, sizeof welcome->entropy, welcome->flags & WIRE_WELCOME_CREDIT), NULL);
	if (welcome->flags & WIRE_WELCOME_CLOCK)
		event_send(WIRE_EVENT_CLOCK, clock_set(welcome->wall_ns + half), NULL);
}

static enum outcome greet(struct fetch *f, struct ring *ring)
{
	struct wire_boot hello = { .type = WIRE_HELLO, .hello = { .version = WIRE_VERSION } }, welcome;
	struct wire_out out = frame_room(&f->out);
	struct wire_frame frame;
	const char *wrong;
	uint64_t hello_ns;
	int state;

	boot_id_read(hello.hello.boot_id);
	hello.hello.boot_ns = hello_ns = clock_boot_ns();
	wire_boot_encode(&out, &hello);
	frame_commit(&f->out, &out);
	state = frame_drain(&f->out, f->fd, WELCOME_TIMEOUT_MS);
	if (state == FRAME_OK)
		state = frame_wait(&f->in, f->fd, &frame, WELCOME_TIMEOUT_MS);
	if (state != 1)
		return no_frame(f, state, "no answer to HELLO");
	if (frame.type == WIRE_REFUSE)
		return refused(f, &frame);
	wrong = wire_boot_decode(&frame, &welcome);
	if (wrong)
		return refuse(f, WIRE_REFUSE_MALFORMED, wire_type_name(frame.type), wrong);
	if (welcome.type != WIRE_WELCOME)
		return refuse(f, WIRE_REFUSE_ORDER, wire_type_name(frame.type), "came instead of WELCOME");
	if (welcome.welcome.version != WIRE_VERSION)
		return refuse(f, WIRE_REFUSE_VERSION, "WELCOME", "speaks a version that was not asked for; 1 is spoken here");
	welcome_use(&welcome.welcome, hello_ns, ring);
	f->welcomed = true;
	explicit_bzero(&welcome, sizeof welcome);
	return OUTCOME_DONE;
}

static enum outcome commit_check(struct fetch *f, const struct plan *plan, const struct wire_frame *frame)
{
	struct wire_boot commit;
	const char *wrong = wire_boot_decode(frame, &commit);

	if (wrong)
		return refuse(f, WIRE_REFUSE_MALFORMED, "COMMIT", wrong);
	wrong = plan_check(plan, commit.commit.count, commit.commit.crc);
	if (wrong)
		return refuse(f, WIRE_REFUSE_CHECKSUM, "COMMIT", wrong);
	return OUTCOME_DONE;
}

/* The record's fault, or with an error this machine's. A path comes last: it may be longer than the text can be. */
static enum outcome record_refuse(struct fetch *f, const struct plan *plan, const struct wire_frame *frame,
	const char *wrong, int error)
{
	char detail[WIRE_TEXT_MAX / 2];

	snprintf(detail, sizeof detail, "%s%s%s%s%.*s", wrong, error ? ": " : "", error ? strerror(error) : "",
		plan->wrong.len ? ": " : "", (int)plan->wrong.len, plan->wrong.s);
	return refuse(f, error ? WIRE_REFUSE_APPLY : WIRE_REFUSE_MALFORMED, wire_type_name(frame->type), detail);
}

_Static_assert(SCHED_OTHER == 0 && SCHED_FIFO == 1, "the policy is the priority that goes with it, too");

/* The system call: of musl's function there is only the name. */
static void scheduler(int policy)
{
	syscall(SYS_sched_setscheduler, 0, policy, &policy);
}

/*
 * More comes than fits: all that the socket holds is taken at once, and nobody comes between. Whenever the host's side
 * finds the socket full it asks for room, and to answer that takes the kernel as long as to take a page.
 */
static void hurry(struct fetch *f)
{
	f->in.size = FETCH_IN;
	scheduler(SCHED_FIFO);
}

static enum outcome records_take(struct fetch *f, struct plan *plan)
{
	for (;;) {
		struct wire_frame frame;
		const char *wrong;
		int state = frame_wait(&f->in, f->fd, &frame, FRAME_TIMEOUT_MS);

		if (state != 1)
			return no_frame(f, state, "the records are not complete");
		if (f->in.end == WIRE_FRAME_MAX)
			hurry(f);
		if (frame.type == WIRE_REFUSE)
			return refused(f, &frame);
		if (frame.type == WIRE_COMMIT)
			return commit_check(f, plan, &frame);
		wrong = plan_take(plan, &frame);
		if (wrong)
			return record_refuse(f, plan, &frame, wrong, errno);
	}
}

/* --- the attempts ----------------------------------------------------------------------------------------------- */

static enum outcome cid_get(struct fetch *f, uint64_t deadline_ns)
{
	static uint32_t reported = ADDRESS_CID_ANY;
	uint32_t cid;

	if (cid_wait(&cid, deadline_ns) < 0) {
		snprintf(f->why, sizeof f->why, "this machine has no CID of a guest (the kernel says %u): no vsock "
			"device, or no driver for it", cid);
		return OUTCOME_AGAIN;
	}
	if (cid != reported) {
		char text[16];

		snprintf(text, sizeof text, "cid %u", cid);
		event_send(WIRE_EVENT_PHASE, PHASE_CID, text);
		reported = cid;
	}
	return OUTCOME_DONE;
}

static enum outcome host_dial(struct fetch *f)
{
	char text[ADDRESS_TEXT];
	int fd = dial(&f->host, true, DIAL_TIMEOUT_MS);

	event_send(WIRE_EVENT_CONNECT, fd < 0 ? -fd : 0, address_format(&f->host, text));
	if (fd < 0)
		return fail(f, OUTCOME_AGAIN, text, strerror(-fd));
	f->fd = fd;
	return OUTCOME_DONE;
}

static void buffers_init(struct fetch *f)
{
	frame_init(&f->out, f->arena, FETCH_OUT);
	frame_init(&f->in, (uint8_t *)f->arena + FETCH_OUT, WIRE_FRAME_MAX);
}

static void session_close(struct fetch *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	explicit_bzero(f->arena, FETCH_OUT + f->in.size);
	buffers_init(f);
}

static enum outcome attempt(struct fetch *f, struct plan *plan, struct ring *ring, uint64_t deadline_ns)
{
	enum outcome outcome = cid_get(f, deadline_ns);

	if (outcome == OUTCOME_DONE)
		outcome = host_dial(f);
	if (outcome == OUTCOME_DONE)
		outcome = greet(f, ring);
	if (outcome == OUTCOME_DONE) {
		boot_phase(PHASE_HELLO);
		outcome = records_take(f, plan);
		scheduler(SCHED_OTHER);
	}
	if (outcome != OUTCOME_DONE) {
		session_close(f);
		plan_reset(plan);
	}
	return outcome;
}

/*
 * Not before it is clear that no boot session follows: to a host that has sent COMMIT, a log session says that this
 * boot has all it needs, and none will be served again.
 */
static void log_begin(const struct fetch *f, struct ring *ring)
{
	ring->shared->orders.have_token = f->welcomed;
	event_poke();
}

int fetch_run(struct fetch *f, struct plan *plan, struct ring *ring, const struct options *options,
	uint64_t deadline_ns)
{
	struct backoff backoff;
	char said[sizeof f->why] = "";
	int error = plan_create(plan);

	*f = (struct fetch){ .fd = -1, .host = address_vsock(options->host_cid, options->port + WIRE_PORT_BOOT) };
	f->arena = arena_create(FETCH_ARENA);
	if (error || !f->arena) {
		fail(f, OUTCOME_AGAIN, "no memory for the boot session", NULL);
		return -ENOMEM;
	}
	buffers_init(f);
	backoff_init(&backoff, (uint32_t)clock_boot_ns());
	for (;;) {
		enum outcome outcome = attempt(f, plan, ring, deadline_ns);

		if (outcome == OUTCOME_DONE)
			return 0;
		/* Once for each reason: the same one again every half second tells nobody more. */
		if (strcmp(said, f->why) != 0)
			log_warn("%s; trying again", f->why);
		strcpy(said, f->why);
		if (clock_boot_ns() >= deadline_ns) {
			log_begin(f, ring);
			return -ETIMEDOUT;
		}
		clock_sleep_ms(outcome == OUTCOME_AGAIN ? backoff_next(&backoff) : backoff_slow(&backoff));
	}
}

void fetch_finish(struct fetch *f, struct ring *ring, const char *why)
{
	struct wire_boot applied = { .type = WIRE_APPLIED, .applied_ns = clock_boot_ns() };
	struct wire_out out = frame_room(&f->out);

	if (why ? wire_refuse_encode(&out, WIRE_REFUSE_APPLY, why) : wire_boot_encode(&out, &applied))
		frame_commit(&f->out, &out);
	/* Should it not arrive: the log session, which has the token, tells the host the same. */
	frame_drain(&f->out, f->fd, FINISH_TIMEOUT_MS);
	session_close(f);
	log_begin(f, ring);
	arena_destroy(f->arena, FETCH_ARENA);
}
