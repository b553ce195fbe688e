/* SPDX-License-Identifier: MIT */
/*
 * fleet: thousands of guests in one process, each a machine of hawserd's behind its Unix sockets, which speak the
 * protocol with the code that a guest has. Machine 7 is g00007, by RUNTIME/g00007.vsock_610 and _611.
 *
 * usage: fleet RUNTIME
 *
 * Orders come on standard input, one line each:
 *
 *     boot FIRST COUNT AT_ONCE              each boots once, from connect() to the close that answers APPLIED
 *     log FIRST COUNT AT_ONCE               each opens its log session, and keeps it
 *     reboot FIRST COUNT AT_ONCE TIMES      END, boot, log: TIMES in all; the time is the boot's
 *     records FIRST COUNT EACH TIMES        TIMES records of 100 bytes, EACH in a frame; until all are acknowledged
 *     end FIRST COUNT AT_ONCE               END, and the end of the session
 *     visit FIRST COUNT AT_ONCE TIMES       connect, HELLO, and gone: at the first answer, or every other one at once
 *     feed PATH COUNT EACH TIMES            the same records as lines into COUNT connections to PATH, EACH in a write
 *     hold PATH COUNT                       COUNT connections to PATH, for ever
 *     cpu PID                               what that process took of the processor, as NS
 *     machines TEMPLATE VMS COUNT           makes their directories, of links to what TEMPLATE has
 *     hostile FIRST COUNT EACH FLOODER      EACH slow connections to COUNT machines, for ever, and one that floods
 *
 * Each is answered when it is done: "done NS N MEDIAN P99 MAX", all of it and a single one's time.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../vsock/address.h"
#include "../../vsock/frame.h"
#include "../../vsock/wire.h"

#define LINE 100
#define GUESTS_MAX 100000
#define BOOT_BYTES (4 * WIRE_FRAME_MAX)  /* a boot session's buffer, */
#define LOG_BYTES 1024                   /* and a log session's, where nothing but ACK comes */
#define WINDOW (64 << 10)                /* so many bytes of lines are sent ahead of their ACK, */
#define FRAMES 64                        /* in so many frames: they have to fit into a socket */
#define DRIP_MS 100                      /* a slow connection sends a byte so often */

enum state { RESTING, BOOT_HELLO, BOOT_APPLIED, LOG_HELLO, LOG_UP, LOG_END };

struct guest {
	int fd;                          /* -1: not connected */
	uint8_t state, goal;             /* it is done when it has come to its goal */
	bool visitor;
	struct frame_buf in;
	uint8_t token[WIRE_TOKEN];
	uint64_t began, took;            /* its last boot: ns */
	uint32_t frames, crc, credentials;
	uint64_t next, acked, target;      /* records: made, acknowledged, to be made in all */
};

static struct guest *guests;
static const char *runtime;
static int epoll = -1;

/* The order that is being obeyed. */
static unsigned first, count, at_once, each;
static uint64_t times, launched, finished;
static unsigned *idle, idle_from, n_idle;        /* a ring: who may be next */
static uint8_t goal;
static uint64_t *took;
static uint8_t batch[WIRE_FRAME_MAX];            /* RECORDS as it is sent, but for the numbers */
static size_t batch_len;

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "fleet: ");
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned number_of(const struct guest *g)
{
	return (unsigned)(g - guests);
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static int unix_connect(const char *path)
{
	struct address address;
	int fd, r;

	if (!address_unix(&address, path))
		die("%s: too long", path);
	fd = address_socket(&address, false);
	if (fd < 0)
		die("socket: %s", strerror(-fd));
	while ((r = address_connect(fd, &address)) == -EAGAIN)
		usleep(1000);            /* its backlog is full */
	if (r)
		die("%s: %s", path, strerror(-r));
	return fd;
}

static int vm_connect(unsigned number, unsigned port)
{
	char path[ADDRESS_PATH_MAX + 1];

	snprintf(path, sizeof path, "%s/g%05u.vsock_%u", runtime, number, WIRE_PORT_BASE + port);
	return unix_connect(path);
}

static void watch(int fd, uint32_t events, void *owner)
{
	struct epoll_event event = { .events = events, .data.ptr = owner };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll: %s", strerror(errno));
}

static void guest_open(struct guest *g, unsigned port, size_t size)
{
	void *storage = malloc(size);

	if (!storage)
		die("no memory");
	frame_init(&g->in, storage, size);
	g->fd = vm_connect(number_of(g), port);
	watch(g->fd, EPOLLIN, g);
}

static void guest_close(struct guest *g)
{
	close(g->fd);
	free(g->in.buf);
	g->fd = -1;
	g->state = RESTING;
}

/* What a guest sends always fits: it never has more than WINDOW on its way. */
static void send_all(const struct guest *g, const void *bytes, size_t len)
{
	ssize_t n = send(g->fd, bytes, len, MSG_NOSIGNAL);

	if (n != (ssize_t)len)
		die("g%05u: send: %s", number_of(g), n < 0 ? strerror(errno) : "not all of it");
}

static void send_boot(const struct guest *g, const struct wire_boot *boot)
{
	uint8_t storage[64];
	struct wire_out out = { .buf = storage, .size = sizeof storage };

	wire_boot_encode(&out, boot);
	send_all(g, storage, out.len);
}

static void send_log(const struct guest *g, const struct wire_log *log)
{
	uint8_t storage[256];
	struct wire_out out = { .buf = storage, .size = sizeof storage };

	wire_log_encode(&out, log);
	send_all(g, storage, out.len);
}

/* --- sessions ---------------------------------------------------------------------------------------------------- */

static void boot_begin(struct guest *g)
{
	struct wire_boot hello = { .type = WIRE_HELLO, .hello.version = WIRE_VERSION };

	if (getrandom(hello.hello.boot_id, WIRE_BOOT_ID, 0) != WIRE_BOOT_ID)
		die("getrandom: %s", strerror(errno));
	hello.hello.boot_ns = now_ns(CLOCK_BOOTTIME);
	g->began = now_ns(CLOCK_MONOTONIC);
	g->frames = g->crc = g->credentials = 0;
	g->next = g->acked = g->target = 0;
	guest_open(g, WIRE_PORT_BOOT, BOOT_BYTES);
	g->state = BOOT_HELLO;
	send_boot(g, &hello);
}

static void log_begin(struct guest *g)
{
	struct wire_log hello = { .type = WIRE_LOG_HELLO, .hello.version = WIRE_VERSION, .hello.first = g->acked };

	memcpy(hello.hello.token, g->token, WIRE_TOKEN);
	guest_open(g, WIRE_PORT_LOG, LOG_BYTES);
	g->state = LOG_HELLO;
	send_log(g, &hello);
}

static void log_end(struct guest *g)
{
	struct wire_log end = { .type = WIRE_END, .end.next = g->next, .end.n = g->next > 0 };

	end.end.totals[0] = (struct wire_total){ .stream = WIRE_STREAM_STDOUT, g->next, g->next * LINE };
	g->state = LOG_END;
	send_log(g, &end);
}

static void boot_frame(struct guest *g, const struct wire_frame *frame)
{
	struct wire_boot message;
	const char *wrong = wire_boot_decode(frame, &message);

	if (wrong)
		die("g%05u: %s: %s", number_of(g), wire_type_name(frame->type), wrong);
	if (frame->type == WIRE_WELCOME) {
		memcpy(g->token, message.welcome.token, WIRE_TOKEN);
		return;
	}
	if (frame->type != WIRE_COMMIT) {
		g->frames++;
		g->crc = wire_crc32(g->crc, frame->payload - WIRE_HEADER, WIRE_HEADER + frame->length);
		g->credentials += frame->type == WIRE_CREDENTIAL;
		return;
	}
	if (message.commit.count != g->frames || message.commit.crc != g->crc || !g->credentials)
		die("g%05u: not the configuration that was sent", number_of(g));
	g->state = BOOT_APPLIED;
	send_boot(g, &(struct wire_boot){ .type = WIRE_APPLIED, .applied_ns = now_ns(CLOCK_BOOTTIME) });
}

static void log_frame(struct guest *g, const struct wire_frame *frame)
{
	struct wire_log message;
	const char *wrong = wire_log_decode(frame, &message);

	if (wrong)
		die("g%05u: %s: %s", number_of(g), wire_type_name(frame->type), wrong);
	if (frame->type == WIRE_LOG_WELCOME) {
		g->state = LOG_UP;
		return;
	}
	if (message.ack < g->acked || message.ack > g->next)
		die("g%05u: acknowledged %llu of %llu", number_of(g), (unsigned long long)message.ack,
			(unsigned long long)g->next);
	g->acked = message.ack;
	if (frame->type == WIRE_END_ACK && g->acked == g->next)
		guest_close(g);
}

static void take_frame(struct guest *g, const struct wire_frame *frame)
{
	struct wire_refuse refuse;

	if (frame->type == WIRE_REFUSE && wire_refuse_decode(frame, &refuse))
		die("g%05u: refused: %.*s", number_of(g), (int)refuse.text.len, refuse.text.s);
	if (g->visitor)
		guest_close(g);
	else if (g->state < LOG_HELLO)
		boot_frame(g, frame);
	else
		log_frame(g, frame);
}

/* --- records ----------------------------------------------------------------------------------------------------- */

static void hex_put(uint8_t *to, uint64_t number)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 7; i >= 0; i--, number >>= 4)
		to[i] = (uint8_t)hex[number & 15];
}

/* A line begins with its number. */
static void line_make(uint8_t line[static LINE])
{
	memset(line, '.', LINE);
	line[LINE - 1] = '\n';
}

static void batch_make(bool lines)
{
	uint8_t *at = batch + (lines ? 0 : WIRE_HEADER + 8);

	batch_len = (lines ? 0 : WIRE_HEADER + 8) + each * (lines ? LINE : WIRE_RECORD_HEADER + LINE);
	if (!each || batch_len > sizeof batch)
		die("%u records are no frame", each);
	wire_header(batch, WIRE_RECORDS, (uint32_t)(batch_len - WIRE_HEADER));
	for (unsigned i = 0; i < each; i++) {
		if (!lines) {
			wire_record_header(at, &(struct wire_record){ .kind = WIRE_KIND_BYTES,
				.stream = WIRE_STREAM_STDOUT, .pri = WIRE_PRI_NONE, .length = LINE,
				.ns = now_ns(CLOCK_BOOTTIME) });
			at += WIRE_RECORD_HEADER;
		}
		line_make(at);
		at += LINE;
	}
}

static void batch_number(bool lines, uint64_t from)
{
	uint8_t *at = batch + (lines ? 0 : WIRE_HEADER + 8 + WIRE_RECORD_HEADER);

	for (unsigned i = 0; i < each; i++, at += lines ? LINE : WIRE_RECORD_HEADER + LINE)
		hex_put(at, from + i);
	if (!lines)
		for (int i = 0; i < 8; i++)
			batch[WIRE_HEADER + i] = (uint8_t)(from >> 8 * i);
}

static void records_send(struct guest *g)
{
	uint64_t most = FRAMES * (uint64_t)each < WINDOW / LINE ? FRAMES * (uint64_t)each : WINDOW / LINE;

	while (g->next < g->target && g->next - g->acked + each <= most) {
		batch_number(false, g->next);
		send_all(g, batch, batch_len);
		g->next += each;
	}
}

/* --- orders ------------------------------------------------------------------------------------------------------ */

/* It is the next one, after the others. */
static void rest(struct guest *g)
{
	took[finished++] = g->took;
	idle[(idle_from + n_idle++) % count] = number_of(g);
}

static void visit_end(struct guest *g)
{
	guest_close(g);
	rest(g);
}

static void launch(void)
{
	while (launched < times && launched - finished < at_once && n_idle) {
		struct guest *g = &guests[idle[idle_from]];

		idle_from = (idle_from + 1) % count;
		n_idle--;
		launched++;
		g->goal = goal;
		if (g->state == LOG_UP && g->next < g->target)
			records_send(g);
		else if (g->state == LOG_UP)
			log_end(g);
		else if (goal == LOG_UP && g->fd < 0 && g->took)
			log_begin(g);
		else
			boot_begin(g);
		if (g->visitor && launched % 2)
			visit_end(g);
	}
}

static void done(struct guest *g)
{
	rest(g);
	launch();
}

/* What comes next on the way to its goal. */
static void go_on(struct guest *g, bool was_booting, bool was_up)
{
	if (was_booting && g->fd < 0)
		g->took = now_ns(CLOCK_MONOTONIC) - g->began;
	if (was_up && g->state == LOG_UP && g->next < g->target)
		records_send(g);
	if (g->state == g->goal && g->acked == g->target)
		done(g);
	else if (g->fd < 0 && was_booting)
		log_begin(g);
	else if (g->fd < 0)
		boot_begin(g);
}

static void guest_event(struct guest *g)
{
	bool was_booting = g->state == BOOT_APPLIED || g->visitor, was_up = g->state == LOG_UP;
	struct wire_frame frame;
	uint8_t before = g->state;
	int filled = frame_fill(&g->in, g->fd), r = 0;

	while (g->fd >= 0 && (r = frame_next(&g->in, &frame)) == 1)
		take_frame(g, &frame);
	if (r < 0)
		die("g%05u: a header that no frame has", number_of(g));
	if (g->fd >= 0 && filled == FRAME_CUT && before == BOOT_APPLIED)
		guest_close(g);
	else if (g->fd >= 0 && filled == FRAME_CUT)
		die("g%05u: cut in state %d: %s", number_of(g), g->state, strerror(errno));
	if (g->state != before || was_up)
		go_on(g, was_booting, was_up);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void answer(uint64_t ns, uint64_t n)
{
	qsort(took, n, sizeof *took, ascending);
	printf("done %llu %llu %llu %llu %llu\n", (unsigned long long)ns, (unsigned long long)n,
		(unsigned long long)took[n / 2], (unsigned long long)took[n * 99 / 100],
		(unsigned long long)took[n - 1]);
	fflush(stdout);
}

static void prepare(uint64_t n)
{
	if (!count || first + count > GUESTS_MAX || !n)
		die("no machine to do that");
	free(took);
	free(idle);
	took = calloc(n, sizeof *took);
	idle = calloc(count, sizeof *idle);
	if (!took || !idle)
		die("no memory");
	for (unsigned i = 0; i < count; i++)
		idle[i] = first + i;
	idle_from = 0;
	n_idle = count;
	launched = finished = 0;
	times = n;
}

static void run(uint8_t to, uint64_t n)
{
	struct epoll_event events[256];
	uint64_t began;

	prepare(n);
	goal = to;
	began = now_ns(CLOCK_MONOTONIC);
	launch();
	while (finished < times) {
		int ready = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < ready; i++)
			guest_event(events[i].data.ptr);
	}
	answer(now_ns(CLOCK_MONOTONIC) - began, n);
}

static void run_records(uint64_t total)
{
	batch_make(false);
	if (total / count < each)
		die("not a frame for each");
	for (unsigned i = 0; i < count; i++)
		guests[first + i].target = guests[first + i].next + total / count / each * each;
	at_once = count;
	run(LOG_UP, count);
}

static void run_visits(uint64_t n)
{
	for (unsigned i = 0; i < count; i++)
		guests[first + i].visitor = true;
	run(RESTING, n);
}

/* --- beside it: lines to another daemon -------------------------------------------------------------------------- */

struct feed {
	int fd;
	size_t sent;             /* of the batch that is being sent */
	uint64_t left;           /* batches */
};

/* One write. True: all batches are sent. */
static bool feed_send(struct feed *feed)
{
	ssize_t n = send(feed->fd, batch + feed->sent, batch_len - feed->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		die("feed: %s", strerror(errno));
	feed->sent += n > 0 ? (size_t)n : 0;
	if (feed->sent == batch_len) {
		feed->sent = 0;
		feed->left--;
	}
	return !feed->left;
}

static void run_feed(const char *path, uint64_t total)
{
	struct feed *feeds = calloc(count, sizeof *feeds);
	struct epoll_event events[256];
	uint64_t began;

	batch_make(true);
	batch_number(true, 0);
	for (unsigned i = 0; i < count; i++) {
		feeds[i] = (struct feed){ .fd = unix_connect(path), .left = total / count / each };
		watch(feeds[i].fd, EPOLLOUT, &feeds[i]);
	}
	began = now_ns(CLOCK_MONOTONIC);
	for (unsigned open = count; open;) {
		int ready = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < ready; i++) {
			struct feed *feed = events[i].data.ptr;

			if (!feed_send(feed))
				continue;
			close(feed->fd);
			open--;
		}
	}
	free(feeds);
	printf("done %llu %llu 0 0 0\n", (unsigned long long)(now_ns(CLOCK_MONOTONIC) - began),
		(unsigned long long)(total / count / each * each * count));
	fflush(stdout);
}

static void run_hold(const char *path)
{
	for (unsigned i = 0; i < count; i++)
		unix_connect(path);
	printf("done 0 %u 0 0 0\n", count);
	fflush(stdout);
}

static void run_cpu(unsigned pid)
{
	clockid_t clock;

	if (clock_getcpuclockid((pid_t)pid, &clock))
		die("there is no process %u", pid);
	printf("done %llu 1 0 0 0\n", (unsigned long long)now_ns(clock));
	fflush(stdout);
}

/* --- and guests that mean harm ----------------------------------------------------------------------------------- */

struct slow {
	int fd;
	unsigned vm;
};

/* It is told to hold its rate by not being read, and by nothing else. */
static void flood(struct guest *g)
{
	uint8_t answers[4096];

	batch_number(false, g->next);
	if (send(g->fd, batch, batch_len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)batch_len)
		g->next += each;
	while (recv(g->fd, answers, sizeof answers, MSG_DONTWAIT) > 0)
		;
}

static void slow_open(struct slow *slow)
{
	slow->fd = vm_connect(slow->vm, WIRE_PORT_BOOT);
	watch(slow->fd, EPOLLIN, slow);
}

static void drip(struct slow *slow, unsigned n)
{
	static const uint8_t hello[] = { 32 };

	for (unsigned i = 0; i < n; i++)
		if (send(slow[i].fd, hello, sizeof hello, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE)
			continue;        /* closed; the event comes */
}

static _Noreturn void run_hostile(unsigned per_vm, unsigned flooder)
{
	struct slow *slow = calloc((size_t)count * per_vm + 1, sizeof *slow);
	struct guest *g = &guests[flooder];
	unsigned n = count * per_vm, from = first;
	uint64_t dripped = 0;

	first = flooder;
	count = at_once = 1;
	run(LOG_UP, 1);
	for (unsigned i = 0; i < n; i++) {
		slow[i].vm = from + i / per_vm;
		slow_open(&slow[i]);
	}
	each = (WIRE_FRAME_MAX - WIRE_HEADER - 8) / (WIRE_RECORD_HEADER + LINE);
	batch_make(false);
	epoll_ctl(epoll, EPOLL_CTL_MOD, g->fd, &(struct epoll_event){ .events = EPOLLIN | EPOLLOUT, .data.ptr = g });
	for (struct epoll_event events[256];;) {
		int ready = epoll_wait(epoll, events, 256, DRIP_MS);

		for (int i = 0; i < ready; i++) {
			struct slow *owner = events[i].data.ptr;

			if (owner == (void *)g) {
				flood(g);
				continue;
			}
			close(owner->fd);
			slow_open(owner);
		}
		if (now_ns(CLOCK_MONOTONIC) - dripped > DRIP_MS * 1000000ull) {
			dripped = now_ns(CLOCK_MONOTONIC);
			drip(slow, n);
		}
	}
}

/* --- their directories ------------------------------------------------------------------------------------------- */

static void run_machines(const char *template, const char *vms)
{
	static const char *const files[] = { "vm.json", "credentials/key" };
	char from[512], to[512];

	for (unsigned i = 0; i < count; i++) {
		snprintf(to, sizeof to, "%s/g%05u", vms, i);
		mkdir(to, 0755);
		snprintf(to, sizeof to, "%s/g%05u/credentials", vms, i);
		mkdir(to, 0700);
		for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
			snprintf(from, sizeof from, "%s/%s", template, files[f]);
			snprintf(to, sizeof to, "%s/g%05u/%s", vms, i, files[f]);
			if (link(from, to))
				die("%s: %s", to, strerror(errno));
		}
	}
	printf("done 0 %u 0 0 0\n", count);
	fflush(stdout);
}

/* --- what is to be done ------------------------------------------------------------------------------------------ */

static void obey(const char *order)
{
	char what[16], path[ADDRESS_PATH_MAX + 1], vms[ADDRESS_PATH_MAX + 1];
	unsigned third = 0;
	unsigned long long fourth = 0;

	if (sscanf(order, "feed %107s %u %u %llu", path, &count, &each, &fourth) == 4) {
		run_feed(path, fourth);
		return;
	}
	if (sscanf(order, "hold %107s %u", path, &count) == 2) {
		run_hold(path);
		return;
	}
	if (sscanf(order, "cpu %u", &third) == 1) {
		run_cpu(third);
		return;
	}
	if (sscanf(order, "machines %107s %107s %u", path, vms, &count) == 3) {
		run_machines(path, vms);
		return;
	}
	if (sscanf(order, "%15s %u %u %u %llu", what, &first, &count, &third, &fourth) < 4)
		die("what is \"%s\"?", order);
	at_once = each = third;
	if (!strcmp(what, "boot"))
		run(RESTING, count);
	else if (!strcmp(what, "log"))
		run(LOG_UP, count);
	else if (!strcmp(what, "reboot"))
		run(LOG_UP, fourth);
	else if (!strcmp(what, "records"))
		run_records(fourth);
	else if (!strcmp(what, "end"))
		run(RESTING, count);
	else if (!strcmp(what, "visit"))
		run_visits(fourth);
	else if (!strcmp(what, "hostile"))
		run_hostile(third, (unsigned)fourth);
	else
		die("what is \"%s\"?", order);
}

int main(int argc, char *argv[])
{
	struct rlimit files;
	char order[256];

	if (argc != 2)
		die("usage: fleet RUNTIME");
	runtime = argv[1];
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	guests = calloc(GUESTS_MAX, sizeof *guests);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!guests || epoll < 0)
		die("%s", strerror(errno));
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		guests[i].fd = -1;
	while (fgets(order, sizeof order, stdin)) {
		order[strcspn(order, "\n")] = '\0';
		obey(order);
	}
	return 0;
}
