/* SPDX-License-Identifier: MIT */
/*
 * event: what init, the workload's supervisor and the shutdown tell the relay, as finished records of the stream init.
 *
 * Until the keeper is forked PID 1 puts them into the ring itself. From then on they are datagrams to EVENT_SOCKET,
 * which only root can reach; a datagram of one byte is an order.
 */
#ifndef INIT_EVENT_H
#define INIT_EVENT_H

#include <stdint.h>

#include "../vsock/log.h"
#include "../vsock/wire.h"
#include "ring.h"

#define EVENT_DIR "/run/hawser"
#define EVENT_SOCKET EVENT_DIR "/event"
#define EVENT_DATAGRAM_MAX (WIRE_RECORD_HEADER + 8 + WIRE_EVENT_TEXT_MAX)
#define EVENT_CLOSE_MS 900       /* how long a machine that ends waits for the host's last acknowledgement */

enum event_order {
	EVENT_POKE = 'P',        /* wakes the relay, which looks at ring_shared.orders each time */
	EVENT_CLOSE = 'C',       /* deliver all there is, say END, and answer with this byte when it is acknowledged */
};

void event_to_ring(struct ring *ring);
int event_to_socket(void);               /* 0 or a negative errno */
void event_stop(void);                   /* nothing more is sent from this process */

void event_send(uint16_t code, int32_t value, const char *text);
void event_send_at(uint64_t ns, uint16_t code, int32_t value, const char *text);
log_sink event_log;                      /* for log_set */
void event_poke(void);
/* Waits until the host has everything, EVENT_CLOSE_MS at most: 0 or a negative errno. */
int event_close(void);

#endif
