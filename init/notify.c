/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/dial.h"
#include "../vsock/log.h"
#include "apply.h"
#include "event.h"
#include "notify.h"

#define FORWARD_NAME NOTIFY_SOCKET ".new"
#define KEPT 64                  /* descriptors from here on */
#define FORWARD_MS 1000          /* for the VMM to take a message; then it is let go */

/* The whole line, or with an empty value at the end its beginning. */
static const struct {
	char line[15];
	uint8_t code;
} lines[] = {
	{ "READY=1", WIRE_EVENT_READY },
	{ "STATUS=", WIRE_EVENT_STATUS },
	{ "STOPPING=1", WIRE_EVENT_STOPPING },
	{ "EXIT_STATUS=", WIRE_EVENT_EXIT_STATUS },
	{ "WATCHDOG=1", WIRE_EVENT_WATCHDOG },
};

/* Takes a number, and the character behind it unless the text ends there. */
static bool number_take(struct wire_text *text, char end, uint32_t *value)
{
	uint32_t digits = 0;
	uint64_t n = 0;

	for (; digits < text->len && text->s[digits] >= '0' && text->s[digits] <= '9' && n <= UINT32_MAX; digits++)
		n = n * 10 + (uint64_t)(text->s[digits] - '0');
	*value = (uint32_t)n;
	if (digits == 0 || n > UINT32_MAX || (digits < text->len && text->s[digits] != end))
		return false;
	digits += digits < text->len;
	text->s += digits;
	text->len -= digits;
	return true;
}

static bool line_take(struct wire_text line, struct wire_event *event)
{
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		size_t len = strlen(lines[i].line);
		bool open = lines[i].line[len - 1] == '=';
		uint32_t status;

		if (line.len < len || memcmp(line.s, lines[i].line, len) != 0 || (!open && line.len != len))
			continue;
		*event = (struct wire_event){ .code = lines[i].code };
		event->text = (struct wire_text){ line.s + len, line.len - (uint32_t)len };
		if (event->code != WIRE_EVENT_EXIT_STATUS)
			return true;
		if (!number_take(&event->text, '\0', &status) || event->text.len || status > 255)
			return false;
		event->value = (int32_t)status;
		return true;
	}
	return false;
}

bool notify_next(struct wire_text *datagram, struct wire_event *event)
{
	while (datagram->len > 0) {
		struct wire_text line = *datagram;

		for (line.len = 0; line.len < datagram->len && line.s[line.len] != '\n' && line.s[line.len] != '\0';)
			line.len++;
		datagram->s += line.len;
		datagram->len -= line.len;
		if (datagram->len > 0 && *datagram->s == '\0')
			datagram->len = 0;
		else if (datagram->len > 0) {
			datagram->s++;
			datagram->len--;
		}
		if (line_take(line, event))
			return true;
	}
	return false;
}

/* --- to the VMM -------------------------------------------------------------------------------------------------- */

/* Like systemd: a connection from a privileged port for each message, which ends with it. */
static void vmm_tell(const struct address *to, const char *message, size_t len)
{
	const struct timeval patience = { .tv_sec = FORWARD_MS / 1000 };
	int fd = dial(to, true, FORWARD_MS);

	if (fd < 0) {
		errno = -fd;
		log_warn_errno("the address of " NOTIFY_CREDENTIAL);
		return;
	}
	ioctl(fd, FIONBIO, &(int){ 0 });
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (send(fd, message, len, MSG_NOSIGNAL) != (ssize_t)len)
		log_warn_errno("the address of " NOTIFY_CREDENTIAL);
	close(fd);
}

/* Where messages go: any of these, -1 and NULL for none. */
struct pump {
	int relay, queue;
	const struct address *vmm;
};

/* Nothing else that PID 1 has open is this process's: not the host's connection, not the console. */
static void descriptors_keep(int *const kept[], int n)
{
	for (int i = 0; i < n; i++)
		*kept[i] = dup2(*kept[i], KEPT + i);
	syscall(SYS_close_range, 3u, KEPT - 1u, 0u);
	event_to_socket();
}

/* Until the machine ends, and then what has come by then. */
static _Noreturn void pump(int from, struct pump to)
{
	struct pollfd polled[] = { { from, POLLIN, 0 }, { -1, POLLIN, 0 } };
	sigset_t term;

	prctl(PR_SET_NAME, "hawser-notify");
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	polled[1].fd = signalfd(-1, &term, SFD_CLOEXEC);
	for (;;) {
		char message[NOTIFY_DATAGRAM_MAX];
		ssize_t n = recv(from, message, sizeof message, MSG_DONTWAIT);

		if (n < 0 && polled[1].revents)
			_exit(0);
		if (n < 0)
			poll(polled, 2, -1);
		if (n <= 0)
			continue;
		if (to.relay >= 0)
			send(to.relay, message, (size_t)n, MSG_NOSIGNAL);
		if (to.queue >= 0)
			send(to.queue, message, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (to.vmm)
			vmm_tell(to.vmm, message, (size_t)n);
	}
}

/* Two processes, so that a VMM that takes its time holds up neither programs nor the log. */
static _Noreturn void forward(int from, int relay, const struct address *to)
{
	int ends[2];

	/* The system call: musl's wrapper also knows kernels without SOCK_CLOEXEC. */
	if (syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
		_exit(1);
	if (_Fork() == 0) {
		descriptors_keep((int *const[]){ &ends[0] }, 1);
		pump(ends[0], (struct pump){ -1, -1, to });
	}
	descriptors_keep((int *const[]){ &from, &relay, &ends[1] }, 3);
	pump(from, (struct pump){ relay, ends[1], NULL });
}

/* The credential's text, which may end with a newline. */
static bool credential_parse(struct wire_text text, struct address *to)
{
	static const char names[][14] = { "vsock:", "vsock-stream:" };
	uint32_t cid, port;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		uint32_t len = (uint32_t)strlen(names[i]);
		struct wire_text left = { text.s + len, text.len - len };

		if (text.len < len || memcmp(text.s, names[i], len) != 0)
			continue;
		if (!number_take(&left, ':', &cid) || !number_take(&left, '\n', &port))
			return false;
		*to = address_vsock(cid, port);
		return left.len == 0;
	}
	return false;
}

static int socket_at(const char *path, int (*name)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (fd >= 0 && name(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	log_warn_errno("%s", path);
	if (fd >= 0)
		close(fd);
	return -1;
}

void notify_forward(void)
{
	char text[64];
	int fd = open(APPLY_CREDENTIALS "/" NOTIFY_CREDENTIAL, O_RDONLY | O_CLOEXEC), relay, from;
	struct address to;
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, text, sizeof text);
	close(fd);
	if (!credential_parse((struct wire_text){ text, n > 0 ? (uint32_t)n : 0 }, &to)) {
		log_warn(NOTIFY_CREDENTIAL ": must be vsock:CID:PORT or vsock-stream:CID:PORT");
		return;
	}
	relay = socket_at(NOTIFY_SOCKET, connect);
	from = socket_at(FORWARD_NAME, bind);
	/* Before a program is there that could say something. */
	if (relay >= 0 && from >= 0 && chmod(FORWARD_NAME, 0600) == 0 && rename(FORWARD_NAME, NOTIFY_SOCKET) == 0 &&
	    _Fork() == 0)
		forward(from, relay, &to);
	close(relay);
	close(from);
}
