/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>    /* needs struct sockaddr */

#include "address.h"
#include "dial.h"

_Static_assert(ADDRESS_CID_ANY == VMADDR_CID_ANY && ADDRESS_CID_HOST == VMADDR_CID_HOST, "the kernel's CIDs");
_Static_assert(ADDRESS_PORT_ANY == VMADDR_PORT_ANY, "the kernel's ports");
_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == ADDRESS_PATH_MAX + 1, "a path fits sun_path");

/* --- texts ------------------------------------------------------------------------------------------------------ */

static bool number_parse(const char *s, size_t len, uint32_t *number)
{
	uint64_t n = 0;

	if (!len)
		return false;
	for (; len; s++, len--) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > UINT32_MAX)
			return false;
	}
	*number = (uint32_t)n;
	return true;
}

static bool word_is(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && !memcmp(s, word, len);
}

static bool cid_parse(const char *s, size_t len, uint32_t *cid)
{
	static const struct { char word[8]; uint32_t cid; } words[] = {
		{ "any", VMADDR_CID_ANY }, { "host", VMADDR_CID_HOST }, { "local", VMADDR_CID_LOCAL },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (word_is(s, len, words[i].word)) {
			*cid = words[i].cid;
			return true;
		}
	}
	return number_parse(s, len, cid);
}

static bool port_parse(const char *s, size_t len, uint32_t *port)
{
	*port = VMADDR_PORT_ANY;
	return word_is(s, len, "any") || number_parse(s, len, port);
}

static const char *vsock_parse(struct address *address, const char *text)
{
	const char *colon = strchr(text, ':');
	uint32_t cid, port;

	if (!colon)
		return "no port";
	if (!cid_parse(text, (size_t)(colon - text), &cid))
		return "the CID is not a number, any, host or local";
	if (!port_parse(colon + 1, strlen(colon + 1), &port))
		return "the port is not a number or any";
	*address = address_vsock(cid, port);
	return NULL;
}

static const char *unix_parse(struct address *address, const char *text)
{
	if (!*text)
		return "no path";
	return address_unix(address, text) ? NULL : "the path is too long";
}

static bool hybrid(struct address *address, const char *base, size_t len, uint32_t port)
{
	char number[12];
	int digits = snprintf(number, sizeof(number), "_%u", port);

	*address = (struct address){ .kind = ADDRESS_UNIX };
	if (!len || len + (size_t)digits > ADDRESS_PATH_MAX)
		return false;
	memcpy(address->path, base, len);
	memcpy(address->path + len, number, (size_t)digits);
	return true;
}

static const char *hybrid_parse(struct address *address, const char *text)
{
	const char *colon = strrchr(text, ':');
	uint32_t port;

	if (!colon)
		return "no port";
	if (colon == text)
		return "no path";
	if (!number_parse(colon + 1, strlen(colon + 1), &port))
		return "the port is not a number";
	return hybrid(address, text, (size_t)(colon - text), port) ? NULL : "the path is too long";
}

const char *address_parse(struct address *address, const char *text)
{
	static const struct {
		char prefix[8];
		const char *(*parse)(struct address *address, const char *text);
	} kinds[] = {
		{ "vsock:", vsock_parse }, { "unix:", unix_parse }, { "hybrid:", hybrid_parse },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)))
			return kinds[i].parse(address, text + strlen(kinds[i].prefix));
	return "neither vsock:CID:PORT nor unix:PATH nor hybrid:BASE:PORT";
}

struct address address_vsock(uint32_t cid, uint32_t port)
{
	return (struct address){ .kind = ADDRESS_VSOCK, .cid = cid, .port = port };
}

bool address_unix(struct address *address, const char *path)
{
	size_t len = strlen(path);

	*address = (struct address){ .kind = ADDRESS_UNIX };
	if (!len || len > ADDRESS_PATH_MAX)      /* to bind an empty path makes the kernel choose one */
		return false;
	memcpy(address->path, path, len);
	return true;
}

bool address_hybrid(struct address *address, const char *base, uint32_t port)
{
	return hybrid(address, base, strlen(base), port);
}

static const char *number_format(char text[static 12], uint32_t number)
{
	if (number == UINT32_MAX)        /* VMADDR_CID_ANY and VMADDR_PORT_ANY */
		return "any";
	snprintf(text, 12, "%u", number);
	return text;
}

const char *address_format(const struct address *address, char text[static ADDRESS_TEXT])
{
	char cid[12], port[12];

	if (address->kind == ADDRESS_VSOCK)
		snprintf(text, ADDRESS_TEXT, "vsock:%s:%s", number_format(cid, address->cid),
			number_format(port, address->port));
	else
		snprintf(text, ADDRESS_TEXT, "unix:%s", address->path);
	return text;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

union sockaddr_any {
	struct sockaddr any;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

static socklen_t sockaddr_make(union sockaddr_any *sa, const struct address *address)
{
	memset(sa, 0, sizeof(*sa));
	if (address->kind == ADDRESS_VSOCK) {
		sa->vm.svm_family = AF_VSOCK;
		sa->vm.svm_cid = address->cid;
		sa->vm.svm_port = address->port;
		return sizeof(sa->vm);
	}
	sa->un.sun_family = AF_UNIX;
	memcpy(sa->un.sun_path, address->path, sizeof(address->path));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address->path) + 1);
}

static int address_bind(int fd, const struct address *address)
{
	union sockaddr_any sa;
	socklen_t len = sockaddr_make(&sa, address);

	return bind(fd, &sa.any, len) ? -errno : 0;
}

/*
 * From the top, since the services are far below, and each time another one: a port stays busy for seconds after its
 * connection is gone, and a device that has not noticed the end of one takes the next from the same port for it.
 */
static int bind_privileged(int fd)
{
	static uint32_t last = ADDRESS_PORT_PRIVILEGED;
	struct address own = address_vsock(VMADDR_CID_ANY, last);
	int r = -EADDRINUSE;

	for (uint32_t tries = 1; r == -EADDRINUSE && tries < ADDRESS_PORT_PRIVILEGED; tries++) {
		own.port = own.port > 1 ? own.port - 1 : ADDRESS_PORT_PRIVILEGED - 1;
		r = address_bind(fd, &own);
	}
	last = own.port;
	return r;
}

int address_socket(const struct address *address, bool privileged)
{
	bool vsock = address->kind == ADDRESS_VSOCK;
	int fd = socket(vsock ? AF_VSOCK : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

	if (fd < 0)
		return -errno;
	if (vsock) {
		struct timeval timeout = { .tv_usec = DIAL_TIMEOUT_MS * 1000 };

		/* Without it an attempt takes up to 2 s in the kernel, which is slower but not wrong. */
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof(timeout));
	}
	if (vsock && privileged && (r = bind_privileged(fd))) {
		close(fd);
		return r;
	}
	return fd;
}

int address_connect(int fd, const struct address *address)
{
	union sockaddr_any sa;
	socklen_t len = sockaddr_make(&sa, address);

	return connect(fd, &sa.any, len) ? -errno : 0;
}

int address_listen(const struct address *address)
{
	int fd = address_socket(address, false), r;

	if (fd < 0)
		return fd;
	r = address_bind(fd, address);
	if (!r && listen(fd, SOMAXCONN))
		r = -errno;
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

static int peer_read(int fd, const union sockaddr_any *sa, struct address_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*peer = (struct address_peer){ .kind = ADDRESS_UNIX };
	if (sa->any.sa_family == AF_VSOCK) {
		*peer = (struct address_peer){ ADDRESS_VSOCK, .cid = sa->vm.svm_cid, .port = sa->vm.svm_port };
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	peer->uid = cred.uid;
	peer->pid = (uint32_t)cred.pid;
	return 0;
}

int address_read_own(int fd, struct address *address)
{
	union sockaddr_any sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getsockname(fd, &sa.any, &len))
		return -errno;
	if (sa.any.sa_family == AF_VSOCK) {
		*address = address_vsock(sa.vm.svm_cid, sa.vm.svm_port);
		return 0;
	}
	sa.un.sun_path[ADDRESS_PATH_MAX] = 0;    /* one that was not bound here may go to the last byte */
	return sa.any.sa_family == AF_UNIX && address_unix(address, sa.un.sun_path) ? 0 : -EAFNOSUPPORT;
}

int address_read_peer(int fd, struct address_peer *peer)
{
	union sockaddr_any sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getpeername(fd, &sa.any, &len))
		return -errno;
	return peer_read(fd, &sa, peer);
}

int address_accept(int listener, struct address_peer *peer)
{
	union sockaddr_any sa;
	socklen_t len;
	int fd, r;

	do {
		len = sizeof(sa);
		memset(&sa, 0, sizeof(sa));
		/* The system call: musl's wrapper also knows kernels that have none. */
		fd = (int)syscall(SYS_accept4, listener, &sa.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	r = peer_read(fd, &sa, peer);
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}
