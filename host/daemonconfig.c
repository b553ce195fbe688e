/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vsock/log.h"
#include "../vsock/wire.h"
#include "daemonconfig.h"
#include "json.h"
#include "scrape.h"

#define FILE_MAX (1 << 20)
/* Where there are no users of these names: numbers that no distribution and no service manager hands out. */
#define SERVER_USER "hawser"
#define SERVER_UID 61100
#define READER_USER "hawser-reader"
#define READER_UID 61101

static const char usage[] =
	"usage: hawserd [options]\n"
	"\n"
	"Serves configuration and secrets to the guests of this host, and keeps their logs.\n"
	"\n"
	"  --config FILE        settings (" DAEMONCONFIG_FILE ", if it is there)\n"
	"  --vms DIR            a directory for each machine: vm.json, credentials/, files/\n"
	"  --state DIR          logs, and what must outlive a restart\n"
	"  --runtime DIR        sockets\n"
	"  --check              look at the settings and at every machine's directory, and exit\n"
	"  --log-level LEVEL    error, warn, info or debug\n"
	"  --ready-fd N         write a newline there when all sockets are listening\n"
	"  --die-with-parent    end when the process that started this one does\n"
	"  --help, --version\n";

static const char *const sync_names[] = { "write", "fdatasync", NULL };

static const char *absolute(const char *text)
{
	return *text == '/' ? NULL : "must be an absolute path";
}

#define AT(member) offsetof(struct daemonconfig, member)

static const struct json_field limit_fields[] = {
	{ "connections", JSON_KIND_U32, AT(connections_max), .max = 1000000 },
	{ "connectionsPerVm", JSON_KIND_U32, AT(connections_vm_max), .min = 2, .max = 10000 },
	{ "helloRateVm", JSON_KIND_U32, AT(hello_rate_vm), .max = 1000000 },
	{ "openLogs", JSON_KIND_U32, AT(open_logs_max), .max = 1000000 },
	{ "followers", JSON_KIND_U32, AT(followers_max), .min = 1, .max = 10000 },
	{ "logBytesVm", JSON_KIND_U64, AT(log_bytes_vm), .min = 4 << 20, .max = 1ull << 50 },
	{ "logRateVm", JSON_KIND_U64, AT(log_rate_vm), .max = 1ull << 40 },
	{ NULL },
};

static const struct json_field log_fields[] = {
	{ "text", JSON_KIND_BOOL, AT(log_text) },
	{ "json", JSON_KIND_BOOL, AT(log_json) },
	{ "stdout", JSON_KIND_BOOL, AT(log_stdout) },
	{ "journal", JSON_KIND_BOOL, AT(log_journal) },
	{ "maxBytes", JSON_KIND_U64, AT(log_max_bytes), .max = 1ull << 50 },
	{ "maxFiles", JSON_KIND_U32, AT(log_max_files), .min = 1, .max = 1000 },
	{ "sync", JSON_KIND_CHOICE, AT(log_sync), .names = sync_names },
	{ NULL },
};

static const struct json_field fields[] = {
	{ "vms", JSON_KIND_STRING, AT(vms), .min = 1, .max = 4000, .check = absolute },
	{ "state", JSON_KIND_STRING, AT(state), .min = 1, .max = 4000, .check = absolute },
	{ "runtime", JSON_KIND_STRING, AT(runtime), .min = 1, .max = 4000, .check = absolute },
	{ "audit", JSON_KIND_STRING, AT(audit), .min = 1, .max = 4000, .check = absolute },
	{ "user", JSON_KIND_STRING, AT(user), .min = 1, .max = 255 },
	{ "readerUser", JSON_KIND_STRING, AT(reader_user), .min = 1, .max = 255 },
	{ "port", JSON_KIND_U32, AT(port), .min = 1, .max = 1021 },
	{ "vsock", JSON_KIND_BOOL, AT(vsock) },
	{ "graceMs", JSON_KIND_U32, AT(grace_ms), .min = 100, .max = 3600000 },
	{ "helloTimeoutMs", JSON_KIND_U32, AT(hello_timeout_ms), .min = 10, .max = 60000 },
	{ "limits", JSON_KIND_OBJECT, .fields = limit_fields },
	{ "log", JSON_KIND_OBJECT, .fields = log_fields },
	{ "metrics", JSON_KIND_STRING, AT(metrics), .min = 1, .max = 200, .check = scrape_place },
	{ NULL },
};

static bool string_set(char **to, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return false;
	free(*to);
	*to = copy;
	return true;
}

void daemonconfig_defaults(struct daemonconfig *config)
{
	*config = (struct daemonconfig){ .port = WIRE_PORT_BASE, .grace_ms = 3000, .hello_timeout_ms = 1000,
		.connections_vm_max = 16, .hello_rate_vm = 100, .log_rate_vm = 16 << 20, .followers_max = 64,
		.log_text = true, .log_max_bytes = 64 << 20,
		.log_max_files = 8, .ready_fd = -1, .log_level = LOG_LEVEL_INFO };
	string_set(&config->vms, "/etc/hawser/vms");
	string_set(&config->state, "/var/lib/hawser");
	string_set(&config->runtime, "/run/hawser");
}

void daemonconfig_free(struct daemonconfig *config)
{
	free(config->vms);
	free(config->state);
	free(config->runtime);
	free(config->metrics);
	free(config->audit);
	free(config->user);
	free(config->reader_user);
	config->audit = config->user = config->reader_user = NULL;
	config->vms = config->state = config->runtime = config->metrics = NULL;
}

int daemonconfig_parse(struct daemonconfig *config, const char *text, size_t len, const char *file,
	struct problem *problem)
{
	struct json *json = json_read(text, len, file, problem);
	int r = json ? json_fields(json_top(json), fields, config, problem) : -1;

	json_free(json);
	return r < 0 ? -1 : 0;
}

int daemonconfig_users(struct daemonconfig *config, struct problem *problem)
{
	const char *wrong = user_find(&config->server, config->user, SERVER_USER, SERVER_UID);

	if (wrong)
		return problem_set(problem, "\"user\" of the settings", 0, 0, "%s", wrong);
	wrong = user_find(&config->reader, config->reader_user, READER_USER, READER_UID);
	if (!wrong && config->reader.uid == config->server.uid)
		wrong = "must not be \"user\", too: the one is not to look into the other";
	return wrong ? problem_set(problem, "\"readerUser\" of the settings", 0, 0, "%s", wrong) : 0;
}

static int file_read(struct daemonconfig *config, const char *file, bool must, struct problem *problem)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = -1;
	char *text = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0 && errno == ENOENT && !must)
		return 0;
	if (fd < 0)
		return problem_set(problem, file, 0, 0, "%s", strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		problem_set(problem, file, 0, 0, "not a regular file of at most %d bytes", FILE_MAX);
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	len = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (len < 0)
		problem_set(problem, file, 0, 0, "%s", strerror(errno));
	else
		r = daemonconfig_parse(config, text, (size_t)len, file, problem);
out:
	free(text);
	close(fd);
	return r;
}

enum option_value { OPT_CONFIG = 1, OPT_VMS, OPT_STATE, OPT_RUNTIME, OPT_CHECK, OPT_LOG_LEVEL, OPT_READY_FD, OPT_DIE,
	OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "vms", required_argument, NULL, OPT_VMS },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "runtime", required_argument, NULL, OPT_RUNTIME },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "die-with-parent", no_argument, NULL, OPT_DIE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL },
};

/* Paths of the command line may be relative: they are made absolute once, here. */
static bool path_set(char **to, const char *path)
{
	char *here, *whole = NULL;
	bool ok;

	if (*path == '/')
		return string_set(to, path);
	here = getcwd(NULL, 0);
	ok = here && asprintf(&whole, "%s/%s", here, path) >= 0;
	free(here);
	if (!ok)
		return false;
	free(*to);
	*to = whole;
	return true;
}

static bool number_parse(int *to, const char *text)
{
	char *end;
	long v = strtol(text, &end, 10);

	*to = (int)v;
	return *text && !*end && v >= 0 && v < 1 << 20;
}

/* With `file` only --config is looked at: the file comes first, whatever the order of the options. */
static enum daemonconfig_result options_read(struct daemonconfig *config, int argc, char **argv, bool file)
{
	bool ok = true;

	optind = 1;
	opterr = !file;
	for (int o; ok && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == OPT_CONFIG)
			config->file = optarg;
		if (o == OPT_HELP || o == OPT_VERSION) {
			fputs(o == OPT_HELP ? usage : "hawserd, protocol version 1\n", stdout);
			return DAEMONCONFIG_SHOWN;
		}
		if (file)
			continue;
		if (o == OPT_VMS)
			ok = path_set(&config->vms, optarg);
		else if (o == OPT_STATE)
			ok = path_set(&config->state, optarg);
		else if (o == OPT_RUNTIME)
			ok = path_set(&config->runtime, optarg);
		else if (o == OPT_CHECK)
			config->check = true;
		else if (o == OPT_LOG_LEVEL)
			ok = (config->log_level = log_level_parse(optarg)) >= 0;
		else if (o == OPT_READY_FD)
			ok = number_parse(&config->ready_fd, optarg);
		else if (o == OPT_DIE)
			config->die_with_parent = true;
		else if (o == '?')
			return DAEMONCONFIG_USAGE;
		if (!ok)
			fprintf(stderr, "hawserd: %s is not what the option before it takes; try --help\n", optarg);
	}
	if (ok && !file && optind < argc) {
		fprintf(stderr, "hawserd: takes no argument (%s); try --help\n", argv[optind]);
		ok = false;
	}
	return ok ? DAEMONCONFIG_RUN : DAEMONCONFIG_USAGE;
}

enum daemonconfig_result daemonconfig_read(struct daemonconfig *config, int argc, char **argv,
	struct problem *problem)
{
	daemonconfig_defaults(config);
	if (options_read(config, argc, argv, true) == DAEMONCONFIG_SHOWN)
		return DAEMONCONFIG_SHOWN;
	if (file_read(config, config->file ? config->file : DAEMONCONFIG_FILE, config->file, problem) < 0)
		return DAEMONCONFIG_WRONG;
	return options_read(config, argc, argv, false);
}
