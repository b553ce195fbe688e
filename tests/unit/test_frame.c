/* SPDX-License-Identifier: MIT */
/* Frames in and out of real sockets and pipes, however the bytes fall. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../vsock/frame.h"
#include "../../vsock/ready.h"

static int pair[2];
static uint8_t in_storage[WIRE_FRAME_MAX], out_storage[2 * WIRE_FRAME_MAX];
static struct frame_buf in, out;

static int pair_make(int type)
{
	frame_init(&in, in_storage, sizeof(in_storage));
	frame_init(&out, out_storage, sizeof(out_storage));
	return socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int stream(void **state)
{
	(void)state;
	return pair_make(SOCK_STREAM);
}

static int packets(void **state)
{
	(void)state;
	return pair_make(SOCK_SEQPACKET);
}

static int teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* A frame of len bytes whose payload tells where it belongs. */
static bool put(struct frame_buf *b, uint16_t type, size_t len)
{
	static uint8_t bytes[WIRE_PAYLOAD_MAX];
	struct wire_out room = frame_room(b);
	bool fits;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(type + i);
	wire_begin(&room, type);
	wire_put_bytes(&room, bytes, len);
	fits = wire_end(&room);
	frame_commit(b, &room);
	return fits;
}

static void assert_frame(const struct wire_frame *frame, uint16_t type, size_t len)
{
	assert_int_equal(frame->type, type);
	assert_int_equal(frame->length, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(frame->payload[i], (uint8_t)(type + i));
}

/* Three frames, cut in two at each place, and in three at each pair of places. */
static void every_split(void **state)
{
	struct wire_frame frame;
	uint8_t bytes[64];
	size_t len, sent, got;

	(void)state;
	put(&out, 1, 5);
	put(&out, 2, 0);
	put(&out, 3, 11);
	len = frame_pending(&out);
	assert_int_equal(len, 3 * WIRE_HEADER + 16);
	memcpy(bytes, out.buf + out.start, len);
	for (size_t a = 0; a <= len; a++)
		for (size_t b = a; b <= len; b++) {
			const size_t ends[] = { a, b, len };

			got = sent = 0;
			for (size_t part = 0; part < 3; part++) {
				if (ends[part] > sent)
					assert_int_equal(write(pair[0], bytes + sent, ends[part] - sent), ends[part] - sent);
				sent = ends[part];
				assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
				while (frame_next(&in, &frame) == 1) {
					got++;
					assert_frame(&frame, (uint16_t)got, got == 1 ? 5 : got == 2 ? 0 : 11);
				}
				assert_int_equal(got, sent >= 35 + 5 ? 3 : sent >= 13 + 8 ? 2 : sent >= 13 ? 1 : 0);
			}
			assert_int_equal(frame_pending(&in), 0);
		}
}

static void byte_by_byte(void **state)
{
	struct wire_frame frame;
	size_t got = 0;

	(void)state;
	for (uint16_t i = 0; i < 20; i++)
		put(&out, i, 3u * i);
	for (size_t i = 0; i < out.end; i++) {
		assert_int_equal(write(pair[0], out.buf + i, 1), 1);
		assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
		for (; frame_next(&in, &frame); got++)
			assert_frame(&frame, (uint16_t)got, 3 * got);
	}
	assert_int_equal(got, 20);
}

/* The smallest reader there may be, and the largest frames: the one held moves to the front for the next. */
static void largest_frames(void **state)
{
	struct wire_frame frame;
	uint16_t sent = 0, got = 0;

	(void)state;
	while (got < 40) {
		if (sent < 40 && put(&out, sent, sent % 3 ? WIRE_PAYLOAD_MAX - sent : sent))
			sent++;
		assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
		assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
		for (; frame_next(&in, &frame); got++)
			assert_frame(&frame, got, got % 3 ? WIRE_PAYLOAD_MAX - got : got);
	}
	assert_int_equal(frame_pending(&in), 0);
	assert_int_equal(frame_pending(&out), 0);
}

static void full_reader(void **state)
{
	struct wire_frame frame;

	(void)state;
	for (uint16_t i = 0; i < 2; i++)
		assert_true(put(&out, i, WIRE_PAYLOAD_MAX));
	assert_int_equal(frame_drain(&out, pair[0], 1000), FRAME_OK);
	while (frame_pending(&in) < WIRE_FRAME_MAX)
		assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
	/* Not an end of stream, though a read of 0 bytes would look like one. */
	assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
	assert_int_equal(frame_next(&in, &frame), 1);
	assert_frame(&frame, 0, WIRE_PAYLOAD_MAX);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), 1);
	assert_frame(&frame, 1, WIRE_PAYLOAD_MAX);
}

static void nothing_to_read(void **state)
{
	struct wire_frame frame;

	(void)state;
	assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
	assert_int_equal(frame_next(&in, &frame), 0);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	assert_int_equal(frame_drain(&out, pair[0], 0), FRAME_OK);
}

static void malformed_header(void **state)
{
	static const uint8_t bad[][WIRE_HEADER] = {
		{ 0xf9, 0x7f, 0, 0, 1, 0, 0, 0 }, { 0, 0, 0, 0x80, 1, 0, 0, 0 },
		{ 0, 0, 0, 0, 1, 0, 1, 0 }, { 0, 0, 0, 0, 1, 0, 0, 1 },
	};
	struct wire_frame frame;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		frame_init(&in, in_storage, sizeof(in_storage));
		put(&out, 5, 3);
		assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
		assert_int_equal(write(pair[0], bad[i], WIRE_HEADER), WIRE_HEADER);
		/* What came before it is good. */
		assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
		assert_int_equal(frame_next(&in, &frame), 1);
		assert_frame(&frame, 5, 3);
		assert_int_equal(frame_next(&in, &frame), FRAME_MALFORMED);
		assert_int_equal(frame_next(&in, &frame), FRAME_MALFORMED);
		assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), FRAME_MALFORMED);
	}
}

static void cut_in_a_frame(void **state)
{
	struct wire_frame frame;

	(void)state;
	put(&out, 1, 4);
	put(&out, 2, 4);
	assert_int_equal(write(pair[0], out.buf, 20), 20);
	shutdown(pair[0], SHUT_WR);
	/* All that came is there before the end is. */
	assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
	assert_int_equal(frame_next(&in, &frame), 1);
	assert_frame(&frame, 1, 4);
	assert_int_equal(frame_next(&in, &frame), 0);
	errno = EAGAIN;          /* of some call before, and no reason to come back */
	assert_int_equal(frame_fill(&in, pair[1]), FRAME_CUT);
	assert_int_equal(errno, 0);
	assert_int_equal(frame_pending(&in), 8);
	errno = EIO;
	assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), FRAME_CUT);
	assert_int_equal(errno, 0);
}

static void reset_by_peer(void **state)
{
	struct wire_frame frame;

	(void)state;
	assert_int_equal(write(pair[1], "unread", 6), 6);
	close(pair[0]);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), FRAME_CUT);
	assert_int_equal(errno, ECONNRESET);
	pair[0] = -1;
}

/* No SIGPIPE: its default would end the test program. */
static void write_to_nobody(void **state)
{
	(void)state;
	close(pair[1]);
	pair[1] = -1;
	signal(SIGPIPE, SIG_DFL);
	put(&out, 1, 100);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_CUT);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(frame_drain(&out, pair[0], 1000), FRAME_CUT);
	assert_int_equal(frame_pending(&out), WIRE_HEADER + 100);
}

static void read_from_a_pipe(void **state)
{
	struct wire_frame frame;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	put(&out, 7, 9);
	assert_int_equal(write(p[1], out.buf, out.end), out.end);
	close(p[1]);
	assert_int_equal(frame_wait(&in, p[0], &frame, -1), 1);
	assert_frame(&frame, 7, 9);
	assert_int_equal(frame_wait(&in, p[0], &frame, -1), FRAME_CUT);
	close(p[0]);
	assert_int_equal(frame_fill(&in, p[0]), FRAME_CUT);
	assert_int_equal(errno, EBADF);
}

static void tiny_socket_buffer(void **state)
{
	static uint8_t all[8 * WIRE_FRAME_MAX], got[sizeof(all)];
	size_t made = 0, have = 0;
	int size = 1, stalls = 0;

	(void)state;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (uint16_t i = 0; i < 8 || frame_pending(&out);) {
		ssize_t n;
		size_t end = out.end - out.start;

		if (i < 8 && put(&out, i, WIRE_PAYLOAD_MAX - 1000u * i)) {
			size_t more = frame_pending(&out) - end;

			memcpy(all + made, out.buf + out.end - more, more);
			made += more;
			i++;
		}
		assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
		stalls += frame_pending(&out) > 0;
		while ((n = read(pair[1], got + have, 1500)) > 0)
			have += (size_t)n;
	}
	assert_true(stalls > 20);        /* else this proved nothing */
	assert_int_equal(have, made);
	assert_memory_equal(got, all, made);
}

/* Some devices stall on larger ones: packets show the size of each write. */
static void writes_of_32_kib(void **state)
{
	static uint8_t got[4 * WIRE_FRAME_MAX];
	size_t left;
	int size = 1 << 20;

	(void)state;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_true(put(&out, 1, WIRE_PAYLOAD_MAX));
	assert_true(put(&out, 2, WIRE_PAYLOAD_MAX - 20));
	assert_true(put(&out, 3, 12));
	left = frame_pending(&out);
	assert_int_equal(left, 2 * WIRE_FRAME_MAX);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	assert_int_equal(frame_pending(&out), 0);
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), 32768);
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), 32768);
	assert_int_equal(recv(pair[1], got, sizeof(got), 0), -1);
}

static void room(void **state)
{
	uint16_t n = 0;
	uint8_t byte[1000];

	(void)state;
	while (put(&out, n, 1000))
		n++;
	assert_int_equal(n, sizeof(out_storage) / 1008);
	assert_int_equal(frame_pending(&out), n * 1008u);
	assert_int_equal(frame_room(&out).len, 0);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	/* All sent: all of the storage is free again. */
	if (!frame_pending(&out))
		assert_int_equal(frame_room(&out).size, sizeof(out_storage));
	while (read(pair[1], byte, sizeof(byte)) > 0 || frame_pending(&out))
		assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	assert_int_equal(frame_room(&out).size, sizeof(out_storage));

	/* Part of it sent: what is left keeps its place in the order. */
	n = 0;
	while (put(&out, n, 1000))
		n++;
	out.start = 1008 * 60;
	assert_true(put(&out, n, 1000));
	assert_int_equal(out.start, 0);
	for (uint16_t i = 60; i <= n; i++) {
		struct wire_frame frame;

		assert_int_equal(frame_next(&out, &frame), 1);
		assert_frame(&frame, i, 1000);
	}
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static uint64_t ms_since(uint64_t began)
{
	return (ready_now_ns() - began) / 1000000;
}

static void ignore(int sig)
{
	(void)sig;
}

static void storm(bool on)
{
	struct sigaction sa = { .sa_handler = ignore };
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, on ? &every : &never, NULL);
}

static void wait_in_vain(void **state)
{
	struct wire_frame frame;
	uint64_t began = ready_now_ns();

	(void)state;
	assert_int_equal(frame_wait(&in, pair[1], &frame, 0), -ETIMEDOUT);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 50), -ETIMEDOUT);
	assert_true(ms_since(began) >= 50 && ms_since(began) < 5000);
	assert_int_equal(write(pair[0], "\1\0\0", 3), 3);
	began = ready_now_ns();
	storm(true);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 50), -ETIMEDOUT);
	storm(false);
	assert_true(ms_since(began) >= 50 && ms_since(began) < 5000);
	/* What came in the meantime is not lost. */
	assert_int_equal(write(pair[0], "\0\5\0\0\0\5", 6), 6);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), 1);
	assert_frame(&frame, 5, 1);
	/* A frame that is there needs no time at all. */
	put(&out, 6, 0);
	put(&out, 7, 0);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), 1);
	assert_int_equal(frame_wait(&in, pair[1], &frame, 0), 1);
	assert_frame(&frame, 7, 0);
}

/* The time is for all of it: a peer that sends a byte now and then cannot stretch it. */
static void trickle(void **state)
{
	struct wire_frame frame;
	uint64_t began = ready_now_ns();
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		static const char bytes[300] = { 127 };

		for (size_t i = 0; i < sizeof(bytes) && send(pair[0], bytes + i, 1, MSG_NOSIGNAL) == 1; i++)
			usleep(10000);
		_exit(0);
	}
	assert_int_equal(frame_wait(&in, pair[1], &frame, 300), -ETIMEDOUT);
	assert_true(ms_since(began) >= 300 && ms_since(began) < 5000);
	assert_true(frame_pending(&in) > 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void drain_in_vain(void **state)
{
	uint64_t began;
	size_t before;
	int size = 1;

	(void)state;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	put(&out, 1, WIRE_PAYLOAD_MAX);
	put(&out, 2, WIRE_PAYLOAD_MAX);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	before = frame_pending(&out);
	assert_true(before > 0);
	began = ready_now_ns();
	storm(true);
	assert_int_equal(frame_drain(&out, pair[0], 50), -ETIMEDOUT);
	storm(false);
	assert_true(ms_since(began) >= 50 && ms_since(began) < 5000);
	assert_int_equal(frame_pending(&out), before);
}

/* Does not block even on a socket that would. */
static void blocking_socket(void **state)
{
	int size = 1;

	(void)state;
	fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) & ~O_NONBLOCK);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	put(&out, 1, WIRE_PAYLOAD_MAX);
	alarm(30);
	assert_int_equal(frame_flush(&out, pair[0]), FRAME_OK);
	assert_true(frame_pending(&out) > 0);
	assert_int_equal(frame_drain(&out, pair[0], 20), -ETIMEDOUT);
	alarm(0);
}

/* Bytes from elsewhere, behind what is held: sent at once, later, or kept, and once each. */
static void with_a_run(void **state)
{
	static uint8_t record[20000];
	struct wire_frame frame;
	unsigned later = 0, kept = 0;
	int size = 1;

	(void)state;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (size_t i = 0; i < sizeof record; i++)
		record[i] = (uint8_t)(i + 9);
	for (int round = 0; round < 200; round++) {
		struct frame_run run = { record, sizeof record };
		struct wire_out room = frame_room(&out);

		wire_put_u32(&room, sizeof record);
		wire_put_u16(&room, 9);
		wire_put_u16(&room, 0);
		frame_commit(&out, &room);
		assert_int_equal(frame_send(&out, pair[0], &run), FRAME_OK);
		later += run.len > 0;
		if (round % 2 && run.len > 0) {
			frame_keep(&out, &run);
			assert_int_equal(run.len, 0);
			kept++;
		}
		while (frame_pending(&out) || run.len > 0) {
			assert_int_equal(frame_send(&out, pair[0], &run), FRAME_OK);
			assert_int_equal(frame_fill(&in, pair[1]), FRAME_OK);
		}
		assert_int_equal(frame_wait(&in, pair[1], &frame, 1000), 1);
		assert_frame(&frame, 9, sizeof record);
	}
	assert_true(kept > 0 && later > kept);
	close(pair[1]);
	assert_int_equal(frame_send(&out, pair[0], &(struct frame_run){ record, sizeof record }), FRAME_CUT);
	pair[1] = dup(pair[0]);
}

static void drain_to_a_slow_reader(void **state)
{
	int size = 1, status;
	pid_t pid;

	(void)state;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_true(put(&out, 1, WIRE_PAYLOAD_MAX));
	assert_true(put(&out, 2, WIRE_PAYLOAD_MAX));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct wire_frame frame;

		usleep(20000);
		for (uint16_t i = 1; i <= 2; i++)
			if (frame_wait(&in, pair[1], &frame, 5000) != 1 || frame.type != i || frame.length != WIRE_PAYLOAD_MAX)
				_exit(1);
		_exit(0);
	}
	assert_int_equal(frame_drain(&out, pair[0], 5000), FRAME_OK);
	assert_int_equal(frame_pending(&out), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
#define STREAM(test) cmocka_unit_test_setup_teardown(test, stream, teardown)
	const struct CMUnitTest tests[] = {
		STREAM(every_split),
		STREAM(byte_by_byte),
		STREAM(largest_frames),
		STREAM(full_reader),
		STREAM(nothing_to_read),
		STREAM(malformed_header),
		STREAM(cut_in_a_frame),
		STREAM(reset_by_peer),
		STREAM(write_to_nobody),
		STREAM(read_from_a_pipe),
		STREAM(tiny_socket_buffer),
		cmocka_unit_test_setup_teardown(writes_of_32_kib, packets, teardown),
		STREAM(room),
		STREAM(wait_in_vain),
		STREAM(trickle),
		STREAM(drain_in_vain),
		STREAM(blocking_socket),
		STREAM(with_a_run),
		STREAM(drain_to_a_slow_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
