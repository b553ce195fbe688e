# SPDX-License-Identifier: MIT
"""Kernels of a distribution, on a PC with PCI and ACPI: their vsock is all modules."""
import glob
import os
import subprocess

import pytest

from . import wire
from .conftest import output
from .image import Image
from .machine import Guest


class Pc(Guest):
    """With such a kernel and its modules."""

    def __init__(self, kit, directory, **settings):
        super().__init__(kit, **settings)
        with open(os.path.join(directory, "release")) as file:
            release = file.read().strip()
        self.modules = os.path.join(directory, "lib/modules", release)
        self.kernel = os.path.join(directory, "vmlinuz")
        self.machine, self.device, self.memory = "q35,accel=tcg", "vhost-user-vsock-pci", 256
        archive = output("scripts/initramfs", "--init", "build/init", "-o", self.path("base"), "--modules", directory,
                         "--kver", release)
        with open(archive, "rb") as file:
            self.image = Image(file.read())

    def add_module(self, name, place):
        """One more, to be loaded at that place."""
        path, = glob.glob("%s/kernel/**/%s.ko*" % (self.modules, name), recursive=True)
        with open(path, "rb") as file:
            self.image.add("/lib/modules/hawser/%02d-%s" % (place, os.path.basename(path)), file.read(), 0o644)


@pytest.fixture(scope="session")
def debian(kit):
    return output("scripts/fetch", "debian-kernel")


@pytest.fixture
def pc(kit, debian, guest, request):
    """pc(script=...) is a Pc, not started yet."""
    def make(directory=debian, **settings):
        request.node.guests.append(Pc(kit, directory, **settings))
        return request.node.guests[-1]
    return make


def test_boot(pc):
    """With all of a configuration, to the exit status, and to a power-off, which such a machine has."""
    run = pc(script="uname -r; grep -c ^vsock /proc/modules; hostname; cat $CREDENTIALS_DIRECTORY/key /etc/motd; "
             "exit 7")
    run.host.records += (wire.hostname("pc") + wire.directory("etc") + wire.file("etc/motd", "ahoy\n") +
                         wire.credential("key", "key\n"))
    run.run()
    assert run.stdout.decode().split() == [os.path.basename(run.modules), "1", "pc", "key", "ahoy"] and run.exit == 7
    assert [(event.value, event.text) for event in run.log.events("power")] == [(0, "poweroff")]
    assert "Power down" in run.serial
    assert not [message for message in run.log.messages("init") if b"module" in message]


def test_ctrl_alt_del(pc):
    """On the keyboard: a clean stop. Firecracker's SendCtrlAltDel is the same."""
    run = pc(script="trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done").start()
    run.host.wait_output(b"up\n")
    run.qmp("send-key", keys=[{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")])
    run.wait()
    run.check()
    assert (run.stdout, run.exit) == (b"up\nbye\n", 9) and "Power down" in run.serial


def test_compressed_modules(pc):
    """.ko.xz, which the kernel unpacks."""
    try:
        directory = output("scripts/fetch", "debian-kernel-6.12")
    except subprocess.CalledProcessError:
        pytest.skip("this Debian has no kernel of the 6.12 series beside its own")
    run = pc(directory, script="ls /lib/modules/hawser; exit 7").run()
    assert run.exit == 7 and {name[-3:] for name in run.stdout.split()} == {b".xz"}


def test_module_that_is_none(pc):
    """It is named, and the next ones are loaded all the same."""
    run = pc(script="exit 7")
    run.image.add("/lib/modules/hawser/00-nonsense.ko", b"\x7fELF nonsense")
    run.image.add("/lib/modules/hawser/00-nonsense.ko.xz", b"nonsense")
    run.image.add("/lib/modules/hawser/.hidden", b"nonsense")
    run.add_module("vsock", 50)          # twice is no error
    run.run()
    complaints = [message.decode() for message in run.log.messages("init") if b"module" in message]
    assert [line.split(":")[0] for line in complaints] == ["module 00-nonsense.ko", "module 00-nonsense.ko.xz"]
    assert run.exit == 7


def test_modules_are_missing(pc):
    run = pc(host=False)
    run.cmdline = "hawser.deadline=1"
    for path in [path for path in run.image.entries if path.startswith("/lib/modules/hawser/")]:
        run.image.remove(path)
    run.run()
    assert "the boot failed: this machine has no CID of a guest (the kernel says 4294967295)" in run.serial


@pytest.mark.parametrize("modules, cid", [(["vsock_loopback"], 1), (["vhost_iotlb", "vhost", "vhost_vsock"], 2)])
def test_3_no_guest_yet(pc, modules, cid):
    """With the loopback alone a process of the guest could play host; a host's own CID is no guest's either."""
    run = pc(host=False)
    run.device, run.cmdline = None, "hawser.deadline=3"
    for place, module in enumerate(modules, 50):
        run.add_module(module, place)
    run.run()
    assert "the boot failed: this machine has no CID of a guest (the kernel says %d)" % cid in run.serial


def test_2_device_is_plugged_late(pc):
    """Long after init has begun to look for it, while the loopback's CID is there."""
    run = pc(script="exit 7")
    run.add_module("vsock_loopback", 50)
    run.plugged, run.qemu = False, ["-device", "pcie-root-port,id=late,chassis=1"]
    run.cmdline = "hawser.deadline=60 loglevel=7"
    run.start()
    run.wait_serial("Registered PF_VSOCK")
    run.qmp("device_add", driver=run.device, chardev="vsock", bus="late", id="vsock0")
    run.wait()
    run.check()
    assert run.exit == 7 and len(run.host.boots) == 1
    connects = run.log.events("connect")
    assert [connect.value for connect in connects] == [0]
    assert [phase.text for phase in run.log.events("phase")][5] == "cid 42"
