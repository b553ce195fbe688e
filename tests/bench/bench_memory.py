# SPDX-License-Identifier: MIT
"""Memory of the guest after the hand-off, beside the same guest with nothing but BusyBox

The same kernel and the same program, a shell that reads /proc/meminfo; in one guest under hawser with its relay, in
one under BusyBox's init alone, in one with socat to carry its output. An image's files are in the memory, too.
"""
import os
import statistics

import guest
from report import Table

ROUNDS = int(os.environ.get("BENCH_MEMORY_ROUNDS", 5))
MEMORY, PORT = 128, 7000
LOOK = "sleep 2; sync; grep -E '^Mem(Free|Available)' /proc/meminfo >/dev/ttyS0; sleep 60"
INIT = """#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
exec /sbin/init
"""
INITTAB = "::once:/bin/sh /bench/look%s\n"
SOCAT = " | socat -u - VSOCK-CONNECT:2:%d" % PORT


def image(name, carrier, *more):
    """With neither hawser nor what it is configured by."""
    place = guest.BUILT / "memory"
    place.mkdir(parents=True, exist_ok=True)
    files = {"init": INIT, "look": LOOK + "\n", "inittab-" + name: INITTAB % carrier}
    for path, text in files.items():
        (place / path).write_text(text)
    return guest.pack("memory-%s.cpio" % name, place / "init", "--add", "%s/look:/bench/look:644" % place,
                      "--add", "%s/inittab-%s:/etc/inittab:644" % (place, name), *more)


def look(machine):
    """(MemFree, MemAvailable), KiB"""
    found = []
    for line in machine.qemu.stdout:
        found += [int(line.split()[1])] if line.startswith(("MemFree:", "MemAvailable:")) else []
        if len(found) == 2:
            return found
    raise RuntimeError("the guest ended before it was looked at%s" % machine.epilogue())


def with_hawser(archive):
    with guest.Machine(archive, {"process": {"args": ["/bin/sh", "-c", LOOK]}}, memory=MEMORY) as machine:
        return look(machine)


def without(archive):
    with guest.Directory() as machine:
        machine.start_device()
        machine.spawn("socat", "-u", "UNIX-LISTEN:%s_%d" % (machine.base, PORT), "OPEN:/dev/null")
        machine.start_qemu(guest.TOP / "build/vmlinux", archive, "tsc_early_khz=%d" % guest.tsc_khz(), memory=MEMORY)
        return look(machine)


def measure(_):
    contenders = [("BusyBox alone", "busybox", without, image("busybox", "")),
                  ("hawser", "hawser", with_hawser, guest.TOP / "build/initramfs.cpio"),
                  ("BusyBox, socat", "socat", without, image("socat", SOCAT, *guest.with_libraries("socat")))]
    samples = {key: [] for _, key, *_ in contenders}
    for _ in range(ROUNDS):
        for _, key, run, archive in contenders:
            samples[key].append(run(archive))
    alone = [statistics.median(column) for column in zip(*samples["busybox"])]
    table = Table("memory", "Memory of a guest of %d MiB" % MEMORY, [
        ("MemFree, KiB", 0), ("MemAvailable, KiB", 0), ("less free than BusyBox alone, KiB", 0),
        ("less available, KiB", 0)], chart={"kind": "bars", "columns": [2, 3]})
    for label, key, *_ in contenders:
        free, available = (list(column) for column in zip(*samples[key]))
        less = [None, None] if key == "busybox" else [
            ("memory_%s_takes_kib" % key, [alone[0] - each for each in free]),
            ("memory_%s_takes_available_kib" % key, [alone[1] - each for each in available])]
        table.add(label, ("memory_%s_free_kib" % key, free), ("memory_%s_available_kib" % key, available), *less,
                  own=key == "hawser")
    table.note("of hawser's, 256 KiB are the ring, %.0f KiB the program in the image" % (
        os.path.getsize(guest.TOP / "build/init") / 1024))
    return [table], {}
