/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "vm_cmd.h"

#define ANSWER_MS 10000

static const struct {
	const char *name, *does;
} commands[] = {
	{ "revoke", "Closes a machine's access to its configuration and credentials, until it is rearmed. A guest that\n"
		"runs goes on, with what it has." },
	{ "rearm", "Opens a machine's access again that was revoked, and has credentials that are delivered once\n"
		"delivered once more, to its next boot." },
};

static void help(const char *name)
{
	size_t which = strcmp(name, commands[0].name) ? 1 : 0;

	printf("usage: hawser %s [--runtime DIR] VM\n\n%s\n\n"
		"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n\n"
		"Exit status: 0; 1 a failure; 2 wrong usage.\n", name, commands[which].does);
}

static int ask(const char *name, const char *runtime, const char *vm)
{
	struct client client;
	char buf[1024];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	struct problem problem;
	int r;

	if (!client_open(&client, runtime))
		return 1;
	json_line_begin(&out);
	json_put_string(&out, "op", name);
	json_put_string(&out, "vm", vm);
	r = json_line_end(&out) ? client_send(&client, &out) : -ENAMETOOLONG;
	r = client_answer_wait(&client, r, ANSWER_MS, &problem);
	if (r < 0)
		fprintf(stderr, "hawser %s: %s\n", name, problem.text);
	client_close(&client);
	return r < 0;
}

int vm_cmd_main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "runtime", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	const char *runtime = NULL;

	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 'h') {
			help(argv[0]);
			return 0;
		}
		if (c != 'r') {
			fprintf(stderr, "See hawser %s --help\n", argv[0]);
			return 2;
		}
		runtime = optarg;
	}
	if (optind + 1 == argc)
		return ask(argv[0], runtime, argv[optind]);
	fprintf(stderr, "hawser %s: name one machine; see hawser %s --help\n", argv[0], argv[0]);
	return 2;
}
