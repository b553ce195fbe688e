/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <unistd.h>

#include "run_state.h"

#define ESCAPE 0x1d              /* Ctrl-], as other tools that run whole machines have it */
#define ESCAPES 3
#define ESCAPE_MS 1000           /* for all of them */

/* What EXEC has no place for. NULL: it has one for everything. */
static const char *impossible(const struct vmconfig *config)
{
	if (config->handoff != WIRE_HANDOFF_BUSYBOX)
		return "hawser.handoff.mode must be busybox: another PID 1 has no terminal";
	if (!config->n_args)
		return "there is no program: give one in process.args, or behind \"--\"";
	if (config->n_groups)
		return "a program on a terminal cannot have process.user.additionalGids";
	if (config->n_args > WIRE_EXEC_MAX || config->n_env >= WIRE_EXEC_MAX)
		return "a program on a terminal has at most 256 words and 255 variables";
	return NULL;
}

static void program_describe(const struct vmconfig *config, struct wire_exec *what)
{
	what->uid = config->uid;
	what->gid = config->gid;
	what->cwd = wire_text(config->cwd);
	for (size_t i = 0; i < config->n_args; i++)
		what->args[what->argc++] = wire_text(config->args[i]);
	for (size_t i = 0; i < config->n_env; i++)
		what->env[what->envc++] = wire_text(config->env[i]);
}

int run_terminal_init(struct run *r)
{
	uint8_t bytes[WIRE_FRAME_MAX];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };
	const char *why;

	r->tty = r->o.tty || (r->config->terminal && isatty(STDIN_FILENO) && !run_options_no_tty(&r->o));
	if (!r->tty || r->o.dry_run)
		return 0;
	if ((why = impossible(r->config)))
		return run_fail(r, NULL, "-t: %s", why);
	r->exec.type = WIRE_EXEC;
	program_describe(r->config, &r->exec.exec);
	if (!terminal_describe(&r->terminal, &r->exec.exec))
		return run_fail(r, NULL, "-t: standard input is no terminal");
	if (!wire_control_encode(&out, &r->exec))
		return run_fail(r, NULL, "-t: the words and variables are more than 32 KiB");
	r->o.quiet = true;       /* the terminal is the program's */
	return 0;
}

void run_terminal_begin(struct run *r)
{
	terminal_raw(&r->terminal);
	remote_put(&r->feed.remote, &r->exec);
}

void run_terminal_resize(struct run *r)
{
	struct remote *remote = &r->feed.remote;
	struct wire_control size = terminal_size();

	if (!r->tty || r->feed.state != FEED_UP)
		return;          /* EXEC says how large it is */
	remote_put(remote, &size);
	frame_flush(&remote->out, remote->fd);
}

/* The program gets them as well: it has no other way to be told that it was not meant. */
void run_terminal_typed(struct run *r, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != ESCAPE || run_now() - r->escape.began > ESCAPE_MS * MS)
			r->escape.times = 0;
		if (bytes[i] != ESCAPE)
			continue;
		if (r->escape.times == 0)
			r->escape.began = run_now();
		if (++r->escape.times < ESCAPES)
			continue;
		r->escape.times = 0;
		run_interrupt(r, SIGHUP);        /* as if the terminal were gone */
	}
}

void run_terminal_message(struct run *r, const struct wire_control *message)
{
	uint32_t signal = message->exit.signal, code = message->exit.code;

	switch (message->type) {
	case WIRE_STDOUT:
		outqueue_put(&r->print.out, message->bytes.s, message->bytes.len);
		break;
	case WIRE_STDERR:
		outqueue_put(r->print.to_err, message->bytes.s, message->bytes.len);
		break;
	case WIRE_EXIT:
		fate_event(&r->summary.fate, signal ? WIRE_EVENT_KILLED : WIRE_EVENT_EXITED, (int32_t)(signal ? signal : code));
		run_feed_finish(r);
		if (r->stage == RUNNING)
			run_stop_begin(r);
		break;
	default:
		run_fail(r, NULL, "the guest sends %s to a terminal", wire_type_name(message->type));
	}
}
