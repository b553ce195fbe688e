/* SPDX-License-Identifier: MIT */
/* run_state: what the parts of `hawser run` share, and who of them does what. Only run*.c include this. */
#ifndef HOST_RUN_STATE_H
#define HOST_RUN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "janitor.h"
#include "machine.h"
#include "remote.h"
#include "run_options.h"
#include "run_print.h"
#include "run_summary.h"
#include "subprocess.h"
#include "terminal.h"
#include "ticks.h"
#include "vmconfig.h"

#define MS 1000000ull
#define RUN_CID_DEFAULT 3
#define START_MS 10000           /* for helpers to start, and for hawserd to answer */
#define QEMU_TERM_MS 2000        /* from SIGTERM to SIGKILL */
#define DRAIN_MS 500             /* for bytes on their way; then vhost-device-vsock is ended, and once more */
#define QUIET_MS 10000           /* from QEMU's start to a word on a guest that has not dialled */
#define POWER_MS 5000            /* from the guest's END to its machine's */
#define STOP_MORE_MS 8000        /* from the end of the program's grace to that of a machine that was asked to end */
#define HELPER_TERM_MS 500       /* for hawserd and vhost-device-vsock to end by themselves */

enum stage { STARTING, ATTACHING, RUNNING, STOPPING, ENDING, DRAINING, OVER };
enum feed_state { FEED_OFF, FEED_WANTED, FEED_ASKED, FEED_UP };
enum helper { HAWSERD, DEVICE, QEMU, HELPERS };

struct run {
	struct run_options o;
	struct run_print print;
	struct run_summary summary;
	char *dir;                       /* VMDIR, absolute */
	struct vmconfig *config;
	char name[VMCONFIG_NAME_MAX + 1];
	char *kernel, *initrd, *qemu, *device, *hawserd;
	bool vhost;                      /* the kernel's vhost-vsock; machine.vhost is what became of it */
	struct machine machine;

	struct janitor janitor;
	struct subprocess helpers[HELPERS];
	struct client client;
	struct feed {                    /* our standard input, on its way to the program */
		uint8_t state;           /* enum feed_state */
		struct client client;    /* ASKED */
		struct remote remote;    /* UP */
		uint32_t credit;         /* bytes that the guest takes */
		bool ended;
	} feed;
	bool tty;                        /* the program is on a terminal, and what is fed is that */
	struct terminal terminal;        /* ours */
	struct wire_control exec;        /* what is run on it */
	struct { uint64_t began; unsigned times; } escape;
	const char *runtime;             /* hawserd's */
	char own_runtime[JANITOR_DIR_MAX + 8];
	int signals, ready, inotify;     /* descriptors; -1: not (or not any more) open */
	bool hawserd_ready, device_ready, device_told;   /* told: DRAINING has ended it */
	bool powering_off;               /* the guest has said END */
	bool ready_told;                 /* it was ready, and who waits for that knows */
	char *notify;                    /* our own $NOTIFY_SOCKET; NULL: none */

	enum stage stage;
	struct ticks ticks;              /* when it began */
	uint64_t began, deadline;        /* CLOCK_MONOTONIC, ns; 0: no deadline */
	uint64_t ready_until;            /* the same for the guest's READY=1 */
	uint64_t finished;
	int signal;                      /* that ended the run; 0: none */
	const struct subprocess *culprit;        /* whose words explain the failure */
	bool failed;
	char failure[1024];
};

/* run.c: the stages. run_fail keeps the first failure, ends the run, and returns -1. culprit: whose words explain. */
int run_fail(struct run *r, const struct subprocess *culprit, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void run_end_begin(struct run *r);
void run_stop_begin(struct run *r);      /* in good order, if there is somebody who can be asked */
void run_interrupt(struct run *r, int signal);   /* a signal came, or what stands for one; the second kills */
uint64_t run_now(void);                  /* CLOCK_MONOTONIC, ns */
void run_close(int *fd);

/* run_find.c: reads the directory as hawserd will, and finds all programs and files. Nothing is started. 0 or -1. */
int run_find(struct run *r);

/* run_notify.c: what the guest's program says to its $NOTIFY_SOCKET, to who started us and gave us one. */
void run_notify(struct run *r, const struct client_record *record);

/* run_dry.c: prints what would be run, and ends the run. */
void run_dry(struct run *r);

/* run_helpers.c. All 0 or -1, with the failure kept. */
int run_helpers_start(struct run *r);    /* hawserd and vhost-device-vsock; they are not ready yet */
int run_qemu_start(struct run *r);
/* args are freed. pass: a descriptor that the helper gets, or -1. */
int run_helper_start(struct run *r, enum helper which, struct arglist *args, int pass);
void run_helpers_end(struct run *r);     /* all of them, and removes the run's directory */

/*
 * run_vsock.c: by which device the guest gets its vsock. Under --vsock auto it is the kernel's where /dev/vhost-vsock
 * can be used, the machine has a CID, and a hawserd listens on AF_VSOCK; else vhost-device-vsock. All 0 or -1, with the
 * failure kept.
 */
int run_vsock_find(struct run *r);
int run_vsock_check(struct run *r);      /* whether a hawserd of our own could listen on AF_VSOCK */
int run_vsock_start(struct run *r);      /* vhost-device-vsock, where the guest needs one; it is not ready yet */
/* The kernel's will not do, and why; where another may, it is started, and the stage is STARTING again. */
int run_vsock_fall_back(struct run *r, const char *why);

/* run_hawserd.c: the control connection. */
int run_attach(struct run *r);
void run_client_read(struct run *r);
bool run_output_full(const struct run *r);       /* nothing more should be read, until it is written */

/* Has the guest asked to end in good order. False: it cannot be reached. */
bool run_button(struct run *r);

/* run_feed.c: standard input, from when the guest has its configuration. */
void run_feed_init(struct run *r);
void run_feed_advance(struct run *r);            /* begins, when it is time */
int run_feed_fd(const struct run *r, short *events);     /* the guest's side, to be polled; -1: nothing */
bool run_feed_reads(const struct run *r);        /* standard input is to be polled */
void run_feed_event(struct run *r);
void run_feed_read(struct run *r);
void run_feed_finish(struct run *r);

/*
 * run_terminal.c: the program on a terminal. There is no workload then: it is run in a control session, by EXEC, with
 * what vm.json says of it, and its end is the machine's.
 */
int run_terminal_init(struct run *r);            /* whether, and of what kind; 0, or -1 with the failure kept */
void run_terminal_begin(struct run *r);          /* the session is there */
void run_terminal_resize(struct run *r);
void run_terminal_typed(struct run *r, const char *bytes, size_t len);   /* looks for who wants out */
void run_terminal_message(struct run *r, const struct wire_control *message);

/* run_report.c: what is said at the end; the exit status. */
int run_report(struct run *r);
void run_output_finish(struct run *r);

#endif
