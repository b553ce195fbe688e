# SPDX-License-Identifier: MIT
"""hawser wait: until a machine is ready, or has ended, and how; asked before, meanwhile, and long after."""
import subprocess
from pathlib import Path

import guest_sim
import pytest
from daemon import PATIENCE, wait_for

HAWSER = Path(__file__).resolve().parents[2] / "build/hawser"
STARTED, EXITED, KILLED, OOM, UNSTARTED, RESTART, POWER, FAILURE = 16, 17, 18, 19, 20, 21, 7, 5
READY, STATUS, EXIT_STATUS = 32, 33, 35


@pytest.fixture
def wait(up):
    """wait(option...) is a running `hawser wait vm`."""
    started = []

    def start(*options, vm="vm"):
        started.append(subprocess.Popen([HAWSER, "wait", *options, "--runtime", up.run, vm], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]
    yield start
    for each in started:
        each.kill()
        each.communicate()


def boot(host, *events):
    guest = host.live()
    say(guest, *events)
    return guest


def say(guest, *events):
    guest.send_records([guest_sim.event(*event) for event in events])
    guest.wait_ack()


def status(process):
    process.wait(PATIENCE)
    return process.returncode


def followers(host):
    return host.status(None)["followers"]


ENDS = [
    ([(STARTED, 9), (EXITED, 0)], 0), ([(STARTED, 9), (EXITED, 7)], 7), ([(STARTED, 9), (KILLED, 15)], 143),
    ([(STARTED, 9), (OOM, 9)], 137), ([(UNSTARTED, 2)], 127), ([(UNSTARTED, 13)], 126),
    ([(STARTED, 9), (EXITED, 1), (RESTART, 1), (STARTED, 10), (EXITED, 3)], 3),
    ([(POWER, 0)], 0), ([(EXIT_STATUS, 9), (POWER, 0)], 9), ([(FAILURE, 0), (POWER, 0)], 125), ([(STARTED, 9)], 125),
    ([(STARTED, 9), (EXIT_STATUS, 9), (EXITED, 4)], 4)]


@pytest.mark.parametrize("events, expected", ENDS, ids=str)
def test_exit_status(up, wait, events, expected):
    """Of one who waited from before the boot, one who came later, one too late, and after a restart of hawserd."""
    before = wait()
    wait_for(lambda: followers(up) == 1)
    guest = boot(up, *events)
    meanwhile = wait()
    wait_for(lambda: followers(up) == 2)
    assert before.poll() is None and meanwhile.poll() is None
    guest.end()
    assert [status(before), status(meanwhile), status(wait())] == [expected] * 3
    wait_for(lambda: up.status()["epoch"]["state"] == "none")
    assert status(wait()) == expected
    up.stop()
    up.start()
    assert status(wait()) == expected


def test_unclean(up, wait):
    """A machine that is cut off has failed, unless its program's end was told before."""
    waiting = wait()
    wait_for(lambda: followers(up) == 1)
    guest = boot(up, (STARTED, 9))
    guest.log.close()
    assert status(waiting) == 125
    guest = boot(up, (STARTED, 9), (EXITED, 3))
    guest.log.close()
    assert status(wait()) == 3


def test_ready(up, wait):
    """Not of the boot before, not before it says so, and not when its program was started anew."""
    boot(up, (STARTED, 9), (READY, 0)).end()
    wait_for(lambda: up.status()["epoch"]["state"] == "none")
    waiting = wait("--ready")
    wait_for(lambda: followers(up) == 1)
    guest = boot(up, (STARTED, 9), (STATUS, 0, b"getting up"))
    assert waiting.poll() is None
    say(guest, (READY, 0))
    assert status(waiting) == 0 and status(wait("--ready")) == 0
    up.stop()
    up.start()
    assert status(wait("--ready")) == 0
    guest.connect_log()
    say(guest, (EXITED, 1), (RESTART, 1))
    waiting = wait("--ready")
    wait_for(lambda: followers(up) == 1)
    assert waiting.poll() is None
    say(guest, (STARTED, 10), (READY, 0))
    assert status(waiting) == 0


def test_ended_before_it_was_ready(up, wait):
    waiting = wait("--ready")
    wait_for(lambda: followers(up) == 1)
    boot(up, (STARTED, 9), (EXITED, 0)).end()
    assert status(waiting) == 125 and "never said READY=1" in waiting.stderr.read()


@pytest.mark.parametrize("options", [("--timeout", "1"), ("--ready", "--timeout", "1")])
def test_timeout(up, wait, options):
    guest = boot(up, (STARTED, 9))
    waiting = wait(*options)
    assert status(waiting) == 124 and "1 s are over" in waiting.stderr.read()
    guest.end()


def test_no_such_machine(up, wait):
    waiting = wait(vm="other")
    assert status(waiting) == 125 and "no machine named other" in waiting.stderr.read()


def test_no_hawserd(up, wait):
    up.stop()
    assert status(wait()) == 125
    up.start()
    waiting = wait()
    wait_for(lambda: followers(up) == 1)
    up.stop()
    assert status(waiting) == 125 and "hung up" in waiting.stderr.read()


@pytest.mark.parametrize("options", [("--timeout", "0"), ("--timeout", "x"), ("--nonsense",), ("more",)])
def test_usage(up, wait, options):
    assert status(wait(*options)) == 2
