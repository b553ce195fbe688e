# SPDX-License-Identifier: MIT
"""The image and the kernel: bytes, and what it costs to unpack and to start them

Counted as in bench_boot.py, but from the machine's first instruction, with a program in /init's place that ends the
machine (boot_probe.c). A wait counts as the time that it takes. The kernel beside ours is Debian's for clouds.
"""
import os
import subprocess
from pathlib import Path

import bench_boot
import guest
from report import Table

ROUNDS = int(os.environ.get("BENCH_IMAGE_ROUNDS", 3))
EMPTY = guest.BUILT / "empty"


def newc(entries):
    """An archive as the kernel takes it, to stand behind another. entries: path, mode, device's numbers, bytes."""
    archive = b""
    for path, mode, device, data in [*entries, ("TRAILER!!!", 0, (0, 0), b"")]:
        fields = 0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path) + 1, 0
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path.encode() + b"\0"
        archive += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return archive


def with_probe(name, image):
    path = guest.BUILT / ("probe-%s.cpio" % name)
    path.write_bytes(image.read_bytes() + newc([
        ("dev", 0o40755, (0, 0), b""), ("dev/console", 0o20600, (5, 1), b""),
        ("probe", 0o100755, (0, 0), (guest.BUILT / "boot_probe").read_bytes())]))
    return path


def extracted(vmlinuz):
    """What is compressed in a bzImage, with the kernel's own script."""
    path = guest.BUILT / "vmlinux-debian"
    script = guest.output("scripts/fetch", "linux").strip() + "/scripts/extract-vmlinux"
    with open(path, "wb") as file:
        subprocess.run([script, vmlinuz], check=True, stdout=file)
    return path


def boot(kernel, image):
    """Virtual ms from the machine's start to the first instruction of PID 1."""
    with guest.Directory() as machine:
        machine.start_device()
        qemu = machine.start_qemu(kernel, image, "rdinit=/probe loglevel=0 tsc_early_khz=1000000",
                                  options=["-icount", "shift=0,sleep=off", "-cpu", bench_boot.CPU])
        took = int(machine.hear("probe")[0]) / 1e6
        qemu.wait(guest.PATIENCE_S)
    return took


def boots(kernel, image):
    return [boot(kernel, image) for _ in range(ROUNDS)]


def size(path):
    return os.path.getsize(path)


def image_table(kernel, nothing):
    """Each archive in parts, and what it takes the kernel to unpack it."""
    table = Table("image", "The image", [
        ("init, KiB", 1), ("BusyBox, KiB", 1), ("socat, systemd, libraries, KiB", 1),
        ("names and the rest, KiB", 1), ("all, KiB", 1), ("unpacking, ms", 2)],
        chart={"kind": "bars", "columns": [4, 5], "log": True, "title": "The image: its size, and unpacking it"})
    busybox, init = size(guest.TOP / "build/busybox"), size(guest.TOP / "build/init")
    none = guest.pack("shell.cpio", EMPTY)
    for label, key, program, more in (("hawser", "hawser", init, []), ("BusyBox sh, socat", "shsocat", 0, ["socat"]),
                                      ("systemd, socat", "systemd", 0, ["socat", bench_boot.SYSTEMD])):
        options = [word for name in more for word in guest.with_libraries(name)]
        files = {word.split(":")[1]: size(word.split(":")[0]) for word in options if word != "--add"}
        archive = guest.pack(key + ".cpio", guest.TOP / "build/init" if program else EMPTY, *options)
        parts = [program, busybox, sum(files.values())]
        rest = size(none) - busybox
        ms = [took - nothing for took in boots(kernel, with_probe(key, archive))]
        table.add(label, *[part / 1024 for part in parts], rest / 1024,
                  ("image_%s_kib" % key, size(archive) / 1024), ("image_%s_unpack_ms" % key, ms), own=key == "hawser")
    table.note("not compressed; unpacking: what more the kernel takes than with an archive of one program")
    return table


def modules_size(debian, release):
    """Of those that vsock needs."""
    plain = guest.pack("plain.cpio", "build/init")
    return size(guest.pack("modules.cpio", "build/init", "--modules", debian, "--kver", release)) - size(plain)


def kernel_table(probe, first):
    debian = Path(guest.output("scripts/fetch", "debian-kernel").strip())
    release = (debian / "release").read_text().strip()
    ours, built = guest.TOP / "build", guest.TOP / "build/bzImage"
    theirs = extracted(debian / "vmlinuz")
    table = Table("kernel", "The kernel", [
        ("bzImage, KiB", 0), ("vmlinux, KiB", 0), ("modules that vsock needs, KiB", 0), ("bzImage to PID 1, ms", 1),
        ("vmlinux to PID 1, ms", 1)], chart={"kind": "bars", "columns": [0, 3, 4]})
    table.add("hawser's", ("kernel_bzimage_kib", size(built) / 1024),
              ("kernel_vmlinux_kib", size(ours / "vmlinux") / 1024), 0,
              ("kernel_bzimage_boot_ms", boots(built, probe)), ("kernel_vmlinux_boot_ms", first), own=True)
    table.add("Debian's, cloud", ("kernel_debian_bzimage_kib", size(debian / "vmlinuz") / 1024),
              ("kernel_debian_vmlinux_kib", size(theirs) / 1024), modules_size(debian, release) / 1024,
              ("kernel_debian_bzimage_boot_ms", boots(debian / "vmlinuz", probe)),
              ("kernel_debian_vmlinux_boot_ms", boots(theirs, probe)))
    table.note("on the same machine, with the same command line: QEMU's microvm, without PCI and ACPI; Debian's is"
               " Linux %s" % release)
    return table


def measure(_):
    guest.compile_guest("boot_probe")
    EMPTY.write_bytes(b"")
    kernel, probe = guest.TOP / "build/vmlinux", with_probe("nothing", EMPTY)
    first = boots(kernel, probe)
    return [image_table(kernel, min(first)), kernel_table(probe, first)], {}
