# SPDX-License-Identifier: MIT
"""Control sessions over the kernel's vhost_vsock: hawserd dials a guest's port, and the guest judges who dials."""
import hashlib
import os
import re
import subprocess

import pytest

from . import vsock
from .conftest import PATIENCE_S, TOP, ask
from .. import CID

NOT_ALLOWED, TOKEN = 6, 9
CONTROL = 612
CTL_HELLO = bytes.fromhex("18000000 0103 0000 48575352 0100 0000") + bytes(16)
WAIT = "echo up; while :; do sleep 0.1; done 2>/dev/null"
ALL = ["exec", "ping", "signal", "stop"]


class Tool:
    """hawser VERB a ..., by way of the test's hawserd."""

    def __init__(self, host):
        self.host = host

    def start(self, verb, *words, **popen):
        return subprocess.Popen([TOP / "build/hawser", verb, "--runtime", self.host.run, *words],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)

    def __call__(self, verb, *words, input=b""):
        process = self.start(verb, *words)
        out, err = process.communicate(input, PATIENCE_S)
        assert process.returncode == 0, err
        return out


@pytest.fixture
def up(host, guest):
    """A guest with CID 77 whose program has started; all verbs are allowed."""
    def make(script=WAIT, **more):
        host.machine("a", 77, script, control=ALL, **more)
        made = guest(77)
        host.wait_stdout("a", "up")
        return made, Tool(host)
    return make


def test_each_verb(host, up):
    """To the end of the machine in good order, of which the host knows all."""
    run, hawser = up("trap 'echo usr1' USR1; trap 'echo bye; exit 4' TERM; " + WAIT)
    assert re.match(rb"a: [\d.]+ ms, up [\d.]+ s, [\d.]+ of [\d.]+ MiB of memory available\n", hawser("ping", "a"))
    said = hawser("exec", "-u", "7:8", "a", "--", "sh", "-c", "id; cat", input=b"some words\n")
    assert said == b"uid=7 gid=8\nsome words\n"
    hawser("signal", "a", "USR1")
    host.wait_stdout("a", "usr1")
    hawser("stop", "a")
    run.wait()
    assert host.exit("a") == 4 and host.stdout("a")[-1] == "bye"
    assert [event["text"] for event in host.events("a", "power")] == ["poweroff"]


def test_both_ways_at_once(up):
    """
    By checksum, and far more than any buffer between the two holds. In the middle of 16 MiB the lab's guest was reset
    now and then, without a word of its kernel; why is not known.
    """
    content = os.urandom(1 << 20) * 4
    _, hawser = up()
    assert hashlib.sha256(hawser("exec", "a", "cat", input=content)).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("script", ["exec yes", "trap '' HUP TERM; while :; do echo on; done", "exec cat"])
def test_a_client_that_vanishes(up, script):
    """Killed, with what the program says unread, and in the middle of it: the program does not outlive it by much."""
    _, hawser = up()
    client = hawser.start("exec", "a", "--", "sh", "-c", "echo $$; " + script)
    pid = int(client.stdout.readline())
    client.kill()
    client.wait()
    # The session's process is gone as well: what is left is the listener and this session's.
    left = hawser("exec", "a", "--", "sh", "-c", "while kill -0 %d; do sleep 0.05; done 2>/dev/null; n=0; "
                  "while n=$((n + 1)); left=$(ps -o pid,comm | grep hawser-control); [ $n -lt 100 ] && "
                  "[ $(echo \"$left\" | wc -l) != 2 ]; do sleep 0.05; done; echo \"$left\"" % pid).splitlines()
    assert len(left) == 2, left


def test_hawserd_ends_while_a_program_runs(host, up):
    """The connection is the tool's, which goes on with it; a new hawserd has the token from the log session."""
    _, hawser = up()
    client = hawser.start("exec", "a", "cat")
    client.stdin.write(b"one\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"one\n"
    host.kill()
    out, _ = client.communicate(b"two\n", PATIENCE_S)
    assert (client.returncode, out) == (0, b"two\n")
    host.start()
    host.wait_event("a", "log-connected", times=2)
    hawser("ping", "a")


# --- who may not ----------------------------------------------------------------------------------------------------

def test_a_host_without_the_token(up):
    """Any program of the host can dial a guest; what it says is not enough."""
    _, hawser = up()
    assert vsock.refusal(vsock.dial(77, CONTROL, say=CTL_HELLO, first=True)) == TOKEN
    hawser("ping", "a")


@pytest.mark.parametrize("cid", [vsock.LOCAL, CID], ids=["local", "own"])
def test_programs_of_the_lab(cid):
    """The lab is a guest itself, and listens for its host; its own programs come in by the loopback."""
    assert vsock.refusal(vsock.dial(cid, CONTROL, 900, say=CTL_HELLO)) == NOT_ALLOWED


def test_guests_of_the_lab(host, guest, program):
    """They come in on the same port, from privileged ports of theirs, and are not the lab's host."""
    host.machine("a", 77, "dial %d 0 1 hold" % CONTROL, files={"bin/dial": program("dial")})
    dials = guest(77)
    says = "dial %d uid 0: REFUSE %d 1 times, cut 0, silent 0, again 0, ports privileged" % (CONTROL, NOT_ALLOWED)
    dials.wait_serial(says)


def test_the_lab_s_host():
    """It is the one that may."""
    assert ask("ping").startswith("lab: ")
