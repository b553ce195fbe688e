/* SPDX-License-Identifier: MIT */
/*
 * janitor: whatever happens, nothing of a run stays behind: no process, no socket, no file.
 *
 * The argument. A run has helpers (hawserd, vhost-device-vsock, QEMU) and one private directory that holds all of its
 * files and sockets. Any process may be killed at any instruction, with SIGKILL too.
 *
 * 1. The janitor is a small child process of the run, forked before anything else exists. It makes the directory
 *    itself, so there is no instant at which the directory exists and its janitor does not.
 * 2. It holds one end of a socket pair whose other end only the run holds (CLOEXEC; a helper that is being started
 *    executes nothing before it is cut loose, see 3). When the run ends, in whatever way, the kernel closes that end,
 *    and the janitor reads an end of stream. There is no other way to end, so the way is taken after every run.
 * 3. Each helper's pidfd is in the socket pair's queue before the helper executes its program: it waits at a gate for
 *    the run's word, and exits when the gate closes without it. What is in the queue outlives the run.
 * 4. At the end of stream the janitor sends SIGKILL to the pidfds (never to a number that may be somebody else's by
 *    then) and waits until all are dead. Then nobody is left who could make a file, and it removes the directory.
 * 5. A helper also gets SIGKILL from the kernel when the run dies (PR_SET_PDEATHSIG), so processes need no janitor
 *    at all; but files do, and they can be removed only when no process is left.
 * 6. A helper that is killed is noticed by the run, which ends: 2.
 * 7. A janitor that is killed is noticed by the run, too, which removes the directory itself when it ends.
 * 8. It is out of reach of what is sent to a group: a session of its own, all signals blocked that can be.
 * 9. Only when run and janitor are killed together (a control group's end, a machine without memory) the directory
 *    stays, with nobody in it. The janitor holds a lock on it as long as it lives, and the next janitor removes what
 *    it finds unlocked. A file system that forgets (/run, /tmp at a reboot) does the rest.
 */
#ifndef HOST_JANITOR_H
#define HOST_JANITOR_H

#include <sys/types.h>

#define JANITOR_DIR_MAX 80       /* leaves room for the names of sockets in sun_path's 107 bytes */
#define JANITOR_HELPERS_MAX 8    /* that one run starts, one after the other */

struct janitor {
	pid_t pid;
	int pidfd;               /* readable when the janitor has died, which it should not before the run */
	int fd;                  /* the run's end of the socket pair */
	char dir[JANITOR_DIR_MAX + 1];
	int helpers[JANITOR_HELPERS_MAX], n_helpers;     /* copies of what was told, for 7 */
};

/*
 * Forks the janitor. dir is then a new directory, mode 0700, below the first of $XDG_RUNTIME_DIR, $TMPDIR and /tmp
 * that can hold it. 0 or a negative errno.
 */
int janitor_start(struct janitor *janitor);
/* The janitor kills what this pidfd stands for when the run is over. 0 or a negative errno. */
int janitor_tell(struct janitor *janitor, int pidfd);
/* Ends the run's processes and removes its directory, and waits until that is done. */
void janitor_finish(struct janitor *janitor);

#endif
