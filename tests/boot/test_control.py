# SPDX-License-Identifier: MIT
"""The control session on real guests: what the host asks of a running machine, and who else may not."""
import contextlib
import hashlib
import os
import signal
import struct
import subprocess

import pytest

from . import wire
from .control import Control, Refused
from .host import Cut
from .test_modules import debian, pc  # noqa: F401

WAIT = "echo up; read go </dev/ttyS0"
# A gibibyte takes a minute and a half here; the soak and whoever asks gets it.
STREAM_MIB = int(os.environ.get("CONTROL_MIB", "64"))


@pytest.fixture
def up(guest):
    """A guest that runs until it is told: up("ping") allows ping."""
    guests = []

    def make(*verbs, script=WAIT, records=(), start=True):
        run = guest(wire.control(*verbs), *records, script=script)
        guests.append(run)
        run.start()
        run.host.wait_output(b"up\n")
        return run
    yield make
    for run in guests:
        if run.processes:
            with contextlib.suppress(OSError):          # a test that failed may have left one that is ending
                run.type("go\n")
            run.wait()


def program(run, name):
    """A program of this folder, in the image."""
    headers = subprocess.run([os.path.join(run.kit.top, "scripts/musl-headers")], stdout=subprocess.PIPE,
                             text=True, check=True).stdout.strip()
    source = os.path.join(os.path.dirname(__file__), name + ".c")
    subprocess.run([os.environ.get("MUSL_CC", "musl-gcc"), "-static", "-O1", "-Wall", "-Wextra", "-Werror",
                    "-isystem", headers, "-o", run.path(name), source], check=True)
    with open(run.path(name), "rb") as file:
        run.image.add("/bin/" + name, file.read())


# --- who gets a session ---------------------------------------------------------------------------------------------

def test_ping(up):
    run = up("ping")
    times = []
    for _ in range(3):
        with Control(run) as control:
            assert control.verbs == {"ping"}
            ns, total, available = control.ping()
            assert 32 << 20 < total <= 64 << 20 and 0 < available < total
            times.append(ns)
    assert 10**6 < times[0] < times[1] < times[2]
    assert "hawser-control" not in run.serial


def test_one_after_the_other(up):
    """At once, each as the one before is closed; some while that is still open."""
    run = up("ping")
    for _ in range(100):
        with Control(run) as control:
            control.ping()
    kept = Control(run)
    for _ in range(100):
        control = Control(run)
        kept.close()
        kept = control
        control.ping()
    kept.close()


def test_nothing_allowed_costs_nothing(guest):
    """Neither a process nor a descriptor: who dials finds nobody."""
    run = guest(wire.control(), script="ps -o comm; " + WAIT)
    run.start()
    run.host.wait_output(b"up\n")
    assert b"hawser-relay" in run.stdout and b"hawser-control" not in run.stdout
    with pytest.raises(Cut):
        Control(run)
    run.type("go\n")
    run.wait()


def test_verb_that_is_not_allowed(up):
    run = up("stop", "signal")
    for kind, payload in (wire.PING, b""), (wire.EXEC, wire.exec_("true")), (wire.FEED, b""):
        with Control(run) as control, pytest.raises(Refused) as refused:
            assert control.verbs == {"stop", "signal"}
            control.send(kind, payload)
            control.read()
        assert refused.value.code == "not-allowed"


HELLO = b"HWSR" + struct.pack("<HH", 1, 0)
BAD_HELLOS = {
    "token": ("token", wire.ctl_hello(bytes(16))),
    "version": ("version", wire.ctl_hello(bytes(16), version=0)),
    "magic": ("malformed", wire.frame(wire.CTL_HELLO, b"SWHR" + HELLO[4:] + bytes(16))),
    "short": ("malformed", wire.frame(wire.CTL_HELLO, HELLO + bytes(15))),
    "huge": ("malformed", struct.pack("<IHH", 1 << 31, wire.CTL_HELLO, 0)),
    "order": ("order", wire.frame(wire.PING)),
    "other session": ("malformed", wire.frame(wire.LOG_HELLO, HELLO + bytes(24))),
    "http": ("malformed", b"GET / HTTP/1.1\r\n\r\n"),
}


def test_hellos_that_are_refused(up):
    """Each is told why; then one that says nothing is left; and the next host is served."""
    run = up("ping", "exec")
    for name, (code, hello) in BAD_HELLOS.items():
        with pytest.raises(Refused) as refused:
            Control(run, hello=hello)
        assert refused.value.code == code, name
    with Control(run, hello=b"") as silent, Control(run) as control:
        control.ping()
        silent.wait_cut()
    hello = wire.frame(wire.CTL_HELLO, b"HWSR" + struct.pack("<HH", 7, 0) + run.log.token + b"what comes in 7")
    with Control(run, hello=hello) as control:
        control.ping()


def test_16_only_the_host(pc):  # noqa: F811
    """A program of the guest that dials over the loopback is no host, whatever it knows."""
    run = pc(script="dial 1 612; dial 42 612; echo up; read go </dev/ttyS0")
    run.host.records += wire.control("ping", "exec")
    run.add_module("vsock_loopback", 50)
    program(run, "dial")
    run.start()
    run.host.wait_output(b"up\n")
    lines = run.stdout.decode().split("\n")
    assert lines[0] == "1:612: refused with 6", lines
    assert not lines[1].endswith("bytes"), lines
    with Control(run) as control:
        control.ping()
    run.type("go\n")
    run.wait()
    assert any(b"refused a connection from CID 1" in message for message in run.log.messages("init"))


# --- exec -----------------------------------------------------------------------------------------------------------

def test_exec(up):
    run = up("exec", records=(wire.credential("key", "x"), wire.hostname("harbour")))
    cases = [
        (["sh", "-c", "echo out; echo err >&2; exit 7"], {}, 7, b"out\n", b"err\n"),
        (["sh", "-c", "kill -9 $$"], {}, -9, b"", b""),
        (["pwd"], {"cwd": "/var/log"}, 0, b"/var/log\n", b""),
        (["sh", "-c", "echo $A $PATH $HOME $CREDENTIALS_DIRECTORY"], {"variables": ["A=b"]}, 0,
         b"b /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /root /run/credentials/@system\n", b""),
        (["id"], {"uid": 7, "gid": 8}, 0, b"uid=7 gid=8\n", b""),
        (["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; cat /dev/null /proc/1/comm; hostname"], {}, 0,
         b"0 1 2 3 init\nharbour\n", b""),
        (["grep", "-c", "SigBlk:.0*$", "/proc/self/status"], {}, 0, b"1\n", b""),
        (["no-such-program"], {}, 127, b"", b"no-such-program: No such file or directory\n"),
        (["/etc/passwd"], {}, 126, b"", b"/etc/passwd: Permission denied\n"),
        (["pwd"], {"cwd": "/nowhere"}, 127, b"", b"pwd: No such file or directory\n"),
        (["sh", "-c", "sleep 1000 & echo left"], {}, 0, b"left\n", b""),
    ]
    for words, more, status, out, err in cases:
        with Control(run) as control:
            control.exec(*words, **more)
            assert (control.exit(), control.out, control.err) == (status, out, err), words


def test_exec_terminal(up):
    """A shell for a person: prompt, window, interrupt, job control, the end of the file."""
    run = up("exec")
    with Control(run) as control:
        control.exec("sh", terminal=(24, 80), variables=["TERM=vt100"])
        control.wait_output(b"# ")
        control.send(wire.STDIN, b"tty; stty size\r")
        control.wait_output(b"/dev/pts/")
        control.wait_output(b"24 80\r\n")
        control.send(wire.RESIZE, struct.pack("<HH", 50, 132))
        control.send(wire.STDIN, b"stty size\r")
        control.wait_output(b"50 132\r\n")
        control.send(wire.STDIN, b"echo start''ed; sleep 1000\r")
        control.wait_output(b"started\r\n")
        control.send(wire.STDIN, b"\x03")
        control.send(wire.STDIN, b"echo status $?\r")
        control.wait_output(b"status 130\r\n")
        assert b"job control" not in control.out
        control.out = control.out.partition(b"status 130\r\n")[2]
        control.wait_output(b"# ")       # then the shell reads, and takes the character for what it is
        control.send(wire.STDIN_END)
        assert control.exit() == 0 and not control.err
    with Control(run) as control:
        control.exec("sh", "-c", "echo $$; sleep 1000", terminal=(1, 1))
        control.wait_output(b"\n")
    gone = "while kill -0 %d; do sleep 0.05; done 2>/dev/null" % int(control.out)
    with Control(run) as control:
        control.exec("sh", "-c", gone)
        assert control.exit() == 0


def blocks(mib, digest):
    for n in range(mib * 32):
        block = struct.pack("<Q", n) * 4096
        digest.update(block)
        yield block


def test_stream_in_and_out(up):
    """Whole, by checksum, through cat; neither side holds more than a window of it."""
    run = up("exec")
    sent, came = hashlib.sha256(), hashlib.sha256()
    with Control(run) as control:
        control.exec("cat")
        control.taken = came.update
        control.feed(blocks(STREAM_MIB, sent))
        kind = None
        while kind != wire.EXIT:
            kind, payload = control.read()
            if kind == wire.STDOUT:
                came.update(payload)
    assert came.digest() == sent.digest()
    with Control(run) as control:
        control.exec("sh", "-c", "grep -h ^VmHWM /proc/[0-9]*/status | sort -nk 2 | tail -1")
        assert control.exit() == 0 and int(control.out.split()[1]) < 4 << 10


def test_signal_and_hang_up(up):
    run = up("exec")
    with Control(run) as control:
        control.exec("sh", "-c", "trap 'echo usr1' USR1; trap 'exit 9' TERM; echo ready; "
                     "while :; do sleep 0.05; done 2>/dev/null")
        control.wait_output(b"ready\n")
        control.send(wire.EXEC_SIGNAL, struct.pack("<I", 10))
        control.wait_output(b"usr1\n")
        control.send(wire.EXEC_SIGNAL, struct.pack("<I", 15))
        assert control.exit() == 9
    # Hosts that vanish, of programs that do not care, wait for input; then hosts that make no sense. None of one that
    # talks on: vhost-device-vsock does not always tell the guest that a host is gone which left bytes unread.
    for script in "trap '' HUP TERM; while :; do sleep 0.1; done", "exec cat":
        with Control(run) as control:
            control.exec("sh", "-c", "echo $$ >>/tmp/pids; echo ready; " + script)
            control.wait_output(b"ready\n")
    for nonsense in b"\xff" * 8, wire.frame(wire.PING), wire.frame(wire.STDIN), b"\x08\0\0\0\x21":
        with Control(run) as control:
            control.exec("sh", "-c", "echo $$ >>/tmp/pids; echo ready; exec sleep 1000")
            control.wait_output(b"ready\n")
            control.write(nonsense)
    with Control(run) as control:
        control.exec("sh", "-c", "for p in $(cat /tmp/pids); do while kill -0 $p 2>/dev/null; do sleep 0.05; done; "
                     "done; wc -l </tmp/pids; n=0; while n=$((n + 1)); c=$(ps -o comm | grep -c hawser-control); "
                     "[ $c != 2 ] && [ $n -lt 200 ]; do sleep 0.05; done; echo $c")
        assert control.exit() == 0 and control.out.split() == [b"6", b"2"]


def test_hundred_at_once(up):
    """All are there together, and each gets its own."""
    run = up("exec")
    with contextlib.ExitStack() as stack:
        controls = []
        for n in range(100):
            controls.append(stack.enter_context(Control(run)))
            controls[-1].exec("sh", "-c", "read line; echo $line; exit %d" % n)
        for n, control in enumerate(controls):
            control.send(wire.STDIN, b"to %d\n" % n)
            control.send(wire.STDIN_END)
        for n, control in enumerate(controls):
            assert (control.exit(), control.out) == (n, b"to %d\n" % n)


def test_sessions_are_bounded(up):
    """So many at once, and the next is told; when they are gone, it is served."""
    run = up("exec", "ping")
    with contextlib.ExitStack() as stack:
        for _ in range(128):
            stack.enter_context(Control(run))
        with pytest.raises(Refused) as refused:
            Control(run)
        assert refused.value.code == "busy"
    for _ in range(1000):
        try:
            with Control(run) as control:
                control.ping()
            break
        except Refused as refused:
            assert refused.code == "busy"
    else:
        raise AssertionError("still busy")


# --- signal and stop ------------------------------------------------------------------------------------------------

def test_signal(up):
    run = up("signal", script="trap 'echo hup' HUP; trap 'echo int; exit 3' INT; echo up; "
             "while :; do sleep 0.05; done 2>/dev/null")
    for number, said in (1, b"hup\n"), (2, b"int\n"):
        with Control(run) as control:
            control.send(wire.SIGNAL, struct.pack("<I", number))
            assert control.done() == 0
        run.host.wait_output(said)
    run.wait()
    assert run.exit == 3


def test_signal_without_a_workload(guest):
    run = guest(wire.control("signal", "stop"))
    run.start()
    run.host.wait(lambda: run.host.epochs and run.host.log.events("phase")[-1:] and
                  run.host.log.events("phase")[-1].text == "handoff", "the hand-off")
    with Control(run) as control:
        control.send(wire.SIGNAL, struct.pack("<I", 1))
        assert control.done() == 3
    with Control(run) as control:
        control.send(wire.STOP, struct.pack("<I", 10000))
        assert control.done() == 0
    run.wait()


def test_stop(up):
    """The workload's own end, the log to its last line, programs of other sessions; then the machine's."""
    run = up("stop", "exec", script="trap 'sleep 0.3; echo bye; exit 4' TERM; echo up; "
             "while :; do sleep 0.05; done 2>/dev/null")
    with Control(run) as other, Control(run) as control:
        other.exec("sleep", "1000")
        control.send(wire.STOP, struct.pack("<I", 60000))
        assert control.done() == 0
        # BusyBox sends SIGTERM to all there is, and on it the session SIGHUP to its program: which is first is open.
        assert other.exit() in (-signal.SIGTERM, -signal.SIGHUP)
        run.wait()
    assert run.stdout.endswith(b"bye\n") and run.exit == 4
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


def test_stop_the_hard_way(up):
    """A workload that does not want to, and has been given more time than the host gives."""
    run = up("stop", script="trap '' TERM; echo up; while :; do sleep 0.05; done 2>/dev/null",
             records=(wire.workload(grace_ms=600000),))
    with Control(run) as control:
        control.send(wire.STOP, struct.pack("<I", 500))
        assert control.done() == 0
        run.wait()
    assert any(b"has not ended in 500 ms" in message for message in run.log.messages("init"))


# --- the workload's standard input ----------------------------------------------------------------------------------

def test_feed(up):
    run = up("feed", script="echo up; wc -c; cat; echo end; sleep 1000")
    with Control(run) as control:
        control.credit, control.out = 0, b""
        control.send(wire.FEED)
        control.feed([b"x" * 300000])
        assert control.done() == 0
    run.host.wait_output(b"300000\nend\n")
    with pytest.raises(Refused) as refused, Control(run) as control:
        control.send(wire.FEED)
        control.read()
    assert refused.value.code == "order"
    run.qmp("quit")
    run.clean = False
    run.stop()


def test_feed_by_several(up):
    """One at a time; one that is cut can be followed by another; what nobody reads holds nobody up."""
    run = up("feed", "ping", script="echo up; read a; echo $a; read b; echo $b; sleep 1000")
    with Control(run) as control:
        control.credit = 0
        control.send(wire.FEED)
        control.read()
        control.send(wire.STDIN, b"one\n")
        run.host.wait_output(b"one\n")
        # vhost-device-vsock does not tell its guest of an end with bytes in it that nobody has read.
        control.read()
        with pytest.raises(Refused) as refused, Control(run) as second:
            second.send(wire.FEED)
            second.read()
        assert refused.value.code == "busy"
    for _ in range(1000):                # until the guest has noticed the cut
        control = Control(run)
        try:
            control.send(wire.FEED)
            control.read()
            break
        except Refused as refused:
            assert refused.code == "busy"
            control.close()
    with control:
        control.send(wire.STDIN, b"two\n")
        run.host.wait_output(b"two\n")
        for _ in range(2):
            control.send(wire.STDIN, b"x" * 32000)
        with Control(run) as other:
            other.ping()
        control.send(wire.RESIZE, bytes(4))
        with pytest.raises(Refused) as refused:
            while True:
                control.read()
        assert refused.value.code == "order"
    run.qmp("quit")
    run.clean = False
    run.stop()


def test_feed_of_another_user(up):
    """It is the program's own, also by its name."""
    run = up("feed", script="echo up; cat </dev/stdin", records=(wire.user(7, 8),))
    with Control(run) as control:
        control.credit = 0
        control.send(wire.FEED)
        control.feed([b"for 7\n"])
        assert control.done() == 0
        run.wait()
    assert run.stdout == b"up\nfor 7\n"


def test_program_as_pid_1(up):
    """All verbs, where there is neither BusyBox nor a supervisor."""
    run = up("feed", "ping", "exec", "signal", "stop", records=(wire.handoff(1),),
             script="trap 'echo hup' HUP; echo up; cat; echo end; while :; do sleep 0.05; done 2>/dev/null")
    with Control(run) as control:
        control.credit = 0
        control.send(wire.FEED)
        control.feed([b"fed\n"])
        assert control.done() == 0
    run.host.wait_output(b"fed\nend\n")
    with Control(run) as control:
        control.send(wire.SIGNAL, struct.pack("<I", 1))
        assert control.done() == 0
    run.host.wait_output(b"hup\n")
    with Control(run) as control:
        control.exec("cat", "/proc/1/comm")
        assert (control.exit(), control.out) == (0, b"sh\n")
    with Control(run) as control:
        control.send(wire.STOP, struct.pack("<I", 60000))
        assert control.done() == 0
        run.wait()


# --- the button -----------------------------------------------------------------------------------------------------

def press(session):
    """As often as it likes, in the middle of everything."""
    session.hello()
    session.welcome()
    while b"up\n" not in session.epoch.bytes("stdout"):
        session.take()
    for _ in range(3):
        session.send(wire.frame(wire.BUTTON))
    while True:
        session.take()


def test_button(guest):
    """No verb is allowed, and nothing listens; the end is one in good order all the same."""
    run = guest(script="trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done 2>/dev/null")
    run.host.log_script = [press]
    run.run()
    assert run.stdout == b"up\nbye\n" and run.exit == 5
    assert [event.text for event in run.log.events("power")] == ["poweroff"]
