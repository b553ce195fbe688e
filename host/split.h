/* SPDX-License-Identifier: MIT */
/*
 * split: the processes of hawserd, and what they say to each other: one of these structures a message, no pointers,
 * every text with its NUL.
 *
 *     monitor   started by the administrator, keeps his rights. Makes the sockets, starts the others, and starts a
 *               reader again that died. Reads no byte of a guest, of a tool, or of a machine's directory.
 *     server    listens, speaks with guests and tools, knows the epochs, writes the logs. Reads no machine's directory.
 *     reader    reads machines' directories, and writes what is in them to guests whose HELLO the server has
 *               accepted. Reads nothing from anybody but the two others. One for all machines of the settings, and one
 *               for each that a tool attached.
 *
 * A credential that is encrypted is decrypted by systemd-creds, a child of the monitor's, which may have the key. What
 * it writes goes through a pipe to the reader, and nowhere else.
 *
 * A boot: the server reads HELLO and passes the connection with PREPARE; the reader looks whether it is one of that
 * machine, looks at the directory, and says READY; the server opens the epoch, sends WELCOME and says SEND; the reader
 * writes the records, says COMMITTING just before it writes the last of them, and closes its descriptor. The server
 * ends a session that is under way by shutting the connection down, which the reader notices.
 */
#ifndef HOST_SPLIT_H
#define HOST_SPLIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vsock/wire.h"
#include "problem.h"
#include "vmconfig.h"

#define SPLIT_LISTENERS 2        /* of a machine: boot and log */
#define SPLIT_BASE (2 * PATH_MAX)

enum split_type {
	SPLIT_SETUP = 1,         /* monitor to reader: the first. With the directory, or without where there is none */
	SPLIT_BIND,              /* reader to monitor, which answers with BOUND at once: make a machine's sockets */
	SPLIT_BOUND,             /* with both sockets, or with a problem and none */
	SPLIT_UNBIND,            /* reader to monitor */
	SPLIT_DECRYPT,           /* reader to monitor, with an encrypted credential: answered at once with DECRYPTING */
	SPLIT_DECRYPTING,        /* with the pipe that it comes through, or with an error and none */
	SPLIT_DECRYPTED,         /* monitor to reader: the program that did it has ended */
	SPLIT_CHANNEL,           /* monitor to server, with a channel: to the reader of that number */
	SPLIT_ATTACH,            /* server to monitor, with a directory: start a reader of that number for it */
	SPLIT_DIAL,              /* server to monitor, which answers with DIALLED at once: connect to a machine's guest */
	SPLIT_DIALLED,           /* with a socket that is being connected, or with an error and none */
	SPLIT_NOTICE,            /* server to monitor: for the service manager; the first READY: everything listens */
	SPLIT_MACHINE_OF,        /* server to the reader of one directory: the first. With its arguments, or without */
	SPLIT_READER,            /* reader to server: the first. How it is confined */
	SPLIT_MACHINE,           /* reader to server: there, or changed; with sockets where base is set */
	SPLIT_GONE,              /* reader to server */
	SPLIT_SCANNED,           /* reader to both: that was all for now; what was not named is not there any more */
	SPLIT_RESCAN,            /* server to the reader of the settings' directory, which ends it with SCANNED */
	SPLIT_PREPARE,           /* server to reader, with the connection */
	SPLIT_READY,             /* reader to server, and those below but SEND, too */
	SPLIT_SEND,              /* server to reader */
	SPLIT_COMMITTING,
	SPLIT_REFUSED,           /* there is nothing valid to be had: refuse the guest */
	SPLIT_CUT,               /* it could not be done, this time */
	SPLIT_TYPES,
};

struct split_setup {
	uint32_t type, port;
	int32_t log_level;
	int32_t server;                  /* its pid: a connection of its own is nobody's */
	uint32_t uid, gid;               /* to be when change_user */
	uint8_t change_user, attached, vsock;    /* vsock: guests with a CID come in there */
	char dir[PATH_MAX];              /* of the settings; for messages, and to be watched */
	char runtime[PATH_MAX];
};

struct split_bind {
	uint32_t type;
	uint8_t follow;                  /* symbolic links on the way are all right */
	char name[VMCONFIG_NAME_MAX + 1];
	char base[SPLIT_BASE];
};

struct split_bound {
	uint32_t type;
	char problem[sizeof((struct problem *)0)->text];
};

/* DECRYPTING: a negative errno; DECRYPTED: an exit status, 0: it is all there. */
struct split_status {
	uint32_t type;
	int32_t status;
};

struct split_credential {                /* DECRYPT */
	uint32_t type;
	char name[WIRE_NAME_MAX + 1];
};

struct split_name {                      /* UNBIND, GONE */
	uint32_t type;
	char name[VMCONFIG_NAME_MAX + 1];
};

struct split_number {                    /* CHANNEL, ATTACH */
	uint32_t type, number;
};

struct split_dial {
	uint32_t type, reader;           /* the machine's */
	uint32_t cid, port;              /* cid 0: by its Unix socket */
	char name[VMCONFIG_NAME_MAX + 1];
};

struct split_dialled {
	uint32_t type;
	int32_t error;                   /* a negative errno */
};

struct split_notice {
	uint32_t type, word, machines;   /* word: service.h */
};

struct split_word {                      /* SCANNED, RESCAN */
	uint32_t type;
};

struct split_machine_of {
	uint32_t type, cid;              /* cid 0: by vm.json */
	uint8_t ephemeral;
	uint8_t feed;                    /* the tool is the workload's standard input */
	uint8_t terminal;                /* there is no workload: the tool runs it, in a control session */
	char name[VMCONFIG_NAME_MAX + 1];
	char socket[SPLIT_BASE];         /* empty: by vm.json */
	char dir[SPLIT_BASE];            /* for messages */
};

struct split_reader {
	uint32_t type;
	int32_t pid;
	int32_t landlock;                /* its version; 0: the kernel has none */
	uint8_t seccomp, user, locked;   /* user: it is another one than who started hawserd; locked: its memory */
};

struct split_machine {
	uint32_t type, cid, verbs;
	uint8_t served, valid, once;
	char name[VMCONFIG_NAME_MAX + 1];
	char base[SPLIT_BASE];           /* empty: no sockets */
	char problem[sizeof((struct problem *)0)->text];         /* empty: none */
};

struct split_session {                   /* PREPARE, READY, SEND, COMMITTING, REFUSED, CUT */
	uint32_t type;
	uint16_t flags;                  /* READY: of WELCOME */
	uint8_t spent;                   /* PREPARE: its credentials were delivered once */
	uint32_t credentials;            /* READY: how many there are to send */
	uint64_t session;
	char name[VMCONFIG_NAME_MAX + 1];        /* PREPARE */
	char text[sizeof((struct problem *)0)->text];    /* CUT: why */
};

union split {
	uint32_t type;
	struct split_setup setup;
	struct split_bind bind;
	struct split_bound bound;
	struct split_name name;
	struct split_credential credential;
	struct split_status status;
	struct split_number number;
	struct split_dial dial;
	struct split_dialled dialled;
	struct split_notice notice;
	struct split_word word;
	struct split_machine_of machine_of;
	struct split_reader reader;
	struct split_machine machine;
	struct split_session session;
};

/* Bytes of a message of this type; 0: there is no such type. */
size_t split_size(uint32_t type);
/* Whether what came is a message: of its type's size, each text ended, each name that of a machine. */
bool split_valid(const union split *message, size_t size);
/* As channel_send, with the size of the message's type. */
int split_send(int fd, const void *message, const int *fds, unsigned n, bool wait);
/* As channel_receive; -EBADMSG for what is no message. */
int split_receive(int fd, union split *message, int fds[static 2], bool wait);

#endif
