# SPDX-License-Identifier: MIT
"""How hawser run ends, by what its guest says; whether it is ready in time. The machine is pretend_machine.py."""
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
MACHINE = str(Path(__file__).resolve().parent / "pretend_machine.py")
STARTED, EXITED, KILLED, OOM, UNSTARTED = range(16, 21)
FAILURE, POWER, READY, STATUS, STOPPING, EXIT_STATUS, WATCHDOG = 5, 7, 32, 33, 34, 35, 36
BOUND_S = 120


def run(events, *options, **env):
    env = dict(os.environ, HAWSER_QEMU=MACHINE, HAWSER_VHOST_DEVICE_VSOCK=MACHINE, **env)
    env["PRETEND"] = json.dumps(events)
    command = [TOP / "build/hawser", "run", "--private", "--accel", "tcg", "--kernel", MACHINE, "--initrd", MACHINE]
    return subprocess.run([*command, *options, TOP / "examples/hello"], env=env, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND_S)


@pytest.mark.parametrize("events, status, words", [
    ([(STARTED, 9), (EXITED, 7), (POWER, 0), "end"], 7, "exit 7;"),
    ([(STARTED, 9), (KILLED, 15), (POWER, 0), "end"], 143, "killed by SIGTERM;"),
    ([(STARTED, 9), (OOM, 9), (POWER, 0), "end"], 137, "killed by SIGKILL;"),
    ([(UNSTARTED, 2), (POWER, 0), "end"], 127, "not started: No such file or directory;"),
    ([(UNSTARTED, 13), (FAILURE, 0), "end"], 126, "not started: Permission denied;"),
    ([(POWER, 0), "end"], 0, "ended;"),
    ([(EXIT_STATUS, 9), (POWER, 0), "end"], 9, "exit 9;"),
    ([(FAILURE, 0), "end"], 125, "in good order, but its program never did"),
    ([(STARTED, 9)], 125, "in the middle of its log"),
], ids=str)
def test_status(events, status, words):
    done = run(events)
    assert done.returncode == status and words in done.stderr


def test_ready(tmp_path):
    """Who waits for the run, as systemd does, is told what the guest's program says; and no word is added to it."""
    path = str(tmp_path / "notify")
    said = [(STATUS, 0, "half way\nMAINPID=1"), (READY, 0), (WATCHDOG, 0), (READY, 0), (WATCHDOG, 0), (STOPPING, 0)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        done = run([(STARTED, 9), *said, (EXITED, 7), (POWER, 0), "end"], "--wait-ready", "100", NOTIFY_SOCKET=path)
        told.setblocking(False)
        assert [told.recv(100) for _ in said] == [
            b"STATUS=half way MAINPID=1", b"READY=1", b"WATCHDOG=1", b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
        with pytest.raises(BlockingIOError):
            told.recv(100)
    assert done.returncode == 7 and done.stderr.count("ready after ") == 1


@pytest.mark.parametrize("events, status, words", [
    ([(STARTED, 9), "stay"], 125, "the guest has not said READY=1 within 1 s"),
    ([(STARTED, 9), (EXITED, 0), (POWER, 0), "end"], 125, "the guest ended, and never said READY=1"),
    ([(STARTED, 9), (EXITED, 3), (POWER, 0), "end"], 3, "exit 3;"),
], ids=str)
def test_never_ready(events, status, words):
    done = run(events, "--wait-ready", "1" if "stay" in events else "100")
    assert done.returncode == status and words in done.stderr


@pytest.mark.parametrize("seconds", ["0", "x", "-1", "86401", ""])
def test_wait_ready_is_a_number(seconds):
    done = run([], "--wait-ready", seconds)
    assert done.returncode == 125 and "must be 1 to 86400 seconds" in done.stderr
