# SPDX-License-Identifier: MIT
"""A files/ tree of 64 MiB: from the first record to the last file in its place

Beside it, in the same guest: a program that reads as much from the vsock and forgets it, which is as fast as this
virtual machine's vsock gets in that direction.
"""
import datetime
import os
import re
import socket
import tempfile
import threading
from pathlib import Path

import guest
from report import Table

ROUNDS = int(os.environ.get("BENCH_FILES_ROUNDS", 5))
MIB, FILES, DIRECTORIES, PORT = 64, 1024, 32, 7000
MEMORY = 320             # half of it is the most that the guest's root may hold


def tree(directory):
    for i in range(FILES):
        place = directory / ("srv/%02d" % (i % DIRECTORIES))
        place.mkdir(parents=True, exist_ok=True)
        (place / ("%04d" % i)).write_bytes(os.urandom(MIB << 20 >> 10))


def phases(log):
    """The times of init's phases, s."""
    found = re.findall(r"^(\S+)Z init \[phase \d+\] (\w+)", log.read_text(errors="replace"), flags=re.M)
    return {name: datetime.datetime.fromisoformat(when).timestamp() for when, name in found}


def send(listener, size):
    sock = listener.accept()[0]
    sock.sendall(bytes(size))
    sock.recv(1)
    sock.close()


def raw(machine, size):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("%s_%d" % (machine.base, PORT))
        listener.listen()
        sender = threading.Thread(target=send, args=(listener, size), daemon=True)
        sender.start()
        machine.say("read raw:%d %d" % (PORT, size))
        took = int(machine.hear("done")[0]) / 1e9
        sender.join()
    return size / took / 1e6


def run(image):
    """MB/s of the tree, and of the vsock alone."""
    with tempfile.TemporaryDirectory() as files:
        tree(Path(files))
        vm = {"process": {"args": ["/bench/load"]}}
        with guest.Machine(image, vm, memory=MEMORY, files=files) as machine:
            os.mkdir(files)
            machine.hear("ready")
            limit = raw(machine, MIB << 20)
            machine.say("end")
            machine.qemu.wait(guest.PATIENCE_S)
            times = phases(machine.log)
    return (MIB << 20) / (times["apply"] - times["hello"]) / 1e6, limit


def measure(top):
    guest.compile_guest("load", "vsock/address.c", "vsock/dial.c", "vsock/ready.c")
    image = guest.pack("files.cpio", "build/init", "--add", "build/bench/load:/bench/load:755")
    samples = [run(image) for _ in range(ROUNDS)]
    ours, limit = (list(rates) for rates in zip(*samples))
    table = Table("files", "A files/ tree of %d MiB" % MIB, [("MB/s", 1), ("of raw", 2)],
                  chart={"kind": "bars", "columns": [0]})
    table.add("hawser", ("files_hawser_mbps", ours),
              ("files_tree_vs_raw", [one / other for one, other in samples]), own=True)
    table.add("raw vsock", ("files_raw_mbps", limit), None)
    table.note("%d files in %d directories; both in the same boot" % (FILES, DIRECTORIES))
    return [table], {}
