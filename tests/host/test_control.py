# SPDX-License-Identifier: MIT
"""Control sessions by way of the real hawserd and the real hawser, to a pretend VMM and guest."""
import hashlib
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

import guest_control as ctl
from daemon import PATIENCE, wait_for
from guest_control import Listener
from guest_sim import frame

HAWSER = Path(__file__).resolve().parents[2] / "build/hawser"


class Machine:
    """The machine `vm`, up, and what listens in it."""

    def __init__(self, host):
        self.host, self.listener = host, None
        host.vm("vm")
        host.start()
        self.guest = host.guest()
        self.guest.boot()
        self.guest.connect_log()

    def lead(self, lead):
        if self.listener:
            self.listener.close()
        self.listener = Listener(self.guest.base, lead)

    def hawser(self, command, *words, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([HAWSER, command, "--runtime", self.host.run, *words], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    def run(self, command, *words, input=None, **more):
        if input is not None:
            more["stdin"] = subprocess.PIPE
        process = self.hawser(command, *words, **more)
        process.out, process.err = process.communicate(input, timeout=120)
        return process

    def close(self):
        if self.listener:
            self.listener.close()


@pytest.fixture
def machine(host):
    made = Machine(host)
    yield made
    made.close()


def pong(session):
    session.greet("ping")
    assert session.receive() == (ctl.PING, b"")
    session.send(ctl.PONG, struct.pack("<QQQ", 12_500_000_000, 64 << 20, 48 << 20))
    session.receive()


# --- reaching the guest ---------------------------------------------------------------------------------------------

def test_ping(machine):
    machine.lead(pong)
    run = machine.run("ping", "vm")
    assert run.returncode == 0, run.err
    assert run.out.startswith(b"vm: ") and b"ms, up 12.5 s, 48.0 of 64.0 MiB" in run.out
    assert machine.listener.sessions[0].token == machine.guest.token
    assert [r["text"] for r in machine.host.records() if r.get("event") == "control"] == ["ping"]
    audit = json.loads((machine.host.state / "audit/audit.log").read_text().splitlines()[-1])
    assert (audit["vm"], audit["what"], audit["outcome"], audit["uid"]) == ("vm", "ping", "done", os.getuid())


def test_token_is_known_again_after_a_restart(machine):
    """By the guest's own word, which has to be right."""
    machine.lead(pong)
    machine.host.kill()
    machine.host.start()
    assert b"has not come back" in machine.run("ping", "vm").err
    machine.guest.connect_log()
    assert machine.run("ping", "vm").returncode == 0
    assert machine.listener.sessions[0].token == machine.guest.token


def test_token_stays_with_hawserd(machine):
    """The tool gets a connection on which the guest has said WELCOME, and nothing more."""
    machine.lead(lambda session: (session.greet("ping"), session.receive()))
    tool = machine.host.control()
    tool.sock.sendall(json.dumps({"op": "control", "vm": "vm", "verb": "ping"}).encode() + b"\n")
    answer, fds, _, _ = socket.recv_fds(tool.sock, 1000, 4)
    assert json.loads(answer) == {"ok": True} and len(fds) == 1
    with socket.socket(fileno=fds[0]) as passed:
        passed.setblocking(True)
        passed.sendall(frame(ctl.PING))
        assert passed.recv(100) == b""
    tool.close()


WRONG = {
    "no machine": (None, ["nobody"], b"no machine named nobody"),
    "nobody listens": (None, ["vm"], b"cannot be dialled"),
    "cut": (lambda session: session.line(), ["vm"], b"nobody listens in the guest of vm: hawser.control"),
    "not allowed": (lambda session: session.greet("exec", "stop"), ["vm"],
                    b"vm does not allow ping: add it to hawser.control"),
    "refused": (lambda session: (session.line(), session.sock.sendall(b"OK 612\n"), session.receive(),
                                 session.send(1, struct.pack("<HH", 9, 0) + b"never\x1b[31m")), ["vm"],
                b"the guest of vm refuses: token: never?[31m"),
    "nonsense for a line": (lambda session: (session.line(), session.sock.sendall(b"HTTP/1.1 400\r\n")), ["vm"],
                            b"answers CONNECT with nonsense"),
    "a line without end": (lambda session: (session.line(), session.sock.sendall(b"OK " + b"1" * 60)), ["vm"],
                           b"answers CONNECT with nonsense"),
    "welcome before it is asked": (lambda session: (session.line(), session.sock.sendall(
        b"OK 612\n" + ctl.welcome("ping")), session.take(1)), ["vm"], b"answers with nonsense"),
    "refused before it is asked": (lambda session: (session.line(), session.sock.sendall(
        b"OK 612\n" + frame(1, struct.pack("<HH", 8, 0) + b"too many"))), ["vm"],
        b"the guest of vm refuses: busy: too many"),
    "hangs up before it is asked": (lambda session: (session.line(), session.sock.sendall(b"OK 612\n")), ["vm"],
                                    b"nobody listens in the guest of vm"),
    "nonsense for a frame": (lambda session: (session.line(), session.sock.sendall(b"OK 612\n"), session.receive(),
                                              session.sock.sendall(b"\xff" * 16)), ["vm"], b"answers with nonsense"),
    "another frame": (lambda session: (session.line(), session.sock.sendall(b"OK 612\n"), session.receive(),
                                       session.send(ctl.PONG, bytes(24))), ["vm"], b"no CTL_WELCOME"),
    "more than WELCOME": (lambda session: (session.greet("ping"), session.sock.sendall(b"x")), ["vm"], b""),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong(machine, name):
    lead, words, what = WRONG[name]
    if lead:
        machine.lead(lead)
    run = machine.run("ping", *words)
    assert run.returncode == 1 and not run.out
    assert what in run.err, run.err


def test_link_in_place_of_the_socket(machine):
    """The VMM's directory is the VMM's user's; the token is for this machine."""
    elsewhere = machine.guest.base.parent / "elsewhere"
    other = Listener(elsewhere, pong)
    Path(machine.guest.base).symlink_to(elsewhere)
    run = machine.run("ping", "vm")
    Path(machine.guest.base).unlink()
    assert run.returncode == 1 and not other.sessions
    other.close()


def test_machine_that_is_down(machine):
    machine.guest.end()
    assert b"is not running" in machine.run("ping", "vm").err


def test_tool_that_hangs_up(machine):
    """While the guest is slow to answer: nothing is left, and others are served."""
    machine.lead(lambda session: session.line() and session.receive())
    for _ in range(20):
        tool = machine.host.control()
        tool.sock.sendall(json.dumps({"op": "control", "vm": "vm", "verb": "ping"}).encode() + b"\n")
        wait_for(lambda: machine.listener.sessions, "a dial")
        tool.close()
    machine.lead(pong)
    assert machine.run("ping", "vm").returncode == 0


# --- signal and stop ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("word, number", [("SIGHUP", 1), ("TERM", 15), ("10", 10), ("SIGRTMIN+3", 37)])
def test_signal(machine, word, number):
    def lead(session):
        session.greet("signal")
        got.append(session.receive())
        session.send(ctl.DONE, bytes(4))
        session.receive()
    got = []
    machine.lead(lead)
    assert machine.run("signal", "vm", word).returncode == 0
    assert got == [(ctl.SIGNAL, struct.pack("<I", number))]


def test_signal_that_cannot_be_sent(machine):
    machine.lead(lambda session: (session.greet("signal"), session.receive(),
                                  session.send(ctl.DONE, struct.pack("<I", 3)), session.receive()))
    run = machine.run("signal", "vm", "HUP")
    assert run.returncode == 1 and b"no program runs there" in run.err
    for word in "SIGNO", "65", "0", "-1", "":
        assert machine.run("signal", "--", "vm", word).returncode == 2


def test_stop_waits_for_the_end(machine):
    def lead(session):
        session.greet("stop")
        got.append(session.receive())
        session.send(ctl.DONE, bytes(4))
        session.receive()
    got = []
    machine.lead(lead)
    process = machine.hawser("stop", "--grace", "7", "vm")
    wait_for(lambda: got, "STOP")
    assert got == [(ctl.STOP, struct.pack("<I", 7000))]
    time.sleep(0.3)
    assert process.poll() is None
    machine.guest.end()
    assert process.wait(PATIENCE) == 0


# --- exec -----------------------------------------------------------------------------------------------------------

def parse_exec(payload):
    flags, rows, cols, uid, gid, at = *struct.unpack_from("<IHHII", payload), 16
    texts = []

    def text():
        nonlocal at
        size = struct.unpack_from("<H", payload, at)[0]
        at += 2 + size
        return payload[at - size:at]
    cwd = text()
    for _ in range(2):
        n = struct.unpack_from("<H", payload, at)[0]
        at += 2
        texts.append([text() for _ in range(n)])
    return flags, rows, cols, uid, gid, cwd, *texts


def test_exec_streams_and_status(machine):
    def lead(session):
        session.greet("exec")
        kind, payload = session.receive()
        got.append(parse_exec(payload))
        session.send(ctl.STDOUT, b"out\x00\xff")
        session.send(ctl.STDERR, b"err")
        session.send(ctl.EXIT, struct.pack("<II", 7, 0))
        session.receive()
    got = []
    machine.lead(lead)
    run = machine.run("exec", "-u", "5:6", "-w", "/srv", "-e", "A=b", "vm", "--", "prog", "-t", "x y")
    assert (run.returncode, run.out, run.err) == (7, b"out\x00\xff", b"err")
    assert got == [(0, 0, 0, 5, 6, b"/srv", [b"prog", b"-t", b"x y"], [b"A=b"])]


def test_exec_ended_by_a_signal(machine):
    machine.lead(lambda session: (session.greet("exec"), session.receive(),
                                  session.send(ctl.EXIT, struct.pack("<II", 0, 9)), session.receive()))
    assert machine.run("exec", "vm", "x").returncode == 128 + 9


def test_exec_input_keeps_to_the_credit(machine):
    """And arrives whole; the credit comes in drops."""
    content = os.urandom(1 << 20)

    def lead(session):
        session.greet("exec")
        session.receive()
        credit = 0
        while True:
            session.send(ctl.CREDIT, struct.pack("<I", 10_000))
            credit += 10_000
            while credit:
                kind, payload = session.receive()
                if kind == ctl.STDIN_END:
                    session.send(ctl.EXIT, bytes(8))
                    session.receive()
                assert kind == ctl.STDIN and len(payload) <= credit
                got.append(payload)
                credit -= len(payload)
    got = []
    machine.lead(lead)
    assert machine.run("exec", "vm", "cat", input=content).returncode == 0
    assert b"".join(got) == content


def test_exec_output_is_bounded(machine):
    """A reader that does not read holds the guest up, and hawser does not grow; then all of it is there."""
    size = 32 << 20
    block = bytes(range(256)) * 64

    def lead(session):
        session.greet("exec")
        session.receive()
        for _ in range(size // len(block)):
            session.send(ctl.STDOUT, block)
            sent.append(len(block))
        session.send(ctl.EXIT, bytes(8))
        session.receive()
    sent = []
    machine.lead(lead)
    process = machine.hawser("exec", "vm", "x")
    wait_for(lambda: sent, "output")
    before = -1
    while before != len(sent):
        before = len(sent)
        time.sleep(0.3)
    assert sum(sent) < 4 << 20
    anonymous = next(line for line in Path("/proc/%d/status" % process.pid).read_text().splitlines()
                     if line.startswith("RssAnon"))
    assert int(anonymous.split()[1]) < 4 << 10
    out, _ = process.communicate(timeout=120)
    assert hashlib.sha256(out).digest() == hashlib.sha256(block * (size // len(block))).digest()


def test_exec_signals(machine):
    def lead(session):
        session.greet("exec")
        session.receive()
        session.send(ctl.STDOUT, b"up\n")
        while True:
            got.append(session.receive())
    got = []
    machine.lead(lead)
    process = machine.hawser("exec", "vm", "x")
    assert process.stdout.readline() == b"up\n"
    for number in signal.SIGUSR1, signal.SIGINT:
        process.send_signal(number)
        wait_for(lambda: (ctl.EXEC_SIGNAL, struct.pack("<I", number)) in got, "the signal")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT


def test_exec_reader_that_goes(machine):
    def lead(session):
        session.greet("exec")
        session.receive()
        while True:
            session.send(ctl.STDOUT, b"y\n" * 1000)
    machine.lead(lead)
    process = machine.hawser("exec", "vm", "yes")
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(PATIENCE) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("lead, what", [
    (lambda session: session.receive(), b"the connection was cut"),
    (lambda session: (session.receive(), session.sock.sendall(b"\xff" * 8), session.receive()), b"no frame"),
    (lambda session: (session.receive(), session.send(ctl.PONG, bytes(24)), session.receive()), b"PONG"),
    (lambda session: (session.receive(), session.send(1, struct.pack("<HH", 8, 0) + b"full"), session.receive()),
     b"refuses: busy: full"),
], ids=["cut", "garbage", "order", "refused"])
def test_exec_guest_that_makes_no_sense(machine, lead, what):
    machine.lead(lambda session: (session.greet("exec"), lead(session)))
    run = machine.run("exec", "vm", "x")
    assert run.returncode == 125 and what in run.err, run.err


def test_exec_on_a_terminal(machine):
    """Raw while it lasts, its size told and told again, and as before afterwards."""
    def lead(session):
        session.greet("exec")
        got.append(parse_exec(session.receive()[1]))
        session.send(ctl.CREDIT, struct.pack("<I", 1000))
        session.send(ctl.STDOUT, b"$ ")
        while len(got) < 4:
            got.append(session.receive())
        session.send(ctl.EXIT, bytes(8))
        session.receive()
    got = []
    machine.lead(lead)
    ours, theirs = pty.openpty()
    import fcntl
    import termios
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen([HAWSER, "exec", "--runtime", machine.host.run, "-t", "vm", "sh"], stdin=theirs,
                               stdout=theirs, stderr=theirs, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                               env=dict(os.environ, TERM="xterm"))
    assert os.read(ours, 100) == b"$ "
    os.write(ours, b"a\x03")
    wait_for(lambda: len(got) > 1 and got[1] == (ctl.STDIN, b"a\x03"), "what was typed")
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
    wait_for(lambda: len(got) > 2 and got[2] == (ctl.RESIZE, struct.pack("<HH", 50, 132)), "the size")
    assert not termios.tcgetattr(theirs)[3] & termios.ICANON
    os.write(ours, b"\x04")
    assert process.wait(PATIENCE) == 0
    assert got[0][:3] == (1, 24, 80) and b"TERM=xterm" in got[0][7]
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_exec_terminal_without_one(machine):
    run = machine.run("exec", "-t", "vm", "sh")
    assert run.returncode == 125 and b"no terminal" in run.err


@pytest.mark.parametrize("words", [
    [], ["vm"], ["-u", "x", "vm", "a"], ["-w", "srv", "vm", "a"], ["-e", "=x", "vm", "a"], ["--nope", "vm", "a"],
    ["vm", *["a"] * 257], ["vm", "a" * 32700, "b" * 100],
], ids=range(8))
def test_exec_wrong_usage(machine, words):
    machine.lead(lambda session: (session.greet("exec"), session.receive()))
    run = machine.run("exec", *words)
    assert run.returncode == 125 and run.err and not run.out


def test_hundred_at_once(machine):
    def lead(session):
        session.greet("exec")
        session.send(ctl.STDOUT, parse_exec(session.receive()[1])[6][0])
        session.send(ctl.EXIT, bytes(8))
        session.receive()
    machine.lead(lead)
    processes = [machine.hawser("exec", "vm", str(n)) for n in range(100)]
    for n, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, str(n).encode()), err


# --- the button -----------------------------------------------------------------------------------------------------

def test_button_is_the_owners(machine):
    tool = machine.host.control()
    assert "error" in tool.ask(op="button")
    tool.close()
