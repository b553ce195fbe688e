/* SPDX-License-Identifier: MIT */
/* The object "process" of vm.json, and a command in the place of its arguments. */
#include <stdlib.h>
#include <string.h>

#include "../vsock/wire.h"
#include "vmconfig_inside.h"

#define ITEMS_MAX 4096           /* arguments, and variables: what a guest makes room for */

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
		.check = vmconfig_check_variable },
	{ "cwd", JSON_KIND_STRING, AT(cwd), .min = 1, .max = WIRE_PATH_MAX, .check = vmconfig_check_absolute },
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

int vmconfig_read_process(const struct json_value *value, void *into, struct problem *problem)
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

void vmconfig_drop_args(struct vmconfig *config)
{
	vmconfig_strings_free(config->n_args, config->args);
	config->args = NULL;
	config->n_args = 0;
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
		vmconfig_strings_free(done, copy);
		return false;
	}
	vmconfig_drop_args(config);
	config->args = copy;
	config->n_args = n;
	return true;
}
