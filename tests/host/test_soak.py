# SPDX-License-Identifier: MIT
"""Guests that write, drop and reconnect at random while hawserd is killed again and again: the account is exact.

SOAK_SECONDS (5) says for how long, SOAK_SEED (1) how it goes.
"""
import os
import random
import socket
import struct
import threading
import time

import pytest

import guest_sim as sim
from guest_sim import Cut, Guest, record

SECONDS = float(os.environ.get("SOAK_SECONDS", "5"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
GUESTS = 6
STREAMS = {sim.STDOUT: b"stdout", sim.STDERR: b"stderr"}


class Ring(threading.Thread):
    """A relay: a ring of records that are not acknowledged, of which some are dropped before they are sent."""

    def __init__(self, base, seed, until):
        super().__init__()
        self.guest, self.rng, self.until = Guest(base), random.Random(seed), until
        self.held = {}             # number: (stream, data) or None, when it was dropped
        self.lost = None           # (from, to, entries): sent, or to be sent, and not acknowledged
        self.kept = []             # (stream, data) of everything that was not dropped, in order
        self.sent = 0
        self.sessions = self.drops = 0
        self.error = None

    def run(self):
        try:
            self.boot()
            while not self.turns():
                time.sleep(0.02)
        except BaseException as error:
            self.error = error
            raise

    def boot(self):
        while True:
            try:
                self.guest.boot()
                return
            except (Cut, OSError):
                time.sleep(0.02)

    def turns(self):
        """One session. True: it came to its end."""
        guest = self.guest
        try:
            guest.connect_log()
            self.sessions += 1
            self.acknowledged()
            self.sent = guest.acked
            ending = False
            while self.rng.random() > 0.003:
                if time.monotonic() < self.until:
                    self.make()
                    self.drop()
                elif not self.held and not ending:
                    guest.send_end()
                    ending = True
                self.send()
                if self.hear() and ending:
                    return True
        except (Cut, OSError):
            pass
        return False

    def make(self):
        for _ in range(self.rng.randrange(20)):
            stream = self.rng.choice(list(STREAMS))
            data = b"%d %s" % (self.guest.next, b"k" * self.rng.randrange(200)) + b"\n" * (self.rng.random() < 0.8)
            self.held[self.guest.next] = (stream, data)
            self.guest.next += 1
            self.guest.count(stream, 1, len(data))

    def drop(self):
        """All that was not sent yet."""
        if self.lost or self.sent == self.guest.next or self.rng.random() > 0.02:
            return
        sums = {}
        for number in range(self.sent, self.guest.next):
            stream, data = self.held[number]
            n, size = sums.get(stream, (0, 0))
            sums[stream] = (n + 1, size + len(data))
            self.held[number] = None
        self.drops += self.guest.next - self.sent
        self.lost = (self.sent, self.guest.next, [(s, sim.FULL, n, size) for s, (n, size) in sums.items()])

    def send(self):
        if self.lost and self.sent == self.lost[0]:
            self.guest.send_lost(*self.lost)
            self.sent = self.lost[1]
        batch, size, number = [], 0, self.sent
        while self.held.get(number) and size < 20000:
            batch.append(record(*self.held[number]))
            size += len(batch[-1])
            number += 1
        if batch:
            self.guest.send_records(batch, first=self.sent)
            self.sent = number

    def hear(self):
        """What is acknowledged now; True for END_ACK of everything."""
        self.guest.log.sock.settimeout(0.0005)
        try:
            while True:
                kind, payload = self.guest.log.receive()
                self.guest.acked = struct.unpack("<Q", payload)[0]
                self.acknowledged()
                if kind == sim.END_ACK and self.guest.acked == self.guest.next:
                    return True
        except (socket.timeout, BlockingIOError):
            return False
        finally:
            self.guest.log.sock.settimeout(20)

    def acknowledged(self):
        for number in [n for n in self.held if n < self.guest.acked]:
            entry = self.held.pop(number)
            if entry:
                self.kept.append(entry)
        if self.lost and self.guest.acked >= self.lost[1]:
            self.lost = None


def stored(state, name):
    """The bytes of each stream, put together from all files of the text sink."""
    files = sorted((state / "logs" / name).glob("text.log*"), reverse=True,
                   key=lambda path: int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0)
    streams = {stream: [] for stream in STREAMS}
    for line in b"".join(path.read_bytes() for path in files).split(b"\n"):
        word, _, text = line[28:].partition(b" ")
        for stream, stream_name in STREAMS.items():
            if word == stream_name:
                streams[stream].append(text + b"\n")
            elif word == stream_name + b"+":
                streams[stream].append(text)
    return {stream: b"".join(parts) for stream, parts in streams.items()}


@pytest.mark.parametrize("sync", ["write", "fdatasync"])
def test_soak(host, sync):  # noqa: F811
    rng = random.Random(SEED)
    host.config = {"graceMs": 600000, "log": {"sync": sync, "maxBytes": 200000, "maxFiles": 1000}}
    for i in range(GUESTS):
        host.vm(f"vm{i}")
    host.start()
    until = time.monotonic() + SECONDS
    rings = [Ring(host.run / f"vm{i}.vsock", SEED * 1000 + i, until) for i in range(GUESTS)]
    for ring in rings:
        ring.start()
    kills = 0
    while time.monotonic() < until:
        time.sleep(rng.uniform(0.1, 1))
        if rng.random() < 0.7:
            host.kill()
        else:
            host.stop()
        host.start()
        kills += 1
    for ring in rings:
        ring.join(120)
        assert not ring.is_alive() and not ring.error
    print(f"{sync}: {sum(r.guest.next for r in rings)} records, {sum(r.drops for r in rings)} dropped, "
          f"{sum(r.sessions for r in rings)} sessions, {kills} deaths")
    assert kills > 0 and sum(r.drops for r in rings) > 0
    for i, ring in enumerate(rings):
        have = stored(host.state, f"vm{i}")
        for stream in STREAMS:
            assert have[stream] == b"".join(data for s, data in ring.kept if s == stream), (i, stream)
        streams = host.status(f"vm{i}")["streams"]
        for stream, name in STREAMS.items():
            count = streams[name.decode()]
            lost = count["lost"].get("full", {"records": 0, "bytes": 0})
            for what in "records", "bytes":
                assert count["produced"][what] == count["stored"][what] + lost[what]
    assert "accounting" not in host.output.read_text()
