/* SPDX-License-Identifier: MIT */
/* What a host sends in the boot session, into the guest: from WELCOME to COMMIT, staged files and all. */
#include <sys/socket.h>

#include "../../init/fetch.h"
#include "../../init/mount.h"
#include "../../vsock/log.h"
#include "fuzz.h"

/* This machine's clock, entropy and mounts are not the host's business here. */
static int32_t fuzz_clock_set(uint64_t wall_ns)
{
	(void)wall_ns;
	return 0;
}

static int fuzz_clock_entropy(const void *bytes, size_t len, bool credit)
{
	(void)bytes;
	(void)len;
	(void)credit;
	return 0;
}

static int fuzz_mount_secret(const char *where)
{
	(void)where;
	return 0;
}

static void fuzz_mount_detach(const char *where)
{
	(void)where;
}

#define clock_set fuzz_clock_set
#define clock_entropy fuzz_clock_entropy
#define mount_secret fuzz_mount_secret
#define mount_detach fuzz_mount_detach
#undef PLAN_STAGE
#define PLAN_STAGE "stage"
#undef PLAN_SECRETS
#define PLAN_SECRETS "secrets"
#include "../../init/fetch.c"
#define find find_record
#include "../../init/plan.c"

static struct ring_shared shared;
static struct plan plan;
static uint8_t arena[FETCH_ARENA];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_directory();
	log_set(0, NULL);
	FUZZ_NEED(plan_create(&plan) == 0);
	return 0;
}

/* All that was taken is valid, and COMMIT was right about it. */
static void plan_walk(void)
{
	struct wire_frame frame;
	size_t at = 0;

	while (plan_frame(&plan, &at, &frame))
		FUZZ_NEED(!fuzz_frame(&frame));
	FUZZ_NEED(at == plan.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ring ring = { .shared = &shared };
	struct fetch fetch = { .arena = arena };
	static uint8_t answer[FETCH_OUT + 4096];
	int fds[2];
	ssize_t n;

	if (size < 2 || size > 150000)
		return 0;
	fuzz_pair(SOCK_STREAM, fds);
	FUZZ_NEED(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &(int){ 1 << 20 }, sizeof(int)) == 0);
	FUZZ_NEED(send(fds[1], data + 1, size - 1, MSG_NOSIGNAL) == (ssize_t)size - 1);
	shutdown(fds[1], SHUT_WR);
	fetch.fd = fds[0];
	buffers_init(&fetch);
	if (greet(&fetch, &ring) == OUTCOME_DONE && records_take(&fetch, &plan) == OUTCOME_DONE)
		plan_walk();
	scheduler(SCHED_OTHER);  /* as attempt() does: a fuzzer that hurries would leave nobody else a processor */
	n = recv(fds[1], answer, sizeof answer, MSG_DONTWAIT);
	fuzz_sent(answer, n > 0 ? (size_t)n : 0);
	session_close(&fetch);
	close(fds[1]);
	plan_reset(&plan);
	return 0;
}
