/* SPDX-License-Identifier: MIT */
/*
 * boot_host: the host of a boot that is counted in instructions. It is in the guest itself, behind the vsock's loopback
 * (CID 1), since what is outside does not live in the guest's counted time.
 *
 * The kernel starts it as PID 1. It forks the host, which prepares all answers and listens; then it notes the time and
 * becomes what is measured, which the kernel's command line names: rdinit=/bench/host bench=PROGRAM. (Behind "--" it
 * could not stand: QEMU adds the machine's devices at the line's end.)
 *
 * The host serves hawser's ports (docs/PROTOCOL.md), the same configuration as plain bytes with the secret at their end
 * on PLAIN, and on LANDED it hears of the program that was handed over to: it prints, on the console,
 *
 *     landed START END OWN
 *
 * in ns: the time before PROGRAM was executed, the time of the landed program's first instruction, and how much of
 * that the host itself had the processor. Then the log's remainder comes in, and the phases (docs/BOOT.md) are printed
 * as "phase NAME NS"; then "end", and the machine ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../vsock/address.h"
#include "../../vsock/frame.h"
#include "../../vsock/wire.h"
#include "boot_ports.h"

#define CONFIGURATION 4096       /* bytes of all records but the credential's */
#define SECRET "0123456789abcdef0123456789abcdef"

enum service { BOOT, LOG, SERVICE_PLAIN, SERVICE_LANDED, SERVICES };
static const uint32_t ports[SERVICES] = { WIRE_PORT_BASE, WIRE_PORT_BASE + WIRE_PORT_LOG, PORT_PLAIN, PORT_LANDED };

struct session {
	int fd;
	enum service service;
	struct frame_buf in;
	uint8_t storage[WIRE_FRAME_MAX];
};

static struct pollfd polled[32];
static struct session *sessions[32];
static nfds_t n_polled;

static uint8_t boot_answer[3 * CONFIGURATION], plain_answer[CONFIGURATION + sizeof SECRET - 1];
static size_t boot_answer_len;
static int console;
static uint64_t *started, prepared_ns;
static bool has_landed, has_phases;

static void die(const char *what)
{
	dprintf(console, "boot_host: %s: %s\n", what, strerror(errno));
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- the answers ------------------------------------------------------------------------------------------------- */

static void add(struct wire_out *out, const struct wire_boot *record)
{
	if (!wire_boot_encode(out, record))
		die("a record that cannot be encoded");
}

static void add_text(struct wire_out *out, uint16_t type, const char *text)
{
	add(out, &(struct wire_boot){ .type = type, .text = wire_text(text) });
}

/* What a service's vm.json has: a name, a command line, a user, and variables, which are most of it. */
static uint32_t records_make(struct wire_out *out)
{
	size_t start = out->len;
	uint32_t count = 6;

	add_text(out, WIRE_HOSTNAME, "harbour");
	add_text(out, WIRE_ARG, "/usr/bin/service");
	add_text(out, WIRE_ARG, "--config=/etc/service.conf");
	add_text(out, WIRE_CWD, "/var/lib/service");
	add(out, &(struct wire_boot){ .type = WIRE_USER, .user = { .uid = 1000, .gid = 1000 } });
	add(out, &(struct wire_boot){ .type = WIRE_WORKLOAD, .workload = { .restart = WIRE_RESTART_ON_FAILURE,
		.stop_signal = 15, .stop_grace_ms = 2000 } });
	while (out->len - start < CONFIGURATION - 64) {
		char text[64];

		snprintf(text, sizeof text, "SERVICE_SETTING_%02u=the value of a setting, as it may be", count++);
		add_text(out, WIRE_ENV, text);
	}
	return count;
}

static void answers_make(void)
{
	struct wire_out out = { .buf = boot_answer, .size = sizeof boot_answer };
	struct wire_boot welcome = { .type = WIRE_WELCOME, .welcome = { .version = WIRE_VERSION,
		.flags = WIRE_WELCOME_CLOCK | WIRE_WELCOME_CREDIT, .wall_ns = 1700000000000000000u } };
	struct wire_boot commit = { .type = WIRE_COMMIT };
	size_t records;

	add(&out, &welcome);
	records = out.len;
	commit.commit.count = records_make(&out) + 2;
	add(&out, &(struct wire_boot){ .type = WIRE_CREDENTIAL, .node = { .mode = 0400, .size = sizeof SECRET - 1,
		.path = wire_text("service.key") } });
	add_text(&out, WIRE_DATA, SECRET);
	commit.commit.crc = wire_crc32(0, boot_answer + records, out.len - records);
	add(&out, &commit);
	boot_answer_len = out.len;
	memset(plain_answer, 'x', CONFIGURATION);
	memcpy(plain_answer + CONFIGURATION, SECRET, sizeof SECRET - 1);
}

/* --- sessions ---------------------------------------------------------------------------------------------------- */

static void send_all(int fd, const void *bytes, size_t len)
{
	if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
}

static void send_log(int fd, const struct wire_log *message)
{
	uint8_t bytes[64];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };

	if (!wire_log_encode(&out, message))
		die("a message that cannot be encoded");
	send_all(fd, bytes, out.len);
}

/* Kept, since printing takes time, until there is nothing more to be measured. */
static struct phase {
	char name[32];
	uint64_t ns;
} phases[32];
static size_t n_phases;

static void phases_print(void)
{
	bool all = n_phases > 0 && strcmp(phases[n_phases - 1].name, "handoff") == 0;

	if (!has_landed || (has_phases && !all))
		return;
	for (size_t i = 0; i < n_phases; i++)
		dprintf(console, "phase %s %llu\n", phases[i].name, (unsigned long long)phases[i].ns);
	dprintf(console, "end\n");
	reboot(RB_AUTOBOOT);
}

static void record_keep(const struct wire_record *record)
{
	struct wire_event event;

	if (record->kind != WIRE_KIND_EVENT || !wire_event_decode(record, &event) || event.code != WIRE_EVENT_PHASE ||
	    n_phases == sizeof phases / sizeof *phases)
		return;
	wire_text_copy(phases[n_phases].name, sizeof phases[0].name, event.text);
	phases[n_phases++].ns = record->ns;
}

static void take(struct session *s, const struct wire_frame *frame)
{
	static uint64_t next;
	struct wire_refuse refuse;
	struct wire_log log;

	if (wire_refuse_decode(frame, &refuse)) {
		dprintf(console, "boot_host: refused: %.*s\n", (int)refuse.text.len, refuse.text.s);
		reboot(RB_AUTOBOOT);
	}
	if (frame->type == WIRE_HELLO) {
		send_all(s->fd, boot_answer, boot_answer_len);
		has_phases = true;
	}
	if (s->service != LOG)
		return;
	if (wire_log_decode(frame, &log))
		die("a log message that cannot be decoded");
	if (log.type == WIRE_LOG_HELLO)
		send_log(s->fd, &(struct wire_log){ .type = WIRE_LOG_WELCOME, .welcome = { .version = WIRE_VERSION,
			.next = next } });
	if (log.type == WIRE_RECORDS) {
		struct wire_record record;

		while (wire_record_next(&log.records.in, &record))
			record_keep(&record);
		next = log.records.first + log.records.count;
		send_log(s->fd, &(struct wire_log){ .type = WIRE_ACK, .ack = next });
		phases_print();
	}
}

static void session_read(nfds_t i)
{
	struct session *s = sessions[i];
	struct wire_frame frame;
	int state = frame_fill(&s->in, s->fd);

	while (frame_next(&s->in, &frame) > 0)
		take(s, &frame);
	if (state == FRAME_CUT) {
		close(s->fd);
		polled[i].fd = -1;
	}
}

static void landed(int fd)
{
	uint64_t end;

	fcntl(fd, F_SETFL, 0);
	if (read(fd, &end, sizeof end) != sizeof end)
		die("the landed program");
	dprintf(console, "landed %llu %llu %llu\n", (unsigned long long)*started, (unsigned long long)end,
		(unsigned long long)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - prepared_ns));
	has_landed = true;
	phases_print();
}

static void session_begin(enum service service)
{
	struct address_peer peer;
	int fd = address_accept(polled[service].fd, &peer);

	if (fd < 0 || n_polled == sizeof polled / sizeof *polled)
		die("accept");
	if (service == SERVICE_LANDED)
		landed(fd);
	if (service == SERVICE_PLAIN) {
		send_all(fd, plain_answer, sizeof plain_answer);
		close(fd);
		return;
	}
	polled[n_polled] = (struct pollfd){ .fd = fd, .events = POLLIN };
	sessions[n_polled] = malloc(sizeof *sessions[0]);
	sessions[n_polled]->fd = fd;
	sessions[n_polled]->service = service;
	frame_init(&sessions[n_polled]->in, sessions[n_polled]->storage, sizeof sessions[0]->storage);
	n_polled++;
}

static void serve(int ready)
{
	answers_make();
	for (; n_polled < SERVICES; n_polled++) {
		struct address any = address_vsock(ADDRESS_CID_ANY, ports[n_polled]);

		polled[n_polled] = (struct pollfd){ .fd = address_listen(&any), .events = POLLIN };
		if (polled[n_polled].fd < 0)
			die("listen");
	}
	prepared_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (write(ready, "", 1) != 1)
		die("write");
	for (;;) {
		if (poll(polled, n_polled, -1) < 0)
			die("poll");
		for (nfds_t i = 0; i < n_polled; i++) {
			if (!polled[i].revents)
				continue;
			if (i < SERVICES)
				session_begin((enum service)i);
			else
				session_read(i);
		}
	}
}

int main(void)
{
	/* The kernel makes a variable of a word that it does not know. */
	char *argv[] = { getenv("bench"), NULL };
	static char *const envp[] = { "HOME=/", "TERM=linux", NULL };
	int ends[2];
	char byte;

	console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!argv[0] || pipe(ends) < 0)
		return 1;
	if (fork() == 0) {
		setsid();
		serve(ends[1]);
	}
	if (read(ends[0], &byte, 1) != 1)
		return 1;
	close(ends[0]);
	close(ends[1]);
	*started = clock_ns(CLOCK_MONOTONIC);
	execve(argv[0], argv, envp);
	die(argv[0]);
}
