/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>    /* needs struct sockaddr */

#include "address.h"
#include "cid.h"
#include "ready.h"

#define CID_POLL_NS 5000000      /* there is nothing to be told by: no event comes with a CID */

bool cid_is_guest(uint32_t cid)
{
	return cid >= ADDRESS_CID_GUEST && cid != ADDRESS_CID_ANY;
}

int cid_read(uint32_t *cid)
{
	int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, cid))
		r = -errno;
	close(fd);
	return r;
}

int cid_wait(uint32_t *cid, uint64_t deadline_ns)
{
	static const struct timespec pause = { .tv_nsec = CID_POLL_NS };

	for (;;) {
		/* Every error may pass: the node, the driver and the device come in their own time. */
		if (cid_read(cid))
			*cid = ADDRESS_CID_ANY;
		if (cid_is_guest(*cid))
			return 0;
		if (ready_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}
