# SPDX-License-Identifier: MIT
"""What the host asks of a machine whose root is another one: of any init, and of systemd."""
import os

import pytest

from . import wire
from .control import Control
from .test_handoff import console, debian_root, kernel, plug, rooted, switch_root  # noqa: F401

SLEEP = "while :; do sleep 0.1; done 2>/dev/null"


def wait_console(run, line):
    run.host.wait(lambda: run.host.epochs and line in run.log.bytes("console"), "%r on the console" % line,
                  run.patience)


def press(line):
    """A log session that presses the button once that line is on the console."""
    def session_run(session):
        session.hello()
        session.welcome()
        while line not in session.epoch.bytes("console"):
            session.take()
        session.send(wire.frame(wire.BUTTON))
        while True:
            session.take()
    return session_run


# --- a small root ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("overlay", [False, True], ids=["plain", "overlay"])
def test_control(rooted, overlay):  # noqa: F811
    """A program is run in the new root, PID 1 gets the signal, and the machine ends in order."""
    run = plug(rooted("ext4", "trap 'echo got hup' HUP; echo in the new root >/etc/motd; echo up; " + SLEEP,
                      wire.control("ping", "exec", "signal", "stop"), wire.credential("key", "key"),
                      overlay=overlay), "ext4")
    run.start()
    wait_console(run, b"up\n")
    with Control(run) as control:
        assert control.ping()[0] > 0
    cases = [
        (["cat", "/etc/motd", "/proc/1/comm"], {}, b"in the new root\ninit\n"),
        (["sh", "-c", "ls -A /; cat $CREDENTIALS_DIRECTORY/key"], {},
         b"bin\ndev\netc\nlost+found\nproc\nrun\nsbin\nsys\nusr\nkey"),
        (["sh", "-c", "cat >/etc/own; stat -c %u /etc/own"], {}, b"0\n"),
    ]
    for words, more, out in cases:
        with Control(run) as control:
            control.exec(*words, **more)
            control.send(wire.STDIN_END)
            assert (control.exit(), control.out, control.err) == (0, out, b""), words
    with Control(run) as control:
        control.exec("sh", "-c", "readlink /proc/self/fd/0; kill -9 $$", terminal=(24, 80))
        assert control.exit() == -9 and control.out.startswith(b"/dev/pts/")
    with Control(run) as control:
        control.send(wire.SIGNAL, b"\1\0\0\0")
        assert control.done() == 0
    wait_console(run, b"got hup\n")
    with Control(run) as other, Control(run) as control:
        other.exec("sleep", "1000")
        control.send(wire.STOP, (60000).to_bytes(4, "little"))
        assert control.done() == 0 and other.exit() in (-1, -15)
        run.wait()
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


TRAP = "trap 'echo systemd was asked; exec /run/initramfs/shutdown poweroff' %d; "
PRESSED = "(trap 'echo bye; exit' TERM; echo up; %s) & while :; do wait; done" % SLEEP


@pytest.mark.parametrize("signal", [None, 38], ids=["alone", "systemd"])
def test_button(rooted, signal):  # noqa: F811
    """Ctrl-C of `hawser run`: the relay lives in what is left of the initramfs, and has it ended all the same."""
    run = rooted("ext4", (TRAP % signal if signal else "") + PRESSED)
    if signal:                   # that is its name, which is how it is known
        path = os.path.join(run.root.path, "sbin")
        os.rename(path + "/init", path + "/systemd")
        os.symlink("systemd", path + "/init")
    plug(run, "ext4").host.log_script = [press(b"up\n")]
    run.run()
    assert "bye" in console(run) and ("systemd was asked" in console(run)) == bool(signal)
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


# --- systemd --------------------------------------------------------------------------------------------------------

PROBE = """[Unit]
After=network.target
[Service]
ExecStart=/bin/sh -c 'echo probe is up; exec sleep 1000'
ExecStop=/bin/sh -c 'sleep 1; echo probe was stopped by systemd'
StandardOutput=tty
"""


def test_systemd(guest, kernel, debian_root):  # noqa: F811
    """Programs run in its root, and it ends its units before it ends the machine, whose last word is the host's."""
    run = guest(switch_root("ext4", "/dev/vda", overlay=True), wire.control("ping", "exec", "stop"),
                *map(wire.directory, ("etc", "etc/systemd", "etc/systemd/system",
                                      "etc/systemd/system/multi-user.target.wants")),
                wire.file("etc/systemd/system/probe.service", PROBE),
                wire.symlink("etc/systemd/system/multi-user.target.wants/probe.service", "../probe.service"))
    run.kernel, run.memory, run.patience = kernel, 512, 600
    run.qemu = ["-drive", "id=root,if=none,format=raw,readonly=on,file=" + debian_root,
                "-device", "virtio-blk-device,drive=root"]
    run.cmdline = "hawser.deadline=120 systemd.unit=multi-user.target"
    run.start()
    wait_console(run, b"probe is up")
    with Control(run) as control:
        assert control.ping()[0] > 0
    with Control(run) as control:
        control.exec("systemctl", "is-active", "probe.service")
        assert (control.exit(), control.out) == (0, b"active\n")
    with Control(run) as control:
        control.send(wire.STOP, (300000).to_bytes(4, "little"))
        assert control.done() == 0
        run.wait()
    assert "probe was stopped by systemd" in console(run)
    assert [event.text for event in run.log.events("power")] == ["poweroff"]
