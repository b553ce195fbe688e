# SPDX-License-Identifier: MIT
"""A hawserd that goes away in the middle of an answer: no command takes that for the end of what it was to show."""
import socket
import subprocess
import threading

import pytest

from daemon import HAWSERD, PATIENCE

RECORD = b'{"stream":"stdout","ns":1,"message":"one"}\n'
OK = b'{"ok":true,"vm":"vm"}\n'


@pytest.fixture
def hawserd(tmp_path):
    """hawserd(bytes) says them to everybody who asks for something, and hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "control.sock"))
    listener.listen()

    def serve(says):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(says)
    threads = []

    def start(says):
        threads.append(threading.Thread(target=serve, args=[says]))
        threads[0].start()
        return tmp_path
    yield start
    listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(PATIENCE)
    listener.close()


def hawser(runtime, command, *words):
    done = subprocess.run([HAWSERD.parent / "hawser", command, "--runtime", runtime, *words], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command, status", [
    ("logs", 1), ("chart", 1), ("wait", 125), ("status", 1), ("stop", 1), ("ping", 1), ("revoke", 1), ("exec", 125)])
def test_before_it_has_answered(hawserd, command, status):
    code, _, err = hawser(hawserd(b""), command, *(["vm", "true"] if command == "exec" else ["vm"]))
    assert code == status and "hung up" in err, err


@pytest.mark.parametrize("command, status", [("logs", 1), ("chart", 1), ("wait", 125)])
@pytest.mark.parametrize("says", [OK, OK + RECORD], ids=["answer", "record"])
def test_before_it_has_said_all(hawserd, command, status, says):
    code, out, err = hawser(hawserd(says), command, "vm")
    assert code == status and err
    assert ("one" in out) == (command == "logs" and says != OK)


def test_a_follower_has_what_there_was(hawserd):
    code, out, _ = hawser(hawserd(OK + RECORD), "logs", "-f", "vm")
    assert code == 0 and "one" in out
