/* SPDX-License-Identifier: MIT */
/*
 * load: the program of a guest that is measured. The host tells it on the serial console what to do, one line each, and
 * gets an answer there, so that nothing of that goes where the bytes to be measured go.
 *
 *     lines stdout BYTES      one write for each line of 100 bytes, to the standard output
 *     blocks stdout BYTES     one write for each 32 KiB, which are 256 lines
 *     lines PROGRAM BYTES     the same into a FIFO, /tmp/fifo, that `sh -c PROGRAM` reads
 *     blocks raw:PORT BYTES   the same straight to the host's vsock port, until the reader there has answered
 *     lines serial BYTES      the same to the serial console, between the answers
 *     read raw:PORT BYTES     reads that much from the host's vsock port, in pieces of up to 32 KiB
 *     memory                  private memory of the relay and its keeper
 *     end
 *
 * A PROGRAM may be `/bench/load carry PORT`, the least that can carry a FIFO to the vsock: read and write; or
 * `/bench/load drop`, which reads and writes nothing.
 *
 * The answers: "begin" right before the first write; "done NS CPU": how long the writing took, and what the carriers,
 * relay and keeper or PROGRAM, or this program where there are none, took of the processor meanwhile; and "memory HOW
 * KIB...".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../../vsock/address.h"
#include "../../vsock/dial.h"

#define LINE 100
#define BLOCK (32 << 10)
#define BLOCK_LINE 128           /* the lines of a block */
#define FIFO "/tmp/fifo"
#define CARRIERS 8

static FILE *orders, *serial;

static void die(const char *what)
{
	fprintf(serial, "error %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0, 0 };

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* --- who carries the bytes --------------------------------------------------------------------------------------- */

static size_t slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* The processes whose name begins so. */
static int find(const char *name, pid_t *pids)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int n = 0;

	while (proc && (entry = readdir(proc)) && n < CARRIERS) {
		char path[300], comm[64];

		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' && slurp(path, comm, sizeof comm) &&
		    strncmp(comm, name, strlen(name)) == 0)
			pids[n++] = (pid_t)atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return n;
}

/* The scheduler's own count, in ns: the ticks of /proc/PID/stat are 10 ms each, and are taken at random. */
static uint64_t cpu_ns(const pid_t *pids, int n)
{
	uint64_t sum = 0;
	clockid_t clock;

	for (int i = 0; i < n; i++)
		if (clock_getcpuclockid(pids[i], &clock) == 0)
			sum += clock_ns(clock);
	return sum;
}

/* Without PROC_PAGE_MONITOR the kernel counts a process's anonymous pages, shared with its parent's or not. */
static void memory(void)
{
	static const char *const keys[2][2] = { { "\nPrivate_Clean:", "\nPrivate_Dirty:" }, { "\nRssAnon:", NULL } };
	pid_t pids[CARRIERS];
	int n = find("hawser-", pids), how = access("/proc/1/smaps_rollup", F_OK) == 0 ? 0 : 1;

	fprintf(serial, "memory %s", how ? "RssAnon" : "smaps_rollup");
	for (int i = 0; i < n; i++) {
		char path[64], text[4096];
		long kib = 0;

		snprintf(path, sizeof path, "/proc/%d/%s", (int)pids[i], how ? "status" : "smaps_rollup");
		slurp(path, text, sizeof text);
		for (int k = 0; k < 2 && keys[how][k]; k++) {
			const char *at = strstr(text, keys[how][k]);

			kib += at ? atol(at + strlen(keys[how][k])) : 0;
		}
		fprintf(serial, " %ld", kib);
	}
	fprintf(serial, "\n");
}

/* --- what is written --------------------------------------------------------------------------------------------- */

/* Each line begins with its number, so that none can be missing, twice, or in another's place. */
static void number_put(char *line, unsigned long number)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 7; i >= 0; i--, number >>= 4)
		line[i] = hex[number & 15];
}

static void lines_make(char *lines, size_t n, size_t size)
{
	memset(lines, '.', n * size);
	for (size_t i = 0; i < n; i++) {
		number_put(lines + i * size, i);
		lines[i * size + size - 1] = '\n';
	}
}

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("write");
		bytes += n;
		len -= (size_t)n;
	}
}

static void write_lines(int fd, uint64_t bytes)
{
	char line[LINE];

	lines_make(line, 1, LINE);
	for (unsigned long i = 0; i < bytes / LINE; i++) {
		number_put(line, i);
		write_all(fd, line, LINE);
	}
}

/* In a block, only the first line's number is the stream's: the making must cost nothing beside the writing. */
static void write_blocks(int fd, uint64_t bytes)
{
	static char block[BLOCK];

	lines_make(block, BLOCK / BLOCK_LINE, BLOCK_LINE);
	for (unsigned long i = 0; i < bytes / BLOCK; i++) {
		number_put(block, i);
		write_all(fd, block, BLOCK);
	}
}

/* Until the reader has taken everything out, and a little longer, for what it does then. */
static void drained(int pipe)
{
	int waiting = 1;

	while (waiting > 0) {
		sleep_ms(2);
		if (ioctl(pipe, FIONREAD, &waiting) < 0)
			die("FIONREAD");
	}
	sleep_ms(300);
}

/* The reader has everything. */
static void answered(int fd)
{
	char answer;

	if (read(fd, &answer, 1) != 1)
		die("the reader's answer");
}

static void sent(int tty)
{
	tcdrain(tty);
}

static void measure(int fd, bool blocks, uint64_t bytes, const pid_t *carriers, int n, void (*wait)(int fd))
{
	uint64_t cpu, start, took;

	fprintf(serial, "begin\n");
	cpu = cpu_ns(carriers, n);
	start = clock_ns(CLOCK_MONOTONIC);
	(blocks ? write_blocks : write_lines)(fd, bytes);
	took = clock_ns(CLOCK_MONOTONIC) - start;
	wait(fd);
	cpu = cpu_ns(carriers, n) - cpu;
	fprintf(serial, "done %llu %llu\n", (unsigned long long)took, (unsigned long long)cpu);
}

/* --- the contenders ---------------------------------------------------------------------------------------------- */

static void by_stdout(bool blocks, uint64_t bytes)
{
	pid_t pids[CARRIERS];

	measure(1, blocks, bytes, pids, find("hawser-", pids), drained);
}

static void by_program(const char *program, bool blocks, uint64_t bytes)
{
	int fd;
	pid_t pid;

	unlink(FIFO);
	if (mkfifo(FIFO, 0600) < 0)
		die(FIFO);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", program, NULL);
		_exit(127);
	}
	fd = open(FIFO, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(FIFO);
	sleep_ms(100);           /* it opens the FIFO first, then the vsock */
	measure(fd, blocks, bytes, &pid, 1, drained);
	close(fd);
	waitpid(pid, NULL, 0);
}

static void by_vsock(uint32_t port, bool blocks, uint64_t bytes)
{
	struct address host = address_vsock(2, port);
	int fd = dial(&host, false, 1000);
	pid_t pid = getpid();

	if (fd < 0) {
		errno = -fd;
		die("dial");
	}
	fcntl(fd, F_SETFL, 0);
	measure(fd, blocks, bytes, &pid, 1, answered);
	close(fd);
}

static void by_serial(bool blocks, uint64_t bytes)
{
	pid_t pid = getpid();

	measure(fileno(serial), blocks, bytes, &pid, 1, sent);
}

static void from_vsock(uint32_t port, uint64_t bytes)
{
	static char block[BLOCK];
	struct address host = address_vsock(2, port);
	int fd = dial(&host, false, 1000);
	uint64_t start = 0, left = bytes;

	if (fd < 0) {
		errno = -fd;
		die("dial");
	}
	fcntl(fd, F_SETFL, 0);
	while (left > 0) {
		ssize_t n = read(fd, block, sizeof block);

		if (n <= 0)
			die("read");
		if (!start)
			start = clock_ns(CLOCK_MONOTONIC);
		left -= (uint64_t)n;
	}
	fprintf(serial, "done %llu 0\n", (unsigned long long)(clock_ns(CLOCK_MONOTONIC) - start));
	close(fd);
}

/* Until the FIFO ends. It gets as large as the relay's pipes, and is read as the relay reads these. to: -1 drops. */
static int carry(int to)
{
	static char blocks[4 * BLOCK];
	int from = open(FIFO, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (from < 0 || fcntl(from, F_SETPIPE_SZ, sizeof blocks) < 0)
		return 1;
	while ((n = read(from, blocks, sizeof blocks)) > 0)
		for (ssize_t at = 0; to >= 0 && at < n; at += BLOCK)
			write_all(to, blocks + at, (size_t)(n - at < BLOCK ? n - at : BLOCK));
	return n < 0;
}

static int carry_to(uint32_t port)
{
	struct address host = address_vsock(2, port);
	int to = dial(&host, false, 1000);

	if (to < 0)
		return 1;
	fcntl(to, F_SETFL, 0);
	return carry(to);
}

static void obey(char *order)
{
	bool blocks = strncmp(order, "blocks ", 7) == 0;
	char *what = strchr(order, ' '), *number = strrchr(order, ' ');
	uint64_t bytes;

	if (strcmp(order, "memory") == 0) {
		memory();
		return;
	}
	if (!what || what == number)
		exit(strcmp(order, "end") != 0);
	*number++ = '\0';
	what++;
	bytes = strtoull(number, NULL, 10);
	if (strncmp(order, "read raw:", 9) == 0)
		from_vsock((uint32_t)atoi(what + 4), bytes);
	else if (strcmp(what, "stdout") == 0)
		by_stdout(blocks, bytes);
	else if (strcmp(what, "serial") == 0)
		by_serial(blocks, bytes);
	else if (strncmp(what, "raw:", 4) == 0)
		by_vsock((uint32_t)atoi(what + 4), blocks, bytes);
	else
		by_program(what, blocks, bytes);
}

int main(int argc, char **argv)
{
	char order[1024];
	struct termios termios;

	if (argc == 3 && strcmp(argv[1], "carry") == 0)
		return carry_to((uint32_t)atoi(argv[2]));
	if (argc == 2 && strcmp(argv[1], "drop") == 0)
		return carry(-1);
	orders = fopen("/dev/ttyS0", "r");
	serial = fopen("/dev/ttyS0", "w");
	if (!orders || !serial)
		return 1;
	setvbuf(serial, NULL, _IOLBF, 0);
	tcgetattr(fileno(serial), &termios);
	cfmakeraw(&termios);
	tcsetattr(fileno(serial), TCSANOW, &termios);
	signal(SIGPIPE, SIG_IGN);
	fprintf(serial, "ready\n");
	while (fgets(order, sizeof order, orders)) {
		order[strcspn(order, "\n")] = '\0';
		obey(order);
	}
	return 1;
}
