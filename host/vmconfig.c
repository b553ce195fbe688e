/* SPDX-License-Identifier: MIT */
/*
 * The language of vm.json, as tables; docs/CONFIG.md tells it to people, docs/vm.schema.json to editors. What a
 * single value cannot show (sums, names given twice, keys that need each other) is checked after its table.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../vsock/wire.h"
#include "json.h"
#include "signals.h"
#include "textfile.h"
#include "vmconfig.h"

#define SOCKET_MAX 96            /* a Unix socket's path has 107 bytes, and "_PORT" comes behind this one */
#define ITEMS_MAX 4096           /* arguments, and variables: what a guest makes room for */
#define OPTIONS_MAX 4095
#define KERNEL_ARGS_MAX 1024
#define UID_MAX 4294967294u      /* the one above means "leave it" to chown(2) */

#define AT(member) .offset = offsetof(struct vmconfig, member)
#define COUNT(member) .count = offsetof(struct vmconfig, member)

/* --- texts ------------------------------------------------------------------------------------------------------ */

static bool only(const char *text, const char *others)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(others, *text))
			return false;
	return true;
}

/* "/", or "/" and names that are not empty, "." or "..". */
static bool absolute_path(const char *path)
{
	return path[0] == '/' && (path[1] == '\0' || wire_path_ok(wire_text(path + 1)));
}

static const char *check_hostname(const char *text)
{
	static const char wrong[] =
		"must be a host name: letters, digits and \"-\", in parts that a \".\" separates and no \"-\" begins "
		"or ends";

	for (const char *p = text; *p; p++) {
		bool begins = p == text || p[-1] == '.', ends = p[1] == '\0' || p[1] == '.';

		if (!isalnum((unsigned char)*p) && (*p != '-' || begins || ends) && (*p != '.' || begins || ends))
			return wrong;
	}
	return NULL;
}

static const char *check_variable(const char *text)
{
	size_t n = 0;

	while (isalpha((unsigned char)text[n]) || text[n] == '_' || (n > 0 && isdigit((unsigned char)text[n])))
		n++;
	return n > 0 && text[n] == '=' ? NULL :
		"must be NAME=value, with a name of letters, digits and \"_\" that begins with no digit";
}

static const char *check_absolute(const char *text)
{
	return absolute_path(text) ? NULL :
		"must be an absolute path, with no empty, \".\" or \"..\" part and no \"/\" at its end";
}

static const char *check_destination(const char *text)
{
	return text[1] == '\0' && text[0] == '/' ? "must not be \"/\": the root is what hawser.handoff is for" :
		check_absolute(text);
}

static const char *check_type(const char *text)
{
	return only(text, "._-") ? NULL : "must be a file system's name: letters, digits, \".\", \"_\" and \"-\"";
}

static const char *check_option(const char *text)
{
	return strchr(text, ',') ? "must be one option, without a comma; make it several elements" : NULL;
}

static const char *check_sysctl(const char *name)
{
	bool dot = false;

	for (const char *p = name; *p; p++) {
		if (*p == '.' && (p == name || p[1] == '.' || p[1] == '\0'))
			return "not a sysctl's name: a part is empty";
		dot = dot || *p == '.';
	}
	return dot && strlen(name) <= 255 && only(name, "._-") ? NULL :
		"not a sysctl's name: at most 255 letters, digits, \"_\" and \"-\", with dots between the parts";
}

static const char *check_socket(const char *text)
{
	return wire_path_ok(wire_text(text + (text[0] == '/'))) ? NULL :
		"must be a path with no empty, \".\" or \"..\" part; without a leading \"/\" it is below the "
		"machine's directory";
}

static const char *check_kernel_args(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			return "must be printable ASCII, separated by spaces";
	return NULL;
}

/* --- process ---------------------------------------------------------------------------------------------------- */

static int read_groups(const struct json_value *value, void *into, struct problem *problem)
{
	static const struct json_field group = { "gid", JSON_KIND_U32, 0, .max = UID_MAX };
	struct vmconfig *config = into;
	struct json_value item = { 0 };

	if (!json_is_list(value))
		return json_wrong_kind(value, "an array of numbers", problem);
	for (config->n_groups = 0; json_next(value, &item); config->n_groups++) {
		if (config->n_groups == WIRE_GROUPS_MAX)
			return json_problem(&item, problem, "is one too many; there may be %d", WIRE_GROUPS_MAX);
		if (json_field(&item, &group, &config->groups[config->n_groups], problem) < 0)
			return -1;
	}
	return 0;
}

static const struct json_field user_fields[] = {
	{ "uid", JSON_KIND_U32, AT(uid), .max = UID_MAX, .required = true },
	{ "gid", JSON_KIND_U32, AT(gid), .max = UID_MAX, .required = true },
	{ "additionalGids", JSON_KIND_READ, .read = read_groups },
	{ NULL },
};

static int read_user(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;

	config->user_given = true;
	return json_fields(value, user_fields, into, problem);
}

static const struct json_field process_fields[] = {
	{ "args", JSON_KIND_STRINGS, AT(args), COUNT(n_args), .items = ITEMS_MAX, .max = WIRE_PAYLOAD_MAX },
	{ "env", JSON_KIND_STRINGS, AT(env), COUNT(n_env), .items = ITEMS_MAX, .min = 2, .max = WIRE_PAYLOAD_MAX,
		.check = check_variable },
	{ "cwd", JSON_KIND_STRING, AT(cwd), .min = 1, .max = WIRE_PATH_MAX, .check = check_absolute },
	{ "terminal", JSON_KIND_BOOL, AT(terminal) },
	{ "user", JSON_KIND_READ, .read = read_user },
	{ NULL },
};

/* How many of the texts fit, together with what `used` says already; each counts with its frame's header. */
static size_t args_fit(size_t n, char *const texts[], size_t *used)
{
	for (size_t i = 0; i < n; i++) {
		*used += WIRE_HEADER + strlen(texts[i]);
		if (*used > WIRE_ARGS_MAX)
			return i;
	}
	return n;
}

static int check_sum(const struct json_value *process, const struct vmconfig *config, struct problem *problem)
{
	const char *key = "args";
	struct json_value list, item = { 0 };
	size_t used = 0, n = args_fit(config->n_args, config->args, &used);

	if (n == config->n_args) {
		key = "env";
		n = args_fit(config->n_env, config->env, &used);
		if (n == config->n_env)
			return 0;
	}
	json_member(process, key, &list);
	do
		json_next(&list, &item);
	while (n-- > 0);
	return json_problem(&item, problem, "process.args and process.env together have more than %d KiB (8 bytes "
		"are added for each); shorten them, or use a file below files/", WIRE_ARGS_MAX >> 10);
}

static size_t name_len(const char *variable)
{
	return (size_t)(strchr(variable, '=') - variable);
}

/* By name, and of one name in the order of the document, which is that of the addresses. */
static int compare_variables(const void *a, const void *b)
{
	char *const *x = *(char *const *const *)a, *const *y = *(char *const *const *)b;
	size_t x_len = name_len(*x), y_len = name_len(*y);
	int order = memcmp(*x, *y, x_len < y_len ? x_len : y_len);

	return order ? order : x_len != y_len ? (x_len > y_len) - (x_len < y_len) : (x > y) - (x < y);
}

static int check_twice(const struct json_value *process, const struct vmconfig *config, struct problem *problem)
{
	size_t n = config->n_env, first = n;
	char ***sorted = malloc((n + 1) * sizeof *sorted);
	struct json_value list, item = { 0 };

	if (!sorted)
		return json_problem(process, problem, "out of memory");
	for (size_t i = 0; i < n; i++)
		sorted[i] = &config->env[i];
	qsort(sorted, n, sizeof *sorted, compare_variables);
	for (size_t i = 1; i < n; i++) {
		size_t len = name_len(*sorted[i]), nth = (size_t)(sorted[i] - config->env);

		if (len == name_len(*sorted[i - 1]) && memcmp(*sorted[i], *sorted[i - 1], len) == 0 && nth < first)
			first = nth;
	}
	free(sorted);
	if (first == n)
		return 0;
	json_member(process, "env", &list);
	for (size_t i = 0; i <= first; i++)
		json_next(&list, &item);
	return json_problem(&item, problem, "the variable \"%.*s\" is there already; remove one of the two",
		(int)(name_len(config->env[first]) < 64 ? name_len(config->env[first]) : 64), config->env[first]);
}

static int read_process(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;
	struct json_value args, first = { 0 };

	if (json_fields(value, process_fields, into, problem) < 0)
		return -1;
	if (json_member(value, "args", &args)) {
		if (!json_next(&args, &first))
			return json_problem(&args, problem, "must not be empty; give a program, or remove the key");
		if (config->args[0][0] == '\0')
			return json_problem(&first, problem, "must not be empty: it is the program");
	}
	return check_sum(value, config, problem) < 0 ? -1 : check_twice(value, config, problem);
}

/* --- mounts, linux, annotations --------------------------------------------------------------------------------- */

struct mount_draft {
	struct vmconfig_mount mount;
	size_t n_options;
	char **options;
};

#define MOUNT_AT(member) .offset = offsetof(struct mount_draft, member)

static const struct json_field mount_fields[] = {
	{ "destination", JSON_KIND_STRING, MOUNT_AT(mount.destination), .min = 1, .max = WIRE_PATH_MAX,
		.check = check_destination, .required = true },
	{ "type", JSON_KIND_STRING, MOUNT_AT(mount.type), .min = 1, .max = 63,
		.check = check_type, .required = true },
	{ "source", JSON_KIND_STRING, MOUNT_AT(mount.source), .max = WIRE_PATH_MAX },
	{ "options", JSON_KIND_STRINGS, MOUNT_AT(options), .count = offsetof(struct mount_draft, n_options),
		.min = 1, .max = OPTIONS_MAX, .check = check_option },
	{ NULL },
};

static void destroy_strings(size_t n, char **strings)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

static void finish_mount(struct vmconfig_mount *mount)
{
	free(mount->destination);
	free(mount->type);
	free(mount->source);
	free(mount->options);
}

static char *join(size_t n, char *const texts[])
{
	size_t size = 1;
	char *joined, *p;

	for (size_t i = 0; i < n; i++)
		size += strlen(texts[i]) + 1;
	joined = p = malloc(size);
	if (!joined)
		return NULL;
	*p = '\0';
	for (size_t i = 0; i < n; i++)
		p = stpcpy(stpcpy(p, i ? "," : ""), texts[i]);
	return joined;
}

static int read_mount(const struct json_value *value, struct vmconfig_mount *mount, struct problem *problem)
{
	struct mount_draft draft = { 0 };
	struct json_value options;
	int rc = json_fields(value, mount_fields, &draft, problem);

	if (rc == 0) {
		draft.mount.options = join(draft.n_options, draft.options);
		if (!draft.mount.source)
			draft.mount.source = strdup(draft.mount.type);
		if (!draft.mount.source || !draft.mount.options)
			rc = json_problem(value, problem, "out of memory");
		else if (strlen(draft.mount.options) > OPTIONS_MAX && json_member(value, "options", &options))
			rc = json_problem(&options, problem,
				"has %zu bytes with commas between; must have at most %d",
				strlen(draft.mount.options), OPTIONS_MAX);
	}
	destroy_strings(draft.n_options, draft.options);
	if (rc < 0)
		finish_mount(&draft.mount);
	else
		*mount = draft.mount;
	return rc;
}

static size_t count_items(const struct json_value *container)
{
	struct json_value item = { 0 };
	size_t n = 0;

	while (json_next(container, &item))
		n++;
	return n;
}

static int read_mounts(const struct json_value *value, void *into, struct problem *problem)
{
	struct vmconfig *config = into;
	struct json_value item = { 0 };

	if (!json_is_list(value))
		return json_wrong_kind(value, "an array of objects", problem);
	config->mounts = calloc(count_items(value) + 1, sizeof *config->mounts);
	if (!config->mounts)
		return json_problem(value, problem, "out of memory");
	for (; json_next(value, &item); config->n_mounts++)
		if (read_mount(&item, &config->mounts[config->n_mounts], problem) < 0)
			return -1;
	return 0;
}

static int read_sysctls(const struct json_value *value, void *into, struct problem *problem)
{
	static const struct json_field text = { "value", JSON_KIND_STRING, 0, .max = WIRE_SYSCTL_MAX };
	struct vmconfig *config = into;
	struct json_value item = { 0 };

	if (!json_is_map(value))
		return json_wrong_kind(value, "an object", problem);
	config->sysctls = calloc(count_items(value) + 1, sizeof *config->sysctls);
	if (!config->sysctls)
		return json_problem(value, problem, "out of memory");
	while (json_next(value, &item)) {
		struct vmconfig_sysctl *sysctl = &config->sysctls[config->n_sysctls];
		const char *fault = check_sysctl(item.key);

		if (fault)
			return json_key_problem(&item, problem, "%s", fault);
		if (json_field(&item, &text, &sysctl->value, problem) < 0)
			return -1;
		config->n_sysctls++;
		sysctl->name = strdup(item.key);
		if (!sysctl->name)
			return json_problem(&item, problem, "out of memory");
	}
	return 0;
}

static const struct json_field linux_fields[] = {
	{ "sysctl", JSON_KIND_READ, .read = read_sysctls },
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
	{ "type", JSON_KIND_STRING, AT(root_type), .min = 1, .max = 63, .check = check_type },
	{ "source", JSON_KIND_STRING, AT(root_source), .min = 1, .max = WIRE_PATH_MAX },
	{ "options", JSON_KIND_STRING, AT(root_options), .max = OPTIONS_MAX },
	{ "init", JSON_KIND_STRING, AT(root_init), .min = 2, .max = WIRE_PATH_MAX, .check = check_absolute },
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
	{ "kernelArgs", JSON_KIND_STRING, AT(kernel_args), .max = KERNEL_ARGS_MAX, .check = check_kernel_args },
	{ NULL },
};

static const struct json_field hawser_fields[] = {
	{ "cid", JSON_KIND_U32, AT(cid), .min = 3, .max = 0xfffffffe },
	{ "socket", JSON_KIND_STRING, AT(socket), .min = 1, .max = SOCKET_MAX, .check = check_socket },
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
	{ "hostname", JSON_KIND_STRING, AT(hostname), .min = 1, .max = WIRE_HOSTNAME_MAX, .check = check_hostname },
	{ "process", JSON_KIND_READ, .read = read_process },
	{ "mounts", JSON_KIND_READ, .read = read_mounts },
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

	snprintf(file, sizeof file, "%.300s%svm.json", dir, dir[0] ? "/" : "");
	text = textfile_read(dirfd, "vm.json", file, VMCONFIG_FILE_MAX, &len, problem);
	if (text)
		config = vmconfig_parse(text, len, file, problem);
	free(text);
	return config;
}

bool vmconfig_set_args(struct vmconfig *config, size_t n, char *const args[])
{
	size_t used = 0, done = 0;
	char **copy;

	if (n == 0 || n > ITEMS_MAX || args[0][0] == '\0' || args_fit(n, args, &used) < n ||
			args_fit(config->n_env, config->env, &used) < config->n_env)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strlen(args[i]) > WIRE_PAYLOAD_MAX)
			return false;
	copy = calloc(n, sizeof *copy);
	for (; copy && done < n; done++) {
		copy[done] = strdup(args[done]);
		if (!copy[done])
			break;
	}
	if (done < n) {
		destroy_strings(done, copy);
		return false;
	}
	destroy_strings(config->n_args, config->args);
	config->args = copy;
	config->n_args = n;
	return true;
}

void vmconfig_destroy(struct vmconfig *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_mounts; i++)
		finish_mount(&config->mounts[i]);
	for (size_t i = 0; i < config->n_sysctls; i++) {
		free(config->sysctls[i].name);
		free(config->sysctls[i].value);
	}
	destroy_strings(config->n_args, config->args);
	destroy_strings(config->n_env, config->env);
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
	return len >= 1 && len <= VMCONFIG_NAME_MAX && name[0] != '.' && name[0] != '-' && only(name, "._-");
}
