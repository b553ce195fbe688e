/* SPDX-License-Identifier: MIT */
/*
 * A relay can be killed between any two instructions. First each call on the ring runs in a child that is
 * single-stepped: after every instruction another relay opens a copy of what is in memory, which must hold just what
 * was there before or after, and deliver it. Then a whole relay, with sources and a link to a host, is killed at any
 * time, over and over: in the end every byte that was written is stored once, in order, or told as lost. SEED= gives
 * other times.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../init/link.h"
#include "../../init/source.h"
#include "ring_model.h"

/* --- instruction by instruction --------------------------------------------------------------------------------- */

#define STEPS_MAX 100000
#define SIZE 4096                /* of the ring: small, since every byte that is copied is stepped through */
#define LARGEST_RING (16 * SIZE) /* for runs, which the kernel copies */

#define LARGE 900                /* a record: four fit, and some more */

static struct ring ring;
static struct model model;
static uint64_t sent;            /* on the connection that is up */
static uint64_t host_has;        /* what the host would say to a new one */
static int stdout_pipe[2], syslog_pair[2];

static void append(uint32_t length)
{
	struct wire_record record = model_record(&model, WIRE_STREAM_STDOUT, length);

	assert_true(ring_append(&ring, &record, 0));
	model_made(&model, &record);
}

static void append_many(unsigned n, uint32_t length)
{
	while (n-- > 0)
		append(length);
}

static bool send_frame(bool arrives)
{
	static uint8_t bytes[WIRE_FRAME_MAX];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };
	uint64_t next = model_frame(&ring, sent, &out);

	if (next == sent)
		return false;
	sent = next;
	if (arrives) {
		model_take(&model, bytes, out.len);
		host_has = model.next;
	}
	return true;
}

/* What is done before, in the parent; what the child does; the records it may make. */
struct scene {
	const char *name;
	void (*before)(void);
	void (*act)(void);
	uint32_t makes;          /* the length of the record, or run of records; 0: none */
	uint64_t mark;           /* comes with it */
	bool syslog;             /* it is one of syslog, else of standard output */
	bool reads;              /* it is made if its bytes are no more where they came from */
	bool gap;                /* and a gap comes with it, always */
};

static void nothing(void)
{
}

static void fill(void)
{
	append_many(6, 20);
	append_many(4, LARGE);
	append(SIZE - 6 * (20 + WIRE_RECORD_HEADER) - 4 * (LARGE + WIRE_RECORD_HEADER) - WIRE_RECORD_HEADER);
	assert_int_equal(ring_state(&ring)->tail_seq, 0);
}

static void fill_in_flight(void)
{
	append_many(3, 20);
	assert_true(send_frame(false));
	append_many(3, 20);
	append_many(4, LARGE);
	append(SIZE - 6 * (20 + WIRE_RECORD_HEADER) - 4 * (LARGE + WIRE_RECORD_HEADER) - WIRE_RECORD_HEADER);
}

static struct wire_record next_record(uint32_t length)
{
	return model_record(&model, WIRE_STREAM_STDOUT, length);
}

static void act_append(void)
{
	struct wire_record record = next_record(100);

	ring_append(&ring, &record, 77);
}

static struct sources sources;
static bool closes, blocked;

static void act_read(void)
{
	source_read(&sources, SOURCE_STDOUT, &ring, &closes, &blocked);
}

static void act_syslog(void)
{
	source_read(&sources, SOURCE_SYSLOG, &ring, &closes, &blocked);
}

/* What source.c does with one that is longer than a record, but shorter. */
static void act_long(void)
{
	struct wire_record record = { .kind = WIRE_KIND_MESSAGE, .stream = WIRE_STREAM_SYSLOG, .pri = WIRE_PRI_NONE,
		.length = 200 };
	uint8_t *room = ring_reserve(&ring, record.length);

	ring_announce(&ring, &record, MODEL_REST);
	if (read(syslog_pair[0], room, record.length) == 200)
		ring_commit(&ring, &record);
}

static void pipe_fill(uint32_t length)
{
	static uint8_t bytes[2 * RING_CHUNK];

	model_run_data(&model, length, bytes);
	assert_int_equal(write(stdout_pipe[1], bytes, length), length);
}

static void pipe_1(void)
{
	pipe_fill(1);
}

static void pipe_8(void)
{
	pipe_fill(8);
}

static void pipe_300_full(void)
{
	fill_in_flight();
	pipe_fill(300);
}

static void pipe_2000(void)
{
	append(10);
	pipe_fill(2000);
}

/* Two records, with one read. */
static void pipe_run_full(void)
{
	assert_int_equal(ring_resize(&ring, LARGEST_RING), 0);
	append_many(3, 20);
	assert_true(send_frame(false));
	append_many(LARGEST_RING / LARGE, LARGE);
	pipe_fill(RING_CHUNK + 100);
}

static void datagram_200(void)
{
	fill();
	assert_int_equal(send(syslog_pair[1], model_data(model.made), 200, 0), 200);
}

static void act_frame(void)
{
	static uint8_t bytes[WIRE_FRAME_MAX];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };

	model_frame(&ring, sent, &out);
}

static void before_frame(void)
{
	append_many(8, 10);
	assert_true(send_frame(true));
	append_many(8, 10);
}

static void before_lost(void)
{
	append_many(4, LARGE);
	assert_true(send_frame(true));
	append_many(6, LARGE);
}

/* Dropped in flight, dropped before they were sent, told as lost, and dropped since. */
static void before_word(void)
{
	before_lost();
	assert_true(ring_ack(&ring, 1, sent));
	append_many(3, LARGE);
	assert_true(send_frame(true));
	append(LARGE);
	assert_true(ring_state(&ring)->lost_to > 0);
	append_many(2, LARGE);
}

static void act_ack(void)
{
	ring_ack(&ring, host_has, sent);
}

static void act_resume(void)
{
	ring_resume(&ring, host_has);
}

static void before_resume_early(void)
{
	before_word();
	host_has = model_forget(&model, 1, 1);
}

static void small_and_in_flight(void)
{
	append_many(10, 30);
	assert_true(send_frame(false));
	append_many(10, 30);
}

static void act_grow(void)
{
	ring_resize(&ring, 2 * SIZE);
}

static void before_shrink(void)
{
	assert_int_equal(ring_resize(&ring, 2 * SIZE), 0);
	append_many(4, LARGE);
	assert_true(send_frame(false));
	append_many(3, LARGE);
}

static void act_shrink(void)
{
	ring_resize(&ring, SIZE);
}

static void datagram_255(void)
{
	append_many(3, 30);
	assert_int_equal(send(syslog_pair[1], model_data(model.made), 200 + MODEL_REST, 0), 200 + MODEL_REST);
}

/* A relay that finds what another one had begun, and dies of it too. */
static void before_settle(void)
{
	struct wire_record record = next_record(100);
	uint8_t *room;

	append_many(3, 30);
	record = next_record(100);
	room = ring_reserve(&ring, 100);
	ring_announce(&ring, &record, 0);
	memcpy(room, record.data, 100);
}

static void act_open(void)
{
	struct ring other = { .shared = ring.shared, .object = ring.object };

	ring_open(&other);
}

static const struct scene scenes[] = {
	{ "append", nothing, act_append, 100, .mark = 77 },
	{ "append to a full ring", fill, act_append, 100, .mark = 77 },
	{ "append over what is in flight", fill_in_flight, act_append, 100, .mark = 77 },
	{ "read 1 byte", pipe_1, act_read, 1, .reads = true },
	{ "read 8 bytes", pipe_8, act_read, 8, .reads = true },
	{ "read 300 bytes into a full ring", pipe_300_full, act_read, 300, .reads = true },
	{ "read 2000 bytes", pipe_2000, act_read, 2000, .reads = true },
	{ "read two records into a full ring", pipe_run_full, act_read, RING_CHUNK + 100, .reads = true },
	{ "read a datagram", datagram_200, act_syslog, 200, .syslog = true, .reads = true },
	{ "read a datagram that is too long", datagram_255, act_long, 200, .syslog = true, .reads = true, .gap = true },
	{ "make a frame of records", before_frame, act_frame },
	{ "make a frame of a loss", before_lost, act_frame },
	{ "acknowledge", before_word, act_ack },
	{ "go on where the host is", before_word, act_resume },
	{ "go on where the host was", before_resume_early, act_resume },
	{ "grow", small_and_in_flight, act_grow },
	{ "shrink", before_shrink, act_shrink },
	{ "open after a death in a read", before_settle, act_open, 100, .reads = true },
};

static void pages_free(struct ring *r)
{
	munmap(r->view, 2 * (size_t)r->view_size);
	munmap(r->object, 2 * (size_t)WIRE_RING_MAX);
	munmap(r->shared, sizeof *r->shared);
}

/* No scene has a larger ring: what lies behind is not looked at. */
static void pages_copy(struct ring *to, const struct ring *from)
{
	memcpy(to->shared, from->shared, sizeof *to->shared);
	for (size_t half = 0; half < 2; half++)
		memcpy(to->object + half * WIRE_RING_MAX, from->object + half * WIRE_RING_MAX, LARGEST_RING);
}

static bool pages_same(const struct ring *a, const struct ring *b)
{
	return memcmp(a->shared, b->shared, sizeof *a->shared) == 0 && memcmp(a->object, b->object, LARGEST_RING) == 0 &&
		memcmp(a->object + WIRE_RING_MAX, b->object + WIRE_RING_MAX, LARGEST_RING) == 0;
}

/* Another relay, on a copy: connects to a host that expects `next`, and delivers all there is. */
static void deliver(struct ring *copy, uint64_t next)
{
	static uint8_t bytes[WIRE_FRAME_MAX];
	uint64_t before = model.next, now = next;

	assert_true(ring_resume(copy, next));
	model.next = next;
	model_check(&model, copy);
	while (ring_state(copy)->acked < model.made) {
		struct wire_out out = { .buf = bytes, .size = sizeof bytes };

		now = model_frame(copy, now, &out);
		assert_true(out.len > 0);
		model_take(&model, bytes, out.len);
		assert_true(ring_ack(copy, model.next, now));
	}
	model_check(&model, copy);
	model.next = before;
}

static bool source_empty(const struct scene *scene)
{
	int waiting = 0;

	assert_int_equal(ioctl(scene->syslog ? syslog_pair[0] : stdout_pipe[0], FIONREAD, &waiting), 0);
	return waiting == 0;
}

/* A run is there as a whole, or not at all. */
static uint64_t records(const struct scene *scene)
{
	return scene->makes ? (scene->makes - 1) / RING_CHUNK + 1 : 0;
}

/* What a relay that starts now finds. The model has the scene's records ready behind what is made. */
static void look(const struct scene *scene, uint64_t made)
{
	static struct ring copy;         /* pages of its own, used again and again */
	static uint8_t keep[sizeof(struct ring_shared)];
	const struct ring_state *s;

	if (!copy.shared)
		assert_int_equal(ring_create(&copy, SIZE), 0);
	pages_copy(&copy, &ring);
	assert_int_equal(ring_open(&copy), 0);
	s = ring_state(&copy);
	if (s->head_seq != made)
		assert_in_range(s->head_seq, made + records(scene), made + records(scene) + scene->gap);
	if (scene->reads)
		assert_int_equal(s->head_seq - made, source_empty(scene) * (records(scene) + scene->gap));
	model.made = s->head_seq;
	model.mark[WIRE_STREAM_STDOUT] = scene->mark && s->head_seq > made ? scene->mark : 0;
	model_check(&model, &copy);
	model_check_end(&model, &copy);

	/* To a host that has what the last one acknowledged, and to one that has more. */
	memcpy(keep, copy.shared, sizeof keep);
	if (s->acked < host_has && model.records[s->acked].fate != MODEL_LOST)
		deliver(&copy, s->acked);
	memcpy(copy.shared, keep, sizeof keep);
	deliver(&copy, host_has);
	model.made = made;
}

/* Runs the scene's act in a child, one instruction at a time. False where that is not to be had. */
static bool step_through(const struct scene *scene)
{
	struct ring seen;
	unsigned looks = 0, steps = 0;
	uint64_t made = model.made;
	int status;
	pid_t pid;

	assert_int_equal(ring_create(&seen, SIZE), 0);
	if (scene->makes) {
		struct wire_record record =
			model_record(&model, scene->syslog ? WIRE_STREAM_SYSLOG : WIRE_STREAM_STDOUT, scene->makes);

		if (scene->reads) {
			record.ns = 0;
			record.pri = WIRE_PRI_NONE;
		}
		model_run_made(&model, &record);
		if (scene->gap)
			model_made(&model, &(struct wire_record){ .kind = WIRE_KIND_GAP, .stream = WIRE_STREAM_SYSLOG,
				.pri = WIRE_PRI_NONE, .length = 24 });
		model.made = made;
	}
	kill(getpid(), 0);       /* so that the child need not look the two functions up, step by step */
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(2);
		kill(getpid(), SIGSTOP);
		scene->act();
		kill(getpid(), SIGSTOP);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		return false;
	do {
		if (!pages_same(&seen, &ring)) {
			pages_copy(&seen, &ring);
			look(scene, made);
			looks++;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		steps++;
	} while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && steps < STEPS_MAX);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	look(scene, made);
	print_message("%s: %u instructions, %u states\n", scene->name, steps, looks);
	assert_true(looks > 2);
	pages_free(&seen);
	return true;
}

static void every_instruction(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
		bool traced;

		assert_int_equal(pipe(stdout_pipe), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, syslog_pair), 0);
		sources.fd[SOURCE_STDOUT] = stdout_pipe[0];
		sources.fd[SOURCE_SYSLOG] = syslog_pair[0];
		assert_int_equal(ring_create(&ring, SIZE), 0);
		assert_int_equal(ring_open(&ring), 0);
		model_create(&model, 100);
		sent = host_has = 0;
		scenes[i].before();
		traced = step_through(&scenes[i]);
		pages_free(&ring);
		model_destroy(&model);
		for (int end = 0; end < 2; end++) {
			close(stdout_pipe[end]);
			close(syslog_pair[end]);
		}
		if (!traced)
			skip();
	}
}

/* --- a whole relay, at random ----------------------------------------------------------------------------------- */

#define KILLS 1000
#define SECONDS 3                /* on a slow machine: fewer kills */
#define DATAGRAM_MAX 2000
#define SIZES 6

struct life {
	struct ring ring;
	struct sources sources;
	uint32_t seed;
	char dir[32];
	struct address address;
	int listener, conn;
	struct frame_buf in, out;
	uint64_t next;                           /* the host's */
	int pipe[2], pair[2];                    /* standard output and syslog, for as long as the test lives */
	uint64_t written, datagrams;             /* bytes into the one, datagrams into the other */
	uint64_t datagram_bytes;
	struct ring_count stored[WIRE_STREAMS], lost[WIRE_STREAMS];
	bool ended;
	unsigned kills, connections, losts, ends;
};

static uint8_t in_storage[WIRE_FRAME_MAX], out_storage[WIRE_FRAME_MAX];

static uint32_t draw(struct life *l, uint32_t below)
{
	return random_below(&l->seed, below);
}

/* The byte at a place of standard output: never 0xc1, which the ring's mark for short reads is made of. */
static uint8_t stdout_byte(uint64_t at)
{
	return model_noise[(at ^ at >> 13) % MODEL_NOISE];
}

static uint32_t datagram_size(uint64_t number)
{
	return 12 + (uint32_t)(number * 2654435761u >> 7) % (DATAGRAM_MAX - 12);
}

static void datagram_make(uint64_t number, uint8_t bytes[static DATAGRAM_MAX])
{
	memcpy(bytes, &number, sizeof number);
	memcpy(bytes + sizeof number, model_noise + number % 1000, datagram_size(number) - sizeof number);
}

/* What it does all day, until it is killed. */
static _Noreturn void relay(struct life *l, bool close)
{
	static struct link link;
	uint32_t turn = l->seed;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	l->ring = (struct ring){ .shared = l->ring.shared, .object = l->ring.object };
	if (ring_open(&l->ring) < 0)
		_exit(1);
	link_init(&link, &l->address, l->seed);
	link_start(&link);
	for (;;) {
		struct pollfd polled[] = {
			{ l->pipe[0], POLLIN, 0 }, { l->pair[0], POLLIN, 0 },
			{ link.fd, link_events(&link), 0 },
		};
		bool full = false;
		size_t got;

		poll(polled, 3, 1);
		l->ring.patient = link_flows(&link, &l->ring);
		got = source_read(&l->sources, SOURCE_STDOUT, &l->ring, &closes, &full);
		got += source_read(&l->sources, SOURCE_SYSLOG, &l->ring, &closes, &full);
		link_run(&link, &l->ring, polled[2].revents, close && got == 0 && !full);
		if (!close && ++turn % 16 == 0)
			ring_resize(&l->ring, WIRE_RING_MIN * (1 + turn / 16 % SIZES));
	}
}

static void write_some(struct life *l)
{
	static uint8_t bytes[8192];
	uint32_t n = draw(l, 4) ? draw(l, 200) : draw(l, sizeof bytes);
	ssize_t written;

	for (uint32_t i = 0; i < n; i++)
		bytes[i] = stdout_byte(l->written + i);
	written = write(l->pipe[1], bytes, n);
	if (written > 0)
		l->written += (uint64_t)written;
	if (draw(l, 2)) {
		datagram_make(l->datagrams, bytes);
		if (send(l->pair[1], bytes, datagram_size(l->datagrams), MSG_DONTWAIT) > 0)
			l->datagram_bytes += datagram_size(l->datagrams++);
	}
}

/* --- the host --- */

static void host_hang_up(struct life *l)
{
	if (l->conn >= 0)
		close(l->conn);
	l->conn = -1;
}

static void host_answer(struct life *l, const struct wire_log *log)
{
	struct wire_out out = frame_room(&l->out);

	assert_true(wire_log_encode(&out, log));
	frame_commit(&l->out, &out);
	frame_flush(&l->out, l->conn);
}

static void host_take_record(struct life *l, const struct wire_record *record)
{
	struct ring_count *stored = &l->stored[record->stream], *lost = &l->lost[record->stream];

	if (record->stream == WIRE_STREAM_STDOUT) {
		for (uint32_t i = 0; i < record->length; i++)
			assert_int_equal(record->data[i], stdout_byte(stored->bytes + lost->bytes + i));
	} else {
		uint8_t bytes[DATAGRAM_MAX];
		uint64_t number = stored->records + lost->records;

		assert_int_equal(record->stream, WIRE_STREAM_SYSLOG);
		assert_int_equal(record->length, datagram_size(number));
		datagram_make(number, bytes);
		assert_memory_equal(record->data, bytes, record->length);
	}
	stored->records++;
	stored->bytes += record->length;
	l->next++;
}

static void host_take_end(struct life *l, const struct wire_log *log)
{
	assert_int_equal(log->end.next, l->next);
	for (uint32_t i = 0; i < log->end.n; i++) {
		const struct wire_total *total = &log->end.totals[i];

		assert_int_equal(total->records, l->stored[total->stream].records + l->lost[total->stream].records);
		assert_int_equal(total->bytes, l->stored[total->stream].bytes + l->lost[total->stream].bytes);
	}
	l->ends++;
	l->ended = true;
}

static void host_take(struct life *l, const struct wire_frame *frame)
{
	struct wire_record record;
	struct wire_log log;

	assert_ptr_equal(wire_log_decode(frame, &log), NULL);
	switch (log.type) {
	case WIRE_LOG_HELLO:
		assert_memory_equal(log.hello.token, l->ring.shared->orders.token, WIRE_TOKEN);
		host_answer(l, &(struct wire_log){ .type = WIRE_LOG_WELCOME,
			.welcome = { .version = WIRE_VERSION, .next = l->next } });
		return;
	case WIRE_LOST:
		assert_int_equal(log.lost.from, l->next);
		for (uint32_t i = 0; i < log.lost.n; i++) {
			l->lost[log.lost.lost[i].stream].records += log.lost.lost[i].records;
			l->lost[log.lost.lost[i].stream].bytes += log.lost.lost[i].bytes;
		}
		l->next = log.lost.to;
		l->losts++;
		break;
	case WIRE_RECORDS:
		assert_int_equal(log.records.first, l->next);
		while (wire_record_next(&log.records.in, &record))
			host_take_record(l, &record);
		break;
	case WIRE_END:
		host_take_end(l, &log);
		break;
	default:
		fail_msg("%s from a guest", wire_type_name(log.type));
	}
	if (draw(l, 8))
		host_answer(l, &(struct wire_log){ .type = WIRE_ACK, .ack = l->next });
}

/* What is there now. */
static void host_run(struct life *l)
{
	int fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), filled;
	struct wire_frame frame;

	if (fd >= 0) {
		host_hang_up(l);
		l->conn = fd;
		l->connections++;
		frame_init(&l->in, in_storage, sizeof in_storage);
		frame_init(&l->out, out_storage, sizeof out_storage);
	}
	if (l->conn < 0)
		return;
	do {
		size_t before = frame_pending(&l->in);

		filled = frame_fill(&l->in, l->conn);
		while (frame_next(&l->in, &frame) > 0)
			host_take(l, &frame);
		if (frame_pending(&l->in) == before)
			break;
	} while (filled == FRAME_OK);
	if (filled == FRAME_CUT)
		host_hang_up(l);
}

/* --- the deaths --- */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static pid_t relay_start(struct life *l, bool close)
{
	pid_t pid = fork();

	if (pid == 0)
		relay(l, close);
	assert_true(pid > 0);
	return pid;
}

/* The host is busy, or looks the other way; now and then it hangs up without a look at what came. */
static void one_death(struct life *l, unsigned host)
{
	uint64_t until = now_us() + draw(l, draw(l, 4) ? 2000 : 8000);
	pid_t pid = relay_start(l, false);

	do {
		if (draw(l, 4) == 0)
			write_some(l);
		if (draw(l, 16) < host)
			host_run(l);
	} while (now_us() < until);
	if (draw(l, 16) == 0)
		host_hang_up(l);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	l->kills++;
}

static int open_all(void **state)
{
	static struct life storage;
	struct life *l = &storage;
	const char *given = getenv("SEED");
	char path[64];

	*state = l;
	model_create(&model, 1);         /* for its noise */
	*l = (struct life){ .seed = given && *given ? (uint32_t)strtoul(given, NULL, 0) : 0xdead, .conn = -1 };
	print_message("SEED=%#x\n", l->seed);
	assert_true(l->seed > 0);
	strcpy(l->dir, "/tmp/hawser-crash-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	strcat(strcpy(path, l->dir), "/host");
	assert_true(address_unix(&l->address, path));
	l->listener = address_listen(&l->address);
	assert_true(l->listener >= 0);
	assert_int_equal(pipe2(l->pipe, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, l->pair), 0);
	memset(l->sources.fd, -1, sizeof l->sources.fd);
	l->sources.fd[SOURCE_STDOUT] = l->pipe[0];
	l->sources.fd[SOURCE_SYSLOG] = l->pair[0];
	assert_int_equal(ring_create(&l->ring, WIRE_RING_MIN), 0);
	memset(l->ring.shared->orders.token, 0x7a, WIRE_TOKEN);
	return 0;
}

static int close_all(void **state)
{
	struct life *l = *state;

	host_hang_up(l);
	close(l->listener);
	unlink(l->address.path);
	rmdir(l->dir);
	for (int end = 0; end < 2; end++) {
		close(l->pipe[end]);
		close(l->pair[end]);
	}
	munmap(l->ring.object, 2 * (size_t)WIRE_RING_MAX);
	munmap(l->ring.shared, sizeof *l->ring.shared);
	model_destroy(&model);
	return 0;
}

/* The last relay lives until it has said END and the host has understood it. */
static void the_last_one(struct life *l)
{
	uint64_t until = now_us() + 10000000;
	pid_t pid = relay_start(l, true);

	l->ended = false;
	while (!l->ended && now_us() < until) {
		struct pollfd polled[] = { { l->listener, POLLIN, 0 }, { l->conn, POLLIN, 0 } };

		poll(polled, 2, 10);
		host_run(l);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(l->ended);
}

static void killed_at_any_time(void **state)
{
	struct life *l = *state;
	uint64_t until = now_us() + SECONDS * 1000000;

	while (l->kills < KILLS && now_us() < until) {
		unsigned host = 1 + draw(l, 15);        /* for some lives it is so quick */

		if (draw(l, 4) == 0)
			host = 0;
		l->ring.shared->orders.full = draw(l, 2) ? WIRE_FULL_DROP : WIRE_FULL_BLOCK;
		for (unsigned lives = draw(l, 30); lives > 0 && l->kills < KILLS; lives--)
			one_death(l, host);
	}
	the_last_one(l);
	print_message("%u kills, %u connections, %u LOST; %llu bytes, %llu datagrams written; %llu, %llu lost\n",
		l->kills, l->connections, l->losts, (unsigned long long)l->written, (unsigned long long)l->datagrams,
		(unsigned long long)l->lost[WIRE_STREAM_STDOUT].bytes,
		(unsigned long long)l->lost[WIRE_STREAM_SYSLOG].records);
	assert_int_equal(l->stored[WIRE_STREAM_STDOUT].bytes + l->lost[WIRE_STREAM_STDOUT].bytes, l->written);
	assert_int_equal(l->stored[WIRE_STREAM_SYSLOG].records + l->lost[WIRE_STREAM_SYSLOG].records, l->datagrams);
	assert_int_equal(l->stored[WIRE_STREAM_SYSLOG].bytes + l->lost[WIRE_STREAM_SYSLOG].bytes, l->datagram_bytes);
	assert_true(l->connections > 10 && l->losts > 0 && l->written > 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_instruction),
		cmocka_unit_test_setup_teardown(killed_at_any_time, open_all, close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
