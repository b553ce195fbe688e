# SPDX-License-Identifier: MIT
"""hawser run -t as a person uses it: a real guest, whose program is on a terminal that is the person's."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
HAWSER = TOP / "build/hawser"
HELLO = TOP / "examples/hello"
PATIENCE_S = 120
ESCAPE = b"\x1d"


class Person:
    """At a terminal of 24 times 80, on which `hawser run` was typed."""

    def __init__(self, *words, directory=HELLO, options=("-t",)):
        self.ours, self.theirs = pty.openpty()
        self.window(24, 80)
        self.before = termios.tcgetattr(self.theirs)
        self.seen = b""
        self.process = subprocess.Popen(
            [HAWSER, "run", "--private", *options, directory, *(["--", *words] if words else [])],
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env=dict(os.environ, TERM="vt100"))

    def window(self, rows, cols):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def look(self, seconds=0.05):
        if select.select([self.ours], [], [], seconds)[0]:
            self.seen += os.read(self.ours, 1 << 16)

    def wait(self, text):
        """Until that is on the screen; what comes behind it is seen next."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            assert self.process.poll() is None and time.monotonic() < until, (text, self.seen)
            self.look()
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.ours, text)

    def status(self):
        """The run's, after its end; then the terminal is as it was before."""
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, self.seen
            self.look()
        while select.select([self.ours], [], [], 0)[0]:
            self.look()
        assert termios.tcgetattr(self.theirs) == self.before
        return self.process.returncode

    def leave(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def person():
    with contextlib.ExitStack() as stack:
        def sit_down(*words, **more):
            made = Person(*words, **more)
            stack.callback(made.leave)
            return made
        yield sit_down


def test_a_shell(person):
    """Prompt, window, interrupt, the end of the file, an exit status; and nothing else is on the screen."""
    at = person("sh")
    assert at.wait(b"# ") == b""
    at.type(b"tty; stty size; echo $TERM $(ls $CREDENTIALS_DIRECTORY)\r")
    at.wait(b"/dev/pts/")
    at.wait(b"24 80\r\nvt100 greeting.key\r\n")
    at.window(50, 132)
    # The size goes its own way, as everywhere: it is there when it is there.
    at.type(b"until stty size | grep -x '50 132'; do :; done\r")
    at.wait(b"\n50 132\r\n")
    at.type(b"echo start''ed; sleep 1000\r")
    at.wait(b"started\r\n")
    at.type(b"\x03")
    at.type(b"echo status $?\r")
    at.wait(b"status 130\r\n# ")
    at.type(b"(exit 7)\r")
    at.wait(b"(exit 7)\r\n# ")
    at.type(b"\x04")
    assert at.status() == 7
    assert not at.seen.strip(), at.seen


@pytest.mark.parametrize("words, status", [
    (["sh", "-c", "kill -9 $$"], 137), (["/no/such/program"], 127), (["/etc/passwd"], 126), (["true"], 0)])
def test_exit_status(person, words, status):
    at = person(*words)
    assert at.status() == status
    assert (words[0].encode() in at.seen) == (status in (126, 127))


def machine(path, **more):
    path.mkdir()
    (path / "vm.json").write_text(json.dumps(more))
    return path


def test_what_vm_json_says(person, tmp_path):
    """A terminal without being asked, for its user, in its directory, with its variables; `exec` is not allowed."""
    process = {"terminal": True, "args": ["sh", "-c", "pwd; id -u; id -g; echo $A $TERM; read line; echo $line >&2"],
               "env": ["A=b", "TERM=dumb"], "cwd": "/var/log", "user": {"uid": 7, "gid": 8}}
    at = person(directory=machine(tmp_path / "vm", process=process), options=())
    at.wait(b"/var/log\r\n7\r\n8\r\nb dumb\r\n")
    at.type(b"typed\r")
    at.wait(b"typed\r\ntyped\r\n")
    assert at.status() == 0


def test_no_terminal_where_there_is_none(tmp_path):
    """process.terminal is for a person; -t insists."""
    path = machine(tmp_path / "vm", process={"terminal": True, "args": ["sh", "-c", "tty; exit 3"]})
    run = subprocess.run([HAWSER, "run", "--private", "--raw", path], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, timeout=PATIENCE_S)
    assert (run.returncode, run.stdout) == (3, b"not a tty\n")
    run = subprocess.run([HAWSER, "run", "--private", "-t", path], stdin=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, timeout=PATIENCE_S)
    assert run.returncode == 125 and b"-t: standard input is no terminal" in run.stderr


@pytest.mark.parametrize("vm, options, what", [
    ({"process": {"args": ["true"]}, "hawser": {"handoff": {"mode": "exec"}}}, [], b"hawser.handoff.mode must be"),
    ({}, [], b"there is no program"),
    ({"process": {"args": ["true"], "user": {"uid": 1, "gid": 1, "additionalGids": [5]}}}, [], b"additionalGids"),
    ({"process": {"args": ["true"] * 257}}, [], b"at most 256 words"),
    ({"process": {"args": ["true", "x" * 20000, "y" * 20000]}}, [], b"32 KiB"),
    ({"process": {"args": ["true"]}}, ["--raw"], b"excludes --raw"),
    ({"process": {"args": ["true"]}}, ["--wait-ready", "1"], b"--wait-ready"),
], ids=["handoff", "no-program", "gids", "words", "bytes", "raw", "ready"])
def test_what_cannot_be(person, tmp_path, vm, options, what):
    at = person(directory=machine(tmp_path / "vm", **vm), options=["-t", *options])
    assert at.status() == 125 and what in re.sub(rb"\s+", b" ", at.seen), at.seen


DEAF = "trap '' HUP INT TERM; echo up; while :; do sleep 0.1; done"


@pytest.mark.parametrize("end", ["escape", signal.SIGTERM, signal.SIGHUP])
def test_out_of_it(person, end):
    """From a program that hears nothing: three times Ctrl-], or a signal to us. The machine ends in good order."""
    at = person("sh", "-c", DEAF)
    at.wait(b"up\r\n")
    if end == "escape":
        at.type(ESCAPE * 2 + b"x" + ESCAPE * 2)
        time.sleep(1.2)
        assert at.process.poll() is None
        at.type(ESCAPE + b"\x03")
        at.type(ESCAPE * 3)
    else:
        at.process.send_signal(end)
    assert at.status() == 128 + (signal.SIGHUP if end == "escape" else end)


def test_out_of_it_when_the_terminal_is_full(person):
    """The program reads nothing; what is typed then is lost, but not that."""
    at = person("sh", "-c", "stty raw -echo; " + DEAF)
    at.wait(b"up")
    for _ in range(100):
        at.type(b"x" * 1000)
    at.type(ESCAPE * 3)
    assert at.status() == 129


def test_killed_by_a_second_one(person):
    at = person("sh", "-c", DEAF)
    at.wait(b"up\r\n")
    at.type(ESCAPE * 6)
    assert at.status() == 129


def test_the_machine_is_ended_from_within(person):
    """The shell was killed by that; a machine that was cut off is nobody's exit status."""
    at = person("sh")
    at.wait(b"# ")
    at.type(b"poweroff\r")
    assert at.status() == 129
    at = person("sh")
    at.wait(b"# ")
    at.type(b"poweroff -f\r")
    assert at.status() == 125


def test_much_output(person):
    """All of it, in order, to a person who reads slowly."""
    at = person("sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo $i; done; echo end")
    got = at.wait(b"end\r\n")
    assert got == b"".join(b"%d\r\n" % n for n in range(1, 60001))
    assert at.status() == 0


def test_a_log_of_all_the_rest(person, tmp_path):
    at = person("echo", "on the screen", options=["-t", "--log", tmp_path / "log"])
    assert at.status() == 0 and at.seen == b"on the screen\r\n"
    streams = {json.loads(line)["stream"] for line in (tmp_path / "log").read_text().splitlines()}
    assert {"kernel", "init", "hawserd"} <= streams and "stdout" not in streams
