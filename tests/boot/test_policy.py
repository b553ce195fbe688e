# SPDX-License-Identifier: MIT
"""hawser.on_failure: what a machine does that cannot have its configuration."""
import time

import pytest

from . import wire
from .host import refuse

# Each a way to fail, and the reason that is given.
FAILURES = [
    ("no-host", "vsock:2:610: "),
    ("refused", "the host refuses: unknown-vm: never heard of it"),
    ("not-applicable", "MOUNT /data: No such device"),
]


def fail(guest, how, policy):
    """A guest that will fail, not started yet."""
    run = guest(wire.mount("/data", "nosuchfs") if how == "not-applicable" else b"", script="echo handed on")
    run.cmdline = "hawser.deadline=3 hawser.on_failure=" + policy
    run.clean = how == "not-applicable"
    if how == "no-host":
        run.host.stop()
    elif how == "refused":
        run.host.script = [refuse(4, "never heard of it")] * 100
    return run


def finish(run, how):
    run.wait()
    assert [refusal.code for refusal in run.host.take_refusals()] == ["apply"] * (how == "not-applicable")
    run.check()
    assert "panic" not in run.serial
    if how == "not-applicable":
        failure, = run.log.events("failure")
        assert failure.text == "MOUNT /data: No such device" and run.stdout == b""


@pytest.mark.parametrize("how, why", FAILURES)
@pytest.mark.parametrize("policy", ["poweroff", "reboot"])
def test_end(guest, how, why, policy):
    run = fail(guest, how, policy).start()
    finish(run, how)
    assert "hawser: the boot failed: " + why in run.serial and "hawser.on_failure=" + policy in run.serial
    assert "Restarting system" in run.serial


def test_poweroff_is_not_reboot(guest):
    """Where the machine has a way to be powered off, the two differ."""
    run = guest(host=False)
    run.cmdline = "hawser.deadline=1 hawser.power=poweroff"
    run.start()
    run.wait_serial("reboot: ")
    assert "Restarting system" not in run.serial


@pytest.mark.parametrize("how, why", FAILURES)
def test_shell(guest, how, why):
    """A person finds the reason, a shell that works, and another one when that has ended."""
    run = fail(guest, how, "shell").start()
    run.wait_serial("the boot failed: " + why)
    run.wait_serial("# ")
    run.type("echo PID 1 is $(cat /proc/1/comm), we are $((6 * 7)), $(id -u)\n")
    run.wait_serial("PID 1 is init, we are 42, 0")
    run.type("exit\n")
    run.wait_serial("exit\n# ")
    run.type("echo another $((7 * 7))\n")
    run.wait_serial("another 49")
    run.type("sleep 100\n")
    time.sleep(1)
    run.type("\x03")
    run.wait_serial("^C\n# ")
    run.type("echo interrupted $((8 * 8))\n")
    run.wait_serial("interrupted 64")
    run.type("poweroff -f\n")
    run.clean = False
    run.wait()
    run.host.take_refusals()
    assert "panic" not in run.serial


def test_shell_without_a_console(guest):
    """There is nobody to look: as poweroff."""
    run = fail(guest, "not-applicable", "shell")
    run.image.remove("/dev/console")
    run.console = "console="
    run.start()
    finish(run, "not-applicable")


@pytest.mark.parametrize("how, why", FAILURES)
def test_continue(guest, how, why):
    """BusyBox takes over a machine without a configuration: no program, no credentials."""
    run = fail(guest, how, "continue")
    run.host.records += wire.credential("key", "secret")
    run.image.add("/etc/inittab", "::once:/init workload\n::shutdown:/init shutdown\n::once:/bin/sh -c 'ls -A "
                  "/run/credentials; env; echo on its own >/dev/ttyS0; sleep 0.2; poweroff'\n", 0o644)
    run.start()
    run.wait_serial("on its own")
    finish(run, how)
    if how == "not-applicable":
        assert b"CREDENTIALS" not in run.log.bytes("console") and b"key" not in run.log.bytes("console")
