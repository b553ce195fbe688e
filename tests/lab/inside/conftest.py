# SPDX-License-Identifier: MIT
"""What tests in the lab are made with: `host`, a hawserd on AF_VSOCK, and `guest`, which boots guests of the lab."""
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from boot.conftest import programs
from daemon import Host, wait_for

from .. import in_lab

TOP = Path(__file__).resolve().parents[3]
BOOTS_MAX = 3
PATIENCE_S = 120         # before a test gives up; says nothing about how fast a thing has to be


SHARE = Path("/run/share")       # with the lab's host


def ask(what):
    """The lab's host does it, and this is what it found. A file that is there at once: it takes the question away."""
    (SHARE / "question").touch()
    (SHARE / "question").rename(SHARE / what)
    wait_for((SHARE / (what + "ed")).exists, "the answer of the lab's host", PATIENCE_S)
    return (SHARE / (what + "ed")).read_text()


@pytest.fixture(autouse=True)
def only_in_the_lab():
    assert in_lab(), "no AF_VSOCK outside the lab"


class VsockHost(Host):
    def __init__(self, top):
        super().__init__(top)
        self.config, self.popen = {"vsock": True, "log": {"json": True}}, {}

    def machine(self, name, cid, script="exit 0", credentials=(), files=(), **hawser):
        """A machine that runs the script. credentials: names and texts; files: paths in the guest and files here."""
        directory = self.vm(name, hostname=name, process={"args": ["sh", "-c", script]}, hawser=dict(hawser, cid=cid))
        for folder in "credentials", "files":
            (directory / folder).mkdir(exist_ok=True)
        for key, text in dict(credentials).items():
            (directory / "credentials" / key).write_text(text)
        for path, source in dict(files).items():
            (directory / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, directory / "files" / path)
        if not self.process:
            self.start(**self.popen)
        return directory

    def stdout(self, name):
        return [line.decode() for line in self.stream("stdout", name)]

    def events(self, name, event=None):
        """Of its log: hawserd's own and the guest's."""
        return [each for each in self.records(name) if event in (None, each.get("event")) and "event" in each]

    def wait_event(self, name, event, times=1):
        return wait_for(lambda: len(found := self.events(name, event)) >= times and found, "%s of %s" % (event, name),
                        PATIENCE_S)[-1]

    def wait_stdout(self, name, line):
        wait_for(lambda: line in self.stdout(name), "%r from %s" % (line, name), PATIENCE_S)

    def wait_said(self, pattern):
        """Of hawserd's own words."""
        return wait_for(lambda: self.said(pattern), "the words %s" % pattern, PATIENCE_S)

    def exit(self, name):
        return self.wait_event(name, "exited")["value"]

    @contextlib.contextmanager
    def stopped(self):
        """As long as it lasts, nobody accepts."""
        server = self.pids()["server"]
        os.kill(server, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server, signal.SIGCONT)

    def limit_descriptors(self, most):
        """From the next start on."""
        self.popen["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def host(tmp_path):
    made = VsockHost(tmp_path)
    yield made
    made.stop()


class Guest:
    """device: microvm, with vhost-vsock-device, or q35, with vhost-vsock-pci. Runs."""

    def __init__(self, top, cid, device, memory):
        settings = json.loads(Path("/run/share/settings.json").read_text())
        microvm = device == "microvm"
        self.output = top / ("guest-%d.out" % cid)
        kernel = TOP / "build/vmlinux" if microvm else Path(settings["pci"]) / "vmlinux"
        self.command = [
            "qemu-system-x86_64", "-M", "microvm,accel=kvm,acpi=off,rtc=on" if microvm else "q35,accel=kvm",
            "-cpu", "host", "-m", str(memory), "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", TOP / "build/initramfs.cpio",
            "-device", "vhost-vsock-%s,guest-cid=%d" % ("device" if microvm else "pci", cid),
            "-append", "console=ttyS0 reboot=t panic=-1 quiet hawser.deadline=60"]
        self.start()

    def start(self):
        with open(self.output, "ab") as out:
            self.before = out.tell()
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def wait(self):
        """
        To its own end, which the kernel announces. Now and then a guest under the lab's emulated virtualisation is
        reset before its kernel has said a word; why is not known. Then it boots again.
        """
        for _ in range(BOOTS_MAX):
            assert self.process.wait(PATIENCE_S) == 0, self.output.read_text(errors="replace")
            if self.output.stat().st_size > self.before:
                return
            print("%s: reset before its kernel said a word" % self.output.name)
            self.start()
        raise AssertionError("%s: reset %d times" % (self.output.name, BOOTS_MAX))

    def wait_serial(self, text):
        wait_for(lambda: text in self.output.read_text(errors="replace"), "%r on its serial console" % text,
                 PATIENCE_S)

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def guest(tmp_path, request):
    """guest(77) boots a machine with that CID."""
    made = []

    def boot(cid, device="microvm", memory=64):
        made.append(Guest(tmp_path, cid, device, memory))
        return made[-1]
    yield boot
    for each in made:
        each.kill()


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    return programs(Path(__file__).parent, tmp_path_factory.mktemp("programs"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """What was said while a test failed."""
    report = (yield).get_result()
    top = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and top:
        for path in sorted([*top.glob("output"), *top.glob("guest-*.out"), *top.glob("state/logs/*/text.log")]):
            report.sections.append((str(path.relative_to(top)), path.read_text(errors="replace")[-10000:]))
