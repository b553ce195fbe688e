/* SPDX-License-Identifier: MIT */
/*
 * Control sessions as they are, each in a process of its own, but on a socket pair: the guest's side executes programs
 * of this machine. Nothing here is bounded by less than a minute.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "../../init/control.c"
#include "../../init/handoff.h"

#define PATIENCE_MS 60000
#define TOKEN "sixteen letters."

struct host {
	int fd;
	pid_t pid;
	struct frame_buf in, out;
	uint32_t credit;
	uint8_t in_bytes[2 * WIRE_FRAME_MAX], out_bytes[2 * WIRE_FRAME_MAX];
	struct wire_control got;
	struct wire_refuse refuse;
	char said[2][4096];              /* the beginning of what came on standard output, and on error */
	uint64_t said_len[2];
	uint32_t crc[2];
};

static struct host host;

static void quiet(enum log_level level, const char *line)
{
	(void)level, (void)line;
}

static void connect_session(uint32_t allowed)
{
	int pair[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	host = (struct host){ .fd = pair[0] };
	frame_init(&host.in, host.in_bytes, sizeof host.in_bytes);
	frame_init(&host.out, host.out_bytes, sizeof host.out_bytes);
	host.pid = fork();
	if (host.pid == 0) {
		sigset_t all;

		close(pair[0]);
		sigfillset(&all);        /* as PID 1 has it */
		sigprocmask(SIG_BLOCK, &all, NULL);
		control.verbs = allowed;
		memcpy(control.token, TOKEN, sizeof control.token);
		session_main(pair[1]);
	}
	close(pair[1]);
}

static void put(const struct wire_control *message)
{
	struct wire_out out = frame_room(&host.out);

	assert_true(wire_control_encode(&out, message));
	frame_commit(&host.out, &out);
	assert_int_equal(frame_drain(&host.out, host.fd, PATIENCE_MS), FRAME_OK);
}

#define PUT(...) put(&(struct wire_control){ __VA_ARGS__ })

/* The next frame's type; 0: the guest closed. */
static uint16_t get(void)
{
	struct wire_frame frame;
	int state = frame_wait(&host.in, host.fd, &frame, PATIENCE_MS);

	if (state == FRAME_CUT)
		return 0;
	assert_int_equal(state, 1);
	if (frame.type == WIRE_REFUSE)
		assert_true(wire_refuse_decode(&frame, &host.refuse));
	else
		assert_null(wire_control_decode(&frame, &host.got));
	return frame.type;
}

static void hello(const char *token)
{
	struct wire_control message = { .type = WIRE_CTL_HELLO, .hello.version = WIRE_VERSION };

	memcpy(message.hello.token, token, WIRE_TOKEN);
	put(&message);
}

static void begin(uint32_t allowed)
{
	connect_session(allowed);
	hello(TOKEN);
	assert_int_equal(get(), WIRE_CTL_WELCOME);
	assert_int_equal(host.got.welcome.verbs, allowed);
}

/* The session's process must end once we have closed, and well. */
static void hang_up_host(void)
{
	int status;

	close(host.fd);
	assert_int_equal(waitpid(host.pid, &status, 0), host.pid);
	assert_int_equal(status, 0);
}

static void refused(uint16_t code)
{
	assert_int_equal(get(), WIRE_REFUSE);
	assert_int_equal(host.refuse.code, code);
	hang_up_host();
}

/* --- the greeting ----------------------------------------------------------------------------------------------- */

static void pings(void **state)
{
	(void)state;
	begin(WIRE_VERB_PING);
	PUT(.type = WIRE_PING);
	assert_int_equal(get(), WIRE_PONG);
	assert_in_range(host.got.pong.mem_available, 1, host.got.pong.mem_total);
	assert_true(host.got.pong.boot_ns > 0 && host.got.pong.boot_ns <= clock_boot_ns());
	hang_up_host();
}

static void wrong_tokens(void **state)
{
	char token[WIRE_TOKEN];

	(void)state;
	for (int i = 0; i < WIRE_TOKEN; i++) {
		memcpy(token, TOKEN, sizeof token);
		token[i] ^= 1;
		connect_session(WIRE_VERBS_ALL);
		hello(token);
		refused(WIRE_REFUSE_TOKEN);
	}
}

static void no_hello(void **state)
{
	(void)state;
	connect_session(WIRE_VERBS_ALL);
	PUT(.type = WIRE_PING);
	refused(WIRE_REFUSE_ORDER);
	connect_session(WIRE_VERBS_ALL);
	assert_int_equal(write(host.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	refused(WIRE_REFUSE_MALFORMED);
	connect_session(WIRE_VERBS_ALL);
	assert_int_equal(get(), 0);      /* it does not wait for ever */
	hang_up_host();
}

static void what_is_not_allowed(void **state)
{
	static const struct wire_control asked[] = {
		{ .type = WIRE_PING }, { .type = WIRE_FEED }, { .type = WIRE_STOP }, { .type = WIRE_SIGNAL, .number = 1 },
		{ .type = WIRE_EXEC, .exec = { .cwd = { "/", 1 }, .argc = 1, .args = { { "true", 4 } } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		begin(0);
		put(&asked[i]);
		refused(WIRE_REFUSE_NOT_ALLOWED);
	}
	begin(WIRE_VERBS_ALL);
	PUT(.type = WIRE_STDIN_END);
	refused(WIRE_REFUSE_ORDER);
}

/* --- programs --------------------------------------------------------------------------------------------------- */

static void execute_as(uint32_t flags, const char *script)
{
	struct wire_control message = { .type = WIRE_EXEC, .exec = { .flags = flags, .rows = 24, .cols = 80,
		.cwd = { "/tmp", 4 }, .argc = 3, .args = { wire_text("/bin/sh"), wire_text("-c"), wire_text(script) },
		.envc = 1, .env = { wire_text("NAME=of the host") } } };

	begin(WIRE_VERB_EXEC);
	put(&message);
}

static void execute(const char *script)
{
	execute_as(0, script);
}

/* Reads to the next frame that is neither output nor credit. */
static uint16_t drain(void)
{
	uint16_t type;

	while ((type = get()) == WIRE_STDOUT || type == WIRE_STDERR || type == WIRE_CREDIT) {
		int i = type == WIRE_STDERR;
		const struct wire_text *bytes = &host.got.bytes;

		if (type == WIRE_CREDIT) {
			host.credit += host.got.number;
			continue;
		}
		host.crc[i] = wire_crc32(host.crc[i], bytes->s, bytes->len);
		for (uint32_t n = 0; n < bytes->len; n++)
			if (host.said_len[i]++ < sizeof host.said[i] - 1)
				host.said[i][host.said_len[i] - 1] = bytes->s[n];
	}
	return type;
}

static void ended(uint32_t code, uint32_t signal)
{
	assert_int_equal(drain(), WIRE_EXIT);
	assert_int_equal(host.got.exit.code, code);
	assert_int_equal(host.got.exit.signal, signal);
	hang_up_host();
}

static void streams_and_status(void **state)
{
	(void)state;
	execute("echo out; echo err >&2; pwd; echo $NAME $PATH; exit 7");
	ended(7, 0);
	assert_string_equal(host.said[0], "out\n/tmp\nof the host " HANDOFF_PATH "\n");
	assert_string_equal(host.said[1], "err\n");
	execute("kill -KILL $$");
	ended(0, SIGKILL);
}

static void cannot_be_started(void **state)
{
	struct wire_control message = { .type = WIRE_EXEC, .exec = { .cwd = { "/", 1 }, .argc = 1 } };
	static const struct { const char *program; uint32_t code; } programs[] = {
		{ "/no/such/program", 127 }, { "no-such-program", 127 }, { "/etc/passwd", 126 }, { "/", 126 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		message.exec.args[0] = wire_text(programs[i].program);
		begin(WIRE_VERB_EXEC);
		put(&message);
		ended(programs[i].code, 0);
		assert_non_null(strstr(host.said[1], programs[i].program));
	}
}

/* Sends that much, as the credit allows, and takes what comes meanwhile. */
static uint32_t feed(uint64_t size)
{
	static uint8_t bytes[WIRE_PAYLOAD_MAX];
	uint32_t crc = 0, n;

	for (uint64_t sent = 0; sent < size; sent += n) {
		n = host.credit < sizeof bytes ? host.credit : sizeof bytes;
		n = n < size - sent ? n : (uint32_t)(size - sent);
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)((sent + i) * 2654435761u >> 13);
		if (n > 0) {
			crc = wire_crc32(crc, bytes, n);
			PUT(.type = WIRE_STDIN, .bytes = { (const char *)bytes, n });
			host.credit -= n;
			continue;
		}
		/* No credit left: something must come. */
		assert_int_not_equal(poll(&(struct pollfd){ host.fd, POLLIN, 0 }, 1, PATIENCE_MS), 0);
		while (host.credit == 0) {
			uint16_t type = get();

			if (type == WIRE_CREDIT)
				host.credit += host.got.number;
			else {
				assert_int_equal(type, WIRE_STDOUT);
				host.crc[0] = wire_crc32(host.crc[0], host.got.bytes.s, host.got.bytes.len);
				host.said_len[0] += host.got.bytes.len;
			}
		}
	}
	return crc;
}

static void goes_through_whole(void **state)
{
	uint32_t crc;

	(void)state;
	execute("cat");
	crc = feed(32 << 20);
	PUT(.type = WIRE_STDIN_END);
	ended(0, 0);
	assert_int_equal(host.said_len[0], 32 << 20);
	assert_int_equal(host.crc[0], crc);
}

static void much_output_on_both(void **state)
{
	(void)state;
	execute("head -c 5000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait");
	ended(0, 0);
	assert_int_equal(host.said_len[0], 5000000);
	assert_int_equal(host.said_len[1], 3000000);
}

static void input_beyond_the_credit(void **state)
{
	static const char bytes[WIRE_PAYLOAD_MAX] = "x";

	(void)state;
	execute("sleep 100");
	assert_int_equal(get(), WIRE_CREDIT);
	for (uint32_t left = host.got.number; left > 0; left -= left < sizeof bytes ? left : (uint32_t)sizeof bytes)
		PUT(.type = WIRE_STDIN, .bytes = { bytes, left < sizeof bytes ? left : (uint32_t)sizeof bytes });
	/* The pipe took some, and half of the window has come back at most. */
	for (int i = 0; i < 6; i++)
		PUT(.type = WIRE_STDIN, .bytes = { bytes, sizeof bytes });
	while (get() == WIRE_CREDIT)
		;
	assert_int_equal(host.refuse.code, WIRE_REFUSE_ORDER);
	hang_up_host();
}

static void input_that_nobody_reads(void **state)
{
	(void)state;
	execute("exec <&-; echo closed; sleep 0.2; exit 3");
	feed(65536);
	ended(3, 0);
	execute("exit 4");
	PUT(.type = WIRE_STDIN, .bytes = { "late", 4 });
	PUT(.type = WIRE_STDIN_END);
	PUT(.type = WIRE_EXEC_SIGNAL, .number = SIGTERM);
	assert_int_equal(drain(), WIRE_EXIT);
	hang_up_host();
}

static void signals(void **state)
{
	(void)state;
	execute("trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo up; while :; do sleep 0.02; done 2>/dev/null");
	assert_int_equal(get(), WIRE_CREDIT);
	assert_int_equal(get(), WIRE_STDOUT);
	PUT(.type = WIRE_EXEC_SIGNAL, .number = SIGUSR1);
	assert_int_equal(get(), WIRE_STDOUT);
	assert_memory_equal(host.got.bytes.s, "usr1\n", 5);
	PUT(.type = WIRE_EXEC_SIGNAL, .number = SIGTERM);
	ended(5, 0);
	assert_string_equal(host.said[0], "term\n");
}

/* The program does what it likes with its descriptors, and leaves others behind. */
static void programs_that_go_on(void **state)
{
	(void)state;
	execute("exec >&- 2>&-; sleep 0.2; exit 6");
	ended(6, 0);
	execute("(sleep 1000 & echo $!); exit 0");
	ended(0, 0);
	kill(atoi(host.said[0]), SIGKILL);
	execute("yes & echo; exit 0");
	ended(0, 0);
	assert_true(host.said_len[0] > 0);
}

/* --- terminals -------------------------------------------------------------------------------------------------- */

static void on_a_terminal(void **state)
{
	(void)state;
	execute_as(WIRE_EXEC_TTY, "tty >/dev/null && stty size && read line && echo \"got $line\"; cat; exit 9");
	PUT(.type = WIRE_STDIN, .bytes = { "typed\r", 6 });
	PUT(.type = WIRE_STDIN_END);
	ended(9, 0);
	assert_non_null(strstr(host.said[0], "24 80\r\n"));
	assert_non_null(strstr(host.said[0], "got typed\r\n"));
	assert_int_equal(host.said_len[1], 0);
}

static void resize_and_interrupt(void **state)
{
	(void)state;
	execute_as(WIRE_EXEC_TTY,
		"trap 'stty size' WINCH; trap 'echo int; exit 2' INT; echo up; while :; do sleep 0.02; done 2>/dev/null");
	while (get() != WIRE_STDOUT)
		;
	PUT(.type = WIRE_RESIZE, .resize = { .rows = 50, .cols = 132 });
	assert_int_equal(get(), WIRE_STDOUT);
	assert_memory_equal(host.got.bytes.s, "50 132\r\n", 8);
	PUT(.type = WIRE_STDIN, .bytes = { "\3", 1 });
	ended(2, 0);
	assert_non_null(strstr(host.said[0], "int\r\n"));
}

static void resize_without_one(void **state)
{
	(void)state;
	execute("sleep 100");
	PUT(.type = WIRE_RESIZE, .resize = { 1, 1 });
	while (get() == WIRE_CREDIT)
		;
	assert_int_equal(host.refuse.code, WIRE_REFUSE_ORDER);
	hang_up_host();
}

/* --- hosts that vanish ------------------------------------------------------------------------------------------ */

/* The program's number, once it has said that. */
static pid_t program_pid(void)
{
	char number[20] = "";

	while (get() != WIRE_STDOUT)
		;
	memcpy(number, host.got.bytes.s, host.got.bytes.len < 19 ? host.got.bytes.len : 19);
	return atoi(number);
}

static void vanishes(void **state)
{
	static const char *const scripts[] = {
		"echo $$; sleep 1000", "trap '' HUP TERM INT; echo $$; while :; do sleep 0.1; done", "echo $$; exec yes",
	};

	(void)state;
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
		for (uint32_t tty = 0; tty < 2; tty++) {
			pid_t pid;

			execute_as(tty, scripts[i]);
			pid = program_pid();
			assert_int_equal(kill(pid, 0), 0);
			hang_up_host();
			/* Its parent is gone: whoever inherits it may take a moment to bury it. */
			for (int ms = 0; ms < PATIENCE_MS && kill(pid, 0) == 0; ms += 5)
				clock_sleep_ms(5);
			assert_int_equal(kill(pid, 0), -1);
		}
}

/* Half of a frame, then nothing; then nonsense in the middle of a program. */
static void makes_no_sense(void **state)
{
	pid_t pid;

	(void)state;
	execute("echo $$; sleep 1000");
	pid = program_pid();
	assert_int_equal(write(host.fd, "\x05\0\0", 3), 3);
	hang_up_host();
	execute("echo $$; sleep 1000");
	pid = program_pid();
	assert_int_equal(write(host.fd, "\xff\xff\xff\xff\0\0\0\0", 8), 8);
	refused(WIRE_REFUSE_MALFORMED);
	for (int ms = 0; ms < PATIENCE_MS && kill(pid, 0) == 0; ms += 5)
		clock_sleep_ms(5);
	assert_int_equal(kill(pid, 0), -1);
	execute("sleep 1000");
	PUT(.type = WIRE_PING);
	while (get() == WIRE_CREDIT)
		;
	assert_int_equal(host.refuse.code, WIRE_REFUSE_ORDER);
	hang_up_host();
}

/* A host that does not read holds the program up, and nothing grows. */
static void never_reads(void **state)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *file;

	(void)state;
	execute("exec yes");
	clock_sleep_ms(500);
	snprintf(path, sizeof path, "/proc/%d/status", (int)host.pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file) && sscanf(line, "RssAnon: %lu", &kib) != 1)
		;
	fclose(file);
	assert_in_range(kib, 1, 64 << 10);       /* ASan's own memory, and not what `yes` says in half a second */
	hang_up_host();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pings),
		cmocka_unit_test(wrong_tokens),
		cmocka_unit_test(no_hello),
		cmocka_unit_test(what_is_not_allowed),
		cmocka_unit_test(streams_and_status),
		cmocka_unit_test(cannot_be_started),
		cmocka_unit_test(goes_through_whole),
		cmocka_unit_test(much_output_on_both),
		cmocka_unit_test(input_beyond_the_credit),
		cmocka_unit_test(input_that_nobody_reads),
		cmocka_unit_test(signals),
		cmocka_unit_test(programs_that_go_on),
		cmocka_unit_test(on_a_terminal),
		cmocka_unit_test(resize_and_interrupt),
		cmocka_unit_test(resize_without_one),
		cmocka_unit_test(vanishes),
		cmocka_unit_test(makes_no_sense),
		cmocka_unit_test(never_reads),
	};

	log_set(LOG_LEVEL_ERROR, quiet);
	return cmocka_set_test_filter(getenv("ONLY")), cmocka_run_group_tests(tests, NULL, NULL);
}
