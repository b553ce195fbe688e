/* SPDX-License-Identifier: MIT */
/*
 * dial PORT UID COUNT [hold]: a program in a guest that dials its host COUNT times at once, as that user, and says
 * nothing. A connection that cannot be made is tried again. It tells how many were answered, by the code of the
 * REFUSE, and from which ports; with "hold", from privileged ones, it tells the serial console, and stays when each has
 * an answer or has none.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define CODES 16
#define SILENT_MS 1000

static unsigned port, count, codes[CODES], cut, again, low = ~0u, high;
static bool hold;
static int queue, *fds;
static FILE *serial;

static void dial(unsigned i)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
	struct sockaddr_vm own = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 900 };
	struct epoll_event event = { .events = EPOLLOUT, .data.u32 = i };
	socklen_t len = sizeof own;

	fds[i] = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
	while (hold && bind(fds[i], (struct sockaddr *)&own, sizeof own) < 0)
		own.svm_port--;
	if (fds[i] < 0 || (connect(fds[i], (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) ||
		epoll_ctl(queue, EPOLL_CTL_ADD, fds[i], &event) < 0) {
		fprintf(serial, "dial: %u: %s\n", i, strerror(errno));
		exit(1);
	}
	getsockname(fds[i], (struct sockaddr *)&own, &len);
	low = own.svm_port < low ? own.svm_port : low;
	high = own.svm_port > high ? own.svm_port : high;
}

static void end(unsigned i)
{
	close(fds[i]);
	fds[i] = -1;
}

/* It is connected, or never will be. */
static void connected(unsigned i)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &error, &len);
	if (!error) {
		epoll_ctl(queue, EPOLL_CTL_MOD, fds[i], &event);
		return;
	}
	if (!again++)
		fprintf(serial, "dial: full\n");
	end(i);
	usleep(1000);
	dial(i);
}

/* True: that one is over. */
static bool answered(unsigned i)
{
	uint8_t frame[8 + 4 + 512];
	ssize_t n = read(fds[i], frame, sizeof frame);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n >= 12 && frame[4] == 1 && frame[8] < CODES)
		codes[frame[8]]++;
	else
		cut++;
	end(i);
	return true;
}

int main(int argc, char *argv[])
{
	struct rlimit files = { 1 << 16, 1 << 16 };
	struct epoll_event events[64];
	unsigned left;
	FILE *tells;
	int n;

	if (argc < 4)
		return 2;
	port = (unsigned)atoi(argv[1]);
	left = count = (unsigned)atoi(argv[3]);
	hold = argc > 4;
	serial = fopen("/dev/ttyS0", "w");
	setvbuf(serial, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_NOFILE, &files);
	if (setgid((gid_t)atoi(argv[2])) || setuid((uid_t)atoi(argv[2])))
		return 2;
	queue = epoll_create1(0);
	fds = calloc(count, sizeof *fds);
	for (unsigned i = 0; i < count; i++)
		dial(i);
	while (left && (n = epoll_wait(queue, events, 64, hold ? SILENT_MS : -1)) > 0)
		for (int i = 0; i < n; i++) {
			if (events[i].events & EPOLLOUT)
				connected(events[i].data.u32);
			else
				left -= answered(events[i].data.u32);
		}
	tells = hold ? serial : stdout;
	fprintf(tells, "dial %u uid %s:", port, argv[2]);
	for (int code = 0; code < CODES; code++)
		if (codes[code])
			fprintf(tells, " REFUSE %d %u times,", code, codes[code]);
	fprintf(tells, " cut %u, silent %u, again %u, ports %s\n", cut, left, again,
		high < 1024 ? "privileged" : low >= 1024 ? "others" : "mixed");
	fflush(tells);
	if (hold)
		pause();
	return 0;
}
