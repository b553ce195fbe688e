# SPDX-License-Identifier: MIT
"""
What goes wrong between guests' logs and their host, with the guest's own relay over a Unix socket and the real
hawserd: the numbers are the rows of the fault table. In each: produced = stored + lost, to the byte.
"""
import os
import signal
import subprocess
import time
from pathlib import Path

import guest_sim as sim
import pytest
from daemon import wait_for
from guest_sim import record
from relay_machine import WRITERS, Machine, assert_account, assert_lines

HERE = Path(__file__).parent


@pytest.fixture
def machines(host):
    """Makes machines; in the end each is ended, and its account is checked to the byte."""
    made = []
    host.config = {"graceMs": 600000, "log": {"maxFiles": 100}}

    def make(name, **settings):
        made.append(Machine(host, name, **settings))
        return made[-1]
    yield make
    try:
        for machine in made:
            machine.end()
            check(host, machine)
    finally:
        for machine in made:
            machine.kill()
    assert "accounting" not in host.output.read_text()


def check(host, machine):
    status = host.status(machine.name)
    assert status["epoch"]["state"] == "ended"
    assert_account(status)
    machine.lost = 0
    for stream in WRITERS:
        counts = status["streams"][stream]
        lost = sum(loss["bytes"] for loss in counts["lost"].values())
        assert counts["produced"]["bytes"] == machine.made[stream][1]
        assert_lines(host, machine.name, stream, machine.made[stream], lost)
        machine.lost += lost
    assert machine.full == "drop" or not machine.lost


def check_end(host, machine):
    """The last line of each stream is the last that was written, when boots follow each other in one file."""
    status = host.status(machine.name)
    assert status["epoch"]["state"] == "ended"
    assert_account(status)
    with open(host.state / "logs" / machine.name / "text.log", "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - (4 << 20)))
        tail = file.read()
    tail = tail[tail.rindex(b"hawserd boot: "):]
    for stream in WRITERS:
        lines, size = machine.made[stream]
        if lines:
            assert status["streams"][stream]["stored"]["bytes"] == size
            last = [line for line in tail.split(b"\n") if line[28:].startswith(stream.encode() + b" ")][-1]
            assert int(last.split(b" ")[2]) == lines - 1


def start(host, *names, **popen):
    for name in names:
        host.vm(name)
    host.start(**popen)


def stored(host, name, what="bytes"):
    return sum(stream["stored"][what] for stream in host.status(name)["streams"].values())


def flows(machine, more=100000):
    """It writes more, and that comes."""
    have = stored(machine.host, machine.name)
    machine.order("burst 200")
    wait_for(lambda: stored(machine.host, machine.name) > have + more, "more of the log", 60)


# --- hawserd stands still, dies, is followed by another one ---------------------------------------------------------

@pytest.mark.parametrize("full", ["drop", "block"])
def test_18_hawserd_stands_still(host, machines, full):
    """Longer than a relay waits for an answer: it gives the connection up, and finds the same hawserd again."""
    start(host, "vm")
    machine = machines("vm", full=full)
    flows(machine)
    server = host.pids()["server"]
    os.kill(server, signal.SIGSTOP)
    machine.order("burst 3000")
    time.sleep(float(os.environ.get("FAULT_18_SECONDS", "17")))
    os.kill(server, signal.SIGCONT)
    flows(machine)
    machine.end()
    machine.end = lambda: None
    check(host, machine)
    assert (machine.lost > 0) == (full == "drop")


@pytest.mark.parametrize("sync", ["write", "fdatasync"])
def test_19_hawserd_is_killed(host, machines, sync):
    """Under load, again and again; the rings are large enough for what comes meanwhile."""
    host.config["log"]["sync"] = sync
    start(host, "one", "two")
    both = [machines(name, ring=4 << 20) for name in ("one", "two")]
    for _ in range(5):
        for machine in both:
            flows(machine)
            machine.order("burst 200")
        host.kill()
        host.start()
    for machine in both:
        flows(machine)
        assert not any(stream["lost"] for stream in host.status(machine.name)["streams"].values())


def test_20_hawserd_is_replaced(host, machines):
    """By one that is started when the old one has ended, as an upgrade does it; nobody loses or repeats anything."""
    start(host, "vm")
    machine = machines("vm", ring=4 << 20)
    for _ in range(3):
        flows(machine)
        host.stop()
        host.start()
    flows(machine)
    assert not any(stream["lost"] for stream in host.status("vm")["streams"].values())


def test_21_connections_are_reset(host, machines):
    """In mid-stream: no false end, and each is noted."""
    start(host, "vm")
    machine = machines("vm", full="block")
    for n in range(30):
        flows(machine, 5000)
        machine.order("burst 500")
        machine.order("cut")
        wait_for(lambda: host.status("vm")["logSessions"] > n + 1, "the next session")
    flows(machine)
    text = host.text()
    assert b"hawserd log-cut: " in text and b"hawserd end: " not in text and b"unclean" not in text


def test_33_relays_are_killed(host, machines):
    start(host, "vm")
    machine = machines("vm", full="block")
    for n in range(1, 31):
        flows(machine, 5000)
        machine.order("burst 500")
        machine.order("relay")
        wait_for(lambda: b"init [relay %d]" % n in host.text(), "the next relay")
    flows(machine)


def test_35_the_last_line(host, machines):
    """Of machines that end while they write; as many as FAULT_35_TIMES says."""
    times = int(os.environ.get("FAULT_35_TIMES", "50"))
    host.config["log"]["maxBytes"] = 0       # one file
    start(host, "vm")
    for n in range(times):
        machine = Machine(host, "vm", full="block", seed=n)
        machine.order("burst 5000")
        time.sleep(0.02)
        machine.end()
        check_end(host, machine)
        machine.kill()
    assert host.text().count(b"hawserd end: ") == times


# --- one of many ----------------------------------------------------------------------------------------------------

def test_28_one_guest_floods(host, machines):
    """It is held to its rate; its neighbours lose nothing, and everything they write comes."""
    rate = 1 << 20
    host.config["limits"] = {"logRateVm": rate}
    names = ["flood", *(f"vm{i}" for i in range(4))]
    start(host, *names)
    began = time.monotonic()
    made = {name: machines(name, ring=256 << 10) for name in names}
    made["flood"].order("burst 200000")
    for name in names[1:]:
        flows(made[name])
    for name in names[1:]:
        made[name].end()
        made[name].end = lambda: None
        check(host, made[name])
        assert not made[name].lost
    # A second's worth, and what is read at once.
    assert stored(host, "flood") <= rate * (time.monotonic() - began + 1) + (300 << 10)


# --- the disk -------------------------------------------------------------------------------------------------------

@pytest.fixture
def disk(tmp_path):
    """Faults of the disk: disk("hang", "part of a path"), and disk("hang") is its end. See disk.c."""
    faults, library = tmp_path / "disk", tmp_path / "disk.so"
    faults.write_bytes(bytes(4 * 256))
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, HERE / "disk.c"], check=True)

    def fault(name, path=""):
        with open(faults, "r+b") as file:
            file.seek(256 * ["hang", "sync", "write", "full"].index(name))
            file.write(path.encode().ljust(256, b"\0"))
    fault.environment = {"env": dict(os.environ, LD_PRELOAD=str(library), DISK=str(faults))}
    return fault


@pytest.mark.parametrize("fault, sync, says", [
    ("full", "write", "No space left on device"), ("full", "fdatasync", "No space left on device"),
    ("write", "write", "Input/output error"), ("sync", "fdatasync", "Input/output error")])
@pytest.mark.parametrize("where", ["logs/bad/", "epochs/"])
def test_29_30_disk(host, machines, disk, fault, sync, says, where):
    """A full disk, a write and a sync that fail: no acknowledgement, an alarm; the others are served; it recovers."""
    host.config["log"]["sync"] = sync
    start(host, "bad", "good", **disk.environment)
    bad, good = machines("bad", full="block"), machines("good", full="block")
    flows(bad)
    for _ in range(2):
        disk(fault, where if where == "logs/bad/" else "epochs/bad")
        wait_for(lambda: "logError" in host.status("bad"), "an alarm")
        at = host.status("bad")["epoch"]["acknowledged"]
        flows(good)
        assert host.status("bad")["epoch"]["acknowledged"] == at and "logError" not in host.status("good")
        disk(fault)
        wait_for(lambda: "logError" not in host.status("bad"), "its recovery")
        flows(bad)
    assert host.said(r"bad: its log cannot be written: " + says) and host.said(r"bad: its log can be written again")


def test_29_a_disk_that_hangs(host, machines, disk):
    """Of one machine: the others' logs are settled, and hawserd answers."""
    host.config["log"]["sync"] = "fdatasync"
    host.config["limits"] = {"connectionsPerVm": 16}
    start(host, "bad", "good", "later", **disk.environment)
    bad, good = machines("bad"), machines("good", full="block")
    flows(bad)
    disk("hang", "logs/bad/")
    bad.order("burst 200")
    flows(good)
    bad.order("cut")         # it comes again, and waits for what is here to be on the disk
    at = host.status("bad")["epoch"]["acknowledged"]
    flows(good)
    later = host.live("later")
    later.send_records([record(sim.STDOUT, b"served\n")])
    later.end()
    epoch = host.status("bad")["epoch"]
    assert epoch["acknowledged"] == at < epoch["next"]
    disk("hang")
    flows(bad)
