/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "event.h"

#define FACILITY_DAEMON (3 << 3) /* RFC 5424 */
#define SEND_TIMEOUT_MS 200      /* a relay that is being restarted reads again within that */

static struct ring *ring;        /* where records go, or NULL */
static int sock = -1;            /* else here, or -1 */

static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = EVENT_SOCKET };

void event_to_ring(struct ring *to)
{
	ring = to;
}

static void timeout_set(int fd, int option, unsigned ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	setsockopt(fd, SOL_SOCKET, option, &t, sizeof t);
}

int event_to_socket(void)
{
	struct sockaddr_un self = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* A name of the kernel's choice, so that the relay can answer; connected, so that only the relay can. */
	if (bind(fd, (struct sockaddr *)&self, sizeof self.sun_family) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	timeout_set(fd, SO_SNDTIMEO, SEND_TIMEOUT_MS);
	ring = NULL;
	sock = fd;
	return 0;
}

void event_stop(void)
{
	if (sock >= 0)
		close(sock);
	ring = NULL;
	sock = -1;
}

static void record_send(const struct wire_record *record)
{
	uint8_t datagram[EVENT_DATAGRAM_MAX];

	if (ring) {
		uint32_t *unsaid = &ring->shared->unsaid;

		/* The relay cannot wait for itself. */
		if (*unsaid && ring_gap(ring, WIRE_STREAM_INIT, WIRE_LOSS_RELAY, *unsaid, 0, 0))
			*unsaid = 0;
		*unsaid += !ring_append(ring, record, 0);
	} else if (sock >= 0) {
		wire_record_header(datagram, record);
		memcpy(datagram + WIRE_RECORD_HEADER, record->data, record->length);
		/* Nobody to tell: whoever listens is the only one who could be told. */
		send(sock, datagram, WIRE_RECORD_HEADER + record->length, MSG_NOSIGNAL);
	}
}

void event_send_at(uint64_t ns, uint16_t code, int32_t value, const char *text)
{
	uint8_t data[8 + WIRE_EVENT_TEXT_MAX];
	struct wire_event event = { .code = code, .value = value, .text = wire_text(text ? text : "") };
	struct wire_record record = { .kind = WIRE_KIND_EVENT, .stream = WIRE_STREAM_INIT, .pri = WIRE_PRI_NONE,
		.ns = ns, .data = data };

	record.length = (uint32_t)wire_event_encode(data, sizeof data, &event);
	record_send(&record);
}

void event_send(uint16_t code, int32_t value, const char *text)
{
	int error = errno;

	event_send_at(clock_boot_ns(), code, value, text);
	errno = error;
}

void event_log(enum log_level level, const char *line)
{
	size_t len = strlen(line);

	if (len > WIRE_EVENT_TEXT_MAX)
		len = WIRE_EVENT_TEXT_MAX;
	record_send(&(struct wire_record){ .kind = WIRE_KIND_MESSAGE, .stream = WIRE_STREAM_INIT,
		.pri = (uint16_t)(FACILITY_DAEMON | level), .ns = clock_boot_ns(), .length = (uint32_t)len,
		.data = (const uint8_t *)line });
}

static int order_send(char order)
{
	return send(sock, &order, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

void event_poke(void)
{
	if (sock >= 0)
		order_send(EVENT_POKE);
}

int event_close(void)
{
	char answer;
	int error;

	if (sock < 0)
		return -ENOTCONN;
	timeout_set(sock, SO_RCVTIMEO, EVENT_CLOSE_MS);
	error = order_send(EVENT_CLOSE);
	if (error)
		return error;
	return recv(sock, &answer, 1, 0) == 1 ? 0 : -errno;
}
