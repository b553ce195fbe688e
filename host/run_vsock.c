/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "../vsock/address.h"
#include "../vsock/wire.h"
#include "run_state.h"

#define VHOST "/dev/vhost-vsock"

static int device_find(struct run *r)
{
	const char *name;
	if ((r->device = machine_device_find(&name)))
		return 0;
	return run_fail(r, NULL, "cannot find the program %s: run scripts/fetch vhost-device-vsock, set "
		"HAWSER_VHOST_DEVICE_VSOCK to its path, or use --vsock vhost", name);
}

int run_vsock_find(struct run *r)
{
	bool usable = access(VHOST, R_OK | W_OK) == 0, addressed = r->o.cid || r->config->cid;
	int error = errno;
	r->vhost = r->o.vsock == RUN_VSOCK_VHOST || (r->o.vsock == RUN_VSOCK_AUTO && usable && addressed);
	if (!r->vhost)
		return device_find(r);
	if (!usable)
		return run_fail(r, NULL, "--vsock vhost: cannot use " VHOST ": %s; load the module vhost_vsock and have "
			"write access to the device, or leave the option out", strerror(error));
	/* The kernel's CIDs belong to the whole host, so a number out of the air could be another machine's. */
	if (!addressed)
		return run_fail(r, NULL, "--vsock vhost needs an address for the guest: \"hawser\": { \"cid\": N } in "
			"%s/vm.json, or --cid N", r->o.dir);
	return 0;
}

int run_vsock_check(struct run *r)
{
	int error = 0;
	for (uint32_t port = WIRE_PORT_BASE; r->machine.vhost && !error && port <= WIRE_PORT_BASE + WIRE_PORT_LOG; port++) {
		struct address address = address_vsock(ADDRESS_CID_ANY, port);
		int fd = address_listen(&address);
		error = fd < 0 ? fd : 0;
		run_close(&fd);
	}
	if (!error || r->o.vsock == RUN_VSOCK_VHOST)
		return 0;        /* in the latter case hawserd says it */
	return run_vsock_fall_back(r, error == -EADDRINUSE ? "another hawserd listens on the vsock ports of this host"
		: strerror(-error));
}

int run_vsock_start(struct run *r)
{
	struct arglist args = { 0 };
	r->device_ready = r->machine.vhost;
	if (r->machine.vhost)
		return 0;
	r->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->inotify < 0 || inotify_add_watch(r->inotify, r->janitor.dir, IN_CREATE) < 0)
		return run_fail(r, NULL, "cannot watch %s: %s", r->janitor.dir, strerror(errno));
	machine_device_args(&r->machine, r->device, &args);
	return run_helper_start(r, DEVICE, &args, -1);
}

int run_vsock_fall_back(struct run *r, const char *why)
{
	run_print_note(&r->print, "using vhost-device-vsock, not " VHOST ": %s", why);
	r->machine.vhost = false;
	if (device_find(r) < 0)
		return -1;
	if (r->stage != ATTACHING)
		return 0;        /* it is started with all the others */
	r->stage = STARTING;
	r->deadline = run_now() + START_MS * MS;
	return run_vsock_start(r);
}
