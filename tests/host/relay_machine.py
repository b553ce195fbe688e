# SPDX-License-Identifier: MIT
"""Guests that are processes: the guest's own relay and keeper over a Unix socket (tests/relay/machine.c)."""
import re
import select
import subprocess
import time
import zlib
from pathlib import Path

from guest_sim import Cut, Guest, Refused

MACHINE = Path(__file__).resolve().parents[2] / "build/relay-machine"
WRITERS = "stdout", "stderr", "console", "syslog"
PATIENCE = 60


class Machine:
    """A booted machine whose writers write. `made` is lines and bytes by stream, after end()."""

    def __init__(self, host, name, ring=64 << 10, full="drop", seed=1):
        self.host, self.name, self.full = host, name, full
        self.guest = Guest(host.run / (name + ".vsock"))
        self.made = {}
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.guest.boot()
                break
            except (Cut, Refused, OSError):
                assert time.monotonic() < until, "no boot"
                time.sleep(0.05)
        self.errors = open(host.top / (name + ".machine"), "ab")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", MACHINE, f"{self.guest.base}_{self.guest.port + 1}",
             self.guest.token.hex(), str(ring), full, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0)
        self.said = b""

    def order(self, text):
        self.process.stdin.write(text.encode() + b"\n")

    def line(self):
        while b"\n" not in self.said:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"{self.name} does not answer"
            more = self.process.stdout.read(4096)
            assert more, f"{self.name} ended"
            self.said += more
        line, _, self.said = self.said.partition(b"\n")
        return line.decode().split()

    def end(self, wait=True):
        self.order("end")
        if wait:
            self.ended()

    def ended(self):
        """The writers' totals. All of it is acknowledged."""
        for stream in WRITERS:
            name, lines, size = self.line()
            assert name == stream
            self.made[stream] = int(lines), int(size)
        assert self.line() == ["end", "0"]

    def kill(self):
        """As a VMM that is killed."""
        self.process.kill()
        self.process.wait()
        self.errors.close()


# --- what the host has ----------------------------------------------------------------------------------------------

def text_lines(host, name):
    """(stream, partial, bytes) of each line of the text sink, from the oldest file on. Folded ones are unfolded."""
    files = sorted((host.state / "logs" / name).glob("text.log*"), reverse=True,
                   key=lambda path: int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0)
    whole = b"".join(path.read_bytes() for path in files).replace(b"\n\t", b"\0")
    for line in whole.split(b"\n")[:-1]:
        stream, _, text = line[28:].partition(b" ")
        yield stream.rstrip(b"+").decode(), stream.endswith(b"+"), text


def assert_lines(host, name, stream, made, lost):
    """
    What is stored of a stream is what its writer wrote: whole lines, in order, each once; all of them when nothing is
    lost. A line next to a loss may be torn. Returns how many whole lines there are.
    """
    expected, torn, size, whole, head = 0, False, 0, 0, b""
    for of, partial, text in text_lines(host, name):
        if of == "hawserd" and re.match(rb"lost \d+ records, \d+ bytes of %s " % stream.encode(), text):
            torn, head = True, b""
        if of != stream:
            continue
        size += len(text) + (not partial and stream != "syslog")
        head += text
        if partial:
            continue
        body, _, checksum = head.rpartition(b" ")
        good = re.fullmatch(rb"[0-9a-f]{8}", checksum) and int(checksum, 16) == zlib.crc32(body)
        assert good or torn, (name, stream, head)
        if good:
            number = int(body.split(b" ")[0])
            assert number == expected or (torn and number > expected), (name, stream, number, expected)
            expected, whole, torn = number + 1, whole + 1, False
        head = b""
    assert size == made[1] - lost, (name, stream, size, made, lost)
    assert lost or (whole == made[0] and not torn and not head)
    return whole


def assert_account(status):
    """produced = stored + lost, by stream, in records and bytes; nothing is numbered that is neither."""
    sums = 0
    for stream, counts in status["streams"].items():
        have = {what: counts["stored"][what] + sum(loss[what] for loss in counts["lost"].values())
                for what in ("records", "bytes")}
        sums += have["records"]
        if status["epoch"]["state"] == "ended":
            assert counts["produced"] == have, (status["vm"], stream, counts)
    assert sums == status["epoch"]["next"], status
    assert status["accountingErrors"] == 0
