/* SPDX-License-Identifier: MIT */
/*
 * address: where a session is to be had, and the only file that says AF_VSOCK.
 *
 *     vsock:CID:PORT     AF_VSOCK; CID a number, or "any", "host", "local"; PORT a number or "any"
 *     unix:PATH          a Unix stream socket
 *     hybrid:BASE:PORT   the Unix socket BASE_PORT: what Firecracker, Cloud Hypervisor and vhost-device-vsock connect
 *                        to when their guest dials PORT on its host
 */
#ifndef VSOCK_ADDRESS_H
#define VSOCK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_PATH_MAX 107     /* what sun_path holds, less the terminating NUL */
#define ADDRESS_TEXT (ADDRESS_PATH_MAX + 8)

#define ADDRESS_CID_ANY 0xffffffffu      /* VMADDR_CID_ANY */
#define ADDRESS_CID_LOCAL 1u             /* VMADDR_CID_LOCAL */
#define ADDRESS_CID_HOST 2u              /* VMADDR_CID_HOST */
#define ADDRESS_CID_GUEST 3u             /* the lowest that a guest can have */
#define ADDRESS_PORT_ANY 0xffffffffu     /* VMADDR_PORT_ANY */
#define ADDRESS_PORT_PRIVILEGED 1024u    /* ports below need CAP_NET_BIND_SERVICE to bind */

enum address_kind { ADDRESS_VSOCK = 1, ADDRESS_UNIX };

struct address {
	enum address_kind kind;
	uint32_t cid, port;                      /* ADDRESS_VSOCK */
	char path[ADDRESS_PATH_MAX + 1];         /* ADDRESS_UNIX */
};

/* Who is on the other end of a connection, said by the kernel and never by the peer. */
struct address_peer {
	enum address_kind kind;
	uint32_t cid, port;      /* ADDRESS_VSOCK */
	uint32_t uid, pid;       /* ADDRESS_UNIX: SO_PEERCRED */
};

/* Returns NULL, or what is wrong with the text. */
const char *address_parse(struct address *address, const char *text);
struct address address_vsock(uint32_t cid, uint32_t port);
/* False: the path is empty or too long. */
bool address_unix(struct address *address, const char *path);
bool address_hybrid(struct address *address, const char *base, uint32_t port);
const char *address_format(const struct address *address, char text[static ADDRESS_TEXT]);

/*
 * All return a descriptor (CLOEXEC, not blocking) or 0, or a negative errno. connect returns -EINPROGRESS while the
 * connection is being made. With privileged set, an AF_VSOCK socket is bound to a free port below 1024 first.
 */
int address_socket(const struct address *address, bool privileged);
int address_connect(int fd, const struct address *address);
int address_listen(const struct address *address);       /* backlog SOMAXCONN; a Unix path must not exist */
int address_accept(int listener, struct address_peer *peer);
/* What a socket is bound to, and who is on the other end of it. 0, or a negative errno. */
int address_read_own(int fd, struct address *address);
int address_read_peer(int fd, struct address_peer *peer);

#endif
