/* SPDX-License-Identifier: MIT */
/* What programs say of themselves: lines of datagrams, and the address in the credential. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../init/notify.c"

/* All that a datagram means, as text. */
static const char *meaning(const char *bytes, size_t len)
{
	static char text[4096];
	struct wire_text left = { bytes, (uint32_t)len };
	struct wire_event event;
	size_t at = 0;

	*text = '\0';
	while (notify_next(&left, &event)) {
		assert_true(event.text.s >= bytes && event.text.s + event.text.len <= bytes + len);
		at += (size_t)snprintf(text + at, sizeof text - at, "%s %d '%.*s';", wire_event_name(event.code), event.value,
			(int)event.text.len, event.text.s);
	}
	assert_int_equal(left.len, 0);
	return text;
}

#define MEANS(bytes, text) assert_string_equal(meaning(bytes, sizeof bytes - 1), text)

static void test_lines(void **state)
{
	(void)state;
	MEANS("READY=1", "ready 0 '';");
	MEANS("READY=1\n", "ready 0 '';");
	MEANS("\n\nREADY=1\n\nSTOPPING=1\nWATCHDOG=1", "ready 0 '';stopping 0 '';watchdog 0 '';");
	MEANS("STATUS=a = b\nSTATUS=\n", "status 0 'a = b';status 0 '';");
	MEANS("EXIT_STATUS=0\nEXIT_STATUS=255", "exit-status 0 '';exit-status 255 '';");
}

static void test_what_means_nothing(void **state)
{
	(void)state;
	MEANS("", "");
	MEANS("\n", "");
	MEANS("READY", "");
	MEANS("READY=", "");
	MEANS("READY=0", "");
	MEANS("READY=11", "");
	MEANS(" READY=1", "");
	MEANS("ready=1", "");
	MEANS("MAINPID=1\nRELOADING=1\nX_READY=1\nFDSTORE=1", "");
	MEANS("WATCHDOG=trigger", "");
	MEANS("EXIT_STATUS=\nEXIT_STATUS=256\nEXIT_STATUS=-1\nEXIT_STATUS=1x\nEXIT_STATUS=99999999999999999999", "");
}

static void test_nul(void **state)
{
	(void)state;
	MEANS("READY=1\0STOPPING=1", "ready 0 '';");
	MEANS("STATUS=up\0and more\nSTOPPING=1", "status 0 'up';");
	MEANS("\0READY=1", "");
}

static void test_any_bytes(void **state)
{
	static const char alphabet[] = "READY=1\nSTATUS=\0EXIT_9";
	char bytes[64];

	(void)state;
	srand(1);
	for (int i = 0; i < 100000; i++) {
		size_t len = (size_t)rand() % sizeof bytes;

		for (size_t j = 0; j < len; j++)
			bytes[j] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
		meaning(bytes, len);
	}
}

static void test_address(void **state)
{
	static const struct { const char *text; uint32_t cid, port; } good[] = {
		{ "vsock:2:700", 2, 700 }, { "vsock-stream:2:700", 2, 700 }, { "vsock:2:700\n", 2, 700 },
		{ "vsock:4294967295:4294967295", 4294967295u, 4294967295u }, { "vsock:0:0", 0, 0 },
	};
	static const char *const bad[] = {
		"", "vsock:", "vsock:2", "vsock:2:", "vsock::700", "vsock:2:700:1", "vsock:2:700\n\n", "vsock:2:700 ", "vsock:2:-1",
		"vsock:4294967296:1", "vsock-dgram:2:700", "vsock-seqpacket:2:700", "/run/socket", "@abstract", "vsock:host:700",
	};
	struct address to;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(credential_parse(wire_text(good[i].text), &to));
		assert_int_equal(to.cid, good[i].cid);
		assert_int_equal(to.port, good[i].port);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(credential_parse(wire_text(bad[i]), &to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_what_means_nothing),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
