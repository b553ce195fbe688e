/* SPDX-License-Identifier: MIT */
/* Events, lines and orders on their way to the relay: into the ring, or through the socket. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../init/clock.h"
#include "../../init/event.h"
#include "ring_model.h"

/* Another socket, in the directory that a test works in; and less patience. */
#undef EVENT_SOCKET
#define EVENT_SOCKET "event"
#undef EVENT_CLOSE_MS
#define EVENT_CLOSE_MS 50
#include "../../init/event.c"

struct fixture {
	char dir[32];
	int listener;
	uint8_t bytes[4096];     /* the last datagram */
	ssize_t len;
	struct sockaddr_un from;
	socklen_t from_len;
	struct wire_record record;
	struct wire_event event;
};

/* The relay's end. */
static int listener_open(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_return_code(bind(fd, (const struct sockaddr *)&address, sizeof address), errno);
	return fd;
}

static int create(void **state)
{
	static struct fixture f;

	strcpy(f.dir, "/tmp/hawser-event-XXXXXX");
	if (!mkdtemp(f.dir) || chdir(f.dir) < 0)
		return -1;
	f.listener = listener_open();
	*state = &f;
	return 0;
}

static int destroy(void **state)
{
	struct fixture *f = *state;

	event_stop();
	if (f->listener >= 0)
		close(f->listener);
	unlink(EVENT_SOCKET);
	return chdir("/") < 0 || rmdir(f->dir) < 0;
}

static bool hear(struct fixture *f)
{
	f->from_len = sizeof f->from;
	f->len = recvfrom(f->listener, f->bytes, sizeof f->bytes, 0, (struct sockaddr *)&f->from, &f->from_len);
	return f->len >= 0;
}

/* The next datagram is one finished record of init's stream. */
static void hear_record(struct fixture *f)
{
	struct wire_in in;

	assert_true(hear(f));
	in = (struct wire_in){ .p = f->bytes, .end = f->bytes + f->len };
	assert_true(wire_record_next(&in, &f->record));
	assert_true(wire_in_done(&in));
	assert_int_equal(f->record.stream, WIRE_STREAM_INIT);
}

static void hear_event(struct fixture *f)
{
	hear_record(f);
	assert_int_equal(f->record.kind, WIRE_KIND_EVENT);
	assert_int_equal(f->record.pri, WIRE_PRI_NONE);
	assert_true(wire_event_decode(&f->record, &f->event));
}

/* --- the socket ------------------------------------------------------------------------------------------------- */

static void to_nobody(void **state)
{
	struct fixture *f = *state;

	event_send(WIRE_EVENT_READY, 0, "x");
	event_log(LOG_LEVEL_INFO, "x");
	event_poke();
	assert_int_equal(event_close(), -ENOTCONN);
	assert_false(hear(f));
	event_stop();
}

static void no_place(void **state)
{
	struct fixture *f = *state;

	close(f->listener);
	f->listener = -1;
	assert_int_equal(event_to_socket(), -ECONNREFUSED);
	unlink(EVENT_SOCKET);
	assert_int_equal(event_to_socket(), -ENOENT);
	assert_int_equal(event_close(), -ENOTCONN);
}

static void events(void **state)
{
	struct fixture *f = *state;
	uint64_t before = clock_boot_ns();

	assert_int_equal(event_to_socket(), 0);
	event_send(WIRE_EVENT_STARTED, 4711, "/bin/app");
	hear_event(f);
	assert_in_range(f->record.ns, before, clock_boot_ns());
	assert_int_equal(f->event.code, WIRE_EVENT_STARTED);
	assert_int_equal(f->event.value, 4711);
	assert_true(wire_text_is(f->event.text, "/bin/app"));

	event_send_at(12345, WIRE_EVENT_CLOCK, INT32_MIN, NULL);
	hear_event(f);
	assert_int_equal(f->record.ns, 12345);
	assert_int_equal(f->event.code, WIRE_EVENT_CLOCK);
	assert_int_equal(f->event.value, INT32_MIN);
	assert_int_equal(f->event.text.len, 0);
}

static void lines(void **state)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
	struct fixture *f = *state;

	assert_int_equal(event_to_socket(), 0);
	for (size_t i = 0; i < 4; i++) {
		event_log(levels[i], "a line of init");
		hear_record(f);
		assert_int_equal(f->record.kind, WIRE_KIND_MESSAGE);
		assert_int_equal(f->record.pri, 24 + levels[i]);         /* facility daemon, as RFC 5424 has it */
		assert_int_equal(f->record.length, 14);
		assert_memory_equal(f->record.data, "a line of init", 14);
	}
	event_log(LOG_LEVEL_INFO, "");
	hear_record(f);
	assert_int_equal(f->record.length, 0);
}

static void long_texts(void **state)
{
	struct fixture *f = *state;
	char text[2000];

	assert_int_equal(event_to_socket(), 0);
	memset(text, 'l', sizeof text);
	for (size_t len = WIRE_EVENT_TEXT_MAX - 1; len <= WIRE_EVENT_TEXT_MAX + 1; len++) {
		size_t kept = len < WIRE_EVENT_TEXT_MAX ? len : WIRE_EVENT_TEXT_MAX;

		text[len] = '\0';
		event_send(WIRE_EVENT_STATUS, 0, text);
		hear_event(f);
		assert_int_equal(f->event.text.len, kept);
		assert_true(f->len <= EVENT_DATAGRAM_MAX);
		event_log(LOG_LEVEL_INFO, text);
		hear_record(f);
		assert_int_equal(f->record.length, kept);
		assert_true(f->len <= EVENT_DATAGRAM_MAX);
		text[len] = 'l';
	}
	text[sizeof text - 1] = '\0';
	event_send(WIRE_EVENT_STATUS, 0, text);
	hear_event(f);
	assert_int_equal(f->event.text.len, WIRE_EVENT_TEXT_MAX);
}

static void orders(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(event_to_socket(), 0);
	event_poke();
	assert_true(hear(f));
	assert_int_equal(f->len, 1);
	assert_int_equal(f->bytes[0], EVENT_POKE);
	/* No record can be taken for an order. */
	event_log(LOG_LEVEL_INFO, "");
	assert_true(hear(f));
	assert_true(f->len > 1);
}

static uint64_t ms_since(uint64_t ns)
{
	return (clock_boot_ns() - ns) / 1000000;
}

static void closes(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	assert_int_equal(event_to_socket(), 0);
	event_poke();
	assert_true(hear(f));
	before = clock_boot_ns();
	assert_int_equal(event_close(), -EAGAIN);
	assert_in_range(ms_since(before), EVENT_CLOSE_MS - 1, EVENT_CLOSE_MS + 1000);
	assert_true(hear(f));
	assert_int_equal(f->len, 1);
	assert_int_equal(f->bytes[0], EVENT_CLOSE);
	/* The answer, at the place that the order came from. */
	assert_int_equal(sendto(f->listener, "C", 1, 0, (struct sockaddr *)&f->from, f->from_len), 1);
	before = clock_boot_ns();
	assert_int_equal(event_close(), 0);
	assert_true(ms_since(before) < EVENT_CLOSE_MS);
}

/* Only the relay can answer. */
static void stranger(void **state)
{
	struct fixture *f = *state;
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(event_to_socket(), 0);
	event_poke();
	assert_true(hear(f));
	assert_int_equal(sendto(other, "C", 1, 0, (struct sockaddr *)&f->from, f->from_len), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(event_close(), -EAGAIN);
	close(other);
}

static void relay_gone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(event_to_socket(), 0);
	close(f->listener);
	f->listener = -1;
	errno = EXDEV;
	event_send(WIRE_EVENT_READY, 0, "x");
	assert_int_equal(errno, EXDEV);
	event_log(LOG_LEVEL_INFO, "x");
	event_poke();
	assert_int_equal(event_close(), -ENOTCONN);      /* the kernel took the peer away at the first word */
}

/* A relay that does not read for a while holds nobody up for ever. */
static void relay_stuck(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	int n = 0;

	assert_int_equal(event_to_socket(), 0);
	while (send(sock, "P", 1, MSG_DONTWAIT) == 1)
		n++;
	assert_int_equal(errno, EAGAIN);         /* full */
	before = clock_boot_ns();
	errno = EXDEV;
	event_send(WIRE_EVENT_READY, 0, "x");
	assert_int_equal(errno, EXDEV);
	assert_in_range(ms_since(before), SEND_TIMEOUT_MS - 50, SEND_TIMEOUT_MS + 1000);
	for (; n > 0; n--)
		assert_true(hear(f));
	assert_false(hear(f));
}

/* --- the ring --------------------------------------------------------------------------------------------------- */

static void to_the_ring(void **state)
{
	struct fixture *f = *state;
	struct ring to;
	struct wire_in in;
	char text[100];
	uint64_t n;

	assert_int_equal(ring_create(&to, WIRE_RING_MIN), 0);
	assert_int_equal(ring_open(&to), 0);
	event_to_ring(&to);
	event_send_at(5, WIRE_EVENT_PHASE, 3, "relay");
	event_log(LOG_LEVEL_WARN, "careful");
	assert_false(hear(f));
	assert_int_equal(ring_state(&to)->head_seq, 2);
	in = (struct wire_in){ .p = to.view, .end = to.view + ring_state(&to)->head };
	assert_true(wire_record_next(&in, &f->record));
	assert_true(wire_event_decode(&f->record, &f->event));
	assert_int_equal(f->record.ns, 5);
	assert_int_equal(f->event.value, 3);
	assert_true(wire_record_next(&in, &f->record));
	assert_int_equal(f->record.pri, 24 + LOG_LEVEL_WARN);
	assert_memory_equal(f->record.data, "careful", 7);
	assert_true(wire_in_done(&in));

	/* From then on, by the socket. */
	assert_int_equal(event_to_socket(), 0);
	event_log(LOG_LEVEL_WARN, "by the socket");
	hear_record(f);
	assert_int_equal(ring_state(&to)->head_seq, 2);

	/* A relay has both: then it is the ring. */
	event_to_ring(&to);
	memset(text, 'x', sizeof text);
	text[99] = '\0';
	to.shared->orders.full = WIRE_FULL_BLOCK;
	for (int i = 0; i < 1000; i++)
		event_log(LOG_LEVEL_WARN, text);         /* full: it is counted, and said when there is room */
	assert_false(hear(f));
	assert_int_equal(ring_state(&to)->tail_seq, 0);
	n = ring_state(&to)->head_seq;
	assert_int_equal(to.shared->unsaid, 1000 - (n - 2));
	to.shared->orders.full = WIRE_FULL_DROP;
	event_log(LOG_LEVEL_WARN, text);
	assert_int_equal(ring_state(&to)->head_seq, n + 2);
	assert_int_equal(to.shared->unsaid, 0);
	to.shared->orders.full = WIRE_FULL_BLOCK;
	event_stop();
	to.shared->orders.full = WIRE_FULL_DROP;
	n = ring_state(&to)->head_seq;
	event_log(LOG_LEVEL_WARN, "to nobody");
	assert_int_equal(ring_state(&to)->head_seq, n);
	assert_false(hear(f));
	munmap(to.view, 2 * (size_t)to.view_size);
	munmap(to.object, 2 * (size_t)WIRE_RING_MAX);
	munmap(to.shared, sizeof *to.shared);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)
	const struct CMUnitTest tests[] = {
		TEST(to_nobody), TEST(no_place), TEST(events), TEST(lines), TEST(long_texts), TEST(orders),
		TEST(closes), TEST(stranger), TEST(relay_gone), TEST(relay_stuck), TEST(to_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
