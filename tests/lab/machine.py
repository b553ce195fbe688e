# SPDX-License-Identifier: MIT
"""The lab from out here: a guest of a hawserd of this machine, and the reports that come out of it."""
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from boot.conftest import output
from boot.machine import Guest, tsc_khz
from daemon import Host

from . import CID, LAB

HERE = Path(__file__).resolve().parent
PATIENCE_S = 240         # without a word from the lab
# The kernel measures the TSC once more, against QEMU's own clock. KVM cannot work with two values that are more than
# 0.025 % apart: its guests' timers would stand still.
TIMERS = "no_timer_check tsc=reliable tsc_early_khz=%d"
# TCG's SVM does not tell KVM of XSETBV.
CPU = "EPYC,+svm,-xsave"
OPTIONS = ["trans=virtio", "version=9p2000.L", "msize=262144"]
HELLO = bytes.fromhex("2000000001010000 48575352 01000000") + bytes(24)


class Gone(Exception):
    """There will be no more reports."""


class Lab(Guest):
    """Boots at once, to run those tests. rootdir is pytest's, and what their names are relative to."""

    def __init__(self, kit, top, rootdir, tests):
        super().__init__(kit, host=False)
        self.share, self.lines = top / "share", []
        self.share.mkdir()
        settings = {"rootdir": str(rootdir), "tests": tests, "pci": output("scripts/kernel", "--variant", "pci")}
        (self.share / "settings.json").write_text(json.dumps(settings))
        self.kernel = os.path.join(output("scripts/kernel", "--variant", "lab"), "vmlinux")
        self.machine, self.device, self.cid, self.memory = "q35,accel=tcg", "vhost-user-vsock-pci", CID, 1536
        self.timers, self.cmdline = TIMERS % tsc_khz(time.CLOCK_MONOTONIC), LAB
        self.qemu = ["-cpu", CPU, "-smp", "2"]
        self._directory("root", "/", "readonly=on")
        self._directory("share", self.share, "readonly=off")
        self.hawserd = Host(top)
        self.hawserd.config = {"log": {"json": True}}
        self._machine()
        self.hawserd.start()
        self.start()

    def _directory(self, tag, path, mode):
        self.qemu += ["-virtfs", "local,path=%s,mount_tag=%s,%s,security_model=none,multidevs=remap" % (
            path, tag, mode)]

    def _machine(self):
        """Its directory, as for any machine."""
        mounts = [{"destination": "/lab/" + name, "type": "9p", "source": name, "options": OPTIONS + more}
                  for name, more in (("root", ["ro", "cache=loose"]), ("share", []))]
        args = ["sh", "/lab/start", sys.executable, str(HERE / "run.py")]
        directory = self.hawserd.vm("lab", hostname="lab", process={"args": args}, mounts=mounts,
                                    hawser={"socket": self.base, "control": ["ping"],
                                            "log": {"whenFull": "block"}})
        (directory / "files/lab").mkdir(parents=True)
        (directory / "files/lab/start").write_text((HERE / "start").read_text())

    # --- what comes out of it ---------------------------------------------------------------------------------------

    def _look(self):
        """New reports. Also does what the lab asks of its host. True: there was something new."""
        path, before = self.share / "reports", len(self.lines)
        if path.exists():
            with open(path) as file:
                whole = file.read().split("\n")[:-1]
            self.lines += [json.loads(line) for line in whole[before:]]
        for question, ask in ("knock", self._knock), ("ping", self._ping):
            if (self.share / question).exists():
                (self.share / question).unlink()
                (self.share / "answer").write_text(ask())
                (self.share / "answer").rename(self.share / (question + "ed"))
        return len(self.lines) > before

    def _knock(self):
        """A boot session's beginning, from the lab's host, and what is answered."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(self.base)
            sock.sendall(b"CONNECT 610\n" + HELLO)
            answer = b""
            while part := sock.recv(4096):
                answer += part
        return answer.hex()

    def _ping(self):
        tool = os.path.join(self.kit.top, "build/hawser")
        done = subprocess.run([tool, "ping", "--runtime", self.hawserd.run, "lab"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.stdout

    def reports(self, test):
        """The reports of that test, as they come."""
        at, until = 0, time.monotonic() + PATIENCE_S
        while True:
            for line in self.lines[at:]:
                if line["nodeid"] == test:
                    yield line
                    if line["when"] == "teardown":
                        return
            at, ended = len(self.lines), self.qemu_process.poll() is not None
            if self._look():
                until = time.monotonic() + PATIENCE_S
            elif ended or time.monotonic() > until:
                raise Gone("the lab ended before this test did" if ended else "the lab says nothing any more")
            else:
                time.sleep(0.05)

    def finish(self):
        """Until it has come to its end by itself."""
        until = time.monotonic() + PATIENCE_S
        while self.qemu_process.poll() is None:
            if self._look():
                until = time.monotonic() + PATIENCE_S
            assert time.monotonic() < until, "the lab does not end\n" + self.story()
            time.sleep(0.05)

    def story(self):
        """For a person who wants to know what went wrong."""
        return "--- its log\n%s\n--- its serial console\n%s\n--- its host\n%s\n--- QEMU\n%s" % (
            self.hawserd.text("lab").decode(errors="replace")[-20000:], self.serial[-5000:],
            self.hawserd.output.read_text()[-5000:], self.read("qemu.out"))

    def close(self):
        super().close()
        if self.hawserd.process and self.hawserd.process.poll() is None:
            self.hawserd.kill()
