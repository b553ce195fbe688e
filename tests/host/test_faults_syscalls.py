# SPDX-License-Identifier: MIT
"""
System calls of hawserd's server that fail, by strace, while a guest's log streams in. Whatever fails: what was
acknowledged is in the sink, at that moment; in the end everything is, once and in order; and the server lives.
"""
import os
import random
import struct
import subprocess
import time

import pytest

import guest_sim as sim
from daemon import wait_for
from guest_sim import Cut, Refused, record

LINES = 40                       # of a record, each with its number
SECONDS = float(os.environ.get("FAULTS_S", "20"))

STORING = [("write", "EIO"), ("write", "ENOSPC"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC")]
# Not epoll_wait: a tracer that leaves in the middle of a call has it fail with EPERM, which that one never does.
OTHERS = [("openat", "EMFILE"), ("ftruncate", "EIO"), ("newfstatat", "EIO"), ("lseek", "EIO"), ("writev", "EIO"),
          ("sendto", "EPIPE"), ("sendto", "EAGAIN"), ("sendmsg", "EAGAIN"), ("recvmsg", "EINTR"),
          ("accept4", "EMFILE"), ("accept4", "ECONNABORTED"), ("epoll_ctl", "ENOMEM"), ("mmap", "ENOMEM"),
          ("brk", "ENOMEM")]


class Injection:
    """
    From now on, every step-th such call of the process fails, from the first-th on; write only to those files, since
    there are things that it cannot fail for.
    """

    def __init__(self, pid, call, error, first=1, step=1, files=()):
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", "trace=" + call,
             "-e", "inject=%s:error=%s:when=%d+%d" % (call, error, first, step),
             *[word for file in files if call == "write" for word in ("-P", file)]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.traced(pid), "strace at the server")

    @staticmethod
    def traced(pid):
        with open("/proc/%d/status" % pid) as status:
            return "TracerPid:\t0\n" not in status.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Stream:
    """A guest that never gives up. Its lines are numbers, so a hole, a doublet or another order is seen at once."""

    def __init__(self, host):
        self.host, self.guest, self.records, self.acks = host, host.guest(timeout=0.5), [], 0
        self.guest.boot()
        self.connected = False
        self.files = host.state / "logs/vm/text.log", host.state / "epochs/vm"

    def grow(self, n):
        for _ in range(n):
            at = len(self.records)
            text = b"".join(b"%d\n" % i for i in range(at * LINES, (at + 1) * LINES))
            self.records.append(record(sim.STDOUT, text))
            self.guest.count(sim.STDOUT, 1, len(text))
        self.guest.next = len(self.records)

    def stored(self):
        return [int(line) for line in self.host.stream("stdout")]

    def step(self):
        """One attempt to have all of it acknowledged."""
        try:
            at = self.guest.connect_log() if not self.connected else self.guest.acked
            self.connected = True
            for first in range(at, len(self.records), 4):
                self.guest.send_records(self.records[first:first + 4], first=first)
            while self.guest.acked < len(self.records):
                kind, payload = self.guest.log.receive()
                assert kind == sim.ACK
                acked = struct.unpack("<Q", payload)[0]
                assert acked >= self.guest.acked
                self.guest.acked, self.acks = acked, self.acks + 1
                assert len(self.stored()) >= acked * LINES, "acknowledged, and not there"
            return True
        except (Cut, Refused, OSError):
            self.connected = False
            time.sleep(0.02)
            return False

    def settle(self):
        wait_for(self.step, "the log's end")
        assert self.stored() == list(range(len(self.records) * LINES))

    def end(self):
        self.settle()
        self.guest.connect_log()
        self.guest.end()
        status = self.host.status()
        assert status["accountingErrors"] == 0
        stdout = status["streams"]["stdout"]
        assert stdout["stored"] == stdout["produced"]


@pytest.fixture
def streaming(host):
    host.config["graceMs"] = 60000
    host.config["log"] = {"json": False, "sync": "fdatasync"}
    host.vm("vm")
    host.start()
    return host, Stream(host), host.pids()["server"]


@pytest.mark.parametrize("call, error", STORING, ids=lambda word: word)
def test_30_what_stores_fails(streaming, call, error):
    """The first call, one in the middle, and all of them: then nothing is acknowledged."""
    host, stream, server = streaming
    for first, step in (1, 1000), (2, 1000), (3, 2), (1, 1):
        stream.grow(10)
        before = stream.guest.acked
        with Injection(server, call, error, first, step, stream.files):
            attempts = [stream.step() for _ in range(5)]
        if (first, step) == (1, 1):
            assert not any(attempts) and stream.guest.acked == before
        stream.settle()
    stream.end()
    assert host.pids()["server"] == server


def test_30_random_calls_fail(streaming, record_property):
    """Any call, any time; FAULTS_SEED does it again, FAULTS_S says for how long."""
    host, stream, server = streaming
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(1 << 32))
    record_property("seed", seed)
    print("FAULTS_SEED=%d" % seed)
    rng, until, rounds = random.Random(seed), time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        call, error = rng.choice(STORING + OTHERS)
        first, step = rng.randrange(1, 6), rng.choice([1, 2, 3, 7, 1000])
        print("%s: %s, %d+%d" % (call, error, first, step))
        stream.grow(rng.randrange(1, 20))
        with Injection(server, call, error, first, step, stream.files):
            for _ in range(rng.randrange(1, 6)):
                stream.step()
        if rng.random() < 0.3:
            stream.settle()
        rounds += 1
    stream.end()
    assert host.pids()["server"] == server
    assert rounds and stream.acks


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOMEM"])
def test_31_none_are_left_and_none_is_ours(up, error):
    """No session of hawserd's own is there to end; it finds out by itself when there are descriptors again."""
    with Injection(up.pids()["server"], "accept4", error):
        early = up.guest().dial_boot()
        time.sleep(0.3)
    early.close()
    guest = up.live()
    guest.end()
