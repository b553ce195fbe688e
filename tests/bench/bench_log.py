# SPDX-License-Identifier: MIT
"""Log throughput: a program's lines from the guest into a file of the host

hawser's relay and hawserd beside socat on both ends, in one guest, one after the other, and again. What socat leaves
out is left out: nothing is acknowledged, ordered or stamped. `raw` is one program that writes to the vsock while a
reader discards, which is as fast as this virtual machine's vsock gets; `carry` is the least that can stand between
them when a program's output is a pipe: read() and write(). The serial console, which is slow, gets less.
"""
import hashlib
import os
import resource
import statistics
import time
from pathlib import Path

import guest
from report import Table

MIB = int(os.environ.get("BENCH_LOG_MIB", 256))
ROUNDS = int(os.environ.get("BENCH_LOG_ROUNDS", 5))
LINE, BLOCK_LINE, BLOCK = 100, 128, 32 << 10
PREFIX = len("2026-11-22T08:00:00.123456Z stdout ")
SOCAT = "exec socat %s-u PIPE:/tmp/fifo VSOCK-CONNECT:2:%d"
PORT = 7000
# 8 KiB a block is socat's own choice, 32 KiB what the vsock devices bear.
SOCATS = {"socat_b8192": SOCAT % ("", PORT), "socat_b32768": SOCAT % ("-b 32768 ", PORT)}


def written(blocks, size):
    """The digest and number of the lines that tests/bench/load.c writes."""
    digest, total = hashlib.sha256(), 0
    if blocks:
        rest = b"".join(b"%08x" % i + b"." * (BLOCK_LINE - 9) + b"\n" for i in range(BLOCK // BLOCK_LINE))[8:]
        for i in range(size // BLOCK):
            digest.update(b"%08x" % i + rest)
        total = size // BLOCK * BLOCK // BLOCK_LINE
    else:
        rest = b"." * (LINE - 9) + b"\n"
        for start in range(0, size // LINE, 4096):
            digest.update(b"".join(b"%08x" % i + rest for i in range(start, min(start + 4096, size // LINE))))
        total = size // LINE
    return digest.hexdigest(), total


def digest_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(file.read()).hexdigest()


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def grown(path, size):
    """The time when a file has that size."""
    stalled, last = time.monotonic(), -1
    while True:
        now, there = time.monotonic(), size_of(path)
        if there >= size:
            return now
        if there != last:
            stalled, last = now, there
        if now > stalled + 20:
            raise RuntimeError("%s has %d of %d bytes, and no more come" % (path, there, size))
        time.sleep(0.002)


def children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- ways out of the guest: the order that load.c gets; arrived(), the time; cpu_s, the host's; digest()

class Hawser:
    order = "stdout"

    def __init__(self, machine, key, size, lines):
        self.machine, self.start = machine, size_of(machine.log)
        self.end = self.start + size + lines * PREFIX
        self.cpu_s = -guest.cpu_s(machine.hawserd.pid)

    def arrived(self):
        now = grown(self.machine.log, self.end)
        self.cpu_s += guest.cpu_s(self.machine.hawserd.pid)
        return now

    def digest(self):
        """Of the program's lines in hawserd's text file, without what stands before each of them."""
        digest = hashlib.sha256()
        with open(self.machine.log, "rb") as file:
            file.seek(self.start)
            for line in file:
                if line[PREFIX - 7:PREFIX] == b"stdout ":
                    digest.update(line[PREFIX:])
        return digest.hexdigest()


class Reader:
    """A process of the host that listens where the guest will connect, and ends with the connection."""

    def arrived(self):
        self.cpu_s = -children_s()
        self.process.wait()
        self.cpu_s += children_s()
        return time.monotonic()


class Socat(Reader):
    def __init__(self, machine, key, size, lines):
        self.order, self.size, self.path = SOCATS[key], size, machine.dir / "socat.out"
        socket = Path("%s_%d" % (machine.base, PORT))
        socket.unlink(missing_ok=True)
        self.process = machine.spawn("socat", "-u", "-b", 262144, "UNIX-LISTEN:%s" % socket, "CREATE:%s" % self.path)
        machine.wait_for(socket)

    def arrived(self):
        now = grown(self.path, self.size)
        super().arrived()
        return now

    def digest(self):
        digest = digest_file(self.path)
        self.path.unlink()
        return digest


class Raw(Reader):
    order = "raw:%d" % PORT

    def __init__(self, machine, key, size, lines):
        self.process = machine.spawn(guest.BUILT / "discard", "%s_%d" % (machine.base, PORT), size, stdout=-1)
        self.process.stdout.readline()

    def digest(self):
        return None if self.process.returncode else "all of it"


class Carry(Raw):
    order = "exec /bench/load carry %d" % PORT


class Drop:
    """Nothing arrives: the time is the guest's, until the last write into the pipe has returned."""
    order, cpu_s = "exec /bench/load drop", None

    def __init__(self, machine, key, size, lines):
        pass

    def arrived(self):
        return None

    def digest(self):
        return "all of it"


class Serial:
    """QEMU writes it to a pipe; that is QEMU's work, and not told from the guest's."""
    order, cpu_s = "serial", None

    def __init__(self, machine, key, size, lines):
        self.machine, self.lines, self.sum = machine, lines, hashlib.sha256()

    def arrived(self):
        for _ in range(self.lines):
            self.sum.update(self.machine.qemu.stdout.readline().encode())
        return time.monotonic()

    def digest(self):
        return self.sum.hexdigest()


# label, key, the way, how much less of lines and of blocks goes there
CONTENDERS = [("hawser", "hawser", Hawser, 1, 1), ("socat -b 8192", "socat_b8192", Socat, 1, 1),
              ("socat -b 32768", "socat_b32768", Socat, 1, 1), ("serial console", "serial", Serial, 128, 128),
              ("pipe, raw vsock", "carry", Carry, 1, 1), ("pipe alone", "pipe", Drop, 1, 1),
              ("raw vsock", "raw", Raw, 16, 1)]


def run(machine, what, key, way, size):
    """MB/s from the guest's first write to the last byte; ms/MB of the processor in the guest, and on the host."""
    digest, lines = written(what == "blocks", size)
    size = lines * (LINE if what == "lines" else BLOCK_LINE)
    way = way(machine, key, size, lines)
    machine.say("%s %s %d" % (what, way.order, size))
    machine.hear("begin")
    began = time.monotonic()
    arrived = way.arrived()
    wrote, cpu = (int(ns) / 1e9 for ns in machine.hear("done"))
    took = arrived - began if arrived else wrote
    if way.digest() not in (digest, "all of it"):
        raise RuntimeError("%s, %s: not the bytes that were written" % (key, what))
    return size / took / 1e6, cpu * 1e9 / size, way.cpu_s * 1e9 / size if way.cpu_s else None


def measure(top):
    guest.compile_guest("load", "vsock/address.c", "vsock/dial.c", "vsock/ready.c")
    guest.compile_host("discard")
    image = guest.pack("log.cpio", "build/init", "--add", "build/bench/load:/bench/load:755",
                       *guest.with_libraries("socat"))
    vm = {"process": {"args": ["/bench/load"]}, "hawser": {"log": {"whenFull": "block"}}}
    runs, private = {}, []
    with guest.Machine(image, vm) as machine:
        machine.hear("ready")
        for _ in range(ROUNDS):
            for what in "lines", "blocks":
                for _, key, way, *less in CONTENDERS:
                    size = (MIB << 20) // less[what == "blocks"]
                    runs.setdefault((what, key), []).append(run(machine, what, key, way, size))
            machine.say("memory")
            private.append(machine.hear("memory"))
        machine.say("end")
    return tables(runs, private)


def column(runs, what, key, which):
    samples = [sample[which] for sample in runs[what, key]]
    return samples if None not in samples else None


def blocks_mbps(runs, key):
    return statistics.median(column(runs, "blocks", key, 0))


def ceiling(runs):
    """What the processor's work for a pipe and for the raw vsock, and for nothing else, leaves, in MB/s."""
    return 1 / (1 / blocks_mbps(runs, "pipe") + 1 / blocks_mbps(runs, "raw"))


def tables(runs, private):
    speed = Table("log", "Log throughput", [("100-byte lines, MB/s", 1), ("32 KiB blocks, MB/s", 1)],
                  chart={"kind": "bars", "columns": [0, 1]})
    cpu = Table("log_cpu", "Log: what it takes of the processor", [
        ("guest, µs a line", 2), ("guest, lines, ms/MB", 2), ("guest, blocks, ms/MB", 2), ("host, lines, ms/MB", 2)],
        chart={"kind": "bars", "columns": [0, 2], "log": True})
    for label, key, *_ in CONTENDERS:
        own = key == "hawser"
        speed.add(label, *[("log_%s_%s_mbps" % (what, key), column(runs, what, key, 0))
                           for what in ("lines", "blocks")], own=own)
        lines, blocks = (column(runs, what, key, 1) for what in ("lines", "blocks"))
        cpu.add(label, ("log_lines_%s_cpu_us_per_line" % key, [each * LINE / 1e3 for each in lines]),
                ("log_lines_%s_cpu_ms_per_mb" % key, lines), ("log_blocks_%s_cpu_ms_per_mb" % key, blocks),
                ("log_lines_%s_host_cpu_ms_per_mb" % key, column(runs, "lines", key, 2)), own=own)
    speed.note("%d MiB each; the serial console gets %d MiB, raw lines %d MiB" % (MIB, MIB // 128, MIB // 16))
    speed.note("raw: what writes is what dials, one write for each line; nothing collects them")
    speed.note("pipe: read() of all there is, write() of 32 KiB to the vsock, and nothing else; a reader discards. "
               "Alone: nothing is written either")
    speed.note("blocks: pipe and vsock, one after the other, would carry %.0f MB/s, %.2f of the raw vsock; hawser "
               "has %.2f" % (ceiling(runs), ceiling(runs) / blocks_mbps(runs, "raw"),
                             blocks_mbps(runs, "hawser") / blocks_mbps(runs, "raw")))
    cpu.note("guest: who carries the bytes, not who writes them; of the raw vsock and the serial console, who writes")
    cpu.note("host: hawserd, socat, or a reader that discards; not QEMU and its vsock device")
    cpu.note("private memory of keeper and relay (%s): %s KiB" % (private[-1][0], " + ".join(private[-1][1:])))
    return [speed, cpu], figures(runs, private)


def figures(runs, private):
    """Of socat, the setting that did better."""
    def best(what, which, choose):
        return choose(statistics.median(column(runs, what, key, which)) for key in SOCATS)
    hawser = statistics.median(column(runs, "lines", "hawser", 1))
    return {"log_lines_socat_mbps": best("lines", 0, max), "log_blocks_socat_mbps": best("blocks", 0, max),
            "log_blocks_ceiling_mbps": ceiling(runs), "relay_cpu_ms_per_mb": hawser,
            "socat_cpu_ms_per_mb": best("lines", 1, min),
            "relay_private_kib": max(sum(map(int, line[1:])) for line in private),
            "relay_private_how": private[-1][0]}
