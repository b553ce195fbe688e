/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "run_options.h"

enum kind { FLAG, TEXT, CALL };

struct option_row {
	const char *name, *value, *help;         /* value NULL: takes none */
	enum kind kind;
	size_t offset;
	int (*call)(struct run_options *o, const char *value, char *error, size_t error_size);
};

static int set_accel(struct run_options *o, const char *value, char *error, size_t error_size)
{
	int accel = accel_parse(value);
	if (accel < 0) {
		snprintf(error, error_size, "--accel %s: must be auto, kvm or tcg", value);
		return -1;
	}
	o->accel = (enum accel)accel;
	return 0;
}

static int set_vsock(struct run_options *o, const char *value, char *error, size_t error_size)
{
	static const char *const names[] = { [RUN_VSOCK_AUTO] = "auto", [RUN_VSOCK_DEVICE] = "device",
		[RUN_VSOCK_VHOST] = "vhost" };
	for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
		if (strcmp(value, names[i]) == 0) {
			o->vsock = (enum run_vsock)i;
			return 0;
		}
	snprintf(error, error_size, "--vsock %s: must be auto, device (vhost-device-vsock) or vhost (the kernel's "
		"vhost-vsock)", value);
	return -1;
}

static int set_vmm(struct run_options *o, const char *value, char *error, size_t error_size)
{
	int vmm = vmm_parse(value);
	if (vmm < 0) {
		snprintf(error, error_size, "--vmm %s: must be qemu, qemu-q35, firecracker, cloud-hypervisor or libkrun",
			value);
		return -1;
	}
	o->vmm = (enum vmm)vmm;
	return 0;
}

static int set_cid(struct run_options *o, const char *value, char *error, size_t error_size)
{
	char *end;
	errno = 0;
	unsigned long long cid = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || cid < 3 || cid > 0xfffffffeULL) {
		snprintf(error, error_size, "--cid %s: must be a number from 3 to 4294967294", value);
		return -1;
	}
	o->cid = (uint32_t)cid;
	return 0;
}

static int set_wait_ready(struct run_options *o, const char *value, char *error, size_t error_size)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || seconds < 1 || seconds > 86400) {
		snprintf(error, error_size, "--wait-ready %s: must be 1 to 86400 seconds", value);
		return -1;
	}
	o->wait_ready_s = (uint32_t)seconds;
	return 0;
}

#define AT(member) offsetof(struct run_options, member)

static const struct option_row options[] = {
	{ "raw", NULL, "the program's stdout and stderr as they are, and nothing else", FLAG, AT(raw), NULL },
	{ "json", NULL, "every record as a JSON line (docs/LOGS.md)", FLAG, AT(json), NULL },
	{ "quiet", NULL, "no log and no summary", FLAG, AT(quiet), NULL },
	{ "tty", NULL, "-t: the program on a terminal, which is ours; Ctrl-] three times within 1 s ends the machine", FLAG,
		AT(tty), NULL },
	{ "serial", NULL, "the guest's serial console, too", FLAG, AT(serial), NULL },
	{ "log", "FILE", "also append every record to FILE, as JSON lines", TEXT, AT(log), NULL },
	{ "name", "NAME", "the machine's name (default: that of VMDIR)", TEXT, AT(name), NULL },
	{ "kernel", "FILE", "default: vmlinux beside this program, or in ../share/hawser", TEXT, AT(kernel), NULL },
	{ "initrd", "FILE", "default: initramfs.cpio there", TEXT, AT(initrd), NULL },
	{ "append", "WORDS", "more words for the kernel's command line", TEXT, AT(append), NULL },
	{ "accel", "auto|kvm|tcg", "auto: KVM where it really works", CALL, 0, set_accel },
	{ "vsock", "auto|device|vhost", "vhost-device-vsock, or the kernel's vhost-vsock", CALL, 0, set_vsock },
	{ "cid", "N", "the guest's address (default: vm.json's, or 3)", CALL, 0, set_cid },
	{ "wait-ready", "SECONDS", "fails unless the program says READY=1 by then", CALL, 0, set_wait_ready },
	{ "runtime", "DIR", "use the hawserd whose runtime directory this is", TEXT, AT(runtime), NULL },
	{ "private", NULL, "start a hawserd even if one answers in /run/hawser", FLAG, AT(own_hawserd), NULL },
	{ "dry-run", NULL, "print how to boot the machine beside a hawserd of the system, and do nothing", FLAG,
		AT(dry_run), NULL },
	{ "vmm", "NAME", "qemu (default) or qemu-q35; with --dry-run also firecracker, cloud-hypervisor, libkrun", CALL, 0,
		set_vmm },
	{ "help", NULL, "this text", FLAG, AT(help), NULL },
};

#define N_OPTIONS (sizeof options / sizeof *options)

void run_options_help(FILE *out)
{
	fputs("usage: hawser run [OPTIONS] VMDIR [-- COMMAND...]\n\n"
		"Boots the machine that a directory describes, shows its log, and ends with its program's exit status.\n"
		"COMMAND takes the place of the program that VMDIR/vm.json names.\n\n", out);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		char left[40];
		snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].value ? " " : "",
			options[i].value ? options[i].value : "");
		fprintf(out, "  %-24s %s\n", left, options[i].help);
	}
	fputs("\nExit status: that of the guest's program; 128 and the signal's number when it was killed; 126 or 127\n"
		"when it could not be started; 125 when the machine or what it needs failed.\n", out);
}

static const struct option_row *find(const char *word, size_t len)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, word, len) == 0)
			return &options[i];
	return NULL;
}

static int unknown(const char *word, size_t len, char *error, size_t error_size)
{
	char name[64];
	const char *names[N_OPTIONS];
	snprintf(name, sizeof name, "%.*s", (int)len, word);
	for (size_t i = 0; i < N_OPTIONS; i++)
		names[i] = options[i].name;
	const char *near = nearest(name, N_OPTIONS, names);
	if (near)
		snprintf(error, error_size, "unknown option --%s: did you mean --%s? See hawser run --help", name,
			near);
	else
		snprintf(error, error_size, "unknown option --%s; see hawser run --help", name);
	return -1;
}

/* The option at argv[i]. Returns how many words it took, or -1. */
static int option_take(struct run_options *o, char *const words[], int n, char *error, size_t error_size)
{
	const char *word = words[0] + 2, *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct option_row *row = find(word, len);

	if (!row)
		return unknown(word, len, error, error_size);
	if (!row->value && equals) {
		snprintf(error, error_size, "--%s takes no value", row->name);
		return -1;
	}
	if (!row->value) {
		*(bool *)((char *)o + row->offset) = true;
		return 1;
	}
	if (!equals && n < 2) {
		snprintf(error, error_size, "--%s needs a value: --%s %s", row->name, row->name, row->value);
		return -1;
	}
	const char *value = equals ? equals + 1 : words[1];
	if (row->kind == TEXT)
		*(const char **)((char *)o + row->offset) = value;
	else if (row->call(o, value, error, error_size) < 0)
		return -1;
	return equals ? 1 : 2;
}

bool run_options_no_tty(const struct run_options *o)
{
	return o->raw || o->json || o->serial || o->wait_ready_s;
}

int run_options_parse(struct run_options *o, int argc, char *argv[], char *error, size_t error_size)
{
	*o = (struct run_options){ 0 };
	for (int i = 1; i < argc;) {
		if (strcmp(argv[i], "--") == 0) {
			o->command = argv + i + 1;
			o->n_command = (size_t)(argc - i - 1);
			break;
		}
		if (strcmp(argv[i], "-h") == 0) {
			o->help = true;
			i++;
		} else if (strcmp(argv[i], "-q") == 0) {
			o->quiet = true;
			i++;
		} else if (strcmp(argv[i], "-t") == 0) {
			o->tty = true;
			i++;
		} else if (strncmp(argv[i], "--", 2) == 0) {
			int n = option_take(o, argv + i, argc - i, error, error_size);
			if (n < 0)
				return -1;
			i += n;
		} else if (argv[i][0] == '-' && argv[i][1]) {
			snprintf(error, error_size, "unknown option %s; see hawser run --help", argv[i]);
			return -1;
		} else if (o->dir) {
			snprintf(error, error_size, "%s: one directory at a time; a command goes behind \"--\"",
				argv[i]);
			return -1;
		} else
			o->dir = argv[i++];
	}
	if (!o->dir && !o->help) {
		snprintf(error, error_size, "which machine? give its directory: hawser run VMDIR; "
			"see hawser run --help");
		return -1;
	}
	if (o->vmm > VMM_QEMU_Q35 && !o->dry_run && !o->help) {
		snprintf(error, error_size, "--vmm %s: hawser does not run it, but --dry-run prints how to; see docs/VMM.md",
			vmm_name(o->vmm));
		return -1;
	}
	if (o->raw + o->json + o->quiet > 1) {
		snprintf(error, error_size, "--raw, --json and --quiet exclude each other: give one of them");
		return -1;
	}
	if (o->tty && run_options_no_tty(o)) {
		snprintf(error, error_size, "-t has the terminal for the program alone: it excludes --raw, --json, --serial "
			"and --wait-ready");
		return -1;
	}
	return 0;
}
