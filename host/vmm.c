/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../vsock/wire.h"
#include "vmm.h"

/* --- words as their readers want them ----------------------------------------------------------------------------- */

/* For a shell. */
static void put_word(FILE *to, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";

	if (*word && word[strspn(word, plain)] == 0) {
		fputs(word, to);
		return;
	}
	putc('\'', to);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", to);
		else
			putc(*word, to);
	putc('\'', to);
}

/* For JSON, and for C. vm.json and paths of the file system: UTF-8, or bytes that pass through. */
static void put_string(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			fprintf(to, "\\u%04x", (unsigned)*text);
		else
			putc(*text, to);
	putc('"', to);
}

/* A line for each option and its value. */
static bool put_command(FILE *to, struct arglist *args, const char *end)
{
	bool ok = !args->failed;

	for (size_t i = 0; ok && i < args->n; i++) {
		bool option = args->v[i][0] == '-';

		fputs(i == 0 ? "" : option ? " \\\n    " : " ", to);
		put_word(to, args->v[i]);
	}
	fprintf(to, "%s\n", end);
	arglist_finish(args);
	return ok;
}

static uint32_t memory(const struct machine *m)
{
	return m->memory_mib ? m->memory_mib : MACHINE_MEMORY_MIB;
}

static uint32_t cpus(const struct machine *m)
{
	return m->cpus ? m->cpus : 1;
}

/* --- QEMU --------------------------------------------------------------------------------------------------------- */

/* In an option of QEMU a comma is doubled. */
static char *option_path(const char *path)
{
	char *whole = malloc(2 * strlen(path) + 1), *p = whole;

	for (; whole && *path; path++) {
		*p++ = *path;
		if (*path == ',')
			*p++ = ',';
	}
	if (whole)
		*p = 0;
	return whole;
}

static bool put_qemu(const struct machine *given, FILE *to, FILE *hints)
{
	struct arglist device = { 0 }, qemu = { 0 };
	struct machine m = *given;
	char *socket = NULL, *option = NULL;
	bool ok = true;

	if (!m.vhost) {
		if (asprintf(&socket, "%s.vhost", m.base) < 0)
			return false;
		m.socket = socket;
		machine_device_args(&m, "vhost-device-vsock", &device);
		ok = put_command(to, &device, " &");
		option = option_path(socket);
		m.socket = option;
	}
	ok = ok && (m.vhost || option);
	if (ok)
		machine_qemu_args(&m, &qemu);
	ok = ok && put_command(to, &qemu, "");
	free(socket);
	free(option);
	if (m.vhost)
		fprintf(hints, "hawserd must listen on AF_VSOCK: \"vsock\": true in hawserd.json, and \"cid\": %" PRIu32
			" in the machine's vm.json\n", m.cid);
	else
		fputs("wait for vhost-device-vsock's socket before QEMU is started\n", hints);
	return ok;
}

static bool put_q35(const struct machine *given, FILE *to, FILE *hints)
{
	struct machine m = *given;

	m.q35 = true;
	return put_qemu(&m, to, hints);
}

/* --- Firecracker: docs/getting-started.md, docs/vsock.md ---------------------------------------------------------- */

static bool put_firecracker(const struct machine *m, FILE *to, FILE *hints)
{
	char *words = machine_kernel_words(m), *line = NULL;
	bool ok = words && asprintf(&line, "console=ttyS0 reboot=k panic=-1%s", words) >= 0;

	if (!ok)
		line = NULL;
	if (ok) {
		fputs("{\n  \"boot-source\": {\n    \"kernel_image_path\": ", to);
		put_string(to, m->kernel);
		fputs(",\n    \"initrd_path\": ", to);
		put_string(to, m->initrd);
		fputs(",\n    \"boot_args\": ", to);
		put_string(to, line);
		fprintf(to, "\n  },\n  \"machine-config\": {\n    \"vcpu_count\": %" PRIu32 ",\n    \"mem_size_mib\": %" PRIu32
			"\n  },\n  \"drives\": [],\n  \"vsock\": {\n    \"guest_cid\": %" PRIu32 ",\n    \"uds_path\": ", cpus(m),
			memory(m), m->cid);
		put_string(to, m->base);
		fputs("\n  }\n}\n", to);
		fputs("firecracker --no-api --config-file FILE, with this in FILE\n", hints);
	}
	free(words);
	free(line);
	return ok;
}

/* --- Cloud Hypervisor: README.md, docs/vsock.md ------------------------------------------------------------------- */

static bool put_cloud_hypervisor(const struct machine *m, FILE *to, FILE *hints)
{
	struct arglist args = { 0 };
	char *words = machine_kernel_words(m);

	(void)hints;
	arglist_add(&args, "cloud-hypervisor");
	arglist_add(&args, "--kernel");
	arglist_add(&args, "%s", m->kernel);
	arglist_add(&args, "--initramfs");
	arglist_add(&args, "%s", m->initrd);
	arglist_add(&args, "--cmdline");
	arglist_add(&args, "console=ttyS0 panic=-1%s", words ? words : "");
	arglist_add(&args, "--cpus");
	arglist_add(&args, "boot=%" PRIu32, cpus(m));
	arglist_add(&args, "--memory");
	arglist_add(&args, "size=%" PRIu32 "M", memory(m));
	arglist_add(&args, "--serial");
	arglist_add(&args, "tty");
	arglist_add(&args, "--console");
	arglist_add(&args, "off");
	arglist_add(&args, "--vsock");
	arglist_add(&args, "cid=%" PRIu32 ",socket=%s", m->cid, m->base);
	args.failed = args.failed || !words;
	free(words);
	return put_command(to, &args, "");
}

/* --- libkrun: include/libkrun.h ----------------------------------------------------------------------------------- */

static void put_call(FILE *to, const char *call, const char *text)
{
	fputs(call, to);
	put_string(to, text);
}

static bool put_libkrun(const struct machine *m, FILE *to, FILE *hints)
{
	char *words = machine_kernel_words(m), *line = NULL, *path = NULL;
	bool ok = words && asprintf(&line, "reboot=k panic=-1%s", words) >= 0;

	if (!ok)
		line = NULL;
	if (ok) {
		fprintf(to, "uint32_t ctx = krun_create_ctx();\n\nkrun_set_vm_config(ctx, %" PRIu32 ", %" PRIu32 ");\n", cpus(m),
			memory(m));
		put_call(to, "krun_set_kernel(ctx, ", m->kernel);
		put_call(to, ", KRUN_KERNEL_FORMAT_ELF,\n    ", m->initrd);
		put_call(to, ",\n    ", line);
		fputs(");\nkrun_disable_implicit_vsock(ctx);\nkrun_add_vsock(ctx, 0);\n", to);
	}
	for (uint32_t port = WIRE_PORT_BASE; ok && port <= WIRE_PORT_BASE + 1; port++) {
		ok = asprintf(&path, "%s_%" PRIu32, m->base, port) >= 0;
		if (!ok)
			break;
		fprintf(to, "krun_add_vsock_port(ctx, %" PRIu32 ", ", port);
		put_call(to, "", path);
		fputs(");\n", to);
		free(path);
	}
	if (ok) {
		fputs("krun_start_enter(ctx);\n", to);
		fputs("each of these calls answers below 0 when it fails; the guest's CID is 3\n", hints);
	}
	free(words);
	free(line);
	return ok;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool pci;
	bool (*put)(const struct machine *m, FILE *to, FILE *hints);
} vmms[VMMS] = {
	[VMM_QEMU] = { "qemu", false, put_qemu },
	[VMM_QEMU_Q35] = { "qemu-q35", true, put_q35 },
	[VMM_FIRECRACKER] = { "firecracker", false, put_firecracker },
	[VMM_CLOUD_HYPERVISOR] = { "cloud-hypervisor", true, put_cloud_hypervisor },
	[VMM_LIBKRUN] = { "libkrun", false, put_libkrun },
};

int vmm_parse(const char *name)
{
	for (int i = 0; i < VMMS; i++)
		if (!strcmp(name, vmms[i].name))
			return i;
	return -1;
}

const char *vmm_name(enum vmm vmm)
{
	return vmms[vmm].name;
}

bool vmm_needs_pci(enum vmm vmm)
{
	return vmms[vmm].pci;
}

bool vmm_print(enum vmm vmm, const struct machine *m, FILE *to, FILE *hints)
{
	return vmms[vmm].put(m, to, hints);
}
