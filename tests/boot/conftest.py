# SPDX-License-Identifier: MIT
"""What the boot tests are made with. A test takes `boot` to run a machine to its end, `guest` to have it in hand."""
import collections
import fcntl
import functools
import os
import subprocess

import pytest

from .image import Image
from .machine import Guest, tsc_khz

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

Kit = collections.namedtuple("Kit", "top image kernel device tsc_khz")


def output(*command):
    """The last line, which is a path. What is built on the way says so on the terminal."""
    done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\n")[-2] if done.stdout else ""


def make_kit(directory):
    """Everything that is built once. Test runs side by side (pytest -n) build one after the other."""
    os.makedirs(os.path.join(TOP, "build"), exist_ok=True)
    with open(os.path.join(TOP, "build", "tests.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        output("make", "-s", "build/init")
        image = os.path.join(directory, "image")
        output("scripts/initramfs", "--init", "build/init", "-o", image)
        kernel, device = output("scripts/kernel"), output("scripts/fetch", "vhost-device-vsock")
    with open(image, "rb") as file:
        return Kit(TOP, Image(file.read()), kernel, device, tsc_khz())


def compile_guest(source, path):
    """A static program for a guest, of one file."""
    subprocess.run([os.environ.get("MUSL_CC", "musl-gcc"), "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror",
                    "-isystem", output("scripts/musl-headers"), "-o", path, source], check=True)


def programs(folder, directory):
    """Builds programs of that folder for a guest, each once: programs(...)("dial") is its path in the directory."""
    @functools.lru_cache(maxsize=None)
    def build(name):
        path = os.path.join(directory, name)
        compile_guest(os.path.join(folder, name + ".c"), path)
        return path
    return build


@pytest.fixture(scope="session")
def kit(tmp_path_factory):
    return make_kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def guest(kit, request):
    """Makes guests: guest(record..., script="...", host=False, ...) is a Guest, not started yet."""
    guests = []

    def make(*records, **settings):
        guests.append(Guest(kit, *records, **settings))
        return guests[-1]
    request.node.guests = guests
    yield make
    for each in guests:
        each.stop()
    try:
        for each in guests:
            each.check()
    finally:
        for each in guests:
            each.close()


@pytest.fixture
def boot(guest):
    """Boots a guest that runs the script, and waits for its end: boot("exit 7").exit == 7."""
    def run(script, *records, cmdline=""):
        made = guest(*records, script=script)
        made.cmdline = cmdline
        return made.run()
    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """What the machines of a failed test had to say."""
    report = (yield).get_result()
    if not report.failed:
        return
    for each in getattr(item, "guests", []):
        report.sections.append(("serial console", each.serial))
        if each.host:
            report.sections += [("log", epoch.text()) for epoch in each.host.epochs]
            report.sections += [("host", "\n".join(map(str, each.host.errors + each.host.refusals)))]
