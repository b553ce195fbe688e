# SPDX-License-Identifier: MIT
"""What a machine says of itself while it lives, and how programs end that do not end as they should."""
import os
import random
import socket
import threading
import time

import pytest

from . import wire
from .conftest import programs
from .host import PATIENCE_S

SAID = {"ready", "status", "stopping", "exit-status", "watchdog"}


def said(run):
    return [(event.name, event.value, event.text) for event in run.log.events() if event.name in SAID]


@pytest.fixture(scope="session")
def notify(tmp_path_factory):
    """The program notify, for the guest."""
    build = programs(os.path.dirname(__file__), tmp_path_factory.mktemp("notify"))
    with open(build("notify"), "rb") as file:
        return file.read()


@pytest.fixture
def notifier(guest, notify):
    """A guest that has the program notify, not started yet."""
    def make(*records, **settings):
        run = guest(*records, **settings)
        run.image.add("/bin/notify", notify)
        return run
    return make


# --- readiness ------------------------------------------------------------------------------------------------------

def test_notify(notifier):
    """Each line that is known is an event; what nobody knows is none, and no error."""
    run = notifier(script="notify 'STATUS=getting up' 'MAINPID=7' 'X_ODD=1\nREADY=1\nSTATUS=up, and = well ⚓\n' "
                          "WATCHDOG=1 WATCHDOG=trigger READY=0 EXIT_STATUS=7 EXIT_STATUS=256 EXIT_STATUS= "
                          "EXIT_STATUS=x STATUS= '' STOPPING=1; exit 3").run()
    assert said(run) == [
        ("status", 0, "getting up"), ("ready", 0, ""), ("status", 0, "up, and = well ⚓"), ("watchdog", 0, ""),
        ("exit-status", 7, ""), ("status", 0, ""), ("stopping", 0, "")]
    assert run.exit == 3


def test_notify_is_before_the_end(notifier):
    """What was said comes before the end of who said it."""
    names = [event.name for event in notifier(script="notify READY=1; exit 7").run().log.events()]
    assert names.index("started") < names.index("ready") < names.index("exited")


def test_notify_who(notifier):
    """The user whose program it is, and root; nobody else. The log's own socket is root's alone."""
    run = notifier(wire.user(1000, 100), script="notify READY=1; stat -c '%a %u:%g' $NOTIFY_SOCKET; "
                   "NOTIFY_SOCKET=/run/hawser/event notify P").run()
    assert run.stdout == b"600 1000:100\n" and b"Permission denied" in run.stderr and said(run) == [("ready", 0, "")]
    run = notifier(wire.user(1000, 100), script="sleep 0.5")
    run.image.add("/etc/inittab", "::once:/init workload\n::shutdown:/init shutdown\n::once:/bin/sh -c 'sleep 0.2; "
                  "NOTIFY_SOCKET=/run/notify notify STATUS=root'\n", 0o644)
    assert said(run.run()) == [("status", 0, "root")]


def test_notify_another_socket(notifier):
    """One that the configuration names is left alone."""
    run = notifier(wire.env("NOTIFY_SOCKET=/no/such"), script="echo $NOTIFY_SOCKET; notify READY=1").run()
    assert run.stdout == b"/no/such\n" and not said(run) and b"No such file" in run.stderr


def test_notify_nonsense(notifier):
    """Bytes of any kind and length: nothing comes of them that the host would not take."""
    dice = random.Random(7)
    words = [b"READY=1", b"STATUS=", b"\n", b"\0", b"EXIT_STATUS=", b"\xff\xfe", b"9" * 40, b"x" * 3000]
    run = notifier(script="for i in $(seq 0 39); do notify - <" + "/odd/$i; done; notify READY=1 2>&1; echo end")
    content = [b"".join(dice.choice(words) for _ in range(dice.randrange(1, 30))) for _ in range(39)]
    for number, each in enumerate(content + [b"STATUS=" + b"y" * 5000]):
        run.image.add("/odd/%d" % number, each, 0o644)
    run.run()
    assert run.stdout == b"end\n" and said(run)[-1] == ("ready", 0, "")
    assert said(run)[-2][2] == "y" * 1024
    assert all("\0" not in text and "\n" not in text for _, _, text in said(run))


def test_notify_when_the_relay_comes_back(notifier):
    run = notifier(script="notify STATUS=1; kill -9 $(pidof hawser-relay); notify STATUS=2; sleep 0.3; "
                          "notify STATUS=3").run()
    assert [text for _, _, text in said(run)] == ["1", "2", "3"] and run.log.events("relay")


def test_notify_of_pid_1(notifier):
    run = notifier(wire.handoff(1), wire.user(0, 0), script="notify READY=1; sleep 0.2; poweroff").run()
    assert said(run) == [("ready", 0, "")]


class Vmm:
    """Receives as systemd's rules have it: a connection for each message, which ends where the connection does."""

    def __init__(self, path):
        self.messages, self.listener = [], socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            message = b""
            for part in iter(lambda: connection.recv(4096), b""):
                message += part
            self.messages.append(message)
            connection.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("form", ["vsock:2:700", "vsock-stream:2:700\n"], ids=["vsock", "vsock-stream"])
@pytest.mark.parametrize("mode", [0, 1], ids=["busybox", "exec"])
def test_notify_vmm(notifier, form, mode):
    """To the address of the credential vmm.notify_socket as well; the host's log has it all the same."""
    run = notifier(wire.credential("vmm.notify_socket", form), wire.handoff(mode),
                   script="notify 'READY=1\nSTATUS=up' 'X_OWN=1' STOPPING=1; echo done; sleep 1000")
    vmm = Vmm(run.base + "_700")
    try:
        run.start().host.wait_output(b"done\n")
        until = time.monotonic() + PATIENCE_S
        while len(vmm.messages) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert vmm.messages == [b"READY=1\nSTATUS=up", b"X_OWN=1", b"STOPPING=1"]
        run.host.wait(lambda: run.log.events("stopping"), "the event")
    finally:
        run.clean = False
        run.stop()
        vmm.close()
    assert said(run) == [("ready", 0, ""), ("status", 0, "up"), ("stopping", 0, "")]


@pytest.mark.parametrize("form", ["vsock:2", "vsock:2:700:1", "vsock-dgram:2:700", "/run/socket", "",
                                  "vsock:2:4294967296"], ids=lambda form: form.replace("/", ":"))
def test_notify_vmm_bad_address(notifier, form):
    run = notifier(wire.credential("vmm.notify_socket", form),
                   script="notify READY=1; pidof hawser-notify; exit 3").run()
    assert said(run) == [("ready", 0, "")] and run.exit == 3 and run.stdout == b""
    assert any(b"vmm.notify_socket" in message for message in run.log.messages("init"))


def test_notify_vmm_absent(notifier):
    """Nobody listens there: programs and the log are none the worse, and the machine ends as ever."""
    run = notifier(wire.credential("vmm.notify_socket", "vsock:2:701"),
                   script="notify READY=1 STATUS=x; exit 3").run()
    assert said(run) == [("ready", 0, ""), ("status", 0, "x")] and run.exit == 3


def test_nothing_is_there_that_is_not_asked_for(boot):
    """No process and no descriptor of PID 1's beside the keeper and the relay."""
    run = boot("for p in /proc/[0-9]*; do cat $p/comm; done 2>/dev/null | grep hawser | sort")
    assert run.stdout == b"hawser-keeper\nhawser-relay\n"


# --- ends that are not as they should be ----------------------------------------------------------------------------

def test_out_of_memory(boot):
    """Told apart from any other SIGKILL, and the machine ends in good order."""
    run = boot("exec tail /dev/zero")
    assert [(event.name, event.value) for event in run.log.events() if event.name in ("oom", "killed", "exited")] == [
        ("oom", 9)]
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


def test_killed_after_somebody_else_was_out_of_memory(boot):
    """An earlier run's end is not this one's."""
    run = boot("n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n + 1)) >/tmp/n; [ $n = 0 ] && exec tail /dev/zero; "
               "kill -9 $$", wire.workload("on-failure", restarts=1))
    assert [event.name for event in run.log.events() if event.name in ("oom", "killed")] == ["oom", "killed"]


def test_34_daemon(boot):
    """A program that forks away has ended; what it left behind goes on, where the machine does."""
    script = ("export P=$$; (setsid sh -c 'exec <&- >/dev/null 2>&1; while [ -e /proc/$P ]; do sleep 0.05; done; "
              "sleep 0.3; echo daemon >/run/hawser/stdout; poweroff' &) ; exit 0")
    run = boot(script, wire.workload(at_end="stay"))
    assert run.stdout == b"daemon\n" and run.exit == 0
    run = boot("(setsid sleep 1000 &); exit 4")
    assert run.exit == 4 and [event.text for event in run.log.events("power")] == ["poweroff"]


def test_output_after_the_end(boot):
    """Of a process that the program left, up to when it is ended itself."""
    run = boot("(trap 'echo last words; exit' TERM; echo up; while :; do sleep 0.02; done) & sleep 0.3; exit 5")
    assert run.stdout == b"up\nlast words\n" and run.exit == 5
    events = run.log.of("init", wire.EVENT)
    exited, = [record for record in events if wire.event_parse(record).name == "exited"]
    assert run.log.of("stdout", wire.BYTES)[-1].number > exited.number


def test_nobody_can_be_stopped(boot):
    """Neither the program nor its child listens to SIGTERM."""
    run = boot("trap '' TERM; (while :; do sleep 0.1; done) & (sleep 0.2; poweroff) & while :; do sleep 0.1; done",
               wire.workload(grace_ms=200))
    assert run.exit == -9 and [event.text for event in run.log.events("power")] == ["poweroff"]


def test_zombies(boot):
    """Orphans are PID 1's, and it takes them."""
    run = boot("for i in $(seq 50); do (setsid sh -c 'sleep 0.1' &); done; sleep 1; "
               "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")
    assert run.stdout == b"0\n"


def test_ctrl_alt_del(boot):
    """As the kernel tells PID 1 of it: a clean stop."""
    run = boot("trap 'echo bye; exit 9' TERM; kill -INT 1; while :; do sleep 0.05; done")
    assert (run.stdout, run.exit) == (b"bye\n", 9)
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


def test_terminal_that_is_hung_up(boot):
    """The end of who had the console as its terminal takes it from all; the relay neither spins nor is deaf."""
    run = boot("setsid -c sh -c 'echo before' </dev/console >/dev/console 2>&1; sleep 2; "
               "set -- $(cat /proc/$(pidof hawser-relay)/stat); echo $((${14} + ${15})); "
               "echo after >/dev/console; sleep 0.2")
    assert b"before\n" in run.log.bytes("console") and b"after\n" in run.log.bytes("console")
    assert int(run.stdout) < 50          # hundredths of a second, of two
