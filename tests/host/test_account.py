# SPDX-License-Identifier: MIT
"""The account of a machine's log: by stream, over all its boots, and who was refused why."""
import json
import struct
import subprocess

import guest_sim as sim
import pytest
from daemon import HAWSERD, refused, wait_for
from guest_sim import Refused, record
from relay_machine import assert_account


def status_of(host, *words):
    done = subprocess.run([HAWSERD.parent / "hawser", "status", "--runtime", host.run, *words], capture_output=True,
                          text=True)
    return done.returncode, done.stdout + done.stderr


def boot_and_write(host, lines, lose=0, end=True):
    guest = host.live()
    guest.send_records([record(sim.STDOUT, b"%d\n" % n) for n in range(lines)])
    if lose:
        guest.count(sim.STDOUT, lose, 10 * lose)
        guest.send_lost(guest.next, guest.next + lose, [(sim.STDOUT, sim.FULL, lose, 10 * lose)])
        guest.next += lose
    guest.wait_ack()
    assert_account(host.status())
    if end:
        guest.end()
        assert_account(host.status())
    else:
        guest.log.close()
        wait_for(lambda: host.status()["epoch"]["state"] == "none")
    return guest


def test_totals_of_all_boots(up):
    """Also of one that ended uncleanly, and after hawserd died."""
    boot_and_write(up, 10, lose=3)
    boot_and_write(up, 5, lose=1, end=False)
    up.kill()
    up.start()
    boot_and_write(up, 2)
    status = up.status()
    assert status["streams"]["stdout"]["produced"] == {"records": 2, "bytes": 4}
    total = status["totals"]["stdout"]
    assert total["stored"] == {"records": 17, "bytes": 34} and total["lost"]["full"] == {"records": 4, "bytes": 40}
    assert total["produced"] == {"records": 21, "bytes": 74}
    code, text = status_of(up, "vm")
    assert code == 0 and "This boot:" in text and "All boots:" in text
    assert [line.split() for line in text.splitlines() if "stdout" in line] == [
        ["stdout", "2", "4", "2", "4", "0", "0"],
        ["stdout", "21", "74", "17", "34", "0", "0", "full", "4", "(40", "bytes)"]]
    line = status_of(up)[1].splitlines()[1].split()
    assert line[0] == "vm" and line[4:6] == ["17", "4"]
    assert status_of(up, "nobody") == (1, status_of(up, "nobody")[1]) and "no machine" in status_of(up, "nobody")[1]


HOSTILE = {
    "wrong-sequence": (sim.frame(sim.RECORDS, struct.pack("<Q", 7) + record(sim.STDOUT, b"x")), "malformed"),
    "wrong-stream": (sim.frame(sim.RECORDS, struct.pack("<Q", 0) + record(9, b"x")), "malformed"),
    "length-over-the-limit": (struct.pack("<IHH", 32761, sim.RECORDS, 0), "malformed"),
    "record-over-the-limit": (sim.frame(sim.RECORDS, struct.pack("<QIBBHQ", 0, 16385, 0, 5, 0, 0) + bytes(16385)),
                              "malformed"),
    "false-end": (sim.frame(sim.END, struct.pack("<Q", 3)), "malformed"),
    "a-frame-of-the-host": (sim.frame(sim.ACK, bytes(8)), "order"),
}


@pytest.mark.parametrize("name", [*HOSTILE, "forged-token"])
def test_hostile_sessions_are_counted_by_reason(host, name):
    """In the account of their machine, and nobody else's."""
    for vm in "vm", "neighbour":
        host.vm(vm)
    host.start()
    neighbour = host.live("neighbour")
    guest = host.guest()
    guest.boot()
    if name == "forged-token":
        refused(sim.TOKEN, guest.connect_log, token=neighbour.token)
        reason = "token"
    else:
        frame, reason = HOSTILE[name]
        guest.connect_log()
        guest.log.send(frame)
        with pytest.raises(Refused):
            guest.log.receive()
    assert host.status()["refusedBy"] == {reason: 1}
    assert f"Refused: {reason} 1\n" in status_of(host, "vm")[1]
    assert host.status("neighbour")["refusedBy"] == {}
    neighbour.send_records([record(sim.STDOUT, b"fine\n")])
    neighbour.end()
    assert host.stream("stdout", "neighbour") == [b"fine"]
    assert_account(host.status("neighbour"))
    assert_account(host.status())


def test_a_stream_that_never_ends_a_line(up):
    """Is stored as it comes, in pieces, and takes no memory of the host."""
    guest = up.live()
    for _ in range(2000):
        guest.send_records([record(sim.STDOUT, b"n" * 16000)])
        guest.wait_ack()
    with open(f"/proc/{up.pids()['server']}/status") as status:
        assert next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) < 16 << 10
    guest.end()
    pieces = [r for r in up.records() if r["stream"] == "stdout"]
    assert [len(r["message"]) for r in pieces] == [65536] * 488 + [2000 * 16000 - 488 * 65536]
    assert all(r["partial"] for r in pieces)
    assert_account(up.status())


def test_priorities_of_syslog(up):
    """From the datagram's own words, which stay as they are."""
    said = {b"<11>err: of the user": (3, 1), b"<191>x": (7, 23), b"<192>x": None, b"<>x": None, b"<13x": None,
            b"<0>kernel": (0, 0), b"none": None, b"": None, b"<": None}
    guest = up.live()
    guest.send_records([record(sim.SYSLOG, data, sim.MESSAGE) for data in said])
    guest.end()
    have = [(r["message"].encode(), (r["priority"], r["facility"]) if "priority" in r else None)
            for r in up.records() if r["stream"] == "syslog"]
    assert have == list(said.items())
    shown = subprocess.run([HAWSERD.parent / "hawser", "logs", "--runtime", up.run, "--json", "--priority", "err",
                            "--stream", "syslog", "vm"], capture_output=True, check=True).stdout
    assert [json.loads(line)["message"] for line in shown.splitlines() if b"syslog" in line] == [
        "<11>err: of the user", "<0>kernel"]
