/* SPDX-License-Identifier: MIT */
/*
 * What a host sends in the control session, into the guest's side of it: all at once, and then it hangs up. The first
 * byte is the verbs that are allowed; a token of all 'T' is the right one. Whatever is executed is cat; nothing here
 * signals or ends this machine.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../init/clock.h"
#include "../../init/event.h"
#include "../../init/feed.h"
#include "../../init/note.h"
#include "../../init/program.h"
#include "../../init/tool.h"
#include "../../vsock/log.h"
#include "fuzz.h"

static jmp_buf ended;
static pid_t cat;

static _Noreturn void fuzz_exit(int status)
{
	FUZZ_NEED(status == 0);
	longjmp(ended, 1);
}

/* The program's group is the only one that may be signalled. */
static int fuzz_kill(pid_t pid, int number)
{
	return pid == -cat ? kill(pid, number) : 0;
}

static int fuzz_reboot(void)
{
	fuzz_exit(0);
}

static pid_t fuzz_program_start(const struct program *what, int (*connect)(void *arg), void *arg)
{
	int begun[2];

	FUZZ_NEED(what->argv[0] && what->cwd);
	FUZZ_NEED(pipe2(begun, O_CLOEXEC) == 0);
	cat = fork();
	FUZZ_NEED(cat >= 0);
	if (cat == 0) {
		setsid();
		if (connect(arg) == 0)
			execl("/bin/cat", "cat", (char *)NULL);
		_exit(127);
	}
	close(begun[1]);
	read(begun[0], &(char){ 0 }, 1);         /* until it is cat, or gone */
	close(begun[0]);
	return cat;
}

#undef FEED_PATH
#define FEED_PATH "stdin"
#define _exit fuzz_exit
#define _Fork() (-1)
#define kill fuzz_kill
#define syscall(number, pid, signal, info) ((void)(pid), (void)(info), -1L)
#define sigtimedwait(set, info, grace) ((void)(grace))
#define clock_sleep_ms(ms) ((void)(ms))
#define power_end(kind, how) fuzz_reboot()
#define program_start fuzz_program_start
#include "../../init/control.c"
#include "../../init/ctl.c"
#include "../../init/exec.c"
#include "../../init/feed.c"
#undef _exit
#undef kill

static int reader;               /* of the FIFO that stands for the workload's input */
static int own;                  /* descriptors from this one on are a session's */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set(0, NULL);
	fuzz_directory();
	FUZZ_NEED(mkfifo(FEED_PATH, 0600) == 0);
	reader = open(FEED_PATH, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	FUZZ_NEED(reader >= 0);
	memset(control.token, 'T', sizeof control.token);
	return 0;
}

/* What libFuzzer has open by now is not ours to close: from here on all numbers up to its last one are taken. */
static void own_begin(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int last = dirfd(dir);

	for (struct dirent *entry; (entry = readdir(dir));)
		last = atoi(entry->d_name) > last ? atoi(entry->d_name) : last;
	do
		own = dup(reader);
	while (own <= last);
	closedir(dir);
}

/* As a process leaves it. */
static void process_end(void)
{
	static char fed[65536];

	if (cat > 0) {
		kill(cat, SIGKILL);
		waitpid(cat, NULL, 0);
		cat = 0;
	}
	close_range((unsigned)own, ~0u, 0);
	while (read(reader, fed, sizeof fed) > 0)
		;
	memset(&exec, 0, sizeof exec);
	memset(&flow, 0, sizeof flow);
	memset(ends, -1, sizeof ends);
}

/* Nothing but REFUSE for who does not know the token, and no answer of a verb that is not allowed. */
static void answers_check(const uint8_t *bytes, size_t len, bool known)
{
	static const struct { uint16_t type; uint8_t verb; } of[] = {
		{ WIRE_PONG, WIRE_VERB_PING }, { WIRE_STDOUT, WIRE_VERB_EXEC }, { WIRE_STDERR, WIRE_VERB_EXEC },
		{ WIRE_EXIT, WIRE_VERB_EXEC }, { WIRE_DONE, WIRE_VERB_SIGNAL | WIRE_VERB_STOP | WIRE_VERB_FEED },
		{ WIRE_CREDIT, WIRE_VERB_EXEC | WIRE_VERB_FEED },
	};
	struct wire_frame frame;
	int whole;

	fuzz_sent(bytes, len);
	for (size_t at = 0; (whole = wire_split(bytes + at, len - at, &frame)) > 0; at += (size_t)whole) {
		FUZZ_NEED(known || frame.type == WIRE_REFUSE);
		for (size_t i = 0; i < sizeof of / sizeof *of; i++)
			FUZZ_NEED(frame.type != of[i].type || control.verbs & of[i].verb);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t answer[1 << 20];
	size_t heard = 0;
	ssize_t n;
	int fds[2], host;

	if (size < 2)
		return 0;
	if (!own)
		own_begin();
	fuzz_pair(SOCK_STREAM, fds);
	host = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	FUZZ_NEED(send(host, data + 1, size - 1, MSG_NOSIGNAL) == (ssize_t)(size - 1));
	shutdown(host, SHUT_WR);
	control.verbs = data[0] & WIRE_VERBS_ALL;
	FUZZ_NEED(pipe2(ends, O_CLOEXEC) == 0);
	if (!setjmp(ended))
		session_main(fds[1]);
	while ((n = recv(host, answer + heard, sizeof answer - heard, MSG_DONTWAIT)) > 0)
		heard += (size_t)n;
	answers_check(answer, heard, memmem(data, size, "TTTTTTTTTTTTTTTT", WIRE_TOKEN));
	process_end();
	return 0;
}
