/* SPDX-License-Identifier: MIT */
#include <pwd.h>
#include <stdlib.h>

#include "user.h"

const char *user_find(struct user *user, const char *text, const char *usual, uid_t number)
{
	const struct passwd *entry = getpwnam(text ? text : usual);
	char *end = NULL;

	if (entry)
		*user = (struct user){ entry->pw_uid, entry->pw_gid };
	else if (!text)
		*user = (struct user){ number, number };
	else
		*user = (struct user){ (uid_t)strtoul(text, &end, 10), (gid_t)strtoul(text, NULL, 10) };
	if (end && (end == text || *end || user->uid >= (uid_t)-2))
		return "there is no such user";
	return user->uid ? NULL : "must not be root";
}
