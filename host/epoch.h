/* SPDX-License-Identifier: MIT */
/*
 * epoch: one boot of one machine, and the token that proves membership (docs/PROTOCOL.md, "Epochs and the token").
 *
 * Only decisions: no descriptor, no file, no clock. On disk lies the token's hash and never the token, so a hawserd
 * that was restarted knows a log session of an epoch again, but cannot give the same token to a guest that dials the
 * boot port once more. That guest gets a new one, and the old one stays good beside it: both are of the same boot.
 */
#ifndef HOST_EPOCH_H
#define HOST_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../vsock/wire.h"

#define EPOCH_HASH 32

enum epoch_state {
	EPOCH_NONE,              /* there was none yet, or the last one is over and its token is good for nothing */
	EPOCH_OPEN,              /* a HELLO was accepted, nothing is known to be delivered */
	EPOCH_LIVE,              /* delivered: its log session is up, or may still come back */
	EPOCH_ENDED,             /* END was stored: the next boot may come, and so may more of this log */
	EPOCH_STATES,
};

struct epoch {
	uint8_t state;
	bool committed;                          /* COMMIT was sent in the last boot session */
	bool has_token;                          /* false after a restart */
	uint8_t boot_id[WIRE_BOOT_ID];
	uint8_t token[WIRE_TOKEN];
	uint8_t hash[2][EPOCH_HASH];             /* of the token, and of the one before a restart (or zero) */
	uint64_t offset_ns;                      /* wall clock less the guest's boot time, at the first HELLO */
};

/* USED: the epoch of this boot id is over; a machine that says it once more is a clone, or was restored. */
enum epoch_verdict { EPOCH_FRESH, EPOCH_AGAIN, EPOCH_ALIVE, EPOCH_USED };

/* What a HELLO with this boot id is: a new epoch, the open one once more, or to be refused. */
enum epoch_verdict epoch_judge(const struct epoch *epoch, const uint8_t boot_id[static WIRE_BOOT_ID]);
/* Starts a new epoch, with a new token. False: no randomness to be had. */
bool epoch_begin(struct epoch *epoch, const uint8_t boot_id[static WIRE_BOOT_ID], uint64_t offset_ns);
/* The open epoch once more: the same token where it is known. changed: the hashes are others now. */
bool epoch_again(struct epoch *epoch, bool *changed);
/* Compared in constant time. */
bool epoch_proves(const struct epoch *epoch, const uint8_t token[static WIRE_TOKEN]);
/*
 * A log session proved itself. True: this delivers the epoch, whose APPLIED was lost or is still to come. After a
 * restart it is not known whether COMMIT was sent; but a guest begins its log session only when no boot session will
 * follow.
 */
bool epoch_log_delivers(const struct epoch *epoch);
/* The token with which a log session proved itself: after a restart it is not known otherwise. */
void epoch_learn(struct epoch *epoch, const uint8_t token[static WIRE_TOKEN]);
void epoch_over(struct epoch *epoch);    /* wipes the token */
const char *epoch_state_name(uint8_t state);

#endif
