# SPDX-License-Identifier: MIT
"""Logs over the kernel's vhost_vsock when something ends in mid-stream."""
import subprocess

from daemon import wait_for

from .conftest import PATIENCE_S, TOP

LINES = 8000
PADDING = "." * 250      # so that they are several times what the guest's ring holds
COUNT = "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i %s; done" % (LINES, PADDING)
BLOCK = {"log": {"whenFull": "block"}}
# Until it is told to end.
ENDLESS = "trap end=1 USR1; i=0; while [ -z \"$end\" ]; do i=$((i+1)); echo $i %s; done" % PADDING
RESET = """
driver=/sys/bus/virtio/drivers/vmw_vsock_virtio_transport
device=$(ls $driver | grep ^virtio)
i=0
lines() { for n in 1 2 3 4 5 6 7 8 9 10; do i=$((i+1)); echo $i; done; }
for round in 1 2 3 4 5; do
    lines; echo $device >$driver/unbind; lines; echo $device >$driver/bind; lines; sleep 0.2
done
exit 7
"""


def numbers(count):
    return [str(i) for i in range(1, count + 1)]


def padded(count):
    return ["%d %s" % (i, PADDING) for i in range(1, count + 1)]


def stored(host):
    return host.status("a")["streams"].get("stdout", {"stored": {"bytes": 0}})["stored"]["bytes"]


def wait_lines(host, count):
    """So many more. By hawserd's count: while a long log is read, it becomes much longer."""
    bytes = stored(host) + count * len(PADDING)
    wait_for(lambda: stored(host) >= bytes, "%d lines" % count, PATIENCE_S)


def account(host):
    """Produced = stored + lost, and nothing was lost."""
    for stream in host.status("a")["streams"].values():
        assert stream["produced"] == stream["stored"] and not stream["lost"], stream


def test_hawserd_restarted_under_load(host, guest):
    """Killed and ended in turn, in the middle: each line is there, and once."""
    host.machine("a", 77, ENDLESS, control=["signal"], **BLOCK)
    run = guest(77)
    for death in range(4):
        wait_lines(host, 1000)
        host.kill() if death % 2 else host.stop()
        host.start()
        # By its own words, too: an endless log has its events in files that are gone by and by.
        wait_for(lambda: host.output.read_text().count("a: log-connected") >= death + 2, "a session", PATIENCE_S)
    wait_lines(host, 1000)
    subprocess.run([TOP / "build/hawser", "signal", "--runtime", host.run, "a", "USR1"], check=True)
    run.wait()
    lines = host.stdout("a")
    assert host.exit("a") == 0 and lines == padded(len(lines))
    assert host.output.read_text().count("a: boot ") == 1
    account(host)


def test_guest_killed_in_mid_stream(host, guest):
    """What was received is kept, and the end is not taken for one."""
    host.machine("a", 77, COUNT + "; sleep 1000", **BLOCK)
    run = guest(77)
    wait_lines(host, 1000)
    run.kill()
    host.wait_event("a", "unclean")
    lines, status = host.stdout("a"), host.status("a")
    assert len(lines) >= 1000 and lines == padded(len(lines))
    assert not host.events("a", "end") and status["epoch"]["state"] == "none" and status["connections"] == 0


def test_22_transport_reset(host, guest):
    """The driver is unbound and bound again, as after a snapshot: the relay dials anew, and nothing is missing."""
    host.machine("a", 77, RESET, **BLOCK)
    guest(77).wait()
    assert host.exit("a") == 7 and host.stdout("a") == numbers(150)
    assert len(host.events("a", "log-connected")) >= 6 and len(host.events("a", "boot")) == 1
    assert not host.events("a", "unclean")
    account(host)
