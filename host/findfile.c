/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "findfile.h"

/* A regular file that may be used in that way (R_OK, X_OK): its absolute path, for helpers have other directories. */
static char *usable(char *path, int mode)
{
	struct stat st;
	char *absolute = NULL;
	if (path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, mode) == 0)
		absolute = realpath(path, NULL);
	free(path);
	return absolute;
}

static char *join(const char *dir, size_t len, const char *rest, const char *name)
{
	char *path;
	return asprintf(&path, "%.*s%s/%s", (int)len, dir, rest, name) < 0 ? NULL : path;
}

static char *beside(const char *rest, const char *name, int mode)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
	if (n <= 0 || n == sizeof exe)
		return NULL;
	while (n > 0 && exe[n - 1] != '/')
		n--;
	return usable(join(exe, n > 0 ? (size_t)n - 1 : 0, rest, name), mode);
}

char *findfile_data(const char *name)
{
	char *path = beside("", name, R_OK);
	return path ? path : beside("/../share/hawser", name, R_OK);
}

char *findfile_path(const char *name)
{
	if (strchr(name, '/'))
		return usable(strdup(name), X_OK);
	const char *dirs = getenv("PATH");
	for (const char *p = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");
		/* An empty entry means the current directory; helpers are not taken from there. */
		char *path = len ? usable(join(p, len, "", name), X_OK) : NULL;
		if (path)
			return path;
		p += len + (p[len] == ':');
	}
	return NULL;
}

char *findfile_sibling(const char *name)
{
	char *path = beside("", name, X_OK);
	if (!path)
		path = beside("/../sbin", name, X_OK);   /* which few users have in their PATH */
	return path ? path : findfile_path(name);
}

char *findfile_program(const char *name)
{
	char *path = findfile_path(name);
	return path ? path : beside("", name, X_OK);
}
