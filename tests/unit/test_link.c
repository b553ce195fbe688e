/* SPDX-License-Identifier: MIT */
/*
 * The link, as it is, to a host at a Unix socket of this process. Only the clock is not real: link.c is compiled with
 * another one, so that nobody waits.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../init/clock.h"
#include "../../vsock/log.h"
#include "ring_model.h"

static uint64_t time_ns;

static uint64_t test_clock(void)
{
	return time_ns;
}

#define clock_boot_ns test_clock
#include "../../init/link.c"
#undef clock_boot_ns

#define START (1000 * MS)

struct fixture {
	struct ring ring;
	struct model model;
	struct link link;
	char dir[32];
	struct address address;
	int listener, host;              /* the host's end of the connection, -1 without one */
	struct frame_buf in, out;
	struct wire_log log;             /* what the host heard last */
	unsigned frames;                 /* of records and losts that the host took */
	size_t frame_len;                /* of the last frame that it heard */
};

static uint8_t host_in[4 * WIRE_FRAME_MAX], host_out[WIRE_FRAME_MAX];
static char said[LOG_LINE_MAX];
static const uint8_t token[WIRE_TOKEN] = "it is the token";

static void sink(enum log_level level, const char *line)
{
	(void)level;
	snprintf(said, sizeof said, "%s", line);
}

static int create(void **state)
{
	static struct fixture f;
	char path[64];

	f = (struct fixture){ .host = -1 };
	time_ns = START;
	said[0] = '\0';
	log_set(LOG_LEVEL_WARN, sink);
	strcpy(f.dir, "/tmp/hawser-link-XXXXXX");
	if (!mkdtemp(f.dir))
		return -1;
	snprintf(path, sizeof path, "%s/host", f.dir);
	address_unix(&f.address, path);
	f.listener = address_listen(&f.address);
	model_create(&f.model, 5000);
	if (f.listener < 0 || ring_create(&f.ring, WIRE_RING_MIN) || ring_open(&f.ring))
		return -1;
	memcpy(f.ring.shared->orders.token, token, sizeof token);
	link_init(&f.link, &f.address, 7);
	*state = &f;
	return 0;
}

static void hang_up(struct fixture *f)
{
	if (f->host >= 0)
		close(f->host);
	f->host = -1;
}

static int destroy(void **state)
{
	struct fixture *f = *state;

	hang_up(f);
	if (f->link.fd >= 0)
		close(f->link.fd);
	close(f->listener);
	unlink(f->address.path);
	rmdir(f->dir);
	munmap(f->ring.view, 2 * (size_t)f->ring.view_size);
	munmap(f->ring.object, 2 * (size_t)WIRE_RING_MAX);
	munmap(f->ring.shared, sizeof *f->ring.shared);
	model_destroy(&f->model);
	log_set(LOG_LEVEL_INFO, NULL);
	return 0;
}

static void append(struct fixture *f, uint32_t length)
{
	struct wire_record record = model_record(&f->model, WIRE_STREAM_STDOUT, length);

	assert_true(ring_append(&f->ring, &record, 0));
	model_made(&f->model, &record);
}

static void append_many(struct fixture *f, unsigned n, uint32_t length)
{
	while (n-- > 0)
		append(f, length);
}

/* As the relay does it, until there is nothing to do but to wait; and then there must be something to wait for. */
static void turn_for(struct fixture *f, bool close)
{
	struct pollfd polled;

	for (int i = 0;; i++) {
		polled = (struct pollfd){ .fd = f->link.fd, .events = link_events(&f->link) };
		poll(&polled, 1, 0);
		link_run(&f->link, &f->ring, polled.fd < 0 ? 0 : polled.revents, close);
		polled = (struct pollfd){ .fd = f->link.fd, .events = link_events(&f->link) };
		if (link_timer(&f->link, &f->ring) > time_ns && poll(&polled, 1, 0) <= 0)
			return;
		assert_true(i < 100);    /* a relay that spins */
	}
}

static void turn(struct fixture *f)
{
	turn_for(f, false);
}

static void later(struct fixture *f, uint64_t ns)
{
	time_ns += ns;
	turn(f);
}

/* --- the host --------------------------------------------------------------------------------------------------- */

static void pick_up(struct fixture *f)
{
	hang_up(f);
	f->host = address_accept(f->listener, &(struct address_peer){ 0 });
	assert_true(f->host >= 0);
	frame_init(&f->in, host_in, sizeof host_in);
	frame_init(&f->out, host_out, sizeof host_out);
}

static bool nobody_dials(struct fixture *f)
{
	struct pollfd polled = { .fd = f->listener, .events = POLLIN };

	return poll(&polled, 1, 0) == 0;
}

/* The next frame that has come, into f->log: its type, or 0. */
static uint16_t hear(struct fixture *f)
{
	struct wire_frame frame;

	if (frame_next(&f->in, &frame) <= 0) {
		frame_fill(&f->in, f->host);
		if (frame_next(&f->in, &frame) <= 0)
			return 0;
	}
	assert_ptr_equal(wire_log_decode(&frame, &f->log), NULL);
	f->frame_len = WIRE_HEADER + frame.length;
	if (f->log.type == WIRE_RECORDS || f->log.type == WIRE_LOST) {
		model_take(&f->model, frame.payload - WIRE_HEADER, f->frame_len);
		f->frames++;
	}
	return f->log.type;
}

/* Takes all that has come, which must be records and losts. */
static void hear_all(struct fixture *f)
{
	uint16_t type;

	while ((type = hear(f)) != 0)
		assert_true(type == WIRE_RECORDS || type == WIRE_LOST);
}

static void say(struct fixture *f, const struct wire_log *log)
{
	struct wire_out out = frame_room(&f->out);

	assert_true(wire_log_encode(&out, log));
	frame_commit(&f->out, &out);
	assert_int_equal(frame_flush(&f->out, f->host), FRAME_OK);
}

static void say_next(struct fixture *f, uint16_t type, uint64_t next)
{
	say(f, &(struct wire_log){ .type = type, .ack = next });
	turn(f);
}

static void ack(struct fixture *f)
{
	say_next(f, WIRE_ACK, f->model.next);
}

static void say_welcome(struct fixture *f, uint64_t next)
{
	say(f, &(struct wire_log){ .type = WIRE_LOG_WELCOME, .welcome = { .version = WIRE_VERSION, .next = next } });
}

static void dial_in(struct fixture *f)
{
	link_start(&f->link);
	turn(f);
	assert_int_equal(f->link.state, LINK_GREETING);
	pick_up(f);
	assert_int_equal(hear(f), WIRE_LOG_HELLO);
}

static void connect_up(struct fixture *f)
{
	dial_in(f);
	say_welcome(f, f->model.next);
	turn(f);
	assert_int_equal(f->link.state, LINK_UP);
}

static uint64_t pause_ms(const struct fixture *f)
{
	assert_int_equal(f->link.state, LINK_PAUSED);
	assert_int_equal(f->link.fd, -1);
	return (f->link.until_ns - time_ns) / MS;
}

static void assert_slowly(const struct fixture *f)
{
	assert_in_range(pause_ms(f), DIAL_PAUSE_MAX_MS / 2, DIAL_PAUSE_MAX_MS);
}

/* The connection has ended; what came last, if anything did, is a REFUSE with this code (0: it is not). */
static void assert_refused(struct fixture *f, uint16_t code)
{
	struct wire_refuse refuse = { 0 };
	struct wire_frame frame;
	int state;

	assert_int_equal(f->link.state, LINK_PAUSED);
	while ((state = frame_wait(&f->in, f->host, &frame, 1000)) > 0) {
		assert_int_equal(refuse.code, 0);
		if (frame.type == WIRE_REFUSE)
			assert_true(wire_refuse_decode(&frame, &refuse));
	}
	assert_int_equal(state, FRAME_CUT);
	assert_int_equal(refuse.code, code);
}

static void assert_cut(struct fixture *f)
{
	assert_refused(f, 0);
}

/* --- to be there ------------------------------------------------------------------------------------------------ */

static void waits_for_the_token(void **state)
{
	struct fixture *f = *state;

	append(f, 10);
	for (int i = 0; i < 10; i++)
		later(f, 100000 * MS);
	assert_true(nobody_dials(f));
	assert_int_equal(link_events(&f->link), 0);
	assert_int_equal(link_timer(&f->link, &f->ring), UINT64_MAX);
	assert_false(link_flows(&f->link, &f->ring));
	link_start(&f->link);
	turn(f);
	assert_false(nobody_dials(f));
}

static void greeting(void **state)
{
	struct fixture *f = *state;

	append_many(f, 9, WIRE_RECORD_MAX);
	dial_in(f);
	assert_int_equal(f->log.hello.version, WIRE_VERSION);
	assert_memory_equal(f->log.hello.token, token, sizeof token);
	assert_int_equal(f->log.hello.first, ring_state(&f->ring)->tail_seq);
	assert_true(f->log.hello.first > 0);
	assert_int_equal(hear(f), 0);
	say_welcome(f, 0);
	turn(f);
	assert_int_equal(f->link.state, LINK_UP);
	hear_all(f);
	assert_int_equal(f->model.losts, 1);
	assert_int_equal(f->model.next, 9);
	ack(f);
	assert_int_equal(ring_state(&f->ring)->acked, 9);
	model_check(&f->model, &f->ring);
}

static void nobody_there(void **state)
{
	struct fixture *f = *state;
	uint64_t longest = DIAL_PAUSE_MIN_MS;

	close(f->listener);
	unlink(f->address.path);
	link_start(&f->link);
	turn(f);
	for (int i = 0; i < 12; i++) {
		uint64_t ms = pause_ms(f);

		assert_in_range(ms, longest / 2, longest);
		assert_int_equal(link_timer(&f->link, &f->ring), f->link.until_ns);
		later(f, ms * MS - 1);
		assert_int_equal(f->link.until_ns, time_ns + 1);     /* not before its time */
		later(f, 1);
		longest = longest * 2 > DIAL_PAUSE_MAX_MS ? DIAL_PAUSE_MAX_MS : longest * 2;
	}
	f->listener = address_listen(&f->address);
	later(f, pause_ms(f) * MS);
	connect_up(f);
	hang_up(f);
	turn(f);
	/* One that was there is worth some haste. */
	assert_in_range(pause_ms(f), DIAL_PAUSE_MIN_MS / 2, DIAL_PAUSE_MIN_MS);
}

static void attempt_times_out(void **state)
{
	struct fixture *f = *state;

	link_start(&f->link);
	link_run(&f->link, &f->ring, 0, false);
	assert_int_equal(f->link.state, LINK_DIALLING);
	assert_int_equal(link_events(&f->link), POLLOUT);
	time_ns += DIAL_TIMEOUT_MS * MS - 1;
	link_run(&f->link, &f->ring, 0, false);
	assert_int_equal(f->link.state, LINK_DIALLING);
	time_ns += 1;
	link_run(&f->link, &f->ring, 0, false);
	assert_in_range(pause_ms(f), 5, 10);
}

static void host_without_a_word(void **state)
{
	struct fixture *f = *state;

	dial_in(f);
	append(f, 10);
	later(f, 1000 * MS - 1);
	assert_int_equal(f->link.state, LINK_GREETING);
	assert_int_equal(hear(f), 0);
	later(f, 1);
	assert_cut(f);
	assert_in_range(pause_ms(f), 5, 10);
}

/* --- records and acknowledgements ------------------------------------------------------------------------------- */

static void flows(void **state)
{
	struct fixture *f = *state;

	connect_up(f);
	for (int i = 0; i < 200; i++) {
		append_many(f, 5, (uint32_t)(i * 211 % 3000));
		later(f, 10 * MS);
		hear_all(f);
		assert_int_equal(f->model.next, f->model.made);
		ack(f);
		assert_int_equal(ring_state(&f->ring)->acked, f->model.made);
	}
	assert_int_equal(f->model.losts, 0);
	model_check(&f->model, &f->ring);
}

/* Twenty records, and the socket takes no more in the middle of a frame. */
static void stall(struct fixture *f)
{
	int small = 1;

	assert_int_equal(ring_resize(&f->ring, 8 * WIRE_RING_MIN), 0);
	connect_up(f);
	setsockopt(f->link.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	append_many(f, 20, WIRE_RECORD_MAX);
	turn(f);
	assert_int_equal(link_events(&f->link), POLLIN | POLLOUT);
}

/* What is left of the frame goes when the socket takes it, and nothing is lost meanwhile. */
static void host_reads_slowly(void **state)
{
	struct fixture *f = *state;

	stall(f);
	for (int i = 0; i < 1000 && f->model.next < 20; i++) {
		hear_all(f);
		turn(f);
	}
	assert_int_equal(f->model.next, 20);
	assert_int_equal(link_events(&f->link), POLLIN);
	ack(f);
	model_check(&f->model, &f->ring);
}

/* What is left of a frame that was kept goes as it was, wherever its records are by then. */
static void dropped_in_a_frame(void **state)
{
	struct fixture *f = *state;

	stall(f);
	assert_true(f->link.rest.len > 0);
	append_many(f, 40, WIRE_RECORD_MAX);
	assert_int_equal(ring_resize(&f->ring, 4 * WIRE_RING_MIN), 0);
	append_many(f, 10, WIRE_RECORD_MAX);
	assert_true(ring_state(&f->ring)->tail_seq > f->link.sent);
	for (int i = 0; i < 1000 && f->model.next < 70; i++) {
		hear_all(f);
		turn(f);
	}
	assert_int_equal(f->model.next, 70);
	assert_int_equal(f->model.losts, 1);
	ack(f);
	model_check(&f->model, &f->ring);
}

/* What was left of a frame is not the beginning of the next connection. */
static void cut_in_a_frame(void **state)
{
	struct fixture *f = *state;

	stall(f);
	hang_up(f);
	turn(f);
	later(f, pause_ms(f) * MS);
	connect_up(f);
	for (int i = 0; i < 100 && f->model.next < 20; i++) {
		hear_all(f);
		turn(f);
	}
	assert_int_equal(f->model.next, 20);
}

static void silence(void **state)
{
	struct fixture *f = *state;

	connect_up(f);
	append(f, 10);
	turn(f);
	later(f, 14999 * MS);
	assert_int_equal(f->link.state, LINK_UP);
	hear_all(f);
	ack(f);
	append_many(f, 2, 10);
	turn(f);
	later(f, 14999 * MS);
	assert_int_equal(f->link.state, LINK_UP);
	assert_true(link_timer(&f->link, &f->ring) <= time_ns + 15000 * MS);
	hear_all(f);
	say_next(f, WIRE_ACK, 2);        /* not all, but a word */
	later(f, 14999 * MS);
	assert_int_equal(f->link.state, LINK_UP);
	later(f, MS);
	assert_cut(f);
	model_forget(&f->model, 2, 2);
	later(f, pause_ms(f) * MS);
	connect_up(f);
	turn(f);
	hear_all(f);
	assert_int_equal(f->model.next, 3);
}

/* With nothing to say there is no silence: what is said after an hour does not end the connection. */
static void an_hour_of_nothing(void **state)
{
	struct fixture *f = *state;

	connect_up(f);
	append(f, 10);
	turn(f);
	hear_all(f);
	ack(f);
	assert_int_equal(link_timer(&f->link, &f->ring), UINT64_MAX);
	time_ns += 3600 * 1000 * MS;
	append(f, 10);
	turn(f);
	assert_int_equal(f->link.state, LINK_UP);
	hear_all(f);
	assert_int_equal(f->model.next, 2);
	later(f, 14999 * MS);
	assert_int_equal(f->link.state, LINK_UP);
	ack(f);
	assert_int_equal(ring_state(&f->ring)->acked, 2);
}

/* With as much in flight as there may be, only an acknowledgement helps: until then there is nothing to do. */
static void full_flight(void **state)
{
	struct fixture *f = *state;

	connect_up(f);
	append_many(f, RING_FLIGHT + 50, 1);
	turn(f);
	time_ns += 100 * MS;
	turn(f);                 /* which fails when it spins */
	assert_true(ring_unsent(&f->ring, f->link.sent));
	assert_true(link_timer(&f->link, &f->ring) > time_ns + 10 * MS);
	turn_for(f, true);       /* nor is it the end */
	hear_all(f);
	assert_int_equal(f->model.next, RING_FLIGHT);
	ack(f);
	hear_all(f);
	assert_int_equal(f->model.next, RING_FLIGHT + 50);
	model_check(&f->model, &f->ring);
}

static void lost_while_a_lost_is_out(void **state)
{
	struct fixture *f = *state;

	connect_up(f);
	append_many(f, 10, WIRE_RECORD_MAX);
	turn(f);
	append_many(f, 10, WIRE_RECORD_MAX);
	later(f, 100 * MS);
	assert_true(link_timer(&f->link, &f->ring) > time_ns + 10 * MS);
	hear_all(f);
	assert_int_equal(f->model.losts, 1);
	ack(f);
	hear_all(f);
	assert_int_equal(f->model.losts, 2);
	assert_int_equal(f->model.next, 20);
}

static void patience(void **state)
{
	struct fixture *f = *state;

	assert_false(link_flows(&f->link, &f->ring));
	dial_in(f);
	assert_false(link_flows(&f->link, &f->ring));
	say_welcome(f, 0);
	turn(f);
	assert_true(link_flows(&f->link, &f->ring));
	time_ns += 10000 * MS;   /* in which nothing was awaited of the host */
	assert_true(link_flows(&f->link, &f->ring));
	append(f, 10);
	turn(f);
	time_ns += 249 * MS;
	assert_true(link_flows(&f->link, &f->ring));
	time_ns += 2 * MS;
	assert_false(link_flows(&f->link, &f->ring));
	hear_all(f);
	ack(f);
	assert_true(link_flows(&f->link, &f->ring));
	hang_up(f);
	turn(f);
	assert_false(link_flows(&f->link, &f->ring));
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void assert_end(struct fixture *f, uint64_t next)
{
	assert_int_equal(hear(f), WIRE_END);
	assert_int_equal(f->log.end.next, next);
	assert_int_equal(hear(f), 0);
}

static void ends(void **state)
{
	struct fixture *f = *state;

	append_many(f, 3, 100);
	connect_up(f);
	turn_for(f, true);
	assert_int_equal(hear(f), WIRE_RECORDS);
	assert_end(f, 3);
	assert_int_equal(f->log.end.n, 1);
	assert_int_equal(f->log.end.totals[0].records, 3);
	assert_int_equal(f->log.end.totals[0].bytes, 300);
	ack(f);
	assert_false(link_done(&f->link, &f->ring));
	turn_for(f, true);
	assert_int_equal(hear(f), 0);    /* once is enough */
	say_next(f, WIRE_END_ACK, 3);
	assert_true(link_done(&f->link, &f->ring));
	assert_int_equal(link_timer(&f->link, &f->ring), UINT64_MAX);
}

static void ends_empty(void **state)
{
	struct fixture *f = *state;

	connect_up(f);
	assert_false(link_done(&f->link, &f->ring));
	turn_for(f, true);
	assert_end(f, 0);
	assert_int_equal(f->log.end.n, 0);
	say_next(f, WIRE_END_ACK, 0);
	assert_true(link_done(&f->link, &f->ring));
}

static void has_more_to_say(void **state)
{
	struct fixture *f = *state;

	append(f, 100);
	connect_up(f);
	turn_for(f, true);
	assert_int_equal(hear(f), WIRE_RECORDS);
	assert_end(f, 1);
	append(f, 100);
	say_next(f, WIRE_END_ACK, 1);
	assert_false(link_done(&f->link, &f->ring));     /* not of all there is */
	time_ns += 10 * MS;
	turn_for(f, true);
	assert_int_equal(hear(f), WIRE_RECORDS);
	assert_end(f, 2);
	ack(f);
	assert_false(link_done(&f->link, &f->ring));
	say_next(f, WIRE_END_ACK, 2);
	assert_true(link_done(&f->link, &f->ring));
	append(f, 5);
	assert_false(link_done(&f->link, &f->ring));     /* at once, not only when it is sent */
}

/* An END_ACK for one END says nothing of the next. */
static void late_end_ack(void **state)
{
	struct fixture *f = *state;

	append(f, 100);
	connect_up(f);
	turn_for(f, true);
	hear(f);
	assert_end(f, 1);
	append(f, 100);
	turn_for(f, true);
	hear(f);
	assert_end(f, 2);
	say_next(f, WIRE_END_ACK, 1);
	say_next(f, WIRE_ACK, 2);
	assert_false(link_done(&f->link, &f->ring));
	say_next(f, WIRE_END_ACK, 2);
	assert_true(link_done(&f->link, &f->ring));
	append(f, 100);
	later(f, 10 * MS);
	hear_all(f);
	ack(f);
	assert_false(link_done(&f->link, &f->ring));
}

static void ends_again_after_a_cut(void **state)
{
	struct fixture *f = *state;

	append(f, 100);
	connect_up(f);
	turn_for(f, true);
	hear(f);
	assert_end(f, 1);
	hang_up(f);
	turn_for(f, true);
	later(f, pause_ms(f) * MS);
	connect_up(f);
	turn_for(f, true);
	assert_end(f, 1);
	say_next(f, WIRE_END_ACK, 1);
	assert_true(link_done(&f->link, &f->ring));
	hang_up(f);
	turn(f);
	assert_true(link_done(&f->link, &f->ring));      /* the host has it, whatever becomes of the connection */
	append(f, 7);
	turn(f);
	assert_false(link_done(&f->link, &f->ring));
}

/* --- a host that makes no sense --------------------------------------------------------------------------------- */

static void say_bytes(struct fixture *f, const void *bytes, size_t len)
{
	assert_int_equal(send(f->host, bytes, len, MSG_NOSIGNAL), len);
	turn(f);
}

/* Once the session is up, however often, and whatever else is going on. */
static void button(void **state)
{
	struct fixture *f = *state;

	append(f, 100);
	connect_up(f);
	assert_false(f->link.button);
	say_next(f, WIRE_BUTTON, 0);
	say_next(f, WIRE_BUTTON, 0);
	assert_true(f->link.button);
	assert_int_equal(hear(f), WIRE_RECORDS);
	ack(f);
	assert_int_equal(f->link.state, LINK_UP);
	assert_int_equal(ring_state(&f->ring)->acked, 1);
}

static void button_too_early(void **state)
{
	struct fixture *f = *state;

	dial_in(f);
	say_next(f, WIRE_BUTTON, 0);
	assert_refused(f, WIRE_REFUSE_ORDER);
	assert_false(f->link.button);
}

static void refused_by_the_host(void **state)
{
	static const uint16_t codes[] = { WIRE_REFUSE_TOKEN, WIRE_REFUSE_BUSY, WIRE_REFUSE_REVOKED };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct wire_out out;

		dial_in(f);
		out = frame_room(&f->out);
		wire_refuse_encode(&out, codes[i], "not you");
		say_bytes(f, out.buf, out.len);
		assert_cut(f);
		assert_slowly(f);
		assert_non_null(strstr(said, "not you"));
		assert_non_null(strstr(said, wire_refuse_name(codes[i])));
		later(f, pause_ms(f) * MS);
	}
}

/* Five records of which the host has two, the rest under way; or, when not up, on a connection that has just begun. */
static void half_heard(struct fixture *f, bool up)
{
	append_many(f, 5, 50);
	connect_up(f);
	hear_all(f);
	say_next(f, WIRE_ACK, 2);
	append(f, 50);           /* not sent any more: what comes now ends the connection */
	model_forget(&f->model, 3, 2);
	if (up)
		return;
	hang_up(f);
	turn(f);
	later(f, pause_ms(f) * MS);
	dial_in(f);
}

/* Frames that nobody may send, or not now: the connection ends, and the ring is as it was. */
static void nonsense(void **state)
{
#define MALFORMED WIRE_REFUSE_MALFORMED
#define ORDER WIRE_REFUSE_ORDER
#define VERSION WIRE_REFUSE_VERSION
	static const struct { const char *what; bool up; uint16_t code; uint8_t bytes[40]; size_t len; } cases[] = {
		{ "a length over the limit", true, MALFORMED, { 0xf9, 0x7f, 0, 0, 5, 2, 0, 0 }, 8 },
		{ "a zero that is not 0", true, MALFORMED, { 8, 0, 0, 0, 5, 2, 1, 0, 0 }, 16 },
		{ "no such type", true, MALFORMED, { 0, 0, 0, 0, 9, 2, 0, 0 }, 8 },
		{ "a frame of another session", true, MALFORMED, { 0, 0, 0, 0, 0x10, 3, 0, 0 }, 8 },
		{ "a short ACK", true, MALFORMED, { 4, 0, 0, 0, 5, 2, 0, 0, 1 }, 12 },
		{ "an ACK for what was never sent", true, MALFORMED, { 8, 0, 0, 0, 5, 2, 0, 0, 6 }, 16 },
		{ "an ACK for what will never be", true, MALFORMED,
			{ 8, 0, 0, 0, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80 }, 16 },
		{ "an ACK that goes back", true, MALFORMED, { 8, 0, 0, 0, 5, 2, 0, 0, 1 }, 16 },
		{ "END_ACK without END", true, ORDER, { 8, 0, 0, 0, 7, 2, 0, 0, 3 }, 16 },
		{ "a second LOG_WELCOME", true, ORDER, { 16, 0, 0, 0, 2, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3 }, 24 },
		{ "LOG_HELLO of a host", true, ORDER, { 32, 0, 0, 0, 1, 2, 0, 0, 'H', 'W', 'S', 'R', 1 }, 40 },
		{ "END of a host", true, ORDER, { 8, 0, 0, 0, 6, 2, 0, 0, 3 }, 16 },
		{ "a REFUSE that makes no sense", true, 0, { 1, 0, 0, 0, 1, 0, 0, 0, 9 }, 9 },
		{ "a REFUSE with no such code", true, 0, { 4, 0, 0, 0, 1, 0, 0, 0, 99 }, 12 },
		{ "ACK before LOG_WELCOME", false, ORDER, { 8, 0, 0, 0, 5, 2, 0, 0, 2 }, 16 },
		{ "LOG_WELCOME too low", false, MALFORMED,
			{ 16, 0, 0, 0, 2, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1 }, 24 },
		{ "LOG_WELCOME too high", false, MALFORMED,
			{ 16, 0, 0, 0, 2, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7 }, 24 },
		{ "LOG_WELCOME of version 0", false, VERSION,
			{ 16, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3 }, 24 },
		{ "LOG_WELCOME of version 2", false, VERSION,
			{ 16, 0, 0, 0, 2, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3 }, 24 },
		{ "WELCOME", false, MALFORMED, { 0, 0, 0, 0, 2, 1, 0, 0 }, 8 },
		{ "a REFUSE that makes no sense", false, 0, { 0, 0, 0, 0, 1, 0, 0, 0 }, 8 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		half_heard(f, cases[i].up);
		say_bytes(f, cases[i].bytes, cases[i].len);
		if (f->link.state != LINK_PAUSED)
			fail_msg("%s is taken", cases[i].what);
		assert_refused(f, cases[i].code);
		assert_slowly(f);
		assert_int_equal(ring_state(&f->ring)->acked, 2);
		model_check(&f->model, &f->ring);
		/* It is forgiven. */
		later(f, pause_ms(f) * MS);
		connect_up(f);
		hear_all(f);
		assert_int_equal(f->model.next, 6);
		destroy(state);
		create(state);
	}
}

static void noise(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 0x701;

	append_many(f, 20, 50);
	for (int i = 0; i < 300; i++) {
		uint8_t bytes[100];
		size_t len = 1 + random_below(&seed, sizeof bytes);

		dial_in(f);
		if (i % 2) {
			say_welcome(f, f->model.next);
			turn(f);
		}
		/* Mostly zeros, so that lengths are such as frames have. */
		for (size_t at = 0; at < len; at++)
			bytes[at] = random_below(&seed, 3) ? 0 : (uint8_t)random_below(&seed, 256);
		say_bytes(f, bytes, len);
		hang_up(f);
		turn(f);
		model_check(&f->model, &f->ring);
		later(f, pause_ms(f) * MS);
	}
}

/* --- cut ------------------------------------------------------------------------------------------------------- */

/* A host that is gone after so many of its bytes, wherever that is. */
static void cut_in_the_hosts_words(void **state)
{
	struct fixture *f = *state;

	for (size_t cut = 0; cut <= 24 + 16 + 16; cut++) {
		uint8_t bytes[64];
		struct wire_out out = { .buf = bytes, .size = sizeof bytes };
		size_t len;

		append_many(f, 2, 20);
		dial_in(f);
		wire_log_encode(&out, &(struct wire_log){ .type = WIRE_LOG_WELCOME, .welcome = { .version = 1 } });
		len = cut < out.len ? cut : out.len;
		assert_int_equal(send(f->host, bytes, len, 0), len);
		turn_for(f, true);
		if (cut >= 24) {
			hear(f);
			wire_log_encode(&out, &(struct wire_log){ .type = WIRE_ACK, .ack = 2 });
			wire_log_encode(&out, &(struct wire_log){ .type = WIRE_END_ACK, .ack = 2 });
			assert_int_equal(send(f->host, bytes + len, cut - len, 0), cut - len);
			turn_for(f, true);
		}
		assert_int_equal(link_done(&f->link, &f->ring), cut == 56);
		hang_up(f);
		turn_for(f, true);
		later(f, pause_ms(f) * MS);
		connect_up(f);
		turn_for(f, true);
		while (f->model.next < 2)
			assert_int_equal(hear(f), WIRE_RECORDS);
		assert_int_equal(hear(f), WIRE_END);
		say_next(f, WIRE_END_ACK, 2);
		assert_true(link_done(&f->link, &f->ring));
		model_check(&f->model, &f->ring);
		destroy(state);
		create(state);
	}
}

/* A host that took so many of the guest's bytes, and stored the whole frames among them. */
static void cut_in_the_guests_words(void **state)
{
	struct fixture *f = *state;
	size_t all = 1, cut;

	for (cut = 0; cut < all; cut++) {
		static uint8_t bytes[4096];
		struct wire_frame frame;
		size_t at = 0;
		ssize_t n;
		int size;

		append_many(f, 2, 20);
		link_start(&f->link);
		turn(f);
		pick_up(f);
		say_welcome(f, 0);
		turn(f);
		append_many(f, 2, 30);
		later(f, 10 * MS);
		turn_for(f, true);
		n = read(f->host, bytes, sizeof bytes);
		assert_true(n > 100);
		all = (size_t)n + 1;
		while ((size = wire_split(bytes + at, cut - at, &frame)) > 0) {
			if (frame.type == WIRE_RECORDS)
				model_take(&f->model, bytes + at, (size_t)size);
			at += (size_t)size;
		}
		hang_up(f);
		turn_for(f, true);
		later(f, pause_ms(f) * MS);
		connect_up(f);
		model_check(&f->model, &f->ring);
		turn_for(f, true);
		while (f->model.next < 4)
			assert_int_equal(hear(f), WIRE_RECORDS);
		assert_end(f, 4);
		say_next(f, WIRE_END_ACK, 4);
		assert_true(link_done(&f->link, &f->ring));
		destroy(state);
		create(state);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)
	const struct CMUnitTest tests[] = {
		TEST(waits_for_the_token), TEST(greeting), TEST(nobody_there), TEST(attempt_times_out),
		TEST(host_without_a_word), TEST(flows), TEST(host_reads_slowly), TEST(dropped_in_a_frame),
		TEST(cut_in_a_frame), TEST(silence), TEST(an_hour_of_nothing), TEST(full_flight),
		TEST(lost_while_a_lost_is_out), TEST(patience), TEST(ends), TEST(ends_empty),
		TEST(has_more_to_say), TEST(late_end_ack), TEST(ends_again_after_a_cut), TEST(button),
		TEST(button_too_early), TEST(refused_by_the_host), TEST(nonsense), TEST(noise),
		TEST(cut_in_the_hosts_words), TEST(cut_in_the_guests_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
