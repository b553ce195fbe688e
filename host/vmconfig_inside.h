/* SPDX-License-Identifier: MIT */
/* What the parts of vmconfig.c share. */
#ifndef HOST_VMCONFIG_INSIDE_H
#define HOST_VMCONFIG_INSIDE_H

#include "json.h"
#include "vmconfig.h"

#define UID_MAX 4294967294u      /* the one above means "leave it" to chown(2) */
#define VMCONFIG_OPTIONS_MAX 4095

#define AT(member) .offset = offsetof(struct vmconfig, member)
#define COUNT(member) .count = offsetof(struct vmconfig, member)

/* vmconfig_text.c: nothing but letters, digits and the others; and for json_field's check. */
bool vmconfig_only(const char *text, const char *others);
const char *vmconfig_check_hostname(const char *text);
const char *vmconfig_check_variable(const char *text);
const char *vmconfig_check_absolute(const char *text);
const char *vmconfig_check_destination(const char *text);
const char *vmconfig_check_type(const char *text);
const char *vmconfig_check_option(const char *text);
const char *vmconfig_check_sysctl(const char *name);
const char *vmconfig_check_socket(const char *text);
const char *vmconfig_check_kernel_args(const char *text);

/* vmconfig_process.c: for json_field's read. */
int vmconfig_read_process(const struct json_value *value, void *into, struct problem *problem);

/* vmconfig_mounts.c: for json_field's read. */
int vmconfig_read_mounts(const struct json_value *value, void *into, struct problem *problem);
int vmconfig_read_sysctls(const struct json_value *value, void *into, struct problem *problem);
void vmconfig_mount_finish(struct vmconfig_mount *mount);

void vmconfig_strings_free(size_t n, char **strings);

#endif
