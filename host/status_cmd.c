/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "status_cmd.h"

#define ANSWER_MS 10000

static const char usage[] =
	"usage: hawser status [--json] [--runtime DIR]\n"
	"\n"
	"Shows which machines a hawserd serves, and how they are.\n"
	"\n"
	"  --json           as hawserd says it, one JSON object\n"
	"  --runtime DIR    the hawserd whose runtime directory this is (default /run/hawser)\n"
	"\n"
	"Exit status: 0; 1 a failure; 2 wrong usage.\n";

/* -1: go on; else the exit status. */
static int parse(bool *json, const char **runtime, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' }, { "runtime", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (c == 'j')
			*json = true;
		else if (c == 'r')
			*runtime = optarg;
		else if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs("See hawser status --help\n", stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "hawser status: %s: nothing is expected here; see hawser status --help\n", argv[optind]);
	return 2;
}

static int answer_get(struct client *client, const char **line, size_t *len)
{
	char buf[64];
	struct json_out out = { .buf = buf, .size = sizeof buf };
	json_line_begin(&out);
	json_put_string(&out, "op", "status");
	json_line_end(&out);
	int result = client_send(client, &out);
	return result < 0 ? result : client_line_wait(client, ANSWER_MS, line, len);
}

int status_cmd_main(int argc, char *argv[])
{
	struct client client;
	const char *line, *runtime = NULL;
	size_t len;
	bool json = false;

	int result = parse(&json, &runtime, argc, argv);
	if (result >= 0)
		return result;
	if (!client_open(&client, runtime))
		return 1;
	result = answer_get(&client, &line, &len);
	if (result > 0)
		printf("%.*s\n", (int)len, line);
	else
		fprintf(stderr, "hawser status: hawserd did not answer: %s\n", result ? strerror(-result) : "it hung up");
	client_close(&client);
	return result <= 0;
}
