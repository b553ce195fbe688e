# SPDX-License-Identifier: MIT
"""Who is not served: by the source port, by the CID."""
import json
import re
import time
from pathlib import Path

import pytest
from daemon import wait_for

from . import vsock
from .conftest import PATIENCE_S, ask
from .. import CID

BUSY, EPOCH_ALIVE, NOT_ALLOWED = 8, 5, 6


def test_unprivileged_programs_of_a_guest(host, guest, program):
    """Refused by their source port, before they have said anything; root's too, when it does not bind one."""
    host.machine("a", 77, "for uid in 1000 0; do dial 610 $uid 1; dial 611 $uid 1; done",
                 files={"bin/dial": program("dial")})
    guest(77).wait()
    says = "dial %d uid %d: REFUSE 6 1 times, cut 0, silent 0, again 0, ports others"
    assert host.stdout("a") == [says % (port, uid) for uid in (1000, 0) for port in (610, 611)]
    counters = host.status(None)["counters"]
    assert counters["refused"] == {"not-allowed": 4} and counters["boots"] == 1
    assert host.said(r"refused a connection from CID 77, port \d{4,}: the source port must be below 1024")


@pytest.mark.parametrize("cid", [vsock.LOCAL, CID], ids=["local", "own"])
@pytest.mark.parametrize("source", [None, 900], ids=["any-port", "privileged"])
def test_programs_of_the_host(host, cid, source):
    """By the loopback their CID is 1, whatever they dial; also root's, from a privileged port."""
    host.machine("own", CID)
    for port in 610, 611:
        assert vsock.refusal(vsock.dial(cid, port, source and source - port)) == NOT_ALLOWED
    assert host.said(r"refused a connection from CID 1, port \d+: only guests are served here")
    counters = host.status(None)["counters"]
    assert counters["refused"] == {"not-allowed": 2} and counters["boots"] == 0


def test_its_own_host(host):
    """The lab hears its own host (CID 2) on the same port as its guests. It is none of them."""
    host.machine("a", 77)
    answer = bytes.fromhex(ask("knock")).partition(b"\n")
    assert vsock.refusal(answer[2] if answer[0].startswith(b"OK ") else b"".join(answer)) == NOT_ALLOWED
    assert host.said(r"refused a connection from CID 2, port \d+: only guests are served here")


def test_what_the_lab_dials_is_its_own_host(host):
    """CID 2 is the host of the lab, not the lab: a boot session there is refused, because this boot was served."""
    host.machine("a", 77)
    assert vsock.refusal(vsock.dial(vsock.HOST, 610, 900)) == EPOCH_ALIVE
    assert host.status(None)["counters"]["accepted"] == 0


def test_no_guest_has_the_lab_s_own_cid(host, guest):
    """The kernel refuses it to QEMU: it could not be told from a program of the lab."""
    host.machine("own", CID)
    double = guest(CID)
    assert double.process.wait(PATIENCE_S) != 0
    assert "Address already in use" in double.output.read_text()


def test_two_guests_cannot_have_one_cid(host, guest):
    host.machine("a", 77, "echo up; sleep 1000")
    guest(77)
    host.wait_stdout("a", "up")
    double = guest(77)
    assert double.process.wait(PATIENCE_S) != 0 and "Address already in use" in double.output.read_text()
    assert host.status("a")["boots"] == 1


def test_a_cid_used_again(host, guest):
    """Another machine gets it at once, while the epoch of the one before may still come back."""
    host.config["graceMs"] = 600000
    host.machine("a", 77, "echo of a; sleep 1000", credentials={"key": "secret of a"})
    first = guest(77)
    host.wait_stdout("a", "of a")
    first.kill()
    host.wait_event("a", "log-cut")
    host.machine("a", 78)
    host.machine("b", 77, "cat $CREDENTIALS_DIRECTORY/key; exit 7", credentials={"key": "secret of b\n"})
    before = len(host.records("a"))
    guest(77).wait()
    assert host.exit("b") == 7 and host.stdout("b") == ["secret of b"]
    assert len(host.records("a")) == before and host.status("a")["epoch"]["state"] == "live"
    assert b"of a" not in host.text("b")


def test_a_cid_given_away_under_a_living_guest(host, guest):
    """Its machine is not that of its CID any more: its log is refused, and ends up nowhere else."""
    host.machine("a", 77, "echo line of a; while sleep 0.1; do echo another line of a; done")
    first = guest(77)
    host.wait_stdout("a", "another line of a")
    host.machine("a", 78)
    host.machine("b", 77, "hostname; exit 7")
    host.kill()
    host.start()
    host.wait_event("b", "refused")
    first.kill()
    assert b"line of a" not in host.text("b") and host.status("b")["boots"] == 0
    guest(77).wait()
    assert host.exit("b") == 7 and host.stdout("b") == ["b"]


# --- FAULTS: many at once -------------------------------------------------------------------------------------------

# More than the 4096 that wait in the kernel. Of ten thousand the lab's emulated processor resets now and then, and no
# kernel says a word.
CONNECTS = 5000


def test_7_a_full_backlog(host, guest, program):
    """More than wait in the kernel: what was reset dials again, and all are answered in the end."""
    # Its end would wait 900 ms for a hawserd that has thousands to answer first.
    host.machine("a", 77, "dial 610 1000 %d; sleep 10000" % CONNECTS, files={"bin/dial": program("dial")})
    host.machine("b", 78, "exit 7")
    crowd = guest(77, memory=128)
    host.wait_event("a", "applied")
    with host.stopped():
        crowd.wait_serial("dial: full")
        honest = guest(78)
    honest.wait()
    assert host.exit("b") == 7
    line, = wait_for(lambda: host.stdout("a"), "what the crowd was answered", PATIENCE_S)
    assert line.startswith("dial 610 uid 1000: REFUSE 6 %d times, cut 0, silent 0, again " % CONNECTS), line
    assert int(line.split("again ")[1].split(",")[0]) > 0
    print(json.dumps(host.status(None)["counters"]))


def cpu_seconds(pids):
    stats = [Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / 100


def test_31_out_of_descriptors(host, guest, program):
    """A guest holds them all: the rest is turned away, nothing spins, and another gets in when it is gone."""
    host.config.update(helloTimeoutMs=60000, limits={"connectionsPerVm": 1000})
    host.limit_descriptors(60)
    host.machine("a", 77, "dial 610 0 100 hold", files={"bin/dial": program("dial")})
    host.machine("b", 78, "exit 7")
    crowd, pids = guest(77), host.pids().values()
    # Not from its log, whose files have given way.
    crowd.wait_serial("ports privileged")
    line = re.search("dial 610 uid 0: .*", crowd.output.read_text())[0]
    assert " REFUSE %d " % BUSY in line and "cut 0," in line, line
    before, honest = cpu_seconds(pids), guest(78)
    honest.wait_serial("the host has no descriptors left")
    time.sleep(2)
    assert cpu_seconds(pids) - before < 1
    assert honest.process.poll() is None and not host.events("b", "boot")
    crowd.kill()
    honest.wait()
    assert host.exit("b") == 7 and host.status(None)["counters"]["noDescriptor"] > 0
