/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "wire_codec.h"

static void hello_walk(struct codec *c, struct wire_hello *hello)
{
	codec_hello(c, &hello->version);
	codec_bytes(c, hello->boot_id, sizeof(hello->boot_id));
	codec_u64(c, &hello->boot_ns);
}

static void welcome_walk(struct codec *c, struct wire_welcome *welcome)
{
	codec_version(c, &welcome->version);
	codec_u16(c, &welcome->flags);
	codec_bits(c, welcome->flags, WIRE_WELCOME_CLOCK | WIRE_WELCOME_CREDIT);
	codec_zero(c, 4);
	codec_u64(c, &welcome->wall_ns);
	codec_bytes(c, welcome->token, sizeof(welcome->token));
	codec_bytes(c, welcome->entropy, sizeof(welcome->entropy));
}

static void user_walk(struct codec *c, struct wire_user *user)
{
	codec_u32(c, &user->uid);
	codec_u32(c, &user->gid);
	for (uint32_t i = 0, n = codec_count(c, &user->n, 4, 0, WIRE_GROUPS_MAX); i < n; i++)
		codec_u32(c, &user->groups[i]);
}

/* What MOUNT and HANDOFF say of a filesystem. */
static void filesystem_walk(struct codec *c, struct wire_text *type, struct wire_text *source,
	struct wire_text *options)
{
	codec_str(c, type, 1, 63);
	codec_str(c, source, 0, WIRE_PATH_MAX);
	codec_str(c, options, 0, WIRE_PATH_MAX);
}

static void workload_walk(struct codec *c, struct wire_workload *workload)
{
	codec_enum(c, &workload->restart, WIRE_RESTARTS - 1);
	codec_enum(c, &workload->at_end, WIRE_AT_ENDS - 1);
	codec_u16(c, &workload->restarts_max);
	codec_u32(c, &workload->stop_signal);
	codec_require(c, workload->stop_signal >= 1 && workload->stop_signal <= 64, "a signal that is none");
	codec_u32(c, &workload->stop_grace_ms);
}

static void ring_walk(struct codec *c, struct wire_boot *boot)
{
	uint32_t *ring = &boot->log.ring;

	codec_u32(c, ring);
	codec_require(c, *ring >= WIRE_RING_MIN && *ring <= WIRE_RING_MAX && *ring % 4096 == 0, "a ring of the wrong size");
	codec_enum(c, &boot->log.full, WIRE_FULLS - 1);
	codec_zero(c, 3);
}

static void handoff_walk(struct codec *c, struct wire_handoff *handoff)
{
	codec_enum(c, &handoff->mode, WIRE_HANDOFFS - 1);
	codec_u8(c, &handoff->flags);
	codec_bits(c, handoff->flags, WIRE_HANDOFF_OVERLAY);
	codec_zero(c, 2);
	if (handoff->mode != WIRE_HANDOFF_SWITCH_ROOT)
		return;
	filesystem_walk(c, &handoff->type, &handoff->source, &handoff->options);
	codec_absolute(c, &handoff->init);
}

/* DIR, FILE, SYMLINK and CREDENTIAL begin alike: mode (a symlink has none) and owner. */
static void node_walk(struct codec *c, uint16_t type, struct wire_node *node)
{
	uint32_t size = (uint32_t)node->size;

	if (type != WIRE_SYMLINK) {
		codec_u32(c, &node->mode);
		codec_bits(c, node->mode, 07777);
	}
	codec_u32(c, &node->uid);
	codec_u32(c, &node->gid);
	if (type == WIRE_CREDENTIAL) {
		codec_require(c, node->size <= WIRE_CREDENTIAL_MAX, "too large");
		codec_u32(c, &size);
		codec_require(c, size <= WIRE_CREDENTIAL_MAX, "too large");
		codec_rest(c, &node->path, 1, WIRE_NAME_MAX);
		codec_require(c, wire_name_ok(node->path), "not a name");
		if (!c->out)
			node->size = size;
		return;
	}
	if (type == WIRE_FILE)
		codec_u64(c, &node->size);
	if (type == WIRE_SYMLINK)
		codec_str(c, &node->target, 1, WIRE_PATH_MAX);
	codec_rest(c, &node->path, 1, WIRE_PATH_MAX);
	codec_require(c, wire_path_ok(node->path), "not a clean relative path");
	if (type == WIRE_SYMLINK)
		codec_require(c, wire_target_ok(node->path, node->target), "a link out of the tree");
}

/* HOSTNAME, ARG, ENV and CWD. */
static void text_walk(struct codec *c, uint16_t type, struct wire_text *text)
{
	uint32_t most = type == WIRE_HOSTNAME ? WIRE_HOSTNAME_MAX : type == WIRE_CWD ? WIRE_PATH_MAX : WIRE_PAYLOAD_MAX;

	codec_rest(c, text, type == WIRE_ARG ? 0 : type == WIRE_ENV ? 2 : 1, most);
	if (type == WIRE_ENV)
		codec_is_variable(c, *text);
	if (type == WIRE_CWD)
		codec_is_absolute(c, *text);
}

static void boot_walk(struct codec *c, struct wire_boot *boot)
{
	switch (boot->type) {
	case WIRE_HELLO:
		hello_walk(c, &boot->hello);
		break;
	case WIRE_WELCOME:
		welcome_walk(c, &boot->welcome);
		break;
	case WIRE_HOSTNAME:
	case WIRE_ARG:
	case WIRE_ENV:
	case WIRE_CWD:
		text_walk(c, boot->type, &boot->text);
		break;
	case WIRE_USER:
		user_walk(c, &boot->user);
		break;
	case WIRE_SYSCTL:
		codec_str(c, &boot->sysctl.name, 1, 255);
		codec_rest(c, &boot->sysctl.value, 0, WIRE_SYSCTL_MAX);
		break;
	case WIRE_MOUNT:
		codec_absolute(c, &boot->mount.destination);
		filesystem_walk(c, &boot->mount.type, &boot->mount.source, &boot->mount.options);
		break;
	case WIRE_WORKLOAD:
		workload_walk(c, &boot->workload);
		break;
	case WIRE_LOG:
		ring_walk(c, boot);
		break;
	case WIRE_POWER:
		codec_enum(c, &boot->power, WIRE_POWERS - 1);
		break;
	case WIRE_CONTROL:
		codec_u32(c, &boot->verbs);
		codec_bits(c, boot->verbs, WIRE_VERBS_ALL);
		break;
	case WIRE_HANDOFF:
		handoff_walk(c, &boot->handoff);
		break;
	case WIRE_DIR:
	case WIRE_FILE:
	case WIRE_SYMLINK:
	case WIRE_CREDENTIAL:
		node_walk(c, boot->type, &boot->node);
		break;
	case WIRE_DATA:
		codec_blob(c, &boot->text);
		break;
	case WIRE_COMMIT:
		codec_u32(c, &boot->commit.count);
		codec_u32(c, &boot->commit.crc);
		break;
	case WIRE_APPLIED:
		codec_u64(c, &boot->applied_ns);
		break;
	default:
		codec_unknown(c);
	}
}

const char *wire_boot_decode(const struct wire_frame *frame, struct wire_boot *boot)
{
	struct codec c = codec_reader(frame);

	memset(boot, 0, sizeof(*boot));
	boot->type = frame->type;
	boot_walk(&c, boot);
	return codec_read_end(&c);
}

bool wire_boot_encode(struct wire_out *out, const struct wire_boot *boot)
{
	struct codec c = codec_writer(out, boot->type);

	boot_walk(&c, (struct wire_boot *)boot);     /* a writer's walk changes nothing */
	return codec_write_end(&c);
}
