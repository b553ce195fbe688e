/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply.h"
#include "control.h"
#include "event.h"
#include "mount.h"
#include "root.h"
#include "tree.h"

struct apply {
	struct boot *boot;
	int root;                /* of the guest's tree */
	mode_t credentials_mode; /* of their directory */
	struct wire_text wrong;  /* what of a record could not be applied, where that is not the record's name */
};

typedef int apply_record(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame);

static int hostname(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)a, (void)frame;
	return sethostname(record->text.s, record->text.len) < 0 ? -errno : 0;
}

/* Dots of the name are slashes of the path, as sysctl(8) has it. */
static int sysctl(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	char path[sizeof "/proc/sys/" + WIRE_NAME_MAX] = "/proc/sys/";
	char *name = path + strlen(path);
	int fd, error = 0;

	(void)a, (void)frame;
	if (!wire_text_copy(name, WIRE_NAME_MAX + 1, record->sysctl.name))
		return -ENAMETOOLONG;
	for (; *name; name++) {
		if (name[0] == '.' && name[1] == '.')
			return -EINVAL;
		if (*name == '.')
			*name = '/';
	}
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, record->sysctl.value.s, record->sysctl.value.len) < 0)
		error = -errno;
	close(fd);
	return error;
}

static int mounts(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)a, (void)frame;
	return mount_configured(&record->mount);
}

static int log_policy(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	struct ring_orders *orders = &a->boot->ring.shared->orders;

	(void)frame;
	orders->size = record->log.ring;
	orders->full = record->log.full;
	event_poke();
	return 0;
}

static int power(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)frame;
	if (record->power != WIRE_POWER_DETECT)
		a->boot->options.power = record->power;
	return 0;
}

static int dir(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)frame;
	return tree_place_dir(a->root, record->node.path, &record->node);
}

static int file(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)frame;
	return tree_move(a->boot->plan.stage, a->root, record->node.path, &record->node, record->type == WIRE_SYMLINK);
}

static int credential(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	const struct wire_node *node = &record->node;
	char name[WIRE_NAME_MAX + 1];
	int error;

	(void)frame;
	wire_text_copy(name, sizeof name, node->path);
	error = tree_own(a->boot->plan.secrets, name, node, false);
	if (error)
		return error;
	/* A credential that is not root's alone can be reached by its owner, and its name still not be listed. */
	if (node->uid != 0 || (node->mode & 077))
		a->credentials_mode = 0711;
	a->boot->credentials = true;
	return 0;
}

static int handoff_mode(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)frame;
	a->boot->handoff = record->handoff.mode;
	if (a->boot->handoff != WIRE_HANDOFF_SWITCH_ROOT)
		return 0;
	return root_enter(&record->handoff, a->boot->deadline_ns, &a->wrong);
}

static int control(struct apply *a, const struct wire_boot *record, const struct wire_frame *frame)
{
	(void)frame;
	a->boot->verbs = record->verbs;
	return control_listen(a->boot);
}

/* In the order of the stages: everything of one stage is applied before the next begins. The root is first. */
static const struct {
	uint16_t type;
	uint8_t stage;
	apply_record *apply;
} table[] = {
	{ WIRE_LOG, 0, log_policy },
	{ WIRE_POWER, 0, power },
	{ WIRE_HANDOFF, 0, handoff_mode },
	{ WIRE_HOSTNAME, 1, hostname },
	{ WIRE_SYSCTL, 1, sysctl },
	{ WIRE_MOUNT, 1, mounts },
	{ WIRE_DIR, 2, dir },
	{ WIRE_FILE, 2, file },
	{ WIRE_SYMLINK, 2, file },
	{ WIRE_CREDENTIAL, 2, credential },
	{ WIRE_CONTROL, 2, control },
};
#define STAGES 3

/* The record as a person knows it. Names only: a value may be nobody's business. */
static void describe(const struct wire_boot *record, struct wire_text name, int error, char *what, size_t size)
{
	if (record->type == WIRE_SYSCTL)
		name = record->sysctl.name;
	else if (record->type == WIRE_MOUNT)
		name = record->mount.destination;
	else if (record->type >= WIRE_DIR && record->type <= WIRE_CREDENTIAL)
		name = record->node.path;
	snprintf(what, size, "%s %.*s: %s", wire_type_name(record->type), (int)name.len, name.s, strerror(-error));
}

static apply_record *find(uint16_t type, uint8_t stage)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].type == type && table[i].stage == stage)
			return table[i].apply;
	return NULL;
}

static int stage_apply(struct apply *a, uint8_t stage, char *what, size_t size)
{
	struct wire_boot record;
	struct wire_frame frame;
	size_t at = 0;

	while (plan_frame(&a->boot->plan, &at, &frame)) {
		apply_record *step = find(frame.type, stage);
		int error = 0;

		if (step && !wire_boot_decode(&frame, &record))
			error = step(a, &record, &frame);
		if (error) {
			describe(&record, a->wrong, error, what, size);
			return error;
		}
	}
	return 0;
}

static bool of_workload(uint16_t type)
{
	return type == WIRE_ARG || type == WIRE_ENV || type == WIRE_CWD || type == WIRE_USER || type == WIRE_WORKLOAD;
}

/*
 * The workload is started by another process, after BusyBox: it reads the same records with the same decoder. They
 * mostly lie in a row, and each run of them is one write.
 */
static int workload_write(const struct plan *plan)
{
	const uint8_t *run = plan->buf;
	struct wire_frame frame;
	size_t at = 0;
	int fd = -1, error = 0;

	for (bool more = true; more && !error;) {
		const uint8_t *next = plan->buf + at;
		ssize_t n = 0;

		more = plan_frame(plan, &at, &frame);
		if (more && of_workload(frame.type))
			continue;
		if (next > run && fd < 0)
			fd = open(APPLY_WORKLOAD, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (next > run)
			n = fd < 0 ? -1 : write(fd, run, (size_t)(next - run));
		error = n < 0 ? -errno : n < next - run ? -ENOSPC : 0;
		run = plan->buf + at;
	}
	if (fd >= 0)
		close(fd);
	return error;
}

static int credentials_publish(const struct apply *a)
{
	const char *where;

	if (!a->boot->credentials)
		return 0;
	/* systemd takes the initrd's credentials over, and then has them in the other place itself. */
	where = root_is_systemd() ? APPLY_CREDENTIALS_INITRD : APPLY_CREDENTIALS;
	mkdir("/run/credentials", 0755);
	mkdir(where, 0700);
	if (fchmod(a->boot->plan.secrets, a->credentials_mode) < 0)
		return -errno;
	return mount_publish(PLAN_SECRETS, where, !root_is_systemd());
}

int apply(struct boot *boot, char *what, size_t size)
{
	struct apply a = { .boot = boot, .root = -1, .credentials_mode = 0700 };
	const char *path;
	int error = 0;

	for (uint8_t stage = 0; stage < STAGES && !error; stage++) {
		if (stage == STAGES - 1)         /* with all mounts in it */
			a.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		error = stage_apply(&a, stage, what, size);
	}
	close(a.root);
	if (!error) {
		path = APPLY_WORKLOAD;
		error = workload_write(&boot->plan);
		if (!error) {
			path = APPLY_CREDENTIALS;
			error = credentials_publish(&a);
		}
		if (error)
			snprintf(what, size, "%s: %s", path, strerror(-error));
	}
	return error;
}
