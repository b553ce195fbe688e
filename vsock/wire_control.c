/* SPDX-License-Identifier: MIT */
#include "wire_codec.h"

/* A u16 count, then as many texts. */
static uint16_t texts_walk(struct codec *c, uint16_t *n, uint16_t min, struct wire_text texts[static WIRE_EXEC_MAX])
{
	codec_u16(c, n);
	if (!codec_require(c, *n >= min && *n <= WIRE_EXEC_MAX, "too few or too many texts"))
		return 0;
	for (uint16_t i = 0; i < *n; i++)
		codec_str(c, &texts[i], 0, WIRE_PAYLOAD_MAX);
	return *n;
}

static void exec_walk(struct codec *c, struct wire_exec *exec)
{
	codec_u32(c, &exec->flags);
	codec_bits(c, exec->flags, WIRE_EXEC_TTY);
	codec_u16(c, &exec->rows);
	codec_u16(c, &exec->cols);
	codec_u32(c, &exec->uid);
	codec_u32(c, &exec->gid);
	codec_absolute(c, &exec->cwd);
	texts_walk(c, &exec->argc, 1, exec->args);
	for (uint16_t i = 0, n = texts_walk(c, &exec->envc, 0, exec->env); i < n; i++)
		codec_is_variable(c, exec->env[i]);
}

static void control_walk(struct codec *c, struct wire_control *control)
{
	switch (control->type) {
	case WIRE_CTL_HELLO:
		codec_hello(c, &control->hello.version);
		codec_bytes(c, control->hello.token, sizeof(control->hello.token));
		break;
	case WIRE_CTL_WELCOME:
		codec_version(c, &control->welcome.version);
		codec_zero(c, 2);
		codec_u32(c, &control->welcome.verbs);
		codec_bits(c, control->welcome.verbs, WIRE_VERBS_ALL);
		break;
	case WIRE_PING:
	case WIRE_STDIN_END:
	case WIRE_FEED:
		break;
	case WIRE_PONG:
		codec_u64(c, &control->pong.boot_ns);
		codec_u64(c, &control->pong.mem_total);
		codec_u64(c, &control->pong.mem_available);
		break;
	case WIRE_EXEC:
		exec_walk(c, &control->exec);
		break;
	case WIRE_STDIN:
	case WIRE_STDOUT:
	case WIRE_STDERR:
		codec_blob(c, &control->bytes);
		break;
	case WIRE_EXEC_SIGNAL:
	case WIRE_SIGNAL:
		codec_u32(c, &control->number);
		codec_require(c, control->number >= 1 && control->number <= 64, "a signal that is none");
		break;
	case WIRE_CREDIT:
	case WIRE_STOP:
	case WIRE_DONE:
		codec_u32(c, &control->number);
		break;
	case WIRE_RESIZE:
		codec_u16(c, &control->resize.rows);
		codec_u16(c, &control->resize.cols);
		break;
	case WIRE_EXIT:
		codec_u32(c, &control->exit.code);
		codec_u32(c, &control->exit.signal);
		codec_require(c, control->exit.code <= 255 && control->exit.signal <= 64, "an end that no program has");
		break;
	default:
		codec_unknown(c);
	}
}

const char *wire_control_decode(const struct wire_frame *frame, struct wire_control *control)
{
	struct codec c = codec_reader(frame);

	control->type = frame->type;
	control_walk(&c, control);
	return codec_read_end(&c);
}

bool wire_control_encode(struct wire_out *out, const struct wire_control *control)
{
	struct codec c = codec_writer(out, control->type);

	control_walk(&c, (struct wire_control *)control);    /* a writer's walk changes nothing */
	return codec_write_end(&c);
}
