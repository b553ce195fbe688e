/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "clock.h"
#include "control.h"
#include "event.h"
#include "exec.h"
#include "feed.h"
#include "note.h"
#include "power.h"
#include "tool.h"

#define SESSIONS_MAX 128         /* at once: a few pages each, and what they execute */
#define HELLO_MS 1000
#define VERB_MS 10000

static struct {
	uint32_t verbs, host_cid;
	uint8_t token[WIRE_TOKEN];
} control;

/* --- the greeting ----------------------------------------------------------------------------------------------- */

static bool token_proves(const uint8_t token[static WIRE_TOKEN])
{
	volatile uint8_t differs = 0;

	/* All of it in any case: how long it takes says nothing. */
	for (int i = 0; i < WIRE_TOKEN; i++)
		differs |= token[i] ^ control.token[i];
	return !differs;
}

static void greet(struct ctl *session)
{
	struct wire_control frame;

	ctl_wait(session, HELLO_MS, &frame);
	if (frame.type != WIRE_CTL_HELLO)
		ctl_refuse(session, WIRE_REFUSE_ORDER, "CTL_HELLO is expected");
	if (frame.hello.version < WIRE_VERSION)
		ctl_refuse(session, WIRE_REFUSE_VERSION, "version 1 is spoken here");
	if (!token_proves(frame.hello.token))
		ctl_refuse(session, WIRE_REFUSE_TOKEN, "not the token of this boot");
	ctl_send(session, &(struct wire_control){ .type = WIRE_CTL_WELCOME,
		.welcome = { .version = WIRE_VERSION, .verbs = control.verbs } });
}

/* --- verbs ------------------------------------------------------------------------------------------------------ */

/* The number behind a word of /proc/meminfo, in bytes; 0: not known. */
static uint64_t memory(const char *text, size_t len, const char *word)
{
	size_t size = strlen(word);
	uint64_t kib = 0;

	for (size_t i = 0; i + size < len; i++) {
		if (memcmp(text + i, word, size) != 0)
			continue;
		for (i += size; i < len && text[i] != '\n'; i++)
			if (text[i] >= '0' && text[i] <= '9')
				kib = kib * 10 + (uint64_t)(text[i] - '0');
		break;
	}
	return kib << 10;
}

static void ping(struct ctl *session, const struct wire_control *verb)
{
	char text[512];
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
	size_t len = n < 0 ? 0 : (size_t)n;

	(void)verb;
	ctl_send(session, &(struct wire_control){ .type = WIRE_PONG, .pong = { .boot_ns = clock_boot_ns(),
		.mem_total = memory(text, len, "MemTotal:"), .mem_available = memory(text, len, "MemAvailable:") } });
}

static void done(struct ctl *session, int error)
{
	ctl_send(session, &(struct wire_control){ .type = WIRE_DONE, .number = (uint32_t)error });
}

/* By way of its supervisor, who knows whether it still runs. */
static void signal_workload(struct ctl *session, const struct wire_control *verb)
{
	siginfo_t info = { .si_code = SI_QUEUE, .si_int = (int)verb->number };
	struct tool_supervisor by;
	long result = -1;

	if (note_read(TOOL_SUPERVISOR, &by, sizeof by))
		result = syscall(SYS_rt_sigqueueinfo, by.pid, TOOL_SIGNAL, &info);
	else if (power_init())           /* PID 1 is the program */
		result = kill(1, (int)verb->number);
	else
		errno = ESRCH;
	done(session, result < 0 ? errno : 0);
}

/* While the machine is shut down this process is ended with all others; if that does not come in time, it is not. */
static void stop(struct ctl *session, const struct wire_control *verb)
{
	pid_t pid = _Fork();

	if (pid == 0)
		_exit(tool_power(POWER_OFF));
	done(session, pid < 0 ? errno : 0);
	clock_sleep_ms(verb->number);
	log_warn("the machine has not ended in %u ms, and is turned off", verb->number);
	event_close();
	power_end(POWER_OFF, power_how());
}

static const struct {
	uint16_t type;
	uint8_t verb;
	void (*run)(struct ctl *session, const struct wire_control *verb);
} verbs[] = {
	{ WIRE_PING, WIRE_VERB_PING, ping },
	{ WIRE_EXEC, WIRE_VERB_EXEC, exec_run },
	{ WIRE_SIGNAL, WIRE_VERB_SIGNAL, signal_workload },
	{ WIRE_STOP, WIRE_VERB_STOP, stop },
	{ WIRE_FEED, WIRE_VERB_FEED, feed_run },
};

static _Noreturn void session_main(int fd)
{
	struct ctl session;
	struct wire_control verb;

	ctl_init(&session, fd);
	greet(&session);
	ctl_wait(&session, VERB_MS, &verb);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (verbs[i].type != verb.type)
			continue;
		if (!(control.verbs & verbs[i].verb))
			ctl_refuse(&session, WIRE_REFUSE_NOT_ALLOWED, wire_type_name(verb.type));
		verbs[i].run(&session, &verb);
		ctl_end(&session);
	}
	ctl_refuse(&session, WIRE_REFUSE_ORDER, "a verb is expected");
}

/* --- the listener ----------------------------------------------------------------------------------------------- */

/* Who does not get a session hears why, as far as that can be said without waiting. */
static void turn_away(int fd, uint16_t code, const char *what)
{
	uint8_t bytes[100];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };

	wire_refuse_encode(&out, code, what);
	send(fd, bytes, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns how many sessions there are. */
static unsigned session_begin(int listener, unsigned sessions)
{
	struct address_peer peer = { 0 };
	int fd = address_accept(listener, &peer);
	pid_t pid;

	if (fd < 0)
		return sessions;
	/* By what the kernel says of the peer: on VMADDR_CID_ANY one's own guests and loopback come in, too. */
	if (peer.kind != ADDRESS_VSOCK || peer.cid != control.host_cid) {
		log_warn("control: refused a connection from CID %u: it is not the host", peer.cid);
		turn_away(fd, WIRE_REFUSE_NOT_ALLOWED, "only the host is served here");
	} else if (sessions >= SESSIONS_MAX) {
		turn_away(fd, WIRE_REFUSE_BUSY, "too many control sessions");
	} else {
		pid = _Fork();
		if (pid == 0) {
			close(listener);
			session_main(fd);
		}
		if (pid < 0)
			turn_away(fd, WIRE_REFUSE_BUSY, strerror(errno));
		else
			sessions++;
	}
	close(fd);
	return sessions;
}

static _Noreturn void control_main(int listener)
{
	struct pollfd polled[] = { { listener, POLLIN, 0 }, { -1, POLLIN, 0 } };
	struct signalfd_siginfo info;
	unsigned sessions = 0;
	sigset_t set;

	setsid();
	prctl(PR_SET_NAME, "hawser-control");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	polled[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
	for (;;) {
		poll(polled, 2, -1);
		if (polled[0].revents)
			sessions = session_begin(listener, sessions);
		if (polled[1].revents && read(polled[1].fd, &info, sizeof info) > 0 && info.ssi_signo == SIGUSR1)
			feed_end();
		while (waitpid(-1, NULL, WNOHANG) > 0)
			sessions--;
	}
}

int control_listen(struct boot *boot)
{
	struct address port = address_vsock(ADDRESS_CID_ANY, boot->options.port + WIRE_PORT_CONTROL);

	if (!boot->verbs)
		return 0;
	boot->control = address_listen(&port);
	if (boot->control < 0)
		return boot->control;
	return boot->verbs & WIRE_VERB_FEED ? feed_open() : 0;
}

void control_start(struct boot *boot)
{
	pid_t pid;

	if (!boot->verbs)
		return;
	control.verbs = boot->verbs;
	control.host_cid = boot->options.host_cid;
	memcpy(control.token, boot->ring.shared->orders.token, sizeof control.token);
	pid = _Fork();
	if (pid == 0) {
		close(boot->output);
		control_main(boot->control);
	}
	if (pid < 0)
		log_error_errno("there is no control: the host cannot reach this machine");
	else
		feed_publish(pid);
	close(boot->control);
	feed_close();
}
