/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../vsock/log.h"
#include "mount.h"

/* Why each flag is there: docs/BOOT.md, "The early mounts". */
static const struct early {
	char where[16], type[12], options[28];   /* arrays: a pointer costs a position-independent program 32 bytes */
	uint32_t flags;
} early[] = {
	{ "/dev", "devtmpfs", "mode=0755", MS_NOSUID | MS_NOEXEC },
	{ "/proc", "proc", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "/sys", "sysfs", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "/dev/pts", "devpts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
	{ "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV },
	{ "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "/sys/fs/cgroup", "cgroup2", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

/* fstab's words for flags, as mount(8) has them; what is not here is the file system's own option. */
static const struct word {
	char name[12];
	uint32_t set, clear;
} words[] = {
	{ "defaults", 0, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "nosuid", MS_NOSUID, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "nodev", MS_NODEV, 0 },
	{ "dev", 0, MS_NODEV },
	{ "noexec", MS_NOEXEC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "noatime", MS_NOATIME, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "bind", MS_BIND, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
};

void mount_early(void)
{
	for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
		const struct early *e = &early[i];
		int error;

		/* The image has most of these directories. EBUSY: the kernel has mounted it itself (DEVTMPFS_MOUNT). */
		do
			error = mount(e->type, e->where, e->type, e->flags, e->options) < 0 && errno != EBUSY;
		while (error && errno == ENOENT && mkdir(e->where, 0755) == 0);
		if (error)
			log_warn_errno("%s: no %s", e->where, e->type);
	}
}

int mount_bind(const char *from, const char *to)
{
	return mount(from, to, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int mount_secret(const char *where)
{
	return mount("ramfs", where, "ramfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0 ? -errno : 0;
}

int mount_publish(const char *from, const char *to, bool readonly)
{
	const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(from, to, NULL, MS_MOVE, NULL) < 0)
		return -errno;
	return readonly && mount(NULL, to, NULL, flags, NULL) < 0 ? -errno : 0;
}

void mount_detach(const char *where)
{
	umount2(where, MNT_DETACH);
}

static void directories_make(const char *path)
{
	char part[WIRE_PATH_MAX + 1];

	for (size_t i = 1; path[i - 1] && i < sizeof part; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		mkdir(part, 0755);
	}
}

/* Takes the words that are flags out of the list; what is left, in place, is for the file system. */
static unsigned long flags_take(char *options)
{
	unsigned long flags = 0;
	char *left = options, *next;

	for (char *word = options; word; word = next) {
		size_t i, n = strcspn(word, ",");

		next = word[n] ? word + n + 1 : NULL;
		word[n] = '\0';
		for (i = 0; i < sizeof words / sizeof *words && strcmp(words[i].name, word) != 0; i++)
			;
		if (i < sizeof words / sizeof *words) {
			flags = (flags | words[i].set) & ~(unsigned long)words[i].clear;
		} else if (n > 0) {
			if (left != options)
				*left++ = ',';
			memmove(left, word, n);
			left += n;
		}
	}
	*left = '\0';
	return flags;
}

int mount_configured(const struct wire_mount *m)
{
	char destination[WIRE_PATH_MAX + 1], type[64], source[WIRE_PATH_MAX + 1], options[WIRE_PATH_MAX + 1];
	unsigned long flags;

	if (!wire_text_copy(destination, sizeof destination, m->destination) ||
	    !wire_text_copy(type, sizeof type, m->type) || !wire_text_copy(source, sizeof source, m->source) ||
	    !wire_text_copy(options, sizeof options, m->options))
		return -ENAMETOOLONG;
	flags = flags_take(options);
	directories_make(destination);
	if (mount(source, destination, type, flags, options) < 0)
		return -errno;
	/* A bind mount takes other flags only when it is mounted again. */
	if ((flags & MS_BIND) && (flags & ~(unsigned long)(MS_BIND | MS_REC)) &&
	    mount(NULL, destination, NULL, MS_REMOUNT | flags, NULL) < 0)
		return -errno;
	return 0;
}

int mount_at(const char *where, const char *type, const char *source, const char *options)
{
	return mount_configured(&(struct wire_mount){ wire_text(where), wire_text(type), wire_text(source),
		wire_text(options) });
}

int mount_over_root(void)
{
	return mount(".", "/", NULL, MS_MOVE, NULL) < 0 ? -errno : 0;
}
