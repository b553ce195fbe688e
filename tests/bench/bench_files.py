# SPDX-License-Identifier: MIT
"""A files/ tree of 64 MiB: from the first record to the last file in its place

Beside it, in the same guest: a program that reads as much from the vsock and forgets it, which is as fast as this
virtual machine's vsock gets in that direction.
"""
import datetime
import os
import re
import socket
import statistics
import tempfile
import threading
from pathlib import Path

import guest

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
    flat = {}
    for name, rates in zip(("hawser", "raw"), zip(*samples)):
        print("  %-28s %8.1f MB/s %8.1f to %8.1f" % (name, statistics.median(rates), min(rates), max(rates)))
        flat["files_%s_mbps" % name] = round(statistics.median(rates), 1)
        flat["files_%s_mbps_samples" % name] = [round(rate, 1) for rate in rates]
    ratios = [tree / limit for tree, limit in samples]
    print("  %-28s %8.2f      %8.2f to %8.2f" % ("ratio", statistics.median(ratios), min(ratios), max(ratios)))
    flat["files_tree_vs_raw"] = round(statistics.median(ratios), 3)
    flat["files_tree_vs_raw_samples"] = [round(ratio, 3) for ratio in ratios]
    return flat
