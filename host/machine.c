/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "findfile.h"
#include "machine.h"

/*
 * microvm is x86's: so far this is the only architecture.
 *
 * acpi=off: the kernel has no ACPI and learns of virtio-mmio devices from its command line, to which QEMU adds them.
 * rtc=on: without a clock to read, the kernel waits a second for one.
 */
#define MICROVM "microvm,accel=%s,acpi=off,rtc=on"
#define Q35 "q35,accel=%s"

char *machine_qemu_find(const char **name)
{
	static char by_arch[80];
	struct utsname uts;
	uname(&uts);
	snprintf(by_arch, sizeof by_arch, "qemu-system-%s", uts.machine);
	*name = getenv("HAWSER_QEMU");
	if (!*name || !**name)
		*name = by_arch;
	return findfile_path(*name);
}

char *machine_device_find(const char **name)
{
	*name = getenv("HAWSER_VHOST_DEVICE_VSOCK");
	if (*name && **name)
		return findfile_path(*name);
	*name = "vhost-device-vsock";
	return findfile_program(*name);
}

static void add_machine(const struct machine *m, const char *more, struct arglist *args)
{
	arglist_add(args, "%s", m->qemu);
	arglist_add(args, "-M");
	if (m->q35)
		arglist_add(args, Q35 "%s", m->kvm ? "kvm" : "tcg", more);
	else
		arglist_add(args, MICROVM "%s", m->kvm ? "kvm" : "tcg", more);
	if (m->kvm) {
		arglist_add(args, "-cpu");
		arglist_add(args, "host");
	}
	static const char *const bare[] = {
		"-nodefaults", "-no-user-config",        /* nothing that is not named here */
		"-display", "none",
		"-serial", "stdio",                      /* a pipe to us */
		"-no-reboot",                            /* a reset is the end: without ACPI there is no power-off */
	};
	for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
		arglist_add(args, "%s", bare[i]);
	arglist_add(args, "-kernel");
	arglist_add(args, "%s", m->kernel);
}

static void add_vsock(const struct machine *m, struct arglist *args)
{
	const char *bus = m->q35 ? "pci" : "device";

	if (m->vhost) {
		arglist_add(args, "-device");
		arglist_add(args, "vhost-vsock-%s,guest-cid=%u", bus, m->cid);
		return;
	}
	/* Relative to the run's directory: in an option of QEMU a comma would have to be doubled. */
	arglist_add(args, "-chardev");
	arglist_add(args, "socket,id=vsock,path=%s", m->socket ? m->socket : MACHINE_SOCKET);
	arglist_add(args, "-device");
	arglist_add(args, "vhost-user-vsock-%s,chardev=vsock", bus);
}

/*
 * panic=-1 and reboot=t: a panic is a reset at once, by triple fault, which is the end.
 *
 * Under TCG a kernel finds its timers wrong, or measures for long, because QEMU's run in real time and the guest does
 * not. noapictimer: without ACPI's timer, calibrating the APIC's takes longer than all the rest of the boot.
 * no_timer_check: the other timer's interrupts are there, whatever a busy host makes of their number. tsc_early_khz:
 * see ticks.h.
 */
char *machine_kernel_words(const struct machine *m)
{
	const char *words[] = { m->verbose ? "" : "quiet", m->secrets ? "init_on_free=1" : "",
		m->kernel_args[0] ? m->kernel_args[0] : "", m->kernel_args[1] ? m->kernel_args[1] : "" };
	char *line = NULL;
	size_t len;
	FILE *to = open_memstream(&line, &len);

	for (size_t i = 0; to && i < sizeof words / sizeof *words; i++)
		if (*words[i])
			fprintf(to, " %s", words[i]);
	if (!to || fclose(to)) {
		free(line);
		return NULL;
	}
	return line;
}

static void add_command_line(const struct machine *m, struct arglist *args)
{
	char *words = machine_kernel_words(m), tsc[40] = "";

	if (!m->kvm && m->tsc_khz)
		snprintf(tsc, sizeof tsc, " tsc_early_khz=%u", m->tsc_khz);
	arglist_add(args, "-append");
	arglist_add(args, "console=ttyS0 reboot=t panic=-1%s%s%s", m->kvm || m->q35 ? "" : " noapictimer no_timer_check", tsc,
		words ? words : "");
	args->failed = args->failed || !words;
	free(words);
}

void machine_qemu_args(const struct machine *m, struct arglist *args)
{
	uint32_t memory_mib = m->memory_mib ? m->memory_mib : MACHINE_MEMORY_MIB;

	add_machine(m, ",memory-backend=mem", args);
	arglist_add(args, "-object");
	/* Shared, so that vhost-device-vsock can map it; memfd, so that it is no file. */
	arglist_add(args, "memory-backend-memfd,id=mem,size=%uM,share=on", memory_mib);
	arglist_add(args, "-m");
	arglist_add(args, "%u", memory_mib);
	if (m->cpus > 1) {
		arglist_add(args, "-smp");
		arglist_add(args, "%u", m->cpus);
	}
	add_vsock(m, args);
	if (m->initrd) {
		arglist_add(args, "-initrd");
		arglist_add(args, "%s", m->initrd);
	}
	add_command_line(m, args);
}

void machine_probe_args(const struct machine *m, struct arglist *args)
{
	add_machine(m, "", args);
	arglist_add(args, "-m");
	arglist_add(args, "%u", MACHINE_MEMORY_MIB);
	arglist_add(args, "-append");
	arglist_add(args, "console=ttyS0 earlyprintk=ttyS0 reboot=t panic=-1");
}

void machine_device_args(const struct machine *m, const char *program, struct arglist *args)
{
	arglist_add(args, "%s", program);
	arglist_add(args, "--guest-cid");
	arglist_add(args, "%u", m->cid);
	arglist_add(args, "--socket");
	if (m->socket)
		arglist_add(args, "%s", m->socket);
	else
		arglist_add(args, "%s/" MACHINE_SOCKET, m->dir);
	arglist_add(args, "--uds-path");
	if (m->base)
		arglist_add(args, "%s", m->base);
	else
		arglist_add(args, "%s/" MACHINE_BASE, m->dir);
}

/*
 * vhost-device-vsock takes the first connection for its VMM, so its socket must not be tried out. The file is there
 * from bind() on, but a connection is refused until listen(); the kernel's table says which it is (__SO_ACCEPTCON).
 */
bool machine_listening(const char *path)
{
	FILE *table = fopen("/proc/net/unix", "re");
	char line[512];
	bool found = false;
	while (table && !found && fgets(line, sizeof line, table)) {
		unsigned flags;
		int at = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*x: %*x %*x %x %*x %*x %*u %n", &flags, &at) == 1 && at > 0)
			found = (flags & 0x10000) && strcmp(line + at, path) == 0;
	}
	if (table)
		fclose(table);
	return found;
}

bool machine_has_secrets(const char *dir)
{
	static const char *const names[] = { "credentials", "credentials.encrypted" };
	char path[PATH_MAX];
	bool found = false;
	for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
		found = snprintf(path, sizeof path, "%s/%s", dir, names[i]) < (int)sizeof path && access(path, F_OK) == 0;
	return found;
}
