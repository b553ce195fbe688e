/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/random.h>

#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "epoch.h"

_Static_assert(EPOCH_HASH == SHA256_DIGEST_SIZE, "the hash is SHA-256");

static void token_hash(uint8_t hash[static EPOCH_HASH], const uint8_t token[static WIRE_TOKEN])
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, WIRE_TOKEN, token);
	sha256_digest(&ctx, EPOCH_HASH, hash);
	explicit_bzero(&ctx, sizeof ctx);
}

static bool token_new(struct epoch *epoch)
{
	if (getrandom(epoch->token, sizeof epoch->token, 0) != sizeof epoch->token)
		return false;
	token_hash(epoch->hash[0], epoch->token);
	epoch->has_token = true;
	return true;
}

enum epoch_verdict epoch_judge(const struct epoch *epoch, const uint8_t boot_id[static WIRE_BOOT_ID])
{
	static const uint8_t none[WIRE_BOOT_ID];
	bool same = !memcmp(epoch->boot_id, boot_id, WIRE_BOOT_ID) && memcmp(boot_id, none, WIRE_BOOT_ID);

	if (epoch->state == EPOCH_LIVE)
		return EPOCH_ALIVE;
	if (epoch->state == EPOCH_OPEN)
		return same ? EPOCH_AGAIN : EPOCH_FRESH;
	return same ? EPOCH_USED : EPOCH_FRESH;
}

bool epoch_begin(struct epoch *epoch, const uint8_t boot_id[static WIRE_BOOT_ID], uint64_t offset_ns)
{
	struct epoch fresh = { .state = EPOCH_OPEN, .offset_ns = offset_ns };

	memcpy(fresh.boot_id, boot_id, sizeof fresh.boot_id);
	if (!token_new(&fresh))
		return false;
	*epoch = fresh;
	explicit_bzero(&fresh, sizeof fresh);
	return true;
}

bool epoch_again(struct epoch *epoch, bool *changed)
{
	epoch->committed = false;
	*changed = !epoch->has_token;
	if (epoch->has_token)
		return true;
	memcpy(epoch->hash[1], epoch->hash[0], EPOCH_HASH);
	return token_new(epoch);
}

bool epoch_proves(const struct epoch *epoch, const uint8_t token[static WIRE_TOKEN])
{
	uint8_t hash[EPOCH_HASH];
	int same;

	/* The hashes hide where a wrong token differs, and memeql_sec hides where the hashes do. */
	token_hash(hash, token);
	same = nettle_memeql_sec(hash, epoch->hash[0], EPOCH_HASH);
	same |= nettle_memeql_sec(hash, epoch->hash[1], EPOCH_HASH);
	return same && epoch->state != EPOCH_NONE;
}

bool epoch_log_delivers(const struct epoch *epoch)
{
	return epoch->state == EPOCH_OPEN && (epoch->committed || !epoch->has_token);
}

void epoch_learn(struct epoch *epoch, const uint8_t token[static WIRE_TOKEN])
{
	memcpy(epoch->token, token, sizeof epoch->token);
	epoch->has_token = true;
}

void epoch_over(struct epoch *epoch)
{
	explicit_bzero(epoch->token, sizeof epoch->token);
	epoch->has_token = epoch->committed = false;
	epoch->state = EPOCH_NONE;
}

const char *epoch_state_name(uint8_t state)
{
	static const char names[EPOCH_STATES][6] = { "none", "open", "live", "ended" };

	return names[state < EPOCH_STATES ? state : 0];
}
