/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "source_config.h"

static bool put(struct wire_out *out, struct wire_boot boot)
{
	return wire_boot_encode(out, &boot);
}

static bool put_text(struct wire_out *out, uint16_t type, const char *text)
{
	return put(out, (struct wire_boot){ .type = type, .text = wire_text(text) });
}

static bool put_user(struct wire_out *out, const struct vmconfig *config)
{
	struct wire_boot boot = { .type = WIRE_USER };

	boot.user.uid = config->uid;
	boot.user.gid = config->gid;
	boot.user.n = (uint32_t)config->n_groups;
	memcpy(boot.user.groups, config->groups, sizeof boot.user.groups);
	return put(out, boot);
}

static bool put_mount(struct wire_out *out, const struct vmconfig_mount *mount)
{
	return put(out, (struct wire_boot){ .type = WIRE_MOUNT, .mount = {
		wire_text(mount->destination), wire_text(mount->type), wire_text(mount->source),
		wire_text(mount->options) } });
}

static bool put_handoff(struct wire_out *out, const struct vmconfig *config)
{
	struct wire_boot boot = { .type = WIRE_HANDOFF };

	boot.handoff.mode = config->handoff;
	boot.handoff.flags = config->handoff_flags;
	if (config->handoff == WIRE_HANDOFF_SWITCH_ROOT) {
		boot.handoff.type = wire_text(config->root_type);
		boot.handoff.source = wire_text(config->root_source);
		boot.handoff.options = wire_text(config->root_options);
		boot.handoff.init = wire_text(config->root_init);
	}
	return put(out, boot);
}

/*
 * Only what differs from what a guest does without the record: it keeps its host name, CWD is "/", USER 0:0 without
 * other groups, WORKLOAD no restart, power-off at its end, SIGTERM and 2000 ms, LOG 256 KiB and drop-oldest, POWER
 * detect, CONTROL nothing, HANDOFF busybox.
 */
static bool put_config(struct wire_out *out, const struct vmconfig *config)
{
	bool ok = true;
	struct wire_workload work = { config->restart, config->at_end, config->restarts_max, config->stop_signal,
		config->stop_grace_ms };

	if (config->hostname)
		ok = ok && put_text(out, WIRE_HOSTNAME, config->hostname);
	for (size_t i = 0; i < config->n_args; i++)
		ok = ok && put_text(out, WIRE_ARG, config->args[i]);
	for (size_t i = 0; i < config->n_env; i++)
		ok = ok && put_text(out, WIRE_ENV, config->env[i]);
	if (strcmp(config->cwd, "/") != 0)
		ok = ok && put_text(out, WIRE_CWD, config->cwd);
	if (config->user_given)
		ok = ok && put_user(out, config);
	for (size_t i = 0; i < config->n_sysctls; i++)
		ok = ok && put(out, (struct wire_boot){ .type = WIRE_SYSCTL, .sysctl = {
			wire_text(config->sysctls[i].name), wire_text(config->sysctls[i].value) } });
	for (size_t i = 0; i < config->n_mounts; i++)
		ok = ok && put_mount(out, &config->mounts[i]);
	if (work.restart != WIRE_RESTART_NO || work.at_end != WIRE_AT_END_POWER_OFF || work.restarts_max != 0 ||
			work.stop_signal != 15 || work.stop_grace_ms != 2000)
		ok = ok && put(out, (struct wire_boot){ .type = WIRE_WORKLOAD, .workload = work });
	if (config->log_ring != 256 << 10 || config->log_full != WIRE_FULL_DROP)
		ok = ok && put(out, (struct wire_boot){ .type = WIRE_LOG, .log = { config->log_ring,
			config->log_full } });
	if (config->power != WIRE_POWER_DETECT)
		ok = ok && put(out, (struct wire_boot){ .type = WIRE_POWER, .power = config->power });
	if (config->verbs != 0)
		ok = ok && put(out, (struct wire_boot){ .type = WIRE_CONTROL, .verbs = config->verbs });
	if (config->handoff != WIRE_HANDOFF_BUSYBOX)
		ok = ok && put_handoff(out, config);
	return ok;
}

int source_config(struct wire_out *out, const struct vmconfig *config, const char *dir, struct problem *problem)
{
	for (size_t size = 4096; size <= WIRE_PLAN_MAX; size *= 2) {
		free(out->buf);
		*out = (struct wire_out){ .buf = malloc(size), .size = size };
		if (!out->buf)
			return problem_set(problem, dir, 0, 0, "out of memory");
		if (put_config(out, config))
			return 0;
		/* Nothing that vmconfig lets through can be refused here; but a program must not loop on it. */
		if (!out->full)
			return problem_set(problem, dir, 0, 0, "vm.json holds what cannot be sent");
	}
	return problem_set(problem, dir, 0, 0, "vm.json has more than the %d MiB that a boot may have",
		WIRE_PLAN_MAX >> 20);
}
