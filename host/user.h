/* SPDX-License-Identifier: MIT */
/* user: whom a process becomes. */
#ifndef HOST_USER_H
#define HOST_USER_H

#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
};

/*
 * By name, or by number, which is the group's, too. NULL: the one called `usual` if there is one, else `number`. Root
 * is nobody to become. NULL, or what is wrong.
 */
const char *user_find(struct user *user, const char *text, const char *usual, uid_t number);

#endif
