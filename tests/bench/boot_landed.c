/* SPDX-License-Identifier: MIT */
/* boot_landed: what a counted boot ends in. The time of its first instruction goes to boot_host.c. */
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "../../vsock/address.h"
#include "../../vsock/dial.h"
#include "boot_ports.h"

int main(void)
{
	struct address host = address_vsock(1, PORT_LANDED);
	struct timespec t;
	uint64_t now;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	fd = dial(&host, false, 1000);
	if (fd < 0 || write(fd, &now, sizeof now) != sizeof now)
		return 1;
	for (;;)
		pause();
}
