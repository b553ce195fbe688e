/* SPDX-License-Identifier: MIT */
/*
 * Not a second set of rules: each directory goes through the code that serves it, from vm.json to COMMIT. So what is
 * said here is what hawserd would say, and a file it could not read is found now.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "source.h"

#define BUFFER (2 * WIRE_FRAME_MAX)

static const char usage[] =
	"usage: hawser check VMDIR...\n"
	"\n"
	"Checks vm.json, files/ and credentials/ of each machine as hawserd would. Prints one line for each good\n"
	"machine, and each problem on stderr.\n"
	"\n"
	"Exit status: 0 all are good, 1 there are problems, 2 wrong usage.\n";

/* Who has which cid, among the directories of one command. */
struct seen {
	const char *dir;
	uint32_t cid;
};

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static const char *put_size(char *text, size_t size, uint64_t bytes)
{
	if (bytes < 1024)
		snprintf(text, size, "%u byte%s", (unsigned)bytes, plural(bytes));
	else if (bytes < 1024 * 1024)
		snprintf(text, size, "%.1f KiB", (double)bytes / 1024);
	else
		snprintf(text, size, "%.1f MiB", (double)bytes / (1024 * 1024));
	return text;
}

static void complain(const struct problem *problem)
{
	fprintf(stderr, "%s\n", problem->text);
}

/* Reads everything, as for a guest; credentials pass through here, so the buffer is never swapped, and is wiped. */
static bool read_all(struct source *source, struct problem *problem)
{
	struct wire_out out = { .size = BUFFER };
	void *memory = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (memory == MAP_FAILED)
		return problem_set(problem, "hawser check", 0, 0, "%s", strerror(errno)) == 0;
	mlock(memory, BUFFER);
	madvise(memory, BUFFER, MADV_DONTDUMP);
	out.buf = memory;
	do {
		out.len = 0;
		rc = source_next(source, &out, problem);
	} while (rc > 0);
	explicit_bzero(memory, BUFFER);
	munmap(memory, BUFFER);
	return rc == 0;
}

/* That takes a key, which whoever checks need not have: what is in there counts as nothing. */
static int decrypt_not(void *arg, const char *name, int fd, struct secret_vault *vault, struct problem *problem)
{
	(void)arg;
	(void)name;
	(void)fd;
	(void)problem;
	vault->len = 0;
	return 0;
}

static bool check_contents(const struct vmconfig *config, int fd, const char *dir, struct source_totals *totals)
{
	struct problem problem;
	static const struct source_decrypter decrypter = { decrypt_not, NULL };
	struct source *source = source_create(config, fd, dir, true, &problem);
	bool good;

	if (source)
		source_decrypts(source, &decrypter);
	good = source && read_all(source, &problem);
	if (good)
		*totals = source_totals(source);
	else
		complain(&problem);
	source_destroy(source);
	return good;
}

/* A machine is called what its directory is called. */
static bool check_name(const char *dir, char *name, size_t size)
{
	char *real = realpath(dir, NULL);
	const char *last = real ? strrchr(real, '/') + 1 : "";
	bool good = vmconfig_name_ok(last);
	struct problem problem;

	snprintf(name, size, "%s", last);
	if (!good && real)
		problem_set(&problem, dir, 0, 0, "\"%.100s\" is not a machine's name: at most %d letters, digits, "
			"\".\", \"_\" and \"-\", beginning with neither \".\" nor \"-\"; rename it", last,
			VMCONFIG_NAME_MAX);
	else if (!good)
		problem_set(&problem, dir, 0, 0, "%s", strerror(errno));
	if (!good)
		complain(&problem);
	free(real);
	return good;
}

static bool check_cid(const char *dir, uint32_t cid, struct seen *seen, size_t *n_seen)
{
	struct problem problem;

	for (size_t i = 0; cid && i < *n_seen; i++) {
		if (seen[i].cid != cid)
			continue;
		problem_set(&problem, dir, 0, 0, "hawser.cid is %u, which %.200s has already; give it one of its own",
			cid, seen[i].dir);
		complain(&problem);
		return false;
	}
	seen[(*n_seen)++] = (struct seen){ dir, cid };
	return true;
}

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int error = errno;
	struct problem problem;
	struct stat st;

	if (fd >= 0)
		return fd;
	if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
		problem_set(&problem, dir, 0, 0,
			"is a symbolic link, and none is followed; give the directory itself");
	else
		vmconfig_dir_problem(dir, error, &problem);
	complain(&problem);
	return -1;
}

/* The defaults, so that files/ and credentials/ are looked at although vm.json is wrong. */
static struct vmconfig *any_config(void)
{
	struct problem problem;

	return vmconfig_parse("{}", 2, "", &problem);
}

static bool check_dir(const char *dir, struct seen *seen, size_t *n_seen)
{
	char name[VMCONFIG_NAME_MAX + 1], files[32], credentials[32];
	struct source_totals totals = { 0 };
	struct vmconfig *config;
	struct problem problem;
	size_t n_args;
	int fd = open_dir(dir);
	bool good;

	if (fd < 0)
		return false;
	good = check_name(dir, name, sizeof name);
	config = vmconfig_load(fd, dir, &problem);
	if (!config) {
		complain(&problem);
		good = false;
		config = any_config();
	} else {
		good = check_cid(dir, config->cid, seen, n_seen) && good;
	}
	good = config && check_contents(config, fd, dir, &totals) && good;
	n_args = config ? config->n_args : 0;
	vmconfig_destroy(config);
	close(fd);
	if (good)
		printf("%s: ok: %zu argument%s, %zu file%s (%s), %zu credential%s (%s)\n", name,
			n_args, plural(n_args), totals.files, plural(totals.files),
			put_size(files, sizeof files, totals.file_bytes),
			totals.credentials, plural(totals.credentials),
			put_size(credentials, sizeof credentials, totals.credential_bytes));
	return good;
}

/* A trailing slash would make the kernel follow a symbolic link. */
static void strip_slashes(char *dir)
{
	for (size_t len = strlen(dir); len > 1 && dir[len - 1] == '/'; len--)
		dir[len - 1] = '\0';
}

int check_main(int argc, char *argv[])
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { NULL } };
	struct seen *seen;
	size_t n_seen = 0;
	int option, rc = 0;

	optind = 0;      /* hawser has been through its own options with getopt */
	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (option == 'h')
			return fputs(usage, stdout) < 0 || fflush(stdout) != 0;
		fputs(usage, stderr);
		return 2;
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return 2;
	}
	seen = calloc((size_t)argc, sizeof *seen);
	if (!seen) {
		perror("hawser check");
		return 1;
	}
	for (int i = optind; i < argc; i++) {
		strip_slashes(argv[i]);
		if (!check_dir(argv[i], seen, &n_seen))
			rc = 1;
	}
	free(seen);
	if (fflush(stdout) != 0)
		rc = 1;
	return rc;
}
