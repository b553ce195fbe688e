/* SPDX-License-Identifier: MIT */
/*
 * The stream of one boot session (docs/PROTOCOL.md), in the order of enum stage.
 *
 * All that is kept is names and what stat says of them (vmtree.h), and the encoded records of vm.json, which holds no
 * secret. A file is opened when its turn comes, must be the one that was scanned, and must still be it after its last
 * byte. Before COMMIT the trees are scanned again and compared: what differs cuts the session, and as a guest
 * applies nothing before COMMIT, it starts over with the new state.
 *
 * The comparison rests on the times of change that the file system keeps, and before Linux 6.13 those stand still for
 * up to 10 ms (a tick of the kernel's clock): a second change within one tick cannot be seen. So a scan only counts
 * when the youngest change it found is older than that; else it is repeated after a short sleep. That happens only
 * where a directory is served within 10 ms of a change.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "source.h"
#include "source_config.h"
#include "vmtree.h"

#define TICK_NS UINT64_C(10000000)
#define SCANS_MAX 5              /* before a directory counts as one that never holds still */

enum stage { STAGE_CONFIG, STAGE_FILES, STAGE_CREDENTIALS, STAGE_ENCRYPTED, STAGE_COMMIT, STAGE_DONE };

enum { FILES, CREDENTIALS, ENCRYPTED, TREES };   /* in the order of their stages, from STAGE_FILES on */

struct source {
	char *dir;
	int dirfd;
	bool secrets;
	uint32_t mode, uid, gid;         /* of credentials */

	struct wire_out config;          /* the records of vm.json, encoded */
	struct vmtree trees[TREES];
	const struct source_decrypter *decrypter;
	struct secret_vault vault;       /* what is in the encrypted file that is being sent */
	uint64_t plain;                  /* bytes of all credentials so far */

	enum stage stage;
	size_t next;                     /* byte of config, or node of the tree, that comes next */
	int fd;                          /* the file that is being sent; -1: none */
	uint64_t sent;                   /* bytes of it */
	uint32_t count, crc;
};

/* --- scanning --------------------------------------------------------------------------------------------------- */

static void trees_init(struct vmtree trees[static TREES])
{
	for (int i = 0; i < TREES; i++)
		trees[i] = VMTREE_EMPTY;
}

static void trees_finish(struct vmtree trees[static TREES])
{
	for (int i = 0; i < TREES; i++)
		vmtree_finish(&trees[i]);
}

/* Both are sorted. */
static int check_twins(const struct vmtree trees[static TREES], struct problem *problem)
{
	const struct vmtree *plain = &trees[CREDENTIALS], *encrypted = &trees[ENCRYPTED];

	for (size_t i = 0, k = 0; i < encrypted->n && k < plain->n;) {
		int order = strcmp(encrypted->nodes[i].path, plain->nodes[k].path);

		if (!order)
			return vmtree_problem(encrypted, encrypted->nodes[i].path, problem,
				"is in credentials/, too; remove one of them");
		i += order < 0;
		k += order > 0;
	}
	return 0;
}

static int scan(const struct source *source, struct vmtree trees[static TREES], struct problem *problem)
{
	static vmtree_scanner *const scans[TREES] = { vmtree_scan_files, vmtree_scan_credentials,
		vmtree_scan_encrypted };
	size_t room = WIRE_PLAN_MAX - source->config.len;

	trees_init(trees);
	for (int i = 0; i < (source->secrets ? TREES : CREDENTIALS); i++) {
		if (scans[i](&trees[i], source->dirfd, source->dir, room, problem) < 0)
			return -1;
		room -= trees[i].plan;
	}
	return check_twins(trees, problem);
}

/* How long until the clock of the file system has moved on since the youngest change, in ns. */
static uint64_t unsettled_ns(const struct source *source)
{
	uint64_t youngest = 0, now;
	struct timespec t;

	for (int i = 0; i < TREES; i++) {
		uint64_t changed = vmtree_changed_ns(&source->trees[i]);

		youngest = changed > youngest ? changed : youngest;
	}
	clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	/* A time in the future (the clock was set) cannot be that of a change which is still to come. */
	return youngest > now || now - youngest >= TICK_NS ? 0 : TICK_NS - (now - youngest);
}

static int scan_settled(struct source *source, struct problem *problem)
{
	struct timespec pause = { 0 };

	for (int i = 0; i < SCANS_MAX; i++) {
		trees_finish(source->trees);
		if (scan(source, source->trees, problem) < 0)
			return -1;
		pause.tv_nsec = (long)unsettled_ns(source);
		if (pause.tv_nsec == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return problem_set(problem, source->dir, 0, 0,
		"changes all the time; write elsewhere, and move what is ready here by rename");
}

struct source *source_create(const struct vmconfig *config, int dirfd, const char *dir, bool secrets,
	struct problem *problem)
{
	struct source *source = calloc(1, sizeof *source);

	if (!source) {
		problem_set(problem, dir, 0, 0, "out of memory");
		return NULL;
	}
	*source = (struct source){
		.dir = strdup(dir), .dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0), .secrets = secrets,
		.mode = config->credential_mode, .uid = config->credential_uid, .gid = config->credential_gid,
		.fd = -1,
	};
	trees_init(source->trees);
	if (!source->dir || source->dirfd < 0)
		problem_set(problem, dir, 0, 0, "cannot be read: %s", strerror(errno));
	else if (source_config(&source->config, config, dir, problem) == 0 && scan_settled(source, problem) == 0)
		return source;
	source_destroy(source);
	return NULL;
}

/* --- the stream ------------------------------------------------------------------------------------------------- */

static size_t room(const struct wire_out *out)
{
	return out->size - out->len;
}

/* All steps below: 1 a frame was written, or none was due; 0 it does not fit; -1 with the problem set. */

static int step_config(struct source *source, struct wire_out *out)
{
	const struct wire_out *config = &source->config;
	struct wire_frame frame;
	int size = wire_split(config->buf + source->next, config->len - source->next, &frame);

	if (size <= 0) {
		source->stage = STAGE_FILES;
		source->next = 0;
		return 1;
	}
	if ((size_t)size > room(out))
		return 0;
	memcpy(out->buf + out->len, config->buf + source->next, (size_t)size);
	out->len += (size_t)size;
	source->next += (size_t)size;
	return 1;
}

/* The open file was sent, and is still the one that was scanned. */
static int step_over(struct source *source, const struct vmtree *tree, const struct vmtree_node *node,
	struct problem *problem)
{
	if (vmtree_check(tree, node, source->fd, problem) < 0)
		return -1;
	close(source->fd);
	source->fd = -1;
	source->next++;
	return 1;
}

/* The next bytes of the open file, straight from the kernel into the caller's memory. */
static int step_data(struct source *source, const struct vmtree *tree, const struct vmtree_node *node,
	struct wire_out *out, struct problem *problem)
{
	uint64_t left = (uint64_t)node->stat.st_size - source->sent;
	size_t size = left < WIRE_PAYLOAD_MAX ? (size_t)left : WIRE_PAYLOAD_MAX, len = 0;
	uint8_t *frame = out->buf + out->len;
	ssize_t n = 1;

	if (size > 0 && WIRE_HEADER + size > room(out))
		return 0;
	while (len < size && n != 0) {
		n = pread(source->fd, frame + WIRE_HEADER + len, size - len, (off_t)(source->sent + len));
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	if (len < size) {
		if (n < 0)
			vmtree_problem(tree, node->path, problem, "cannot be read: %s", strerror(errno));
		else
			vmtree_problem(tree, node->path, problem, "became shorter while it was read");
		explicit_bzero(frame, WIRE_HEADER + len);
		return -1;
	}
	if (size > 0) {
		wire_header(frame, WIRE_DATA, (uint32_t)size);
		out->len += WIRE_HEADER + size;
		source->sent += size;
	}
	return source->sent < (uint64_t)node->stat.st_size ? 1 : step_over(source, tree, node, problem);
}

/* Files are root's in the guest, whoever they belong to here: a person's checkout must not be uid 1000's there. */
static struct wire_boot node_record(const struct source *source, const struct vmtree_node *node)
{
	bool credential = source->stage != STAGE_FILES;
	mode_t mode = node->stat.st_mode;
	struct wire_boot boot = {
		.type = S_ISREG(mode) ? WIRE_FILE : S_ISDIR(mode) ? WIRE_DIR : WIRE_SYMLINK,
		.node = { .mode = mode & 07777, .path = wire_text(node->path) },
	};

	if (credential) {
		boot.type = WIRE_CREDENTIAL;
		boot.node.mode = source->mode;
		boot.node.uid = source->uid;
		boot.node.gid = source->gid;
	}
	if (S_ISREG(mode))
		boot.node.size = (uint64_t)node->stat.st_size;
	if (node->target)
		boot.node.target = wire_text(node->target);
	return boot;
}

/* The file that is open, into the vault. */
static int decrypt(struct source *source, const struct vmtree *tree, const struct vmtree_node *node,
	struct problem *problem)
{
	struct problem why;
	size_t size = (size_t)node->stat.st_size + 1;
	uint64_t total;
	int r;

	if (!source->decrypter)
		return vmtree_problem(tree, node->path, problem, "cannot be decrypted here");
	r = secret_vault_open(&source->vault, size);
	if (r < 0)
		return vmtree_problem(tree, node->path, problem, "%s", strerror(-r));
	if (source->decrypter->decrypt(source->decrypter->arg, node->path, source->fd, &source->vault, &why) < 0)
		return vmtree_problem(tree, node->path, problem, "%s", why.text);
	source->plain += source->vault.len;
	total = source->trees[CREDENTIALS].bytes + source->plain;
	return total <= WIRE_CREDENTIAL_MAX ? 0 : vmtree_problem(tree, "", problem,
		"all credentials together have %llu bytes and more; they may have %d", (unsigned long long)total,
		WIRE_CREDENTIAL_MAX);
}

static int step_plain(struct source *source, const struct vmtree *tree, const struct vmtree_node *node,
	struct wire_out *out, struct problem *problem)
{
	size_t left = source->vault.len - (size_t)source->sent, size = left < WIRE_PAYLOAD_MAX ? left : WIRE_PAYLOAD_MAX;

	if (size > 0 && WIRE_HEADER + size > room(out))
		return 0;
	if (size > 0) {
		wire_header(out->buf + out->len, WIRE_DATA, (uint32_t)size);
		memcpy(out->buf + out->len + WIRE_HEADER, source->vault.memory + source->sent, size);
		out->len += WIRE_HEADER + size;
		source->sent += size;
	}
	if (source->sent < source->vault.len)
		return 1;
	secret_vault_close(&source->vault);
	return step_over(source, tree, node, problem);
}

static int step_tree(struct source *source, int which, struct wire_out *out, struct problem *problem)
{
	const struct vmtree *tree = &source->trees[which];
	const struct vmtree_node *node;
	struct wire_boot boot;

	if (source->next == tree->n) {
		source->stage++;
		source->next = 0;
		return 1;
	}
	node = &tree->nodes[source->next];
	if (source->fd >= 0)
		return (which == ENCRYPTED ? step_plain : step_data)(source, tree, node, out, problem);
	/* Asked before encoding, so that `full` stays what the caller left there. */
	if (vmtree_record_size(node, which != FILES) > room(out))
		return 0;
	if (S_ISREG(node->stat.st_mode)) {
		source->fd = vmtree_open(tree, node, problem);
		source->sent = 0;
		if (source->fd < 0 || (which == ENCRYPTED && decrypt(source, tree, node, problem) < 0))
			return -1;
	} else {
		source->next++;
	}
	boot = node_record(source, node);
	if (which == ENCRYPTED)          /* not known before its turn */
		boot.node.size = source->vault.len;
	return wire_boot_encode(out, &boot) ? 1 : vmtree_problem(tree, node->path, problem, "cannot be sent");
}

static int step_commit(struct source *source, struct wire_out *out, struct problem *problem)
{
	struct wire_boot boot = { .type = WIRE_COMMIT, .commit = { source->count, source->crc } };
	struct vmtree later[TREES];
	bool same;

	if (room(out) < WIRE_HEADER + 8)
		return 0;
	same = scan(source, later, problem) == 0;
	for (int i = 0; same && i < TREES; i++)
		same = vmtree_compare(&source->trees[i], &later[i], problem) == 0;
	trees_finish(later);
	if (!same)
		return -1;
	source->stage = STAGE_DONE;
	return wire_boot_encode(out, &boot) ? 1 : problem_set(problem, source->dir, 0, 0, "COMMIT cannot be sent");
}

int source_next(struct source *source, struct wire_out *out, struct problem *problem)
{
	int rc = 1;

	while (rc > 0 && source->stage != STAGE_DONE) {
		size_t before = out->len;
		bool counted = source->stage != STAGE_COMMIT;

		if (source->stage == STAGE_CONFIG)
			rc = step_config(source, out);
		else if (source->stage == STAGE_COMMIT)
			rc = step_commit(source, out, problem);
		else
			rc = step_tree(source, (int)(source->stage - STAGE_FILES), out, problem);
		if (rc > 0 && counted && out->len > before) {
			source->count++;
			source->crc = wire_crc32(source->crc, out->buf + before, out->len - before);
		}
	}
	return rc < 0 ? -1 : source->stage != STAGE_DONE;
}

void source_decrypts(struct source *source, const struct source_decrypter *decrypter)
{
	source->decrypter = decrypter;
}

unsigned source_credentials(const struct source *source)
{
	return (unsigned)(source->trees[CREDENTIALS].n + source->trees[ENCRYPTED].n);
}

struct source_totals source_totals(const struct source *source)
{
	const struct vmtree *files = &source->trees[FILES];
	struct source_totals totals = {
		.file_bytes = files->bytes, .credentials = source_credentials(source),
		.credential_bytes = source->trees[CREDENTIALS].bytes + source->trees[ENCRYPTED].bytes,
	};

	for (size_t i = 0; i < files->n; i++)
		totals.files += S_ISREG(files->nodes[i].stat.st_mode);
	return totals;
}

void source_destroy(struct source *source)
{
	if (!source)
		return;
	trees_finish(source->trees);
	secret_vault_close(&source->vault);
	if (source->fd >= 0)
		close(source->fd);
	if (source->dirfd >= 0)
		close(source->dirfd);
	free(source->config.buf);
	free(source->dir);
	free(source);
}
