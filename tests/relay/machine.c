/* SPDX-License-Identifier: MIT */
/*
 * machine: the relay and its keeper as they are in a guest, on this machine and over a Unix socket; around them as much
 * of a guest as they need: PID 1, a /run and a /dev of its own, and programs that write.
 *
 * usage: machine SOCKET TOKEN RINGBYTES drop|block SEED
 *
 * Each of the writers has a stream. Its lines say their number and their checksum, so that none can be missing, twice,
 * or changed; they come in bursts and with pauses, at random. Orders are lines on standard input:
 *
 *     relay     kills the relay
 *     cut       shuts the relay's connection down
 *     burst N   the writers write that many lines at once
 *     end       the writers stop, the log is ended as at a power-off; answered with "STREAM LINES BYTES" of each of
 *               them and "end 0", or an errno: then the host did not acknowledge all in time
 *
 * When this process ends, however it does, so does all of the machine.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../init/clock.h"
#include "../../init/event.h"
#include "../../init/relay.h"

#define LINE_MAX 3000
#define DESCRIPTORS 64           /* no relay has more */
#define END_TRIES 100            /* of EVENT_CLOSE_MS each: the host may be down */

enum { STDOUT, STDERR, CONSOLE, SYSLOG, WRITERS };

static const char names[WRITERS][8] = { "stdout", "stderr", "console", "syslog" };

/* Shared by all processes of the machine. */
struct writer {
	uint64_t lines, bytes;
	_Atomic uint64_t burst;  /* lines to be written at once, besides */
};

static struct shared {
	struct writer writers[WRITERS];
	volatile bool ending;
} *shared;

static void die(const char *what)
{
	fprintf(stderr, "machine: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- the machine's own view of the world -------------------------------------------------------------------------- */

/* Returns in the machine's PID 1. */
static void world_make(void)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWNS | CLONE_NEWPID) < 0)
		die("unshare");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0) {
		waitpid(pid, &status, 0);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
	    mount("tmpfs", "/dev", "tmpfs", 0, NULL) < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0 ||
	    mkdir(EVENT_DIR, 0700) < 0)
		die("mount");
}

static void token_parse(uint8_t token[static WIRE_TOKEN], const char *hex)
{
	for (int i = 0; i < WIRE_TOKEN; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &token[i]) != 1)
			die("TOKEN");
}

/* What is not there on this machine, the kernel's log and terminals, is named on standard error, and does without. */
static int relay_begin(struct ring *ring, char *argv[])
{
	struct ring_orders *orders;
	struct sources sources;
	struct address host;
	int error;

	if (!address_unix(&host, argv[1]))
		die(argv[1]);
	error = ring_create(ring, RING_DEFAULT);
	if (!error)
		error = ring_open(ring);
	if (error) {
		errno = -error;
		die("ring");
	}
	orders = &ring->shared->orders;
	token_parse(orders->token, argv[2]);
	orders->have_token = true;
	orders->size = (uint32_t)strtoul(argv[3], NULL, 10);
	orders->full = strcmp(argv[4], "block") == 0 ? WIRE_FULL_BLOCK : WIRE_FULL_DROP;
	sources_open(&sources);
	error = relay_start(ring, &sources, &host, argv[0]);
	if (!error)
		error = event_to_socket();
	if (error) {
		errno = -error;
		die("relay");
	}
	return sources.held[SOURCE_CONSOLE_PIPE];
}

/* --- writers ------------------------------------------------------------------------------------------------------ */

static uint32_t random_below(uint64_t *state, uint32_t n)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33) % n;
}

/* "NUMBER PAYLOAD CHECKSUM\n": the checksum is of what stands before it. */
static size_t line_make(char *line, uint64_t number, uint64_t *random)
{
	uint32_t fill = random_below(random, random_below(random, 20) ? 120 : LINE_MAX - 64);
	size_t len = (size_t)snprintf(line, LINE_MAX, "%llu ", (unsigned long long)number);
	uint32_t sum;

	memset(line + len, 'a' + (int)(number % 26), fill);
	len += fill;
	sum = wire_crc32(0, (uint8_t *)line, len);
	line[len++] = ' ';
	for (int shift = 28; shift >= 0; shift -= 4)     /* init's snprintf knows no such width */
		line[len++] = "0123456789abcdef"[sum >> shift & 15];
	line[len++] = '\n';
	return len;
}

static void write_whole(int fd, const char *line, size_t len, uint64_t *random)
{
	/* Torn at random: what the relay reads ends anywhere. */
	size_t first = random_below(random, 4) ? len : 1 + random_below(random, (uint32_t)len);

	for (size_t at = 0; at < len; first = len) {
		ssize_t n = write(fd, line + at, first - at);

		if (n < 0)
			_exit(1);        /* no writer may see an error, not even SIGPIPE */
		at += (size_t)n;
	}
}

static _Noreturn void writer_run(int stream, int fd, uint64_t seed)
{
	struct writer *writer = &shared->writers[stream];
	uint64_t random = seed * WRITERS + (uint64_t)stream;

	while (!shared->ending) {
		static const uint32_t bursts[] = { 1, 1, 1, 5, 20, 200 };
		uint64_t lines = bursts[random_below(&random, 6)];

		for (lines += atomic_exchange(&writer->burst, 0); lines > 0 && !shared->ending; lines--) {
			char line[LINE_MAX];
			size_t len = line_make(line, writer->lines, &random);

			if (stream == SYSLOG && send(fd, line, len - 1, 0) != (ssize_t)len - 1)
				_exit(1);
			if (stream != SYSLOG)
				write_whole(fd, line, len, &random);
			writer->bytes += stream == SYSLOG ? len - 1 : len;
			writer->lines++;
		}
		for (uint32_t pause = random_below(&random, 100); pause > 0 && !shared->ending && !writer->burst; pause--)
			clock_sleep_ms(4);
	}
	_exit(0);
}

static int syslog_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("/dev/log");
	return fd;
}

static void writers_start(pid_t pids[static WRITERS], int console, uint64_t seed)
{
	int fds[WRITERS] = { open(SOURCE_STDOUT_PATH, O_WRONLY), open(SOURCE_STDERR_PATH, O_WRONLY), console,
		syslog_open() };

	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			writer_run(i, fds[i], seed);
		close(fds[i]);
	}
}

static void writers_end(const pid_t pids[static WRITERS])
{
	int status;

	shared->ending = true;
	for (int i = 0; i < WRITERS; i++)
		if (waitpid(pids[i], &status, 0) < 0 || status != 0)
			die(names[i]);
}

/* --- what is done to the relay ------------------------------------------------------------------------------------ */

/* 0: it is just being started again. */
static pid_t relay_find(void)
{
	DIR *proc = opendir("/proc");
	pid_t pid = 0;

	for (struct dirent *entry; proc && pid == 0 && (entry = readdir(proc));) {
		char path[300], name[16] = "";
		int fd;

		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		fd = atoi(entry->d_name) > 1 ? open(path, O_RDONLY) : -1;
		if (fd >= 0 && read(fd, name, sizeof name - 1) > 0 && strcmp(name, "hawser-relay\n") == 0)
			pid = atoi(entry->d_name);
		if (fd >= 0)
			close(fd);
	}
	if (proc)
		closedir(proc);
	return pid;
}

static void relay_kill(void)
{
	pid_t pid = relay_find();

	if (pid)
		kill(pid, SIGKILL);
}

static void connection_cut(void)
{
	pid_t pid = relay_find();
	int relay = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	for (int i = 0; relay >= 0 && i < DESCRIPTORS; i++) {
		int fd = (int)syscall(SYS_pidfd_getfd, relay, i, 0), type = 0;
		socklen_t size = sizeof type;

		if (fd < 0)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
			shutdown(fd, SHUT_RDWR);
		close(fd);
	}
	if (relay >= 0)
		close(relay);
}

/* --- orders ------------------------------------------------------------------------------------------------------- */

static void burst(unsigned long lines)
{
	for (int i = 0; i < WRITERS; i++)
		shared->writers[i].burst = lines;
}

static void end(const pid_t pids[static WRITERS])
{
	int error;

	writers_end(pids);
	for (int i = 0; i < WRITERS; i++)
		printf("%s %llu %llu\n", names[i], (unsigned long long)shared->writers[i].lines,
			(unsigned long long)shared->writers[i].bytes);
	event_send(WIRE_EVENT_POWER, 0, "poweroff");
	for (int i = 0; (error = event_close()) && i < END_TRIES; i++)
		;
	printf("end %d\n", -error);
}

int main(int argc, char *argv[])
{
	struct ring ring;
	pid_t pids[WRITERS];
	char order[32];

	if (argc != 6)
		return 2;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	setvbuf(stdout, NULL, _IOLBF, 0);
	world_make();
	writers_start(pids, relay_begin(&ring, argv), strtoull(argv[5], NULL, 10));
	while (fgets(order, sizeof order, stdin)) {
		if (strcmp(order, "relay\n") == 0)
			relay_kill();
		else if (strcmp(order, "cut\n") == 0)
			connection_cut();
		else if (strncmp(order, "burst ", 6) == 0)
			burst(strtoul(order + 6, NULL, 10));
		else if (strcmp(order, "end\n") == 0)
			end(pids);
	}
	return 0;
}
