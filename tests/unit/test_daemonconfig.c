/* SPDX-License-Identifier: MIT */
/* hawserd.json and the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/daemonconfig.h"

static int parse(struct daemonconfig *config, const char *text, struct problem *problem)
{
	return daemonconfig_parse(config, text, strlen(text), "hawserd.json", problem);
}

static void everything(void **state)
{
	struct daemonconfig config;
	struct problem problem;

	(void)state;
	daemonconfig_defaults(&config);
	assert_int_equal(parse(&config, "{\"vms\":\"/v\",\"state\":\"/s\",\"runtime\":\"/r\",\"port\":700,\"vsock\":true,"
		"\"graceMs\":500,\"helloTimeoutMs\":200,\"limits\":{\"connections\":10,\"connectionsPerVm\":4,"
		"\"helloRateVm\":20,\"openLogs\":30,"
		"\"followers\":2,\"logBytesVm\":9000000,\"logRateVm\":100000},\"log\":{\"text\":false,\"json\":true,\"stdout\":true,"
		"\"journal\":true,\"maxBytes\":1000,\"maxFiles\":3,"
		"\"sync\":\"fdatasync\"}}", &problem), 0);
	assert_string_equal(config.vms, "/v");
	assert_string_equal(config.state, "/s");
	assert_string_equal(config.runtime, "/r");
	assert_int_equal(config.port, 700);
	assert_true(config.vsock);
	assert_int_equal(config.grace_ms, 500);
	assert_int_equal(config.hello_timeout_ms, 200);
	assert_int_equal(config.connections_max, 10);
	assert_int_equal(config.connections_vm_max, 4);
	assert_int_equal(config.hello_rate_vm, 20);
	assert_int_equal(config.open_logs_max, 30);
	assert_int_equal(config.followers_max, 2);
	assert_int_equal(config.log_bytes_vm, 9000000);
	assert_int_equal(config.log_rate_vm, 100000);
	assert_false(config.log_text);
	assert_true(config.log_json);
	assert_true(config.log_stdout);
	assert_true(config.log_journal);
	assert_int_equal(config.log_max_bytes, 1000);
	assert_int_equal(config.log_max_files, 3);
	assert_int_equal(config.log_sync, DAEMONCONFIG_SYNC_FDATASYNC);
	daemonconfig_free(&config);
}

static void defaults(void **state)
{
	struct daemonconfig config;
	struct problem problem;

	(void)state;
	daemonconfig_defaults(&config);
	assert_int_equal(parse(&config, "{}", &problem), 0);
	assert_string_equal(config.vms, "/etc/hawser/vms");
	assert_int_equal(config.port, 610);
	assert_false(config.vsock);              /* nobody opens that by accident */
	assert_int_equal(config.grace_ms, 3000);
	assert_int_equal(config.hello_timeout_ms, 1000);
	assert_true(config.log_text);
	assert_int_equal(config.log_sync, DAEMONCONFIG_SYNC_WRITE);
	/* Nobody has to ask that one guest leaves something to the others. */
	assert_true(config.hello_rate_vm && config.log_rate_vm && config.connections_vm_max);
	daemonconfig_free(&config);
}

static void problems_name_the_place(void **state)
{
	static const struct { const char *text, *said; } cases[] = {
		{ "{\n \"grace\": 5 }", "hawserd.json:2:2: " },
		{ "{ \"vms\": \"relative\" }", "absolute" },
		{ "{ \"port\": 70000 }", "hawserd.json:1:11: " },
		{ "{ \"log\": { \"sync\": \"never\" } }", "hawserd.json:1:20: " },
		{ "{ \"vsock\": 1 }", "hawserd.json:1:12: " },
		{ "{", "hawserd.json:" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct daemonconfig config;
		struct problem problem;

		daemonconfig_defaults(&config);
		assert_int_equal(parse(&config, cases[i].text, &problem), -1);
		if (!strstr(problem.text, cases[i].said))
			fail_msg("%s: %s", cases[i].text, problem.text);
		daemonconfig_free(&config);
	}
}

static void options_override_the_file(void **state)
{
	char file[] = "/tmp/hawserd.json.XXXXXX";
	char *args[] = { "hawserd", "--state", "/over", "--ready-fd", "5", "--config", file, "--die-with-parent", NULL };
	struct daemonconfig config;
	struct problem problem;
	int fd = mkstemp(file);

	(void)state;
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "{\"state\":\"/file\",\"graceMs\":777}") > 0);
	assert_int_equal(daemonconfig_read(&config, 8, args, &problem), DAEMONCONFIG_RUN);
	assert_string_equal(config.state, "/over");
	assert_int_equal(config.grace_ms, 777);
	assert_int_equal(config.ready_fd, 5);
	assert_true(config.die_with_parent);
	daemonconfig_free(&config);
	close(fd);
	unlink(file);
	assert_int_equal(daemonconfig_read(&config, 8, args, &problem), DAEMONCONFIG_WRONG);
	daemonconfig_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(defaults),
		cmocka_unit_test(problems_name_the_place),
		cmocka_unit_test(options_override_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
