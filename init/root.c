/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "mount.h"
#include "root.h"
#include "tree.h"

#define OVERLAY "/.overlay"
#define RETRY_MS 10              /* between looks for a device that is late */

static const char shared[][8] = { "/dev", "/proc", "/sys", "/run" };
static char init[WIRE_PATH_MAX + 1];
static bool systemd;

const char *root_init(void)
{
	return *init ? init : NULL;
}

bool root_is_systemd(void)
{
	return systemd;
}

/* An image in a file becomes a block device, which goes when nobody has it mounted or open any more. */
static int loop_attach(const char *file, char device[static 24])
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number = ioctl(control, LOOP_CTL_GET_FREE), fd;
	int image = open(file, O_RDWR | O_CLOEXEC), error = -errno;

	if (image >= 0 && number < 0) {
		error = -ENOTBLK;        /* a kernel without loop devices */
	} else if (image >= 0) {
		snprintf(device, 24, "/dev/loop%d", number);
		config.fd = (uint32_t)image;
		fd = open(device, O_RDWR | O_CLOEXEC);
		error = fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? -errno : open(device, O_RDONLY | O_CLOEXEC);
		/* A device that is open for writing is not to be mounted (CONFIG_BLK_DEV_WRITE_MOUNTED). */
		close(fd);
	}
	close(image);
	close(control);
	return error;
}

static int device_mount(const struct wire_handoff *handoff, const char *where, bool overlay, uint64_t deadline_ns)
{
	char source[WIRE_PATH_MAX + 1], options[WIRE_PATH_MAX + 4], device[24];
	struct wire_mount mount = { wire_text(where), handoff->type, handoff->source, handoff->options };
	int error, loop = -1;

	wire_text_copy(source, sizeof source, handoff->source);
	if (source[0] == '/' && strncmp(source, "/dev/", 5) != 0) {
		loop = loop_attach(source, device);
		if (loop < 0)
			return loop;
		mount.source = wire_text(device);
	}
	if (overlay) {
		snprintf(options, sizeof options, "%.*s,ro", (int)handoff->options.len, handoff->options.s);
		mount.options = wire_text(options);
	}
	for (;;) {
		error = mount_configured(&mount);
		if ((error != -ENOENT && error != -ENXIO) || clock_boot_ns() >= deadline_ns)
			break;
		clock_sleep_ms(RETRY_MS);
	}
	if (loop >= 0)
		close(loop);
	return error;
}

static int overlay_mount(const struct wire_handoff *handoff, uint64_t deadline_ns)
{
	int error = mount_at(OVERLAY, "tmpfs", "tmpfs", "mode=0755");

	if (error)
		return error;
	mkdir(OVERLAY "/upper", 0755);
	mkdir(OVERLAY "/work", 0755);
	error = device_mount(handoff, OVERLAY "/lower", true, deadline_ns);
	if (!error)
		error = mount_at(ROOT_WHERE, "overlay", "overlay",
			"lowerdir=" OVERLAY "/lower,upperdir=" OVERLAY "/upper,workdir=" OVERLAY "/work");
	/* The overlay holds both; they have no business in anybody's table of mounts. */
	mount_detach(OVERLAY);
	return error;
}

/* A link is followed, within the new root: Debian's /sbin/init leads to /lib/systemd/systemd. */
static int init_look(void)
{
	char link[40], path[WIRE_PATH_MAX + 1], *slash;
	int fd = open(init, O_PATH | O_CLOEXEC), error = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	path[n < 0 ? 0 : n] = '\0';
	slash = strrchr(path, '/');
	systemd = slash && strcmp(slash, "/systemd") == 0;
	if (access(init, X_OK) < 0 || syscall(SYS_faccessat, fd, ".", F_OK) == 0)
		error = -EACCES;         /* a directory can be "executed", too */
	close(fd);
	return error;
}

/*
 * systemd ends its part of a machine's life by going back to an initrd below this directory, if there is one: then the
 * relay can deliver what is left, and the machine is ended in the way that it knows. Any other init can call it, too.
 */
static int shutdown_place(void)
{
	struct wire_node node = { .mode = 0700 };
	int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to, error;

	mkdir(ROOT_SHUTDOWN_DIR, 0755);
	to = open(ROOT_SHUTDOWN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || to < 0)
		return -errno;
	node.size = (uint64_t)lseek(in, 0, SEEK_END);
	lseek(in, 0, SEEK_SET);
	error = tree_copy(in, to, "shutdown", &node);
	close(in);
	close(to);
	return error;
}

int root_enter(const struct wire_handoff *handoff, uint64_t deadline_ns, struct wire_text *what)
{
	bool overlay = handoff->flags & WIRE_HANDOFF_OVERLAY;
	int error;

	*what = handoff->source;
	error = overlay ? overlay_mount(handoff, deadline_ns) : device_mount(handoff, ROOT_WHERE, false, deadline_ns);
	for (size_t i = 0; i < sizeof shared / sizeof *shared && !error; i++) {
		char where[sizeof ROOT_WHERE + sizeof *shared] = ROOT_WHERE;

		*what = wire_text(shared[i]);
		error = mount_at(strcat(where, shared[i]), "none", shared[i], "rbind");
	}
	if (error)
		return error;
	*what = handoff->init;
	wire_text_copy(init, sizeof init, handoff->init);
	if (chroot(ROOT_WHERE) < 0)
		return -errno;
	error = init_look();
	return error ? error : shutdown_place();
}

void root_leave(void)
{
	if (chroot(".") < 0)
		return;
	mount_detach(ROOT_WHERE);
	*init = '\0';
}

/* Everything of the initramfs but what is mounted in it. What is no memory is not emptied, whatever led here. */
static void memory_free(int old)
{
	struct statfs fs;

	if (fstatfs(old, &fs) == 0 && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC))
		tree_empty(old);
}

int root_switch(void)
{
	int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (old < 0 || chroot(".") < 0)
		return -errno;
	mount_detach("/tmp");
	for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
		mount_detach(shared[i]);
	if (chdir(ROOT_WHERE) < 0)
		return -errno;
	error = mount_over_root();
	if (!error && (chroot(".") < 0 || chdir("/") < 0))
		error = -errno;
	if (!error)
		memory_free(old);
	close(old);
	return error;
}
