/* SPDX-License-Identifier: MIT */
/*
 * The language of vm.json, as tables; docs/CONFIG.md tells it to people, docs/vm.schema.json to editors. What a
 * single value cannot show (sums, names given twice, keys that need each other) is checked after its table.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../vsock/wire.h"
#include "signals.h"
#include "textfile.h"
#include "vmconfig_inside.h"

#define VMCONFIG_FILE "vm.json"
#define SOCKET_MAX 96            /* a Unix socket's path has 107 bytes, and "_PORT" comes behind this one */
#define KERNEL_ARGS_MAX 1024

/* --- linux, annotations ----------------------------------------------------------------------------------------- */

static const struct json_field linux_fields[] = {
	{ "sysctl", JSON_KIND_READ, .read = vmconfig_read_sysctls },
	{ NULL },
};

static int read_annotations(const struct json_value *value, void *into, struct problem *problem)
{
	struct json_value item = { 0 };

	(void)into;
	if (!json_is_map(value))
		return json_wrong_kind(value, "an object", problem);
	while (json_next(value, &item))
		if (!json_text(&item))
			return json_wrong_kind(&item, "a string", problem);
	return 0;
}

static int read_oci_version(const struct json_value *value, void *into, struct problem *problem)
{
	(void)into;
	return json_text(value) ? 0 : json_wrong_kind(value, "a string", problem);
}

/* --- hawser ----------------------------------------------------------------------------------------------------- */

static const char *const restarts[] = { "no", "on-failure", "always", NULL };
static const char *const at_ends[] = { "poweroff", "stay", "reboot", NULL };
static const char *const fulls[] = { "drop-oldest", "block", NULL };
static const char *const powers[] = { "detect", "poweroff", "reset", NULL };
static const char *const handoffs[] = { "busybox", "exec", "switch_root", NULL };
static const char *const verbs[] = { "exec", "signal", "stop", "ping", NULL };
static const char *const deliveries[] = { "per-boot", "once", NULL };

/* The index in a list of names is the value on the wire. */
#define NAMES(list, values) _Static_assert(sizeof (list) / sizeof (list)[0] == (values) + 1, #list)
NAMES(restarts, WIRE_RESTARTS);
NAMES(at_ends, WIRE_AT_ENDS);
NAMES(fulls, WIRE_FULLS);
NAMES(powers, WIRE_POWERS);
NAMES(handoffs, WIRE_HANDOFFS);
_Static_assert((1 << (sizeof verbs / sizeof verbs[0] - 1)) - 1 == WIRE_VERBS_CONFIG, "verbs");

static int read_signal(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;

	if (!json_text(value))
		return json_wrong_kind(value, "a string", problem);
	config->stop_signal = signals_number(json_text(value));
	return config->stop_signal ? 0 : json_problem(value, problem,
		"must be the name of a signal, such as \"SIGTERM\", \"SIGINT\" or \"SIGRTMIN+3\"");
}

static int read_mode(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;
	const char *text = json_text(value);

	if (!text)
		return json_wrong_kind(value, "a string of octal digits", problem);
	if (strlen(text) != 4 || text[0] != '0' || strspn(text, "01234567") != 4)
		return json_problem(value, problem,
			"must be four octal digits from \"0000\" to \"0777\", such as \"0400\"");
	config->credential_mode = (uint32_t)strtoul(text, NULL, 8);
	return 0;
}

static int read_delivery(const struct json_value *value, void *into, struct problem *problem)
{
	static const struct json_field choice = { "delivery", JSON_KIND_CHOICE, 0, .names = deliveries };
	struct vmconfig *config = into;
	uint8_t nth;

	if (json_field(value, &choice, &nth, problem) < 0)
		return -1;
	config->credential_once = nth == 1;
	return 0;
}

static const struct json_field log_fields[] = {
	{ "ringKiB", JSON_KIND_U32, AT(log_ring), .min = WIRE_RING_MIN >> 10, .max = WIRE_RING_MAX >> 10,
		.unit = 1024 },
	{ "whenFull", JSON_KIND_CHOICE, AT(log_full), .names = fulls },
	{ NULL },
};

static int read_log(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;
	struct json_value ring, full;

	if (json_fields(value, log_fields, into, problem) < 0)
		return -1;
	config->log_full_given = json_member(value, "whenFull", &full);
	if (config->log_ring % 4096 != 0 && json_member(value, "ringKiB", &ring))
		return json_problem(&ring, problem, "is %u; must be a multiple of 4", config->log_ring >> 10);
	return 0;
}

static const struct json_field credential_fields[] = {
	{ "mode", JSON_KIND_READ, .read = read_mode },
	{ "uid", JSON_KIND_U32, AT(credential_uid), .max = UID_MAX },
	{ "gid", JSON_KIND_U32, AT(credential_gid), .max = UID_MAX },
	{ "delivery", JSON_KIND_READ, .read = read_delivery },
	{ NULL },
};

static int read_overlay(const struct json_value *value, void *into, struct problem *problem)
{
	static const struct json_field flag = { "overlay", JSON_KIND_BOOL, 0 };
	struct vmconfig *config = into;
	bool overlay;

	if (json_field(value, &flag, &overlay, problem) < 0)
		return -1;
	config->handoff_flags = overlay ? WIRE_HANDOFF_OVERLAY : 0;
	return 0;
}

static const struct json_field handoff_fields[] = {
	{ "mode", JSON_KIND_CHOICE, AT(handoff), .names = handoffs, .required = true },
	{ "overlay", JSON_KIND_READ, .read = read_overlay },
	{ "type", JSON_KIND_STRING, AT(root_type), .min = 1, .max = 63, .check = vmconfig_check_type },
	{ "source", JSON_KIND_STRING, AT(root_source), .min = 1, .max = WIRE_PATH_MAX },
	{ "options", JSON_KIND_STRING, AT(root_options), .max = VMCONFIG_OPTIONS_MAX },
	{ "init", JSON_KIND_STRING, AT(root_init), .min = 2, .max = WIRE_PATH_MAX, .check = vmconfig_check_absolute },
	{ NULL },
};

static bool set_default(char **to, const char *text)
{
	if (!*to)
		*to = strdup(text);
	return *to != NULL;
}

static int read_handoff(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;
	struct json_value member;

	if (json_fields(value, handoff_fields, into, problem) < 0)
		return -1;
	if (config->handoff != WIRE_HANDOFF_SWITCH_ROOT) {
		member = (struct json_value){ 0 };
		while (json_next(value, &member))
			if (strcmp(member.key, "mode") != 0)
				return json_key_problem(&member, problem,
					"is only for the mode \"switch_root\"; remove it");
		return 0;
	}
	for (const char *const *key = (const char *const []){ "type", "source", NULL }; *key; key++)
		if (!json_member(value, *key, &member))
			return json_problem(value, problem,
				"the mode \"switch_root\" needs the key \"%s\"; add it", *key);
	if (!set_default(&config->root_options, "") || !set_default(&config->root_init, "/sbin/init"))
		return json_problem(value, problem, "out of memory");
	return 0;
}

static const struct json_field machine_fields[] = {
	{ "memoryMiB", JSON_KIND_U32, AT(memory_mib), .min = 32, .max = 1048576 },
	{ "cpus", JSON_KIND_U32, AT(cpus), .min = 1, .max = 255 },
	{ "kernelArgs", JSON_KIND_STRING, AT(kernel_args), .max = KERNEL_ARGS_MAX, .check = vmconfig_check_kernel_args },
	{ NULL },
};

static const struct json_field hawser_fields[] = {
	{ "cid", JSON_KIND_U32, AT(cid), .min = 3, .max = 0xfffffffe },
	{ "socket", JSON_KIND_STRING, AT(socket), .min = 1, .max = SOCKET_MAX, .check = vmconfig_check_socket },
	{ "restart", JSON_KIND_CHOICE, AT(restart), .names = restarts },
	{ "restartLimit", JSON_KIND_U16, AT(restarts_max), .max = UINT16_MAX },
	{ "atEnd", JSON_KIND_CHOICE, AT(at_end), .names = at_ends },
	{ "stopSignal", JSON_KIND_READ, .read = read_signal },
	{ "stopGraceMs", JSON_KIND_U32, AT(stop_grace_ms), .max = 3600000 },
	{ "log", JSON_KIND_READ, .read = read_log },
	{ "credentials", JSON_KIND_OBJECT, .fields = credential_fields },
	{ "power", JSON_KIND_CHOICE, AT(power), .names = powers },
	{ "control", JSON_KIND_SET, AT(verbs), .names = verbs },
	{ "handoff", JSON_KIND_READ, .read = read_handoff },
	{ "clock", JSON_KIND_BOOL, AT(clock) },
	{ "entropy", JSON_KIND_BOOL, AT(entropy) },
	{ "machine", JSON_KIND_OBJECT, .fields = machine_fields },
	{ NULL },
};

static const struct json_field top_fields[] = {
	{ "ociVersion", JSON_KIND_READ, .read = read_oci_version },
	{ "hostname", JSON_KIND_STRING, AT(hostname), .min = 1, .max = WIRE_HOSTNAME_MAX, .check = vmconfig_check_hostname },
	{ "process", JSON_KIND_READ, .read = vmconfig_read_process },
	{ "mounts", JSON_KIND_READ, .read = vmconfig_read_mounts },
	{ "linux", JSON_KIND_OBJECT, .fields = linux_fields },
	{ "annotations", JSON_KIND_READ, .read = read_annotations },
	{ "hawser", JSON_KIND_OBJECT, .fields = hawser_fields },
	{ NULL },
};

/* The program that becomes PID 1 must be known. */
static int check_exec(const struct json_value *top, const struct vmconfig *config, struct problem *problem)
{
	struct json_value hawser, handoff, mode;

	if (config->handoff != WIRE_HANDOFF_EXEC || config->n_args > 0 || !json_member(top, "hawser", &hawser) ||
			!json_member(&hawser, "handoff", &handoff) || !json_member(&handoff, "mode", &mode))
		return 0;
	return json_problem(&mode, problem, "\"exec\" makes process.args PID 1, and there is none; add it");
}

/* --- public ----------------------------------------------------------------------------------------------------- */

static struct vmconfig *create_default(void)
{
	struct vmconfig *config = calloc(1, sizeof *config);

	if (!config)
		return NULL;
	*config = (struct vmconfig){
		.stop_signal = 15, .stop_grace_ms = 2000,
		.log_ring = 256 << 10,
		.credential_mode = 0400,
		.clock = true, .entropy = true,
		.memory_mib = 64, .cpus = 1,
	};
	if (!set_default(&config->cwd, "/") || !set_default(&config->kernel_args, "")) {
		vmconfig_destroy(config);
		return NULL;
	}
	return config;
}

struct vmconfig *vmconfig_parse(const char *text, size_t len, const char *file, struct problem *problem)
{
	struct json *json = json_read(text, len, file, problem);
	struct vmconfig *config = NULL;

	if (!json)
		return NULL;
	config = create_default();
	if (!config) {
		problem_set(problem, file, 0, 0, "out of memory");
	} else if (json_fields(json_top(json), top_fields, config, problem) < 0 ||
			check_exec(json_top(json), config, problem) < 0) {
		vmconfig_destroy(config);
		config = NULL;
	}
	json_free(json);
	return config;
}

struct vmconfig *vmconfig_load(int dirfd, const char *dir, struct problem *problem)
{
	struct vmconfig *config = NULL;
	char file[512], *text;
	size_t len = 0;

	snprintf(file, sizeof file, "%.300s%s" VMCONFIG_FILE, dir, dir[0] ? "/" : "");
	text = textfile_read(dirfd, VMCONFIG_FILE, file, VMCONFIG_FILE_MAX, &len, problem);
	if (text)
		config = vmconfig_parse(text, len, file, problem);
	free(text);
	return config;
}

int vmconfig_dir_problem(const char *dir, int error, struct problem *problem)
{
	const char *slash = strrchr(dir, '/');
	size_t parent = slash ? (size_t)(slash - dir) : 0;

	if (error != ENOTDIR || strcmp(dir + (slash ? parent + 1 : 0), VMCONFIG_FILE))
		return problem_set(problem, dir, 0, 0, "%s", strerror(error));
	return problem_set(problem, dir, 0, 0, "is a file; give its directory, %.*s", slash ? (int)parent + !parent : 1,
		slash ? dir : ".");
}

void vmconfig_strings_free(size_t n, char **strings)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

void vmconfig_destroy(struct vmconfig *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_mounts; i++)
		vmconfig_mount_finish(&config->mounts[i]);
	for (size_t i = 0; i < config->n_sysctls; i++) {
		free(config->sysctls[i].name);
		free(config->sysctls[i].value);
	}
	vmconfig_strings_free(config->n_args, config->args);
	vmconfig_strings_free(config->n_env, config->env);
	free(config->mounts);
	free(config->sysctls);
	free(config->hostname);
	free(config->cwd);
	free(config->socket);
	free(config->root_type);
	free(config->root_source);
	free(config->root_options);
	free(config->root_init);
	free(config->kernel_args);
	free(config);
}

bool vmconfig_name_ok(const char *name)
{
	size_t len = strlen(name);

	/* A leading dot is for what is no machine (hidden, "."), a leading dash would look like an option. */
	return len >= 1 && len <= VMCONFIG_NAME_MAX && name[0] != '.' && name[0] != '-' && vmconfig_only(name, "._-");
}
