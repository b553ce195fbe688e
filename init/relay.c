/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "clock.h"
#include "event.h"
#include "link.h"
#include "note.h"
#include "pace.h"
#include "relay.h"
#include "tool.h"

#define RESTART_PAUSE_MS 10      /* a relay that dies at once must not eat the machine */
#define BLOCKED_PAUSE_NS 10000000ull     /* with a full ring that waits: when to look at the sources again */

struct relay {
	struct ring *ring;
	struct sources *sources;
	struct link link;
	struct pace pace;
	int signals;             /* readable when somebody ends the machine with a SIGTERM to all */
	bool pressed;            /* the machine's button; once is enough */
	bool closing;            /* somebody ends the machine: END once all is sent */
	bool dry;                /* the last turn found nothing to read */
	bool blocked;            /* the ring is full, and is to wait */
	uint8_t token[WIRE_TOKEN];
	bool have_token;
};

/* PID 1's orders: the ring's size, and the token, which starts the link. */
static void orders_take(struct relay *relay)
{
	struct ring_orders *orders = &relay->ring->shared->orders;

	if (orders->size && orders->size != ring_state(relay->ring)->size) {
		int error = ring_resize(relay->ring, orders->size);

		/* A ring that waits for its host drops nothing to become smaller: once more when that has taken something. */
		if (error && error != -ENOSPC) {
			orders->size = 0;
			errno = -error;
			log_warn_errno("the ring keeps its size of %u bytes", ring_state(relay->ring)->size);
		}
	}
	if (orders->have_token && (!relay->have_token || memcmp(relay->token, orders->token, sizeof relay->token) != 0)) {
		memcpy(relay->token, orders->token, sizeof relay->token);
		relay->have_token = true;
		link_start(&relay->link);
	}
}

static void sources_run(struct relay *relay, const struct pollfd *polled)
{
	bool close = false;
	size_t total = 0;

	relay->blocked = false;
	for (int id = 0; id < SOURCES; id++)
		if (polled[id].fd >= 0 && polled[id].revents)
			total += source_read(relay->sources, (enum source_id)id, relay->ring, &close, &relay->blocked);
	relay->dry = total == 0 && !relay->blocked;
	pace_turn(&relay->pace, clock_boot_ns(), total, relay->blocked);
	relay->closing |= close;
}

/* What is polled behind the sources. */
enum { POLL_LINK = SOURCES, POLL_SIGNALS, POLLED };

/* Waits for something to do. */
static void relay_wait(struct relay *relay, struct pollfd *polled, bool listen)
{
	struct link *link = &relay->link;
	uint64_t now = clock_boot_ns(), until = link_timer(link, relay->ring);
	struct timespec timeout;

	if (!listen && !relay->blocked && relay->pace.until_ns < until)
		until = relay->pace.until_ns;
	if (relay->blocked && now + BLOCKED_PAUSE_NS < until)
		until = now + BLOCKED_PAUSE_NS;
	until = until > now ? until - now : 0;
	timeout = (struct timespec){ .tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u) };
	for (int id = 0; id < SOURCES; id++)
		polled[id] = (struct pollfd){ .fd = listen ? relay->sources->fd[id] : -1, .events = POLLIN };
	/* An event ends a rest, where it can be sent. */
	if (!relay->blocked && link->state == LINK_UP)
		polled[SOURCE_EVENT].fd = relay->sources->fd[SOURCE_EVENT];
	polled[POLL_LINK] = (struct pollfd){ .fd = link->fd, .events = link_events(link) };
	/* In a rest acknowledgements come together, too: a message goes back to the host for each time they are read. */
	if (!listen && !relay->blocked)
		polled[POLL_LINK].events &= (short)~POLLIN;
	/* Once it has said that, its part is done: what is readable for ever must not be polled for ever. */
	polled[POLL_SIGNALS] = (struct pollfd){ .fd = relay->closing ? -1 : relay->signals, .events = POLLIN };
	if (ppoll(polled, POLLED, until == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
		for (int id = 0; id < POLLED; id++)
			polled[id].revents = 0;
}

/*
 * In a process of its own: to end a machine may take a while, and the log goes on. Ours is the root that the machine
 * began with; what may lie over it by now is everybody else's.
 */
static void button_press(void)
{
	if (_Fork() != 0)
		return;
	chroot("/..");
	event_to_socket();
	_exit(tool_power(POWER_OFF));
}

static _Noreturn void relay_main(struct ring *ring, struct sources *sources, const struct address *host)
{
	struct relay relay = { .ring = ring, .sources = sources, .dry = true };
	struct pollfd polled[POLLED];
	sigset_t term;

	prctl(PR_SET_NAME, "hawser-relay");
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	relay.signals = signalfd(-1, &term, SFD_CLOEXEC);
	if (ring_open(ring) < 0)
		_exit(1);        /* no memory to map it; the keeper tries again */
	event_to_ring(ring);
	sources_reopen(sources);
	link_init(&relay.link, host, (uint32_t)clock_boot_ns() ^ (uint32_t)getpid());
	pace_init(&relay.pace, clock_boot_ns());
	if (ring->shared->starts++ > 0)
		event_send(WIRE_EVENT_RELAY, (int32_t)ring->shared->starts - 1, NULL);
	orders_take(&relay);

	for (;;) {
		bool listen = !relay.blocked && (relay.closing || clock_boot_ns() >= relay.pace.until_ns);

		relay_wait(&relay, polled, listen);
		ring->patient = link_flows(&relay.link, ring);
		relay.closing |= polled[POLL_SIGNALS].revents != 0;
		if (listen)
			sources_run(&relay, polled);
		else if (polled[SOURCE_EVENT].revents && !relay.blocked)
			relay.pace.until_ns = 0;         /* something ends, or begins: what was written before goes out now */
		else
			relay.blocked = false;
		orders_take(&relay);
		link_run(&relay.link, ring, polled[POLL_LINK].revents, relay.closing && relay.dry);
		if (relay.link.button && !relay.pressed)
			button_press();
		relay.pressed |= relay.link.button;
		if (link_done(&relay.link, ring) && relay.dry)
			source_answer_closers(sources);
	}
}

static _Noreturn void keeper_main(struct ring *ring, struct sources *sources, const struct address *host, char *argv0)
{
	pid_t self = getpid();

	setsid();
	/* systemd and others spare what calls itself so when they end all processes: it serves the root file system. */
	argv0[0] = '@';
	prctl(PR_SET_NAME, "hawser-keeper");
	/* Fails only without /proc; then it is killed like any other. */
	note_tell("/proc/self/oom_score_adj", "-1000");
	note_write(RELAY_KEEPER_PID, &self, sizeof self);
	for (;;) {
		pid_t pid = _Fork();

		if (pid == 0)
			relay_main(ring, sources, host);
		while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		clock_sleep_ms(RESTART_PAUSE_MS);
	}
}

int relay_start(struct ring *ring, struct sources *sources, const struct address *host, char *argv0)
{
	pid_t pid = _Fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		event_stop();
		keeper_main(ring, sources, host, argv0);
	}
	for (int id = 0; id < SOURCES; id++) {
		if (sources->fd[id] >= 0)
			close(sources->fd[id]);
		sources->fd[id] = -1;
	}
	return 0;
}
