# SPDX-License-Identifier: MIT
"""hawserd upgraded in place: sockets that the service manager holds meanwhile."""
import os
import socket
import sys
import threading

import pytest

from daemon import Manager, wait_for
from guest_sim import STDOUT, record

# What systemd does for a service that it starts again: the descriptors from 3 on, and their names.
START = """
import os, sys
names, numbers = sys.argv[1].split(":"), [int(n) for n in sys.argv[2].split(":")]
for i, number in enumerate(numbers):
    os.dup2(number, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=":".join(names))
os.execv(sys.argv[3], sys.argv[3:])
"""


class Keeper(Manager):
    """As much of systemd as keeps descriptors: FileDescriptorStoreMax=."""

    def __init__(self, path):
        super().__init__(path)
        self.kept, self.notes, self.stopping = {}, [], False
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while not self.stopping:
            data, fds, *_ = socket.recv_fds(self.sock, 4096, 8)
            note = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            self.notes.append(note)
            if "FDSTORE" in note:
                known = [os.fstat(fd).st_ino for name, fd in self.kept.items() if name == note["FDNAME"]]
                if os.fstat(fds[0]).st_ino not in known:
                    self.kept[note["FDNAME"]] = os.dup(fds[0])
            if "FDSTOREREMOVE" in note and note["FDNAME"] in self.kept:
                os.close(self.kept.pop(note["FDNAME"]))
            for fd in fds:
                os.close(fd)

    def start(self, host, **more):
        """Starts it, again if it ran, with all that is kept."""
        # Away from the numbers where they are to be.
        given = {name: os.dup(fd) for name, fd in dict(self.kept, **more).items()}
        names, numbers = ":".join(given), ":".join(str(fd) for fd in given.values())
        before = [sys.executable, "-c", START, names, numbers] if given else []
        host.start(before=before, more_fds=list(given.values()), env=dict(os.environ, NOTIFY_SOCKET=self.path))
        for fd in given.values():
            os.close(fd)

    def close(self):
        self.stopping = True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"X=1", self.path)
        self.thread.join()
        super().close()
        for fd in self.kept.values():
            os.close(fd)


@pytest.fixture
def manager(tmp_path):
    manager = Keeper(tmp_path / "notify")
    yield manager
    manager.close()


def inodes(host):
    return {path.name: path.stat().st_ino for path in host.run.iterdir() if path.is_socket()}


def test_20_upgraded_in_place(host, manager):
    """Again and again under a guest that never stops dialling: nobody is refused, and no record is lost."""
    host.config["limits"] = {"connectionsPerVm": 10000}
    host.vm("vm")
    manager.start(host)
    guest = host.live()
    guest.send_records([record(STDOUT, b"0\n")])
    guest.wait_ack()
    there, refused, enough = inodes(host), [], threading.Event()

    def dial():
        while not enough.is_set():
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(str(host.run / "vm.vsock_611"))
                except OSError as error:
                    refused.append(error)
            enough.wait(0.001)

    dialler = threading.Thread(target=dial)
    dialler.start()
    for n in range(1, 6):
        host.stop()
        # A guest that comes while nobody is there waits in the backlog.
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(host.run / "vm.vsock_611"))
        manager.start(host)
        waiting.close()
        guest.connect_log()
        guest.send_records([record(STDOUT, b"%d\n" % n)])
        guest.wait_ack()
    enough.set()
    dialler.join()
    assert not refused
    assert inodes(host) == there and len(there) == 3
    assert host.stream("stdout") == [b"%d" % n for n in range(6)]
    guest.end()


def test_machines_that_come_and_go_meanwhile(host, manager):
    host.vm("old")
    host.vm("stays")
    manager.start(host)
    host.stop()
    names = set(manager.kept)
    assert len(names) == 5
    (host.vms / "old/vm.json").unlink()
    (host.vms / "old").rmdir()
    host.vm("new")
    manager.start(host)
    host.guest("new").boot()
    host.guest("stays").boot()
    wait_for(lambda: len(manager.kept) == 5 and set(manager.kept) != names, "the old one's sockets given back")


def test_a_file_that_was_replaced(host, manager):
    """What is kept is the socket of another file: it is not taken, and the path gets a new one."""
    host.vm("vm")
    manager.start(host)
    host.stop()
    place = host.run / "vm.vsock_610"
    place.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place))
    manager.start(host)
    host.guest().boot()


def test_a_socket_unit(host, manager):
    """By the path that the unit says, whatever it calls it."""
    host.run.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(host.run / "control.sock"))
        listener.listen()
        os.chmod(host.run / "control.sock", 0o600)
        inode = (host.run / "control.sock").stat().st_ino
        host.vm("vm")
        manager.start(host, control=listener.fileno())
        assert host.status()["vm"] == "vm" and (host.run / "control.sock").stat().st_ino == inode


def test_what_is_no_socket(host, manager):
    host.vm("vm")
    with open("/dev/null") as null:
        manager.start(host, nothing=null.fileno())
    host.guest().boot()
    assert host.said("nothing.*is no socket that listens")


def test_nothing_is_kept_without_a_manager(host):
    host.vm("vm")
    host.start()
    host.stop()
    assert not inodes(host)
