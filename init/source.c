/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "clock.h"
#include "event.h"
#include "kmsg.h"
#include "mount.h"
#include "notify.h"
#include "source.h"

#define SYSLOG_PATH "/dev/log"
#define MESSAGES_A_ROUND 256
#define PIPE_SIZE (128 << 10)    /* twice the usual: half the switches between writer and relay */
#define PTY_WEIGHT 32            /* a pseudo-terminal holds 4 KiB */
#define SYSLOG_WEIGHT 256        /* a datagram's, whatever its size: there are 512 places (early.c) */
#define CONSOLE_LOST "/dev/console stays the kernel's console, and is not in the log"
#define CLOSERS_MAX 4
#define NOTIFY_LINES 8           /* of a datagram; nobody says more at once */

static const uint8_t streams[SOURCES] = {
	[SOURCE_KERNEL] = WIRE_STREAM_KERNEL,
	[SOURCE_CONSOLE_PIPE] = WIRE_STREAM_CONSOLE,
	[SOURCE_CONSOLE_PTY] = WIRE_STREAM_CONSOLE,
	[SOURCE_SYSLOG] = WIRE_STREAM_SYSLOG,
	[SOURCE_STDOUT] = WIRE_STREAM_STDOUT,
	[SOURCE_STDERR] = WIRE_STREAM_STDERR,
	[SOURCE_NOTIFY] = WIRE_STREAM_INIT,
	[SOURCE_EVENT] = WIRE_STREAM_INIT,
};

static struct sockaddr_un closers[CLOSERS_MAX];
static socklen_t closer_lens[CLOSERS_MAX];
static unsigned n_closers;

/* --- opening ---------------------------------------------------------------------------------------------------- */

static void kernel_open(struct sources *s)
{
	s->fd[SOURCE_KERNEL] = openat(s->dev, "kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (s->fd[SOURCE_KERNEL] < 0)
		log_warn_errno("/dev/kmsg: the kernel's log cannot be read");
}

static void console_pipe_open(struct sources *s)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_warn_errno("no pipe for the console");
		return;
	}
	/* Only our own end's description: O_NONBLOCK on the other would surprise every program that writes to it. */
	ioctl(ends[0], FIONBIO, &(int){ 1 });
	fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE);
	s->fd[SOURCE_CONSOLE_PIPE] = ends[0];
	s->held[SOURCE_CONSOLE_PIPE] = ends[1];
}

/* From here on /dev/console is our pseudo-terminal; who has the kernel's console open keeps it. */
static void console_bind(int master)
{
	unsigned number;
	char path[32];
	int error;

	if (ioctl(master, TIOCGPTN, &number) < 0)
		return;
	snprintf(path, sizeof path, "/dev/pts/%u", number);
	error = mount_bind(path, "/dev/console");
	if (error) {
		errno = -error;
		log_warn_errno(CONSOLE_LOST);
	}
}

/*
 * The user side, open, so that the other never reads an end. Once more when nothing is to be read where something was
 * announced: somebody who had it as his controlling terminal ended, and that took it from everybody.
 */
static bool console_pty_hold(struct sources *s)
{
	int user = ioctl(s->fd[SOURCE_CONSOLE_PTY], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios termios;

	if (user < 0)
		return false;
	if (tcgetattr(user, &termios) == 0) {
		cfmakeraw(&termios);
		tcsetattr(user, TCSANOW, &termios);
	}
	if (s->held[SOURCE_CONSOLE_PTY] >= 0)
		close(s->held[SOURCE_CONSOLE_PTY]);
	s->held[SOURCE_CONSOLE_PTY] = user;
	return true;
}

/* A pseudo-terminal and not a pipe, as programs that open /dev/console expect a terminal; raw, to keep every byte. */
static void console_pty_open(struct sources *s)
{
	int unlock = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	s->fd[SOURCE_CONSOLE_PTY] = master;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || !console_pty_hold(s)) {
		log_warn_errno(CONSOLE_LOST);
		if (master >= 0)
			close(master);
		s->fd[SOURCE_CONSOLE_PTY] = -1;
		return;
	}
	console_bind(master);
}

static void fifo_open(struct sources *s, enum source_id id, const char *path)
{
	/* Read and write: there is always a writer, so it never ends; and always a reader, so nobody gets SIGPIPE. */
	if (mkfifo(path, 0600) == 0 || errno == EEXIST)
		s->fd[id] = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->fd[id] < 0 || fcntl(s->fd[id], F_SETPIPE_SZ, PIPE_SIZE) < 0)
		log_warn_errno("%s", path);
}

static void socket_open(struct sources *s, enum source_id id, const char *path, mode_t mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	/* The path gets the socket's mode, without a look at it. */
	if (fd >= 0 && fchmod(fd, mode) == 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0) {
		s->fd[id] = fd;
		return;
	}
	log_warn_errno("%s", path);
	if (fd >= 0)
		close(fd);
}

void sources_open(struct sources *s)
{
	umask(0);        /* modes are as they are asked for; what comes later has the usual one */
	for (int i = 0; i < SOURCES; i++)
		s->fd[i] = s->held[i] = -1;
	s->dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	kernel_open(s);
	console_pipe_open(s);
	console_pty_open(s);
	socket_open(s, SOURCE_SYSLOG, SYSLOG_PATH, 0666);
	socket_open(s, SOURCE_NOTIFY, NOTIFY_SOCKET, 0600);
	fifo_open(s, SOURCE_STDOUT, SOURCE_STDOUT_PATH);
	fifo_open(s, SOURCE_STDERR, SOURCE_STDERR_PATH);
	socket_open(s, SOURCE_EVENT, EVENT_SOCKET, 0600);
	umask(022);
}

void sources_reopen(struct sources *s)
{
	if (s->fd[SOURCE_KERNEL] >= 0)
		close(s->fd[SOURCE_KERNEL]);
	kernel_open(s);
	n_closers = 0;
}

/* --- kernel ----------------------------------------------------------------------------------------------------- */

/* The record's data is the kernel's own number and the text. The mark is the number to go on with after a restart. */
static size_t kernel_append(struct ring *ring, const struct kmsg *kmsg, bool *blocked)
{
	static uint8_t data[8 + KMSG_MAX];
	uint64_t expected = ring_state(ring)->mark[WIRE_STREAM_KERNEL];
	struct wire_record record = { .kind = WIRE_KIND_MESSAGE, .stream = WIRE_STREAM_KERNEL, .pri = kmsg->pri,
		.ns = kmsg->us * 1000, .length = (uint32_t)(8 + kmsg->len), .data = data };

	if (kmsg->seq < expected)
		return 0;        /* read by the relay before this one */
	if (kmsg->seq > expected &&
	    !ring_gap(ring, WIRE_STREAM_KERNEL, WIRE_LOSS_OVERRUN, kmsg->seq - expected, 0, kmsg->seq)) {
		*blocked = true;
		return 0;
	}
	if (kmsg->fragment)
		record.kind |= WIRE_KIND_FRAGMENT;
	for (int i = 0; i < 8; i++)
		data[i] = (uint8_t)(kmsg->seq >> (8 * i));
	memcpy(data + 8, kmsg->text, kmsg->len);
	if (!ring_append(ring, &record, kmsg->seq + 1)) {
		*blocked = true;
		return 0;
	}
	return record.length;
}

static size_t kernel_read(int fd, struct ring *ring, bool *blocked)
{
	static char line[KMSG_MAX];
	size_t total = 0;

	for (int i = 0; i < MESSAGES_A_ROUND && !*blocked; i++) {
		struct kmsg kmsg;
		ssize_t n;

		/* A blocked ring must be known before the message is taken: /dev/kmsg gives it only once. */
		if (ring_blocks(ring, sizeof line + 64)) {
			*blocked = true;
			break;
		}
		n = read(fd, line, sizeof line);
		/* EPIPE: overwritten before it was read. The next message's number says how much. */
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		if (kmsg_parse(&kmsg, line, (size_t)n))
			total += kernel_append(ring, &kmsg, blocked);
	}
	return total;
}

/* --- bytes and datagrams ---------------------------------------------------------------------------------------- */

/* One read of up to `waiting` bytes, straight into the ring. 0: nothing came, or no room. */
static size_t run_read(int fd, struct ring *ring, uint8_t stream, uint8_t kind, uint32_t waiting, bool *blocked)
{
	struct wire_record record = { .kind = kind, .stream = stream, .pri = WIRE_PRI_NONE };
	struct iovec parts[RING_RUN];
	uint8_t *room;
	ssize_t n;

	record.length = kind == WIRE_KIND_BYTES ? ring_run(ring, waiting) : waiting < RING_CHUNK ? waiting : RING_CHUNK;
	room = record.length > 0 ? ring_reserve(ring, ring_run_size(record.length)) : NULL;
	if (!room) {
		*blocked = true;
		return 0;
	}
	record.ns = clock_boot_ns();
	ring_announce(ring, &record, kind == WIRE_KIND_MESSAGE ? waiting - record.length : 0);
	n = readv(fd, parts, ring_run_parts(room, record.length, parts));
	if (n <= 0)
		return 0;
	record.length = (uint32_t)n;
	ring_commit(ring, &record);
	return (size_t)n;
}

/* What can be read without waiting: the next datagram's size, or all that is in a pipe. */
static uint32_t waiting_bytes(int fd)
{
	int waiting;

	return ioctl(fd, FIONREAD, &waiting) < 0 || waiting < 0 ? 0 : (uint32_t)waiting;
}

/* All that there was when it was asked, so that the next source's is not older. */
static size_t bytes_read(int fd, struct ring *ring, uint8_t stream, bool *blocked)
{
	uint32_t waiting = waiting_bytes(fd);
	size_t total = 0, n;

	for (; waiting > 0; waiting -= (uint32_t)n, total += n) {
		n = run_read(fd, ring, stream, WIRE_KIND_BYTES, waiting, blocked);
		if (n == 0)
			break;
	}
	return total;
}

static size_t syslog_read(int fd, struct ring *ring, bool *blocked)
{
	size_t total = 0, n;

	for (int i = 0; i < MESSAGES_A_ROUND; i++, total += n) {
		uint32_t waiting;

		/* Room for the gap too that follows a datagram which is longer than a record. */
		if (ring_blocks(ring, RING_CHUNK + 64)) {
			*blocked = true;
			break;
		}
		waiting = waiting_bytes(fd);
		n = waiting ? run_read(fd, ring, WIRE_STREAM_SYSLOG, WIRE_KIND_MESSAGE, waiting, blocked) : 0;
		if (n == 0) {
			char byte;
			ssize_t peeked = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

			if (peeked < 0)
				break;
			/* An empty datagram promises nothing and would stay for ever. One that has just come is not to go. */
			if (peeked == 0)
				recv(fd, &byte, 0, MSG_DONTWAIT);
		}
		total += SYSLOG_WEIGHT;
	}
	return total;
}

/* --- events ----------------------------------------------------------------------------------------------------- */

/* Only a finished record of init's stream, as event.c makes them, goes into the ring. */
static bool event_record(const uint8_t *datagram, size_t len, struct wire_record *record)
{
	struct wire_in in = { .p = datagram, .end = datagram + len };

	return wire_record_next(&in, record) && wire_in_done(&in) && record->stream == WIRE_STREAM_INIT &&
		(record->kind == WIRE_KIND_EVENT || record->kind == WIRE_KIND_MESSAGE);
}

static void closer_add(const struct sockaddr_un *from, socklen_t len)
{
	if (n_closers < CLOSERS_MAX) {
		closers[n_closers] = *from;
		closer_lens[n_closers++] = len;
	}
}

void source_answer_closers(struct sources *s)
{
	char answer = EVENT_CLOSE;

	/* One who did not wait for the answer is gone; that is its own business. */
	for (; n_closers > 0; n_closers--)
		sendto(s->fd[SOURCE_EVENT], &answer, 1, MSG_DONTWAIT | MSG_NOSIGNAL,
			(struct sockaddr *)&closers[n_closers - 1], closer_lens[n_closers - 1]);
}

static size_t event_read(int fd, struct ring *ring, bool *close, bool *blocked)
{
	uint8_t datagram[EVENT_DATAGRAM_MAX];
	size_t total = 0;

	for (int i = 0; i < MESSAGES_A_ROUND; i++) {
		struct sockaddr_un from;
		socklen_t from_len = sizeof from;
		struct wire_record record;
		ssize_t n;

		if (ring_blocks(ring, sizeof datagram)) {
			*blocked = true;
			break;
		}
		n = recvfrom(fd, datagram, sizeof datagram, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		if (n < 0)
			break;
		if (n == 1 && datagram[0] == EVENT_CLOSE) {
			*close = true;
			closer_add(&from, from_len);
		} else if (event_record(datagram, (size_t)n, &record)) {
			ring_append(ring, &record, 0);
			total += record.length;
		}
	}
	return total;
}

static size_t notify_read(int fd, struct ring *ring, bool *blocked)
{
	char datagram[NOTIFY_DATAGRAM_MAX], text[WIRE_EVENT_TEXT_MAX + 1];
	size_t total = 0;
	ssize_t n;

	for (int i = 0; i < MESSAGES_A_ROUND; i++) {
		struct wire_text left;
		struct wire_event event;

		*blocked = ring_blocks(ring, sizeof datagram);
		n = *blocked ? -1 : recv(fd, datagram, sizeof datagram, MSG_DONTWAIT);
		if (n < 0)
			break;
		left = (struct wire_text){ datagram, (uint32_t)n };
		for (int lines = 0; lines < NOTIFY_LINES && notify_next(&left, &event); lines++) {
			if (event.text.len > WIRE_EVENT_TEXT_MAX)
				event.text.len = WIRE_EVENT_TEXT_MAX;
			wire_text_copy(text, sizeof text, event.text);
			event_send(event.code, event.value, text);
		}
		total += SYSLOG_WEIGHT;
	}
	return total;
}

size_t source_read(struct sources *s, enum source_id id, struct ring *ring, bool *close, bool *blocked)
{
	size_t total;

	switch (id) {
	case SOURCE_KERNEL:
		return kernel_read(s->fd[id], ring, blocked);
	case SOURCE_SYSLOG:
		return syslog_read(s->fd[id], ring, blocked);
	case SOURCE_NOTIFY:
		return notify_read(s->fd[id], ring, blocked);
	case SOURCE_EVENT:
		return event_read(s->fd[id], ring, close, blocked);
	case SOURCE_CONSOLE_PTY:
		total = bytes_read(s->fd[id], ring, streams[id], blocked);
		if (total == 0 && !*blocked)
			console_pty_hold(s);
		return PTY_WEIGHT * total;
	default:
		return bytes_read(s->fd[id], ring, streams[id], blocked);
	}
}
