/* SPDX-License-Identifier: MIT */
/* samples: at least one good frame of every type, and where its parts lie. */
#ifndef TEST_WIRE_SAMPLES_H
#define TEST_WIRE_SAMPLES_H

#include "../../vsock/wire.h"

struct range {
	size_t at, len;
};

struct sample {
	uint16_t type;
	const char *payload;     /* in the notation of any_bytes */
	/* A shorter payload is good at min bytes and every step bytes more; step 0: at no other size. */
	size_t min, step;
	struct range zero[2];    /* bytes that must be 0 */
	struct range text[5];    /* bytes that must not be */
	bool blob;               /* the last field may hold any byte */
	size_t str;              /* offset of a str's length, if not 0 or if first_str */
	bool first_str;
};

#define ID "000102030405060708090a0b0c0d0e0f "
#define TOKEN "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf "
#define U64(low) low "00000000000000 "

static const struct sample samples[] = {
	{ WIRE_REFUSE, "0500 0000 'served'", 4, 1, .zero = { { 2, 2 } }, .text = { { 4, 6 } } },

	{ WIRE_HELLO, "'HWSR' 0100 0000" ID U64("07"), .zero = { { 6, 2 } } },
	{ WIRE_WELCOME, "0100 0300 00000000" U64("09") TOKEN ID ID ID ID, .zero = { { 4, 4 } } },
	{ WIRE_HOSTNAME, "'harbour'", 1, 1, .text = { { 0, 7 } } },
	{ WIRE_ARG, "'-x'", 0, 1, .text = { { 0, 2 } } },
	{ WIRE_ENV, "'A=bc'", 2, 1, .text = { { 0, 4 } } },
	{ WIRE_CWD, "'/srv'", 1, 1, .text = { { 0, 4 } } },
	{ WIRE_USER, "e8030000 64000000 07000000 08000000", 8, 4 },
	{ WIRE_SYSCTL, "0400 'vm.x' '10'", 6, 1, .text = { { 2, 6 } }, .first_str = true },
	{ WIRE_MOUNT, "0200 '/d' 0500 'tmpfs' 0100 's' 0600 'nosuid'",
		.text = { { 2, 2 }, { 6, 5 }, { 13, 1 }, { 16, 6 } }, .first_str = true },
	{ WIRE_WORKLOAD, "01 00 0300 0f000000 d0070000" },
	{ WIRE_LOG, "00000400 01 000000", .zero = { { 5, 3 } } },
	{ WIRE_POWER, "02" },
	{ WIRE_CONTROL, "0f000000" },
	{ WIRE_HANDOFF, "00 01 0000", .zero = { { 2, 2 } } },
	{ WIRE_HANDOFF, "01 00 0000", .zero = { { 2, 2 } } },
	{ WIRE_HANDOFF, "02 01 0000 0400 'ext4' 0200 'vd' 0200 'ro' 0500 '/init'", .zero = { { 2, 2 } },
		.text = { { 6, 4 }, { 12, 2 }, { 16, 2 }, { 20, 5 } }, .str = 4 },
	{ WIRE_DIR, "ed010000 00000000 01000000 'app'", 13, 1, .text = { { 12, 3 } } },
	{ WIRE_FILE, "a4010000 00000000 01000000" U64("06") "'motd'", 21, 1, .text = { { 20, 4 } } },
	{ WIRE_DATA, "'ahoy' 0a00", 1, 1, .blob = true },
	{ WIRE_SYMLINK, "00000000 01000000 0300 'a/b' 'now'", 14, 1, .text = { { 10, 6 } }, .str = 8 },
	{ WIRE_CREDENTIAL, "00010000 00000000 01000000 03000000 'db.key'", 17, 1, .text = { { 16, 6 } } },
	{ WIRE_COMMIT, "0e000000 12345678" },
	{ WIRE_APPLIED, U64("01") },

	{ WIRE_LOG_HELLO, "'HWSR' 0100 0000" TOKEN U64("07"), .zero = { { 6, 2 } } },
	{ WIRE_LOG_WELCOME, "0100 0000 00000000" U64("09"), .zero = { { 2, 6 } } },
	/* One record each: behind its end no cut is a good frame. */
	{ WIRE_RECORDS, U64("09") "03000000 00 05 ff0f" U64("01") "'hi' 0a" },
	{ WIRE_RECORDS, U64("09") "00000000 00 03 ff0f" U64("01") },
	{ WIRE_RECORDS, U64("09") "0a000000 c1 02 0600" U64("01") U64("29") "'ok'" },
	{ WIRE_RECORDS, U64("09") "04000000 01 04 0600" U64("01") "'<3>x'" },
	{ WIRE_RECORDS, U64("0b") "0a000000 02 01 ff0f" U64("01") "1100 0000 07000000 'ok'", .zero = { { 26, 2 } },
		.text = { { 32, 2 } } },
	{ WIRE_RECORDS, U64("0c") "18000000 03 02 ff0f" U64("01") "01 00000000000000" U64("05") U64("06"),
		.zero = { { 25, 7 } } },
	{ WIRE_LOST, U64("09") U64("0b") "05 02 0000 02000000" U64("07") "06 04 0000 00000000" U64("08"), 32, 16,
		.zero = { { 18, 2 }, { 34, 2 } } },
	{ WIRE_ACK, U64("0b") },
	{ WIRE_END, U64("0c") "05 00000000000000" U64("03") U64("04") "01 00000000000000" U64("05") U64("06"), 8, 24,
		.zero = { { 9, 7 }, { 33, 7 } } },
	{ WIRE_END_ACK, U64("0c") },
	{ WIRE_BUTTON, "" },

	{ WIRE_CTL_HELLO, "'HWSR' 0100 0000" TOKEN, .zero = { { 6, 2 } } },
	{ WIRE_CTL_WELCOME, "0100 0000 09000000", .zero = { { 2, 2 } } },
	{ WIRE_PING, "" },
	{ WIRE_PONG, U64("01") U64("02") U64("03") },
	{ WIRE_EXEC, "01000000 1800 5000 00000000 01000000 0100 '/' 0200 0200 'id' 0200 '-u' 0100 0300 'A=1'",
		.text = { { 18, 1 }, { 23, 2 }, { 27, 2 }, { 33, 3 } }, .str = 16 },
	{ WIRE_STDIN, "'in' 00", 1, 1, .blob = true },
	{ WIRE_STDIN_END, "" },
	{ WIRE_CREDIT, "00000100" },
	{ WIRE_RESIZE, "1800 5000" },
	{ WIRE_EXEC_SIGNAL, "0f000000" },
	{ WIRE_FEED, "" },
	{ WIRE_STDOUT, "'out' 00", 1, 1, .blob = true },
	{ WIRE_STDERR, "'err' 00", 1, 1, .blob = true },
	{ WIRE_EXIT, "7f000000 09000000" },
	{ WIRE_SIGNAL, "01000000" },
	{ WIRE_STOP, "e8030000" },
	{ WIRE_DONE, "03000000" },
};

#define SAMPLES (sizeof(samples) / sizeof(*samples))

#endif
