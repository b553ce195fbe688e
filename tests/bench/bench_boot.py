# SPDX-License-Identifier: MIT
"""Boot cost in instructions: from the execution of /init to the first instruction of the program it hands over to

QEMU counts: one instruction is one virtual nanosecond, whatever the machine and its load. The host of these boots is
in the guest (boot_host.c), over vsock_loopback, and its share is in the figures; so is the relay's, who runs beside.
"""
import os

import guest
from report import Table

# With the instruction for random numbers, as every processor of a host has it: without it each number costs a kernel
# thousands of others until the host's entropy has come, a third of a boot.
CPU = "qemu64,+rdrand"
ROUNDS = int(os.environ.get("BENCH_BOOT_ROUNDS", 3))
SYSTEMD = "/usr/lib/systemd/systemd"
UNITS = "default.target", "fetch.service", "service.service"
CONTENDERS = {"hawser": ("hawser", "/init"), "floor": ("the floor", "/bench/floor"),
              "shsocat": ("BusyBox sh, socat", "/bench/init.sh"), "systemd": ("systemd, socat", SYSTEMD)}


def images():
    sources = ["vsock/" + name for name in ("address.c", "cid.c", "dial.c", "frame.c", "ready.c", "wire.c",
                                            "wire_boot.c", "wire_codec.c", "wire_log.c")]
    for name in "boot_host", "boot_floor", "boot_landed":
        guest.compile_guest(name, *sources)
    common = ["--add", "build/bench/boot_host:/bench/host:755", "--add", "build/bench/boot_landed:/sbin/init:755",
              "--add", "build/bench/boot_floor:/bench/floor:755", "--add", "tests/bench/boot_sh:/bench/init.sh:755"]
    small = guest.pack("boot.cpio", "build/init", *common)
    common_socat = common + guest.with_libraries("socat")
    units = [word for name in UNITS for word in (
        "--add", "tests/bench/boot_systemd/%s:/etc/systemd/system/%s:644" % (name, name))]
    return {"hawser": small, "floor": small,
            "shsocat": guest.pack("boot-socat.cpio", "build/init", *common_socat),
            "systemd": guest.pack("boot-systemd.cpio", "build/init", *common_socat, *units,
                                  *guest.with_libraries(SYSTEMD))}


def boot(kernel, image, program):
    """Virtual microseconds: before PROGRAM, from there to the end, and how much of that was the host's."""
    with guest.Directory() as machine:
        machine.start_device()
        qemu = machine.start_qemu(kernel, image, "rdinit=/bench/host hawser.host=1 tsc_early_khz=1000000",
                                  "systemd.log_level=emerg systemd.show_status=no bench=" + program,
                                  options=["-icount", "shift=0,sleep=off", "-cpu", CPU])
        start, end, own = (int(word) / 1000 for word in machine.hear("landed"))
        phases = [line[6:].rsplit(None, 1) for line in qemu.stdout if line.startswith("phase ")]
        qemu.wait(guest.PATIENCE_S)
    return start, end - start, own, [(name, int(ns) / 1000 - start) for name, ns in phases]


def measure(top):
    kernel = guest.output("scripts/kernel", "--variant", "test").strip() + "/vmlinux"
    image, samples = images(), {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name, (_, program) in CONTENDERS.items():
            samples[name].append(boot(kernel, image[name], program))
    table = Table("boot", "Boot cost, from /init to the program it hands over to", [
        ("/init to hand-off, µs", 1), ("of it, the host's share, µs", 1), ("before /init, µs", 0)],
        chart={"kind": "bars", "columns": [0], "log": True})
    for name, (label, *_) in CONTENDERS.items():
        before, took, own, _ = (list(column) for column in zip(*samples[name]))
        table.add(label, ("boot_%s_us" % name, took), own, ("boot_%s_before_us" % name, before), own=name == "hawser")
    table.note("a µs is a thousand instructions; before /init: the kernel, from where its clock begins")
    return [table, phases(samples["hawser"])], {}


def phases(runs):
    """hawser's own, of all runs. CLOCK_BOOTTIME, which here is CLOCK_MONOTONIC."""
    table = Table("boot_phases", "hawser's phases (docs/BOOT.md)", [("since /init, µs", 1), ("this one, µs", 1)])
    last = [0] * len(runs)
    for i, (name, _) in enumerate(runs[0][3]):
        now = [run[3][i][1] for run in runs]
        table.add(name, now, [at - before for at, before in zip(now, last)])
        last = now
    return table
