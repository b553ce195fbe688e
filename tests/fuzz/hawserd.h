/* SPDX-License-Identifier: MIT */
/* The real hawserd in this process, with one machine, vm, in a directory of its own; a round at a time. */
#ifndef FUZZ_HAWSERD_H
#define FUZZ_HAWSERD_H

#include <limits.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../../host/loop.h"
#include "../../host/sandbox.h"

static int fuzz_loop_round(struct loop *loop, loop_handler *handler, int timeout_ms);

/* The server is not confined, since libFuzzer needs more, and leaves its loop. */
int hawserd_main(int argc, char **argv);
#define main hawserd_main
#define sandbox_user(uid, gid, read_all) ((void)(uid), 0)
#define sandbox_files(paths, n) ((void)(paths), 1)
#define sandbox_calls(role) true
#define loop_round fuzz_loop_round
#include "../../host/hawserd.c"
#undef loop_round
#undef main
#include "../../host/boot.c"

#include "fuzz.h"

static void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	FUZZ_NEED(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void rounds(int n)
{
	for (int i = 0; i < n; i++)
		FUZZ_NEED(loop_round(&daemon_state.loop, handle, 0) == 0);
}

/* No AF_VSOCK, files that stay small, and no limits that only time would lift. */
static void files_make(void)
{
	char config[PATH_MAX + 200];

	snprintf(config, sizeof config, "{\"vsock\":false,\"graceMs\":3600000,\"metrics\":\"unix:%s/scrape\","
		"\"limits\":{\"helloRateVm\":0,\"logRateVm\":0},"
		"\"log\":{\"json\":true,\"maxBytes\":200000,\"maxFiles\":1}}", fuzz_directory());
	file_write("hawserd.json", config);
	mkdir("vms", 0700);
	mkdir("vms/vm", 0700);
	mkdir("vms/vm/credentials", 0700);
	mkdir("vms/vm/files", 0700);
	file_write("vms/vm/vm.json", "{\"process\":{\"args\":[\"/bin/true\"]}}");
	file_write("vms/vm/credentials/key", "it is the key");
	file_write("vms/vm/files/motd", "hello");
}

/* Who connects must be another process than the server, or he is nobody's guest: connections come from here. */
static void connector_main(int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	while (recv(fd, address.sun_path, sizeof address.sun_path, 0) > 0) {
		int made = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct iovec piece = { "", 1 };
		union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {
			.header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
		struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
			.msg_controllen = sizeof control };

		FUZZ_NEED(connect(made, (struct sockaddr *)&address, sizeof address) == 0);
		memcpy(CMSG_DATA(&control.header), &made, sizeof made);
		FUZZ_NEED(sendmsg(fd, &message, 0) == 1);
		close(made);
	}
	_exit(0);
}

static int connector = -1;

static void connector_start(void)
{
	int ends[2];

	FUZZ_NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	if (fork() == 0) {
		close(ends[0]);
		connector_main(ends[1]);
	}
	close(ends[1]);
	connector = ends[0];
}

static jmp_buf fuzzing;

static int fuzz_loop_round(struct loop *loop, loop_handler *handler, int timeout_ms)
{
	(void)loop;
	(void)handler;
	(void)timeout_ms;
	longjmp(fuzzing, 1);
}

/*
 * Three processes, as ever: the one that libFuzzer was started as becomes the monitor, its child is the server and goes
 * on as the fuzzer, and the reader executes this program anew.
 */
static void hawserd_start(int argc, char **argv)
{
	static char *options[] = { "hawserd", "--config", "hawserd.json", "--vms", "vms", "--state", "state", "--runtime",
		"run", "--log-level", "error", NULL };
	struct daemon *daemon = &daemon_state;
	sigset_t none;

	if (argc == 2 && !strcmp(argv[1], READER_OPTION))
		_exit(reader_main());
	files_make();
	fflush(NULL);
	if (!setjmp(fuzzing))
		_exit(hawserd_main(11, options));
	connector_start();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (!vms_find(daemon, "vm") || !vms_find(daemon, "vm")->served)
		FUZZ_NEED(loop_round(&daemon->loop, handle, 20000) == 0);
	log_set(0, NULL);
}

static struct vm *the_vm(void)
{
	struct vm *vm = vms_find(&daemon_state, "vm");

	FUZZ_NEED(vm);
	return vm;
}

static int hawserd_connect(const char *path)
{
	char byte;
	struct iovec piece = { &byte, 1 };
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control };
	ssize_t got;
	int fd;

	FUZZ_NEED(send(connector, path, strlen(path) + 1, 0) > 0);
	while ((got = recvmsg(connector, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)    /* libFuzzer's alarm */
		;
	FUZZ_NEED(got == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	rounds(2);
	return fd;
}

static inline int guest_connect(uint32_t port)
{
	char path[108];

	FUZZ_NEED(the_vm()->base);
	snprintf(path, sizeof path, "%s_%u", the_vm()->base, port);
	return hawserd_connect(path);
}

/* All that hawserd has sent by now. */
static size_t hawserd_hear(int fd, uint8_t *to, size_t size)
{
	size_t len = 0;
	ssize_t n;

	do {
		rounds(1);
		n = recv(fd, to + len, size - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return len;
}

static bool reader_has_work(void)
{
	const struct boot *boot;

	LIST_FOREACH(boot, &the_vm()->boots, of_vm)
		if (boot->state == BOOT_PREPARING || boot->state == BOOT_SENDING)
			return true;
	return false;
}

/* The same, waiting for the reader to have sent all of the directory, or refused to. */
static inline size_t hawserd_hear_boot(int fd, uint8_t *to, size_t size)
{
	size_t len = hawserd_hear(fd, to, size);

	while (reader_has_work()) {
		FUZZ_NEED(loop_round(&daemon_state.loop, handle, 20000) == 0);
		len += hawserd_hear(fd, to + len, size - len);
	}
	return len;
}

static void hang_up(int fd)
{
	close(fd);
	rounds(3);
}

/* Another boot, up to COMMIT. */
static inline int boot_begin(void)
{
	static uint64_t boots;
	static uint8_t bytes[1 << 17];
	struct wire_boot hello = { .type = WIRE_HELLO, .hello.version = WIRE_VERSION };
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };
	int fd = guest_connect(WIRE_PORT_BASE + WIRE_PORT_BOOT);

	boots++;
	memcpy(hello.hello.boot_id, &boots, sizeof boots);
	FUZZ_NEED(wire_boot_encode(&out, &hello));
	FUZZ_NEED(send(fd, out.buf, out.len, MSG_NOSIGNAL) == (ssize_t)out.len);
	FUZZ_NEED(hawserd_hear_boot(fd, bytes, sizeof bytes) > 0);
	return fd;
}

#endif
