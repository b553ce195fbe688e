/* SPDX-License-Identifier: MIT */
/* What a single text of vm.json may be. */
#include <ctype.h>
#include <string.h>

#include "../vsock/wire.h"
#include "vmconfig_inside.h"

bool vmconfig_only(const char *text, const char *others)
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

const char *vmconfig_check_hostname(const char *text)
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

const char *vmconfig_check_variable(const char *text)
{
	size_t n = 0;

	while (isalpha((unsigned char)text[n]) || text[n] == '_' || (n > 0 && isdigit((unsigned char)text[n])))
		n++;
	return n > 0 && text[n] == '=' ? NULL :
		"must be NAME=value, with a name of letters, digits and \"_\" that begins with no digit";
}

const char *vmconfig_check_absolute(const char *text)
{
	return absolute_path(text) ? NULL :
		"must be an absolute path, with no empty, \".\" or \"..\" part and no \"/\" at its end";
}

const char *vmconfig_check_destination(const char *text)
{
	return text[1] == '\0' && text[0] == '/' ? "must not be \"/\": the root is what hawser.handoff is for" :
		vmconfig_check_absolute(text);
}

const char *vmconfig_check_type(const char *text)
{
	return vmconfig_only(text, "._-") ? NULL : "must be a file system's name: letters, digits, \".\", \"_\" and \"-\"";
}

const char *vmconfig_check_option(const char *text)
{
	return strchr(text, ',') ? "must be one option, without a comma; make it several elements" : NULL;
}

const char *vmconfig_check_sysctl(const char *name)
{
	bool dot = false;

	for (const char *p = name; *p; p++) {
		if (*p == '.' && (p == name || p[1] == '.' || p[1] == '\0'))
			return "not a sysctl's name: a part is empty";
		dot = dot || *p == '.';
	}
	return dot && strlen(name) <= 255 && vmconfig_only(name, "._-") ? NULL :
		"not a sysctl's name: at most 255 letters, digits, \"_\" and \"-\", with dots between the parts";
}

const char *vmconfig_check_socket(const char *text)
{
	return wire_path_ok(wire_text(text + (text[0] == '/'))) ? NULL :
		"must be a path with no empty, \".\" or \"..\" part; without a leading \"/\" it is below the "
		"machine's directory";
}

const char *vmconfig_check_kernel_args(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			return "must be printable ASCII, separated by spaces";
	return NULL;
}
