# SPDX-License-Identifier: MIT
"""Boot cost in instructions: from the execution of /init to the first instruction of the program it hands over to

QEMU counts: one instruction is one virtual nanosecond, whatever the machine and its load. The host of these boots is
in the guest (boot_host.c), over vsock_loopback, and its share is in the figures; so is the relay's, who runs beside.
"""
import os
import statistics

import guest

# With the instruction for random numbers, as every processor of a host has it: without it each number costs a kernel
# thousands of others until the host's entropy has come, a third of a boot.
CPU = "qemu64,+rdrand"
ROUNDS = int(os.environ.get("BENCH_BOOT_ROUNDS", 3))
CONTENDERS = {"hawser": "/init", "floor": "/bench/floor", "shsocat": "/bench/init.sh"}


def images():
    sources = ["vsock/" + name for name in ("address.c", "cid.c", "dial.c", "frame.c", "ready.c", "wire.c",
                                            "wire_boot.c", "wire_codec.c", "wire_log.c")]
    for name in "boot_host", "boot_floor", "boot_landed":
        guest.compile_guest(name, *sources)
    common = ["--add", "build/bench/boot_host:/bench/host:755", "--add", "build/bench/boot_landed:/sbin/init:755",
              "--add", "build/bench/boot_floor:/bench/floor:755", "--add", "tests/bench/boot_sh:/bench/init.sh:755"]
    small = guest.pack("boot.cpio", "build/init", *common)
    return {"hawser": small, "floor": small,
            "shsocat": guest.pack("boot-socat.cpio", "build/init", *common, *guest.with_libraries("socat"))}


def boot(kernel, image, program):
    """Virtual microseconds: before PROGRAM, from there to the end, and how much of that was the host's."""
    with guest.Directory() as machine:
        machine.start_device()
        qemu = machine.start_qemu(kernel, image, "rdinit=/bench/host hawser.host=1 tsc_early_khz=1000000",
                                  "bench=" + program, options=["-icount", "shift=0,sleep=off", "-cpu", CPU])
        start, end, own = (int(word) / 1000 for word in machine.hear("landed"))
        phases = [line[6:].rsplit(None, 1) for line in qemu.stdout if line.startswith("phase ")]
        qemu.wait(guest.PATIENCE_S)
    return start, end - start, own, [(name, int(ns) / 1000 - start) for name, ns in phases]


def measure(top):
    kernel = guest.output("scripts/kernel", "--variant", "test").strip() + "/vmlinux"
    image, samples = images(), {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name, program in CONTENDERS.items():
            samples[name].append(boot(kernel, image[name], program))
    figures = {}
    print("  %-12s %12s %24s %12s %14s" % ("", "median", "", "of it, host", "before /init"))
    for name, runs in samples.items():
        before, took, own, phases = zip(*runs)
        median = statistics.median(took)
        print("  %-12s %9.1f us %11.1f to %9.1f %9.1f us %11.1f us" % (
            name, median, min(took), max(took), statistics.median(own), statistics.median(before)))
        figures["boot_%s_us" % name] = round(median, 1)
        figures["boot_%s_us_samples" % name] = [round(one, 1) for one in took]
        figures["boot_%s_before_us" % name] = round(statistics.median(before), 1)
    # CLOCK_BOOTTIME, which here is CLOCK_MONOTONIC.
    last = 0
    print("  hawser's phases, one run:")
    for name, when in samples["hawser"][-1][3]:
        print("    %-12s %8.1f us %+9.1f" % (name, when, when - last))
        last = when
    return figures
