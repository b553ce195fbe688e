/* SPDX-License-Identifier: MIT */
/* reader: the process that reads machines' directories (split.h). It is reader_main; the rest is for its own files. */
#ifndef HOST_READER_H
#define HOST_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "../vsock/address.h"
#include "loop.h"
#include "names.h"
#include "secret.h"
#include "source.h"
#include "split.h"
#include "vmconfig.h"

#define READER_OPTION "--reader"         /* of hawserd, for the monitor only */

/* Descriptors that it begins with. The last is the directory of the settings, or the one of its machine. */
enum { READER_SERVER = 3, READER_MONITOR, READER_DIR, READER_FDS };

struct delivery;

/* A file that is told from another one, and from itself before it was changed. */
struct dir_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* A machine's directory. */
struct dir {
	char name[VMCONFIG_NAME_MAX + 1];        /* first: see names.h */
	struct reader *reader;
	char *path;                      /* for messages, and to be watched */
	bool seen;                       /* in the scan that is going on */
	bool served;                     /* there is a vm.json, good or bad */
	int watch;                       /* inotify's, or -1 */
	struct dir_stamp stamp;          /* of the vm.json that was last read, good or bad */
	struct vmconfig *config;         /* the last good one; NULL: there was none */
	struct problem problem;          /* with the vm.json of now, or with the sockets; empty: none */
	char *base;                      /* of its Unix sockets; NULL: none */
	struct address address;          /* that connections to its boot socket have on this side */
};

struct reader {
	struct loop loop;
	struct secret_arena arena;
	struct split_setup setup;
	struct split_machine_of of;      /* what the tool said that attached the machine; type 0: none did */
	char **args;                     /* in its place of process.args; n_args 0: as they are */
	size_t n_args;
	struct names dirs;
	struct source_decrypter decrypter;
	int inotify;
	bool stop, done;                 /* done: the server is gone, and nobody needs us any more */
	TAILQ_HEAD(, delivery) hungry;   /* that wait for a secret slot */
};

/* The whole process, from the descriptors above on. Its exit status. */
int reader_main(void);
/* To the server. It is ours to fear, not the other way round: when it is gone, so are we. */
void reader_tell(struct reader *reader, const void *message, const int *fds, unsigned n);

/* --- reader_decrypt.c: credentials that are encrypted ------------------------------------------------------------ */

/* As source.h's; arg is the reader. */
int reader_decrypt(void *arg, const char *name, int fd, struct secret_vault *vault, struct problem *problem);

/* --- reader_dirs.c: directories, and the one that they are in ---------------------------------------------------- */

int dirs_init(struct reader *reader);
void dirs_finish(struct reader *reader);
void dirs_scan(struct reader *reader);
void dirs_inotify(struct reader *reader);
/* Takes the machine of its own, of which the server has told. */
void dirs_take(struct reader *reader);

/* --- reader_dir.c: one of them ----------------------------------------------------------------------------------- */

struct dir *dir_create(struct reader *reader, const char *name, const char *path);
void dir_destroy(struct dir *dir);       /* and tells */
/* Reads vm.json again if it is another one now, and tells what changed. */
void dir_refresh(struct dir *dir);
int dir_open(const struct dir *dir);     /* a descriptor, or a negative errno */
/* Whether fd is still the machine's directory, and the vm.json in it the one that was last read. */
bool dir_current(const struct dir *dir, int fd);

/* --- reader_send.c: boot sessions -------------------------------------------------------------------------------- */

/* Takes the connection over. */
void delivery_prepare(struct reader *reader, const struct split_session *request, int fd);
void delivery_send(struct reader *reader, const struct split_session *request);
void delivery_event(struct delivery *delivery, uint32_t events);
void deliveries_finish(struct reader *reader);

#endif
