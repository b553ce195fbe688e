/* SPDX-License-Identifier: MIT */
/*
 * The reader of directories, with this test for its monitor and its server: what it hands out, to whom, and that a
 * server which lies gets nothing. It runs in a child, confined as ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/channel.h"
#include "../../host/reader.h"
#include "../../host/split.h"
#include "../../vsock/wire.h"

#define SECRET "quite a secret"
#define ENDED 9                  /* the session that the server ends */

static char top[64];
static int server, monitor, listeners[2] = { -1, -1 }, foreign = -1;
static pid_t pid;

/* --- a directory, and the two channels --------------------------------------------------------------------------- */

static void file_write(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int listen_at(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", name);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(fd, 10), 0);
	return fd;
}

static int connect_to(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", name);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static union split hear(int fd, uint32_t type, int fds[static CHANNEL_FDS])
{
	union split message;

	assert_int_equal(split_receive(fd, &message, fds, true), 1);
	assert_int_equal(message.type, type);
	return message;
}

static void reader_start(void)
{
	int s[2], m[2], dir = open("vms", O_RDONLY | O_DIRECTORY);
	struct split_setup setup = { .type = SPLIT_SETUP, .port = 610, .log_level = 3, .server = getpid() };

	assert_int_equal(channel_pair(s) | channel_pair(m), 0);
	pid = fork();
	if (!pid) {
		int from[] = { s[1], m[1], dir };

		for (int i = 0; i < 3; i++)
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 20);
		for (int i = 0; i < 3; i++)
			dup2(from[i], READER_SERVER + i);
		close_range(READER_FDS, ~0u, 0);
		signal(SIGTERM, SIG_IGN);
		syscall(SYS_exit_group, reader_main());
	}
	close(s[1]);
	close(m[1]);
	close(dir);
	server = s[0];
	monitor = m[0];
	snprintf(setup.dir, sizeof setup.dir, "%s/vms", top);
	snprintf(setup.runtime, sizeof setup.runtime, "%s/run", top);
	assert_int_equal(split_send(monitor, &setup, NULL, 0, true), 0);
}

/* Its machine, the sockets of which we make as the monitor would. */
static void machine_hear(void)
{
	int fds[CHANNEL_FDS];
	union split message = hear(monitor, SPLIT_BIND, fds);

	assert_string_equal(message.bind.name, "vm");
	assert_int_equal(split_send(monitor, &(struct split_bound){ .type = SPLIT_BOUND }, listeners, 2, true), 0);
	message = hear(server, SPLIT_READER, fds);
	assert_int_equal(message.reader.pid, pid);
	message = hear(server, SPLIT_MACHINE, fds);
	assert_true(message.machine.served && message.machine.valid && !*message.machine.problem);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	channel_drop(fds);
	hear(server, SPLIT_SCANNED, fds);
	hear(monitor, SPLIT_SCANNED, fds);
}

static int setup(void **state)
{
	(void)state;
	snprintf(top, sizeof top, "/tmp/hawser-reader-XXXXXX");
	if (!mkdtemp(top) || chdir(top))
		return -1;
	mkdir("vms", 0700);
	mkdir("vms/vm", 0700);
	mkdir("vms/vm/credentials", 0700);
	mkdir("run", 0700);
	file_write("vms/vm/vm.json", "{\"process\": {\"args\": [\"/bin/true\"]}}");
	file_write("vms/vm/credentials/key", SECRET);
	listeners[0] = listen_at("run/vm.vsock_610");
	listeners[1] = listen_at("run/vm.vsock_611");
	foreign = listen_at("run/other.vsock_610");
	reader_start();
	machine_hear();
	return 0;
}

static int reader_end(void)
{
	int status;

	close(server);
	waitpid(pid, &status, 0);
	close(monitor);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void remove_all(void)
{
	static const char *const names[] = { "vms/vm/credentials/key", "vms/vm/vm.json", "run/vm.vsock_610",
		"run/vm.vsock_611", "run/other.vsock_610" };
	static const char *const dirs[] = { "vms/vm/credentials", "vms/vm", "vms", "run" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(names[i]);
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		rmdir(dirs[i]);
	chdir("/");
	rmdir(top);
}

static int teardown(void **state)
{
	int status;

	(void)state;
	close(listeners[0]);
	close(listeners[1]);
	close(foreign);
	status = pid ? reader_end() : 0;
	remove_all();
	return status;
}

/* --- sessions ---------------------------------------------------------------------------------------------------- */

/* As a VMM's: by another process. Its end is ours, the connection is accepted from the listener. */
static int guest_connect(const char *name, int listener, int *accepted)
{
	int pass[2], fds[CHANNEL_FDS];
	char byte;
	pid_t child;

	assert_int_equal(channel_pair(pass), 0);
	child = fork();
	if (!child) {
		int fd = connect_to(name);

		channel_send(pass[1], "", 1, &fd, 1, true);
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(channel_receive(pass[0], &byte, 1, fds, true), 1);
	waitpid(child, NULL, 0);
	close(pass[0]);
	close(pass[1]);
	*accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(*accepted >= 0);
	return fds[0];
}

static void prepare(uint64_t session, const char *name, int fd, bool spent)
{
	struct split_session ask = { .type = SPLIT_PREPARE, .session = session, .spent = spent };

	snprintf(ask.name, sizeof ask.name, "%s", name);
	assert_int_equal(split_send(server, &ask, &fd, fd >= 0, true), 0);
}

static void expect(uint64_t session, uint32_t type)
{
	int fds[CHANNEL_FDS];
	union split message;

	/* What it has to say of one that was ended may still be on its way. */
	do
		assert_int_equal(split_receive(server, &message, fds, true), 1);
	while (message.session.session == ENDED && session != ENDED);
	assert_int_equal(message.type, type);
	assert_int_equal(message.session.session, session);
}

/* Nothing was written to it, and the reader's descriptor of it is closed. */
static void got_nothing(int guest, int accepted)
{
	char byte;

	close(accepted);
	assert_int_equal(recv(guest, &byte, 1, 0), 0);
	close(guest);
}

static void a_guest_gets_its_records(void **state)
{
	struct split_session send = { .type = SPLIT_SEND, .session = 7 };
	uint8_t got[4096];
	size_t len = 0;
	ssize_t n;
	int accepted, guest = guest_connect("run/vm.vsock_610", listeners[0], &accepted);

	(void)state;
	prepare(7, "vm", accepted, false);
	expect(7, SPLIT_READY);
	assert_int_equal(recv(guest, got, 1, MSG_DONTWAIT), -1);         /* not before SEND */
	assert_int_equal(split_send(server, &send, NULL, 0, true), 0);
	expect(7, SPLIT_COMMITTING);
	close(accepted);
	while ((n = recv(guest, got + len, sizeof got - len, 0)) > 0)
		len += (size_t)n;
	assert_non_null(memmem(got, len, SECRET, strlen(SECRET)));
	assert_int_equal(got[len - 12], WIRE_COMMIT & 0xff);
	close(guest);
}

static void a_lying_server_gets_nothing(void **state)
{
	int accepted, guest, pair[2];

	(void)state;
	/* A connection that it made itself. */
	guest = connect_to("run/vm.vsock_610");
	accepted = accept4(listeners[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	prepare(1, "vm", accepted, false);
	expect(1, SPLIT_CUT);
	got_nothing(guest, accepted);
	/* One that never was a guest's. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	prepare(2, "vm", pair[0], false);
	expect(2, SPLIT_CUT);
	got_nothing(pair[1], pair[0]);
	/* Another machine's, and one that came by the log's socket. */
	guest = guest_connect("run/other.vsock_610", foreign, &accepted);
	prepare(3, "vm", accepted, false);
	expect(3, SPLIT_CUT);
	got_nothing(guest, accepted);
	guest = guest_connect("run/vm.vsock_611", listeners[1], &accepted);
	prepare(4, "vm", accepted, false);
	expect(4, SPLIT_CUT);
	got_nothing(guest, accepted);
	/* No connection, no socket, no machine. */
	prepare(5, "vm", -1, false);
	expect(5, SPLIT_CUT);
	prepare(6, "vm", server, false);
	expect(6, SPLIT_CUT);
	guest = guest_connect("run/vm.vsock_610", listeners[0], &accepted);
	prepare(7, "nobody", accepted, false);
	expect(7, SPLIT_CUT);
	got_nothing(guest, accepted);
}

/* The server ends a session by shutting its connection down; what it says of it afterwards is nothing to do. */
static void a_session_that_was_ended(void **state)
{
	struct split_session send = { .type = SPLIT_SEND, .session = ENDED };
	int accepted, guest = guest_connect("run/vm.vsock_610", listeners[0], &accepted);
	char byte;

	(void)state;
	prepare(ENDED, "vm", accepted, false);
	expect(ENDED, SPLIT_READY);
	shutdown(accepted, SHUT_RDWR);
	close(accepted);
	assert_int_equal(recv(guest, &byte, 1, 0), 0);
	close(guest);
	assert_int_equal(split_send(server, &send, NULL, 0, true), 0);
	a_guest_gets_its_records(state);
}

static void a_directory_without_a_valid_vm_json(void **state)
{
	int accepted, guest, fds[CHANNEL_FDS];
	union split message;

	(void)state;
	file_write("vms/vm/vm.json", "{");
	message = hear(server, SPLIT_MACHINE, fds);
	assert_non_null(strstr(message.machine.problem, "vm.json:1:"));
	assert_true(message.machine.valid);      /* the last good one is served on */
	channel_drop(fds);
	guest = guest_connect("run/vm.vsock_610", listeners[0], &accepted);
	prepare(1, "vm", accepted, false);
	expect(1, SPLIT_READY);
	shutdown(accepted, SHUT_RDWR);
	close(accepted);
	close(guest);
	unlink("vms/vm/vm.json");
	hear(monitor, SPLIT_UNBIND, fds);
	message = hear(server, SPLIT_MACHINE, fds);
	assert_false(message.machine.served);
	file_write("vms/vm/vm.json", "{\"process\": {\"args\": [\"/bin/true\"]}}");
	hear(monitor, SPLIT_BIND, fds);
	split_send(monitor, &(struct split_bound){ .type = SPLIT_BOUND, .problem = "no" }, NULL, 0, true);
	message = hear(server, SPLIT_MACHINE, fds);
	assert_string_equal(message.machine.problem, "no");
	assert_string_equal(message.machine.base, "");
}

/* It ends with its server; and with one that makes no sense, so that the monitor starts another. */
static void ends(void **state)
{
	int status;

	(void)state;
	assert_int_equal(reader_end(), 0);
	reader_start();
	machine_hear();
	assert_int_equal(split_send(server, &(struct split_word){ SPLIT_SCANNED }, NULL, 0, true), 0);
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(server);
	close(monitor);
	pid = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_guest_gets_its_records, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lying_server_gets_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_that_was_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(a_directory_without_a_valid_vm_json, setup, teardown),
		cmocka_unit_test_setup_teardown(ends, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
