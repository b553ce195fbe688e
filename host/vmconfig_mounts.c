/* SPDX-License-Identifier: MIT */
/* The array "mounts" of vm.json, and its sysctls. */
#include <stdlib.h>
#include <string.h>

#include "../vsock/wire.h"
#include "vmconfig_inside.h"

struct mount_draft {
	struct vmconfig_mount mount;
	size_t n_options;
	char **options;
};

#define MOUNT_AT(member) .offset = offsetof(struct mount_draft, member)

static const struct json_field mount_fields[] = {
	{ "destination", JSON_KIND_STRING, MOUNT_AT(mount.destination), .min = 1, .max = WIRE_PATH_MAX,
		.check = vmconfig_check_destination, .required = true },
	{ "type", JSON_KIND_STRING, MOUNT_AT(mount.type), .min = 1, .max = 63,
		.check = vmconfig_check_type, .required = true },
	{ "source", JSON_KIND_STRING, MOUNT_AT(mount.source), .max = WIRE_PATH_MAX },
	{ "options", JSON_KIND_STRINGS, MOUNT_AT(options), .count = offsetof(struct mount_draft, n_options),
		.min = 1, .max = VMCONFIG_OPTIONS_MAX, .check = vmconfig_check_option },
	{ NULL },
};

void vmconfig_mount_finish(struct vmconfig_mount *mount)
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
		else if (strlen(draft.mount.options) > VMCONFIG_OPTIONS_MAX && json_member(value, "options", &options))
			rc = json_problem(&options, problem,
				"has %zu bytes with commas between; must have at most %d",
				strlen(draft.mount.options), VMCONFIG_OPTIONS_MAX);
	}
	vmconfig_strings_free(draft.n_options, draft.options);
	if (rc < 0)
		vmconfig_mount_finish(&draft.mount);
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

int vmconfig_read_mounts(const struct json_value *value, void *into, struct problem *problem)
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

int vmconfig_read_sysctls(const struct json_value *value, void *into, struct problem *problem)
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
		const char *fault = vmconfig_check_sysctl(item.key);

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
