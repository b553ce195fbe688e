/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount.h"
#include "plan.h"
#include "tree.h"

#define HASHES_MAX 8192          /* of names that must not come twice: variables and sysctls */

int plan_create(struct plan *plan)
{
	*plan = (struct plan){ .stage = -1, .secrets = -1, .open = -1 };
	plan->buf = mmap(NULL, WIRE_PLAN_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return plan->buf == MAP_FAILED ? -errno : 0;
}

/* --- what a record must not be ---------------------------------------------------------------------------------- */

/* Two records of a type are the same thing if these texts are. */
static struct wire_text key_of(const struct wire_boot *record)
{
	switch (record->type) {
	case WIRE_ENV: {
		const char *equals = memchr(record->text.s, '=', record->text.len);

		return (struct wire_text){ record->text.s, (uint32_t)(equals - record->text.s) };
	}
	case WIRE_SYSCTL:
		return record->sysctl.name;
	default:         /* DIR, FILE, SYMLINK and CREDENTIAL: the file system finds them (EEXIST) */
		return (struct wire_text){ NULL, 0 };
	}
}

/* FNV-1a. */
static uint32_t hash(uint16_t type, struct wire_text key)
{
	uint32_t h = 2166136261u ^ type;

	for (uint32_t i = 0; i < key.len; i++)
		h = (h ^ (uint8_t)key.s[i]) * 16777619u;
	return h;
}

static bool find(const struct plan *plan, uint16_t type, struct wire_text key)
{
	struct wire_boot earlier;
	struct wire_frame frame;
	size_t at = 0;

	while (plan_frame(plan, &at, &frame)) {
		struct wire_text other;

		if (frame.type != type || wire_boot_decode(&frame, &earlier))
			continue;
		other = key_of(&earlier);
		if (other.len == key.len && memcmp(other.s, key.s, key.len) == 0)
			return true;
	}
	return false;
}

/* All are looked through only where a hash has been before: to compare each with each takes longer than a boot. */
static bool seen(struct plan *plan, const struct wire_boot *record)
{
	static uint32_t hashes[HASHES_MAX];
	struct wire_text key = key_of(record);
	bool maybe = plan->hashes == HASHES_MAX;
	uint32_t h;

	if (!key.s)
		return false;
	h = hash(record->type, key);
	for (uint32_t i = 0; i < plan->hashes && !maybe; i++)
		maybe = hashes[i] == h;
	if (plan->hashes < HASHES_MAX)
		hashes[plan->hashes++] = h;
	return maybe && find(plan, record->type, key);
}

static uint32_t once_bit(uint16_t type)
{
	switch (type) {
	case WIRE_HOSTNAME:
	case WIRE_CWD:
	case WIRE_USER:
	case WIRE_WORKLOAD:
	case WIRE_LOG:
	case WIRE_POWER:
	case WIRE_CONTROL:
	case WIRE_HANDOFF:
		return 1u << (type - WIRE_HOSTNAME);
	default:
		return 0;
	}
}

static const char *record_check(struct plan *plan, const struct wire_boot *record)
{
	uint32_t once = once_bit(record->type);

	if (plan->once & once)
		return "comes twice";
	plan->once |= once;
	if (seen(plan, record))
		return "comes twice for the same name";
	if (record->type == WIRE_ARG || record->type == WIRE_ENV)
		plan->args_len += record->text.len + 8;
	if (plan->args_len > WIRE_ARGS_MAX)
		return "makes arguments and environment longer than 128 KiB";
	if (record->type == WIRE_CREDENTIAL)
		plan->secrets_len += record->node.size;
	if (plan->secrets_len > WIRE_CREDENTIAL_MAX)
		return "makes the credentials larger than 1 MiB";
	return NULL;
}

/* --- staging ---------------------------------------------------------------------------------------------------- */

static const char *stage_open(struct plan *plan)
{
	if (plan->stage >= 0)
		return NULL;
	if (mkdir(PLAN_STAGE, 0700) < 0 && errno != EEXIST)
		return PLAN_STAGE;
	plan->stage = open(PLAN_STAGE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return plan->stage < 0 ? PLAN_STAGE : NULL;
}

static const char *secrets_open(struct plan *plan)
{
	int error;

	if (plan->secrets >= 0)
		return NULL;
	mkdir(PLAN_SECRETS, 0700);
	error = mount_secret(PLAN_SECRETS);
	if (error) {
		errno = -error;
		return "a ramfs for the credentials";
	}
	plan->secrets = open(PLAN_SECRETS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return plan->secrets < 0 ? PLAN_SECRETS : NULL;
}

/* What the file system has found out about a record, which is the record's fault; else NULL. */
static const char *stage_wrong(int error)
{
	switch (error) {
	case EEXIST:
		return "comes twice for the same path";
	case ENOENT:
	case ENOTDIR:
		return "comes without the directory it lies in";
	case ELOOP:
		return "lies behind a symlink";
	case ENAMETOOLONG:
		return "has a name that is too long";
	default:
		return NULL;
	}
}

static const char *record_stage(struct plan *plan, const struct wire_boot *record)
{
	const struct wire_node *node = &record->node;
	const char *wrong = record->type == WIRE_CREDENTIAL ? secrets_open(plan) : stage_open(plan);
	int fd = 0;

	if (wrong)
		return wrong;
	if (record->type == WIRE_DIR)
		fd = tree_make_dir(plan->stage, node->path);
	else if (record->type == WIRE_SYMLINK)
		fd = tree_make_link(plan->stage, node->path, node->target);
	else
		fd = plan->open = tree_make_file(record->type == WIRE_FILE ? plan->stage : plan->secrets, node->path);
	if (fd < 0) {
		plan->open = -1;
		plan->wrong = node->path;
		wrong = stage_wrong(-fd);
		errno = wrong ? 0 : -fd;
		return wrong ? wrong : "cannot be staged";
	}
	plan->open_left = node->size;
	return NULL;
}

static void open_finish(struct plan *plan)
{
	if (plan->open >= 0 && plan->open_left == 0) {
		close(plan->open);
		plan->open = -1;
	}
}

static const char *data_take(struct plan *plan, struct wire_text data)
{
	if (plan->open < 0)
		return "without a file or credential to belong to";
	if (data.len > plan->open_left)
		return "longer than what its file or credential lacks";
	plan->open_left -= data.len;
	/* No signal ends a write to a file in memory; one that is full takes a part first. */
	while (data.len > 0) {
		ssize_t n = write(plan->open, data.s, data.len);

		if (n < 0)
			return "cannot be staged";
		data.s += n;
		data.len -= (uint32_t)n;
	}
	return NULL;
}

static const char *record_take(struct plan *plan, const struct wire_boot *record, const struct wire_frame *frame)
{
	const char *wrong;

	if (plan->open >= 0)
		return "before the data of the file or credential before it is complete";
	if (record->type < WIRE_HOSTNAME || record->type > WIRE_CREDENTIAL)
		return "not a record of the configuration";
	if (plan->len + WIRE_HEADER + frame->length > WIRE_PLAN_MAX)
		return "makes the records longer than 4 MiB";
	wrong = record_check(plan, record);
	if (!wrong && record->type >= WIRE_DIR)
		wrong = record_stage(plan, record);
	if (wrong)
		return wrong;
	memcpy(plan->buf + plan->len, frame->payload - WIRE_HEADER, WIRE_HEADER + (size_t)frame->length);
	plan->len += WIRE_HEADER + frame->length;
	return NULL;
}

static void frame_count(struct plan *plan, const struct wire_frame *frame)
{
	plan->count++;
	/* The header lies right before its payload, as it came. */
	plan->crc = wire_crc32_spend(plan->crc, (uint8_t *)(uintptr_t)frame->payload - WIRE_HEADER,
		WIRE_HEADER + (size_t)frame->length);
}

const char *plan_take(struct plan *plan, const struct wire_frame *frame)
{
	struct wire_boot record;
	const char *wrong = wire_boot_decode(frame, &record);

	errno = 0;
	plan->wrong = (struct wire_text){ "", 0 };
	if (!wrong)
		wrong = record.type == WIRE_DATA ? data_take(plan, record.text) : record_take(plan, &record, frame);
	if (wrong)
		return wrong;
	open_finish(plan);
	frame_count(plan, frame);
	return NULL;
}

const char *plan_check(const struct plan *plan, uint32_t count, uint32_t crc)
{
	if (plan->open >= 0)
		return "the last file or credential is not complete";
	if (count != plan->count)
		return "the number of records differs";
	if (crc != plan->crc)
		return "the checksum differs";
	return NULL;
}

bool plan_frame(const struct plan *plan, size_t *at, struct wire_frame *frame)
{
	int n = wire_split(plan->buf + *at, plan->len - *at, frame);

	if (n <= 0)
		return false;
	*at += (size_t)n;
	return true;
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void stages_close(struct plan *plan)
{
	if (plan->open >= 0)
		close(plan->open);
	if (plan->stage >= 0)
		close(plan->stage);
	if (plan->secrets >= 0)
		close(plan->secrets);
	plan->open = plan->stage = plan->secrets = -1;
}

void plan_reset(struct plan *plan)
{
	uint8_t *buf = plan->buf;

	if (plan->stage >= 0)
		tree_remove(AT_FDCWD, PLAN_STAGE);
	if (plan->secrets >= 0) {
		tree_wipe(plan->secrets);
		mount_detach(PLAN_SECRETS);
	}
	stages_close(plan);
	explicit_bzero(buf, plan->len);
	*plan = (struct plan){ .buf = buf, .stage = -1, .secrets = -1, .open = -1 };
}

void plan_destroy(struct plan *plan)
{
	if (plan->stage >= 0)
		tree_remove(AT_FDCWD, PLAN_STAGE);
	stages_close(plan);
	explicit_bzero(plan->buf, plan->len);
	munmap(plan->buf, WIRE_PLAN_MAX);
}
