/* SPDX-License-Identifier: MIT */
/* Addresses as texts, and as Unix sockets. Nothing here opens a vsock: see test_address_vsock.c. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../vsock/address.h"

static void parse_vsock(void **state)
{
	static const struct { const char *text; uint32_t cid, port; } good[] = {
		{ "vsock:2:610", 2, 610 }, { "vsock:0:0", 0, 0 }, { "vsock:host:1", ADDRESS_CID_HOST, 1 },
		{ "vsock:local:1", ADDRESS_CID_LOCAL, 1 }, { "vsock:any:611", ADDRESS_CID_ANY, 611 },
		{ "vsock:3:any", 3, ADDRESS_PORT_ANY }, { "vsock:4294967295:4294967294", ADDRESS_CID_ANY, 4294967294u },
		{ "vsock:0042:007", 42, 7 },
	};
	struct address a;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_null(address_parse(&a, good[i].text));
		assert_int_equal(a.kind, ADDRESS_VSOCK);
		assert_int_equal(a.cid, good[i].cid);
		assert_int_equal(a.port, good[i].port);
	}
}

static void parse_errors(void **state)
{
	static const char cid[] = "the CID is not a number, any, host or local", port[] = "the port is not a number or any";
	static const char kind[] = "neither vsock:CID:PORT nor unix:PATH nor hybrid:BASE:PORT";
	static const struct { const char *text, *wrong; } bad[] = {
		{ "", kind }, { "vsock", kind }, { "tcp:1:2", kind }, { " vsock:2:1", kind }, { "VSOCK:2:1", kind },
		{ "unix", kind }, { "/run/socket", kind },
		{ "vsock:", "no port" }, { "vsock:2", "no port" }, { "vsock:host", "no port" },
		{ "vsock::610", cid }, { "vsock:-1:610", cid }, { "vsock:+2:610", cid }, { "vsock: 2:610", cid },
		{ "vsock:0x2:610", cid }, { "vsock:4294967296:610", cid }, { "vsock:99999999999999999999999:610", cid },
		{ "vsock:hos:610", cid }, { "vsock:hostx:610", cid }, { "vsock:guest:610", cid },
		{ "vsock:2:", port }, { "vsock:2:x", port }, { "vsock:2:610 ", port }, { "vsock:2:4294967296", port },
		{ "vsock:2:3:4", port }, { "vsock:2:host", port },
		{ "unix:", "no path" },
		{ "hybrid:", "no port" }, { "hybrid:/run/v", "no port" }, { "hybrid::610", "no path" },
		{ "hybrid:/run/v:", "the port is not a number" }, { "hybrid:/run/v:any", "the port is not a number" },
		{ "hybrid:/run/v:610x", "the port is not a number" },
	};
	struct address a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *wrong = address_parse(&a, bad[i].text);

		if (!wrong)
			fail_msg("accepted: %s", bad[i].text);
		if (strcmp(wrong, bad[i].wrong))
			fail_msg("%s: %s, not: %s", bad[i].text, wrong, bad[i].wrong);
	}
}

static void parse_paths(void **state)
{
	struct address a;

	(void)state;
	assert_null(address_parse(&a, "unix:/run/hawser.sock"));
	assert_int_equal(a.kind, ADDRESS_UNIX);
	assert_string_equal(a.path, "/run/hawser.sock");
	assert_null(address_parse(&a, "unix:a:b"));
	assert_string_equal(a.path, "a:b");
	assert_null(address_parse(&a, "hybrid:/run/v.sock:610"));
	assert_int_equal(a.kind, ADDRESS_UNIX);
	assert_string_equal(a.path, "/run/v.sock_610");
	assert_null(address_parse(&a, "hybrid:/run/a:b:0611"));
	assert_string_equal(a.path, "/run/a:b_611");
	assert_true(address_hybrid(&a, "base", 4294967295u));
	assert_string_equal(a.path, "base_4294967295");
	assert_true(address_unix(&a, "x"));
	assert_string_equal(a.path, "x");
	assert_false(address_unix(&a, ""));
	assert_false(address_hybrid(&a, "", 610));
}

static void path_lengths(void **state)
{
	char text[200], path[120];
	struct address a;

	(void)state;
	for (size_t len = 90; len < 120; len++) {
		memset(path, 'p', len);
		path[len] = 0;
		assert_int_equal(address_unix(&a, path), len <= ADDRESS_PATH_MAX);
		if (len <= ADDRESS_PATH_MAX)
			assert_string_equal(a.path, path);
		snprintf(text, sizeof(text), "unix:%s", path);
		if (len <= ADDRESS_PATH_MAX)
			assert_null(address_parse(&a, text));
		else
			assert_string_equal(address_parse(&a, text), "the path is too long");

		assert_int_equal(address_hybrid(&a, path, 610), len + 4 <= ADDRESS_PATH_MAX);
		assert_int_equal(address_hybrid(&a, path, 10610), len + 6 <= ADDRESS_PATH_MAX);
		snprintf(text, sizeof(text), "hybrid:%s:610", path);
		if (len + 4 <= ADDRESS_PATH_MAX)
			assert_null(address_parse(&a, text));
		else
			assert_string_equal(address_parse(&a, text), "the path is too long");
	}
}

static void format(void **state)
{
	static const struct { const char *text, *formatted; } cases[] = {
		{ "vsock:2:610", "vsock:2:610" }, { "vsock:host:610", "vsock:2:610" }, { "vsock:any:611", "vsock:any:611" },
		{ "vsock:3:any", "vsock:3:any" }, { "vsock:4294967294:4294967294", "vsock:4294967294:4294967294" },
		{ "unix:/run/x", "unix:/run/x" }, { "hybrid:/run/x:610", "unix:/run/x_610" },
	};
	char text[ADDRESS_TEXT], path[ADDRESS_PATH_MAX + 1];
	struct address a, again;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_null(address_parse(&a, cases[i].text));
		assert_ptr_equal(address_format(&a, text), text);
		assert_string_equal(text, cases[i].formatted);
		assert_null(address_parse(&again, text));
		assert_memory_equal(&a, &again, sizeof(a));
	}
	memset(path, 'p', ADDRESS_PATH_MAX);
	path[ADDRESS_PATH_MAX] = 0;
	assert_true(address_unix(&a, path));
	assert_int_equal(strlen(address_format(&a, text)), 5 + ADDRESS_PATH_MAX);
}

/* --- Unix sockets ----------------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/hawser-unit-XXXXXX";
static struct address here;

static int setup(void **state)
{
	char path[100];

	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/base", directory);
	return address_hybrid(&here, path, 610) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

static void assert_flags(int fd)
{
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void listen_connect_accept(void **state)
{
	int listener = address_listen(&here), fd, accepted;
	struct address_peer peer;
	struct stat st;
	char c;

	(void)state;
	assert_flags(listener);
	assert_int_equal(stat(here.path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(address_accept(listener, &peer), -EAGAIN);

	/* To a Unix socket every source is alike: privileged changes nothing. */
	for (int privileged = 0; privileged < 2; privileged++) {
		fd = address_socket(&here, privileged);
		assert_flags(fd);
		assert_int_equal(address_connect(fd, &here), 0);
		memset(&peer, 0xff, sizeof(peer));
		accepted = address_accept(listener, &peer);
		assert_flags(accepted);
		assert_int_equal(peer.kind, ADDRESS_UNIX);
		assert_int_equal(peer.uid, getuid());
		assert_int_equal(peer.cid, 0);
		assert_int_equal(peer.port, 0);
		assert_int_equal(write(fd, "x", 1), 1);
		assert_int_equal(read(accepted, &c, 1), 1);
		close(accepted);
		close(fd);
	}
	close(listener);
	unlink(here.path);
}

static void no_listener(void **state)
{
	int fd = address_socket(&here, false), listener;

	(void)state;
	assert_int_equal(address_connect(fd, &here), -ENOENT);
	close(fd);
	listener = address_listen(&here);
	close(listener);         /* a stale socket stays behind */
	assert_int_equal(address_listen(&here), -EADDRINUSE);
	fd = address_socket(&here, false);
	assert_int_equal(address_connect(fd, &here), -ECONNREFUSED);
	close(fd);
	unlink(here.path);
}

static void errors_leave_no_descriptor(void **state)
{
	int before = dup(0), after;
	struct address elsewhere;

	(void)state;
	close(before);
	assert_true(address_unix(&elsewhere, "/nonexistent/hawser/socket"));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(address_listen(&elsewhere), -ENOENT);
		assert_int_equal(address_accept(0, NULL) < 0, 1);
	}
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_vsock),
		cmocka_unit_test(parse_errors),
		cmocka_unit_test(parse_paths),
		cmocka_unit_test(path_lengths),
		cmocka_unit_test(format),
		cmocka_unit_test(listen_connect_accept),
		cmocka_unit_test(no_listener),
		cmocka_unit_test(errors_leave_no_descriptor),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
