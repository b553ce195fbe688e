# SPDX-License-Identifier: MIT
"""Log throughput: a program's lines from the guest into a file of the host

hawser's relay and hawserd beside socat on both ends, in one guest, one after the other, and again. What socat leaves
out is left out: nothing is acknowledged, ordered or stamped. `raw` is one program that writes to the vsock while a
reader discards, which is as fast as this virtual machine's vsock gets.
"""
import hashlib
import os
import statistics
import time

import guest

MIB = int(os.environ.get("BENCH_LOG_MIB", 256))
ROUNDS = int(os.environ.get("BENCH_LOG_ROUNDS", 5))
LINE, BLOCK_LINE, BLOCK = 100, 128, 32 << 10
PREFIX = len("2026-11-22T08:00:00.123456Z stdout ")
SOCAT = "exec socat %s-u PIPE:/tmp/fifo VSOCK-CONNECT:2:%d"
PORT = 7000
# 8 KiB a block is socat's own choice, 32 KiB what the vsock devices bear.
CONTENDERS = {"hawser": None, "socat -b 8192": SOCAT % ("", PORT), "socat -b 32768": SOCAT % ("-b 32768 ", PORT)}


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


def digest_log(path, start):
    """Of the program's lines in hawserd's text file, without what stands before each of them."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(start)
        for line in file:
            if line[PREFIX - 7:PREFIX] == b"stdout ":
                digest.update(line[PREFIX:])
    return digest.hexdigest()


def digest_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(file.read()).hexdigest()


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def grown(machine, path, size):
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


def run(machine, what, name, size):
    """Seconds from the guest's first write to the last byte in the host's file, CPU seconds of who carries them."""
    digest, lines = written(what == "blocks", size)
    size = lines * (LINE if what == "lines" else BLOCK_LINE)
    if name == "hawser":
        path, order = machine.log, "stdout"
        start = size_of(path)
        end = start + size + lines * PREFIX
    elif name == "raw":
        path, order = None, "raw:%d" % PORT
        reader = machine.spawn(guest.BUILT / "discard", "%s_%d" % (machine.base, PORT), size, stdout=-1)
        reader.stdout.readline()
    else:
        path, order = machine.dir / "socat.out", CONTENDERS[name]
        start, end = 0, size
        socket = "%s_%d" % (machine.base, PORT)
        if os.path.exists(socket):
            os.unlink(socket)
        reader = machine.spawn("socat", "-u", "-b", 262144, "UNIX-LISTEN:" + socket, "CREATE:" + str(path))
        machine.wait_for(type(path)(socket))
    machine.say("%s %s %d" % (what, order, size))
    machine.hear("begin")
    began = time.monotonic()
    if path:
        took = grown(machine, path, end) - began
    else:
        reader.wait()
        took = time.monotonic() - began
    cpu = int(machine.hear("done")[1]) / 1e9
    if name == "hawser":
        same = digest_log(path, start) == digest
    elif path:
        same = digest_file(path) == digest
        reader.wait()
        path.unlink()
    else:
        same = reader.returncode == 0
    if not same:
        raise RuntimeError("%s, %s: not the bytes that were written" % (name, what))
    return size / took / 1e6, cpu * 1000 / (size / 1e6)


def show(label, samples, unit, of=None):
    median = statistics.median(samples)
    ratio = "  %5.2f of raw" % (median / of) if of else ""
    print("  %-28s %8.2f %-6s %8.2f to %8.2f%s" % (label, median, unit, min(samples), max(samples), ratio))


def measure(top):
    guest.compile_guest("load", "vsock/address.c", "vsock/dial.c", "vsock/ready.c")
    guest.compile_host("discard")
    image = guest.pack("log.cpio", "build/init", "--add", "build/bench/load:/bench/load:755",
                       *guest.with_libraries("socat"))
    vm = {"process": {"args": ["/bench/load"]}, "hawser": {"log": {"whenFull": "block"}}}
    speed, cpu, private = {}, {}, []
    with guest.Machine(image, vm) as machine:
        machine.hear("ready")
        for _ in range(ROUNDS):
            for what in "lines", "blocks":
                for name in [*CONTENDERS] + ["raw"] * (what == "blocks"):
                    result = run(machine, what, name, MIB << 20)
                    speed.setdefault((what, name), []).append(result[0])
                    cpu.setdefault((what, name), []).append(result[1])
            machine.say("memory")
            private.append(machine.hear("memory"))
        machine.say("end")
    return report(speed, cpu, private)


def report(speed, cpu, private):
    raw = statistics.median(speed["blocks", "raw"])
    flat = {}
    for unit, suffix, table in ("MB/s", "mbps", speed), ("ms/MB", "cpu_ms_per_mb", cpu):
        for (what, name), samples in table.items():
            if name == "raw" and table is cpu:
                continue
            show("%s, %s%s" % (what, name, ", CPU" * (table is cpu)), samples, unit,
                 raw if what == "blocks" and table is speed else None)
            key = "log_%s_%s_%s" % (what, name.replace(" -b ", "_b"), suffix)
            flat[key] = round(statistics.median(samples), 3)
            flat[key + "_samples"] = [round(sample, 3) for sample in samples]
    # Of socat, the setting that did better.
    for what in "lines", "blocks":
        flat["log_%s_socat_mbps" % what] = max(flat["log_%s_socat_b%d_mbps" % (what, b)] for b in (8192, 32768))
    flat["relay_cpu_ms_per_mb"] = flat["log_lines_hawser_cpu_ms_per_mb"]
    flat["socat_cpu_ms_per_mb"] = min(flat["log_lines_socat_b%d_cpu_ms_per_mb" % b] for b in (8192, 32768))
    flat["relay_private_kib"] = max(sum(map(int, line[1:])) for line in private)
    flat["relay_private_how"] = private[-1][0]
    print("  private memory of keeper and relay (%s): %s KiB" % (private[-1][0], " + ".join(private[-1][1:])))
    return flat
