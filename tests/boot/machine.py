# SPDX-License-Identifier: MIT
"""A guest: QEMU, a vhost-user vsock device and, unless a test wants none, a host (host.py) that serves it."""
import copy
import ctypes
import json
import mmap
import os
import shutil
import socket
import subprocess
import tempfile
import time

from . import wire
from .host import PATIENCE_S, Host

QEMU = "qemu-system-x86_64"
# What a busy machine gets wrong is not measured: the APIC's timer, the other timer's interrupt, the TSC.
TIMERS = "noapictimer no_timer_check tsc_early_khz=%d"
# QEMU and the device end with the test run, however that ends.
CHILD = ["setpriv", "--pdeathsig", "KILL", "--"]


def tsc_khz(clock=time.CLOCK_MONOTONIC_RAW):
    """
    The processor's clock, which QEMU's TCG shows the guest as it is. A guest that fails to measure it goes on with
    a clock of 4 ms.
    """
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))         # rdtsc; shl rdx, 32; or rax, rdx; ret
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    now, ticks = time.clock_gettime_ns(clock), rdtsc()
    time.sleep(0.2)
    ticks, now = rdtsc() - ticks, time.clock_gettime_ns(clock) - now
    return ticks * 1000000 // now


class Guest:
    """
    Settings may be changed until start(). A guest starts with the image and kernel of the kit (conftest.py), and its
    program is the script, run by the shell.
    """

    def __init__(self, kit, *records, script=None, host=True, port=610):
        self.kit, self.directory = kit, tempfile.mkdtemp(prefix="hawser-")
        self.base = os.path.join(self.directory, "vm.vsock")
        self.image = copy.deepcopy(kit.image)
        self.kernel = os.path.join(kit.kernel, "vmlinux")
        self.machine = "microvm,accel=tcg,acpi=off,rtc=on"
        self.device = "vhost-user-vsock-device"  # None: a machine without one
        self.cid, self.memory = 42, 64
        self.console, self.cmdline, self.qemu = "console=ttyS0", "", []
        self.timers = TIMERS % kit.tsc_khz
        self.clean = True                        # its log must end with END
        self.patience = PATIENCE_S
        self.processes, self.terminal = [], None
        if script is not None:
            records += (wire.shell(script),)
        self.host = Host(self.base, *records, port=port) if host else None

    def path(self, name):
        return os.path.join(self.directory, name)

    def before_init(self, script):
        """What PID 1 does, as the shell, before it becomes /init."""
        self.image.add("/before", "#!/bin/sh\n%s\nexec /init\n" % script)
        self.console += " rdinit=/before"

    # --- running ----------------------------------------------------------------------------------------------------

    def _spawn(self, name, *command):
        with open(self.path(name + ".out"), "wb") as out:
            process = subprocess.Popen(CHILD + list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(process)
        return process

    def spawn(self, name, *command, socket):
        """A program that the machine needs; it is there when its socket is."""
        process = self._spawn(name, *command)
        for _ in range(PATIENCE_S * 100):
            if os.path.exists(self.path(socket)):
                return
            assert process.poll() is None, "%s ended: %s" % (name, self.read(name + ".out"))
            time.sleep(0.01)
        raise AssertionError(name + " makes no socket")

    def command(self):
        words = [QEMU, "-M", self.machine + ",memory-backend=mem", "-m", str(self.memory),
                 "-object", "memory-backend-memfd,id=mem,size=%dM,share=on" % self.memory,
                 "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-kernel", self.kernel,
                 "-initrd", self.path("image"), "-qmp", "unix:%s,server=on,wait=off" % self.path("qmp"),
                 "-chardev", "socket,id=serial,path=%s,server=on,wait=off,logfile=%s" % (
                     self.path("serial"), self.path("serial.out")), "-serial", "chardev:serial"]
        if self.device:
            words += ["-chardev", "socket,id=vsock,path=" + self.path("vm.sock")]
            words += ["-device", self.device + ",chardev=vsock"] if self.plugged else []
        options = [self.console, self.timers, "reboot=t panic=-1 quiet",
                   "hawser.deadline=20", self.cmdline]
        return words + self.qemu + ["-append", " ".join(filter(None, options))]

    plugged = True           # False: the device is there for qmp("device_add", ...) only

    def start(self):
        with open(self.path("image"), "wb") as file:
            file.write(self.image.pack())
        if self.device:
            self.spawn("device", self.kit.device, "--guest-cid", str(self.cid), "--socket", self.path("vm.sock"),
                       "--uds-path", self.base, socket="vm.sock")
        self.qemu_process = self._spawn("qemu", *self.command())
        return self

    def wait(self):
        """Until the machine has ended by itself."""
        try:
            status = self.qemu_process.wait(self.patience)
        except subprocess.TimeoutExpired:
            raise AssertionError("the machine does not end") from None
        assert status == 0, "QEMU ended with status %d: %s" % (status, self.read("qemu.out"))
        self.stop()
        return self

    def stop(self):
        """Ends what still runs. The host gets what was on its way, and is there for another start()."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.processes.clear()
        if self.host:
            self.host.settle()

    def run(self):
        self.start().wait()
        self.check()
        return self

    def check(self):
        if self.host:
            self.host.check(self.clean)

    def close(self):
        if self.host:
            self.host.stop()
        self.stop()
        if self.terminal:
            self.terminal.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- talking to it ----------------------------------------------------------------------------------------------

    def type(self, text):
        """On the serial console."""
        if not self.terminal:
            self.terminal = socket.socket(socket.AF_UNIX)
            self.terminal.connect(self.path("serial"))
        self.terminal.sendall(text.encode())

    def wait_serial(self, text):
        for _ in range(PATIENCE_S * 20):
            ended = self.qemu_process.poll() is not None
            if text in self.serial:
                return
            assert not ended, "the machine ended before it said %r" % text
            time.sleep(0.05)
        raise AssertionError("waited in vain for %r on the serial console" % text)

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(self.path("qmp"))
            answers = monitor.makefile()
            for asked in {"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}:
                monitor.sendall(json.dumps(asked).encode())
                answer = {}
                while not answer.keys() & {"return", "error"}:
                    answer = json.loads(answers.readline())
                assert "return" in answer, answer
        return answer["return"]

    # --- looking at it ----------------------------------------------------------------------------------------------

    def read(self, name):
        try:
            with open(self.path(name), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    @property
    def serial(self):
        return self.read("serial.out")

    @property
    def log(self):
        return self.host.log

    @property
    def stdout(self):
        return self.log.bytes("stdout")

    @property
    def stderr(self):
        return self.log.bytes("stderr")

    @property
    def exit(self):
        """The program's exit code, or minus the signal that killed it."""
        ends = [event for event in self.log.events() if event.name in ("exited", "killed")]
        return (ends[-1].value if ends[-1].name == "exited" else -ends[-1].value) if ends else None
