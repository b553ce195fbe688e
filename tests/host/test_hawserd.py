# SPDX-License-Identifier: MIT
"""The real hawserd on Unix sockets, with a pretend guest on the other end."""
import errno
import json
import os
import random
import re
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import guest_sim as sim
from daemon import Control, Host, HAWSERD, PATIENCE, refused, wait_for
from guest_sim import Cut, Guest, Refused, record


# --- boot ----------------------------------------------------------------------------------------------------------

def test_boot_gives_the_directory(host):
    directory = host.vm("vm", process={"args": ["sh", "-c", "exit 7"], "env": ["A=1"], "cwd": "/tmp"})
    (directory / "credentials").mkdir()
    (directory / "credentials/db.key").write_text("secret")
    (directory / "files/etc").mkdir(parents=True)
    (directory / "files/etc/motd").write_text("ahoy\n")
    host.start()
    welcome, frames = host.guest().boot()
    version, _, zero, wall = struct.unpack_from("<HHIQ", welcome)
    assert (version, zero) == (1, 0) and abs(wall - time.time_ns()) < 60e9
    assert len(set(welcome[32:])) > 20
    assert [p for k, p in frames if k == sim.ARG] == [b"sh", b"-c", b"exit 7"]
    assert (sim.HOSTNAME, b"vm") in frames and (sim.ENV, b"A=1") in frames and (sim.CWD, b"/tmp") in frames
    assert [p for k, p in frames if k == sim.DATA] in ([b"secret", b"ahoy\n"], [b"ahoy\n", b"secret"])
    wait_for(lambda: host.status()["epoch"]["state"] == "live")
    assert b"secret" not in host.text() + host.output.read_bytes()


def test_a_large_directory_goes_through_slowly(host):
    """Far more than sockets hold, taken in small bites."""
    directory = host.vm("vm")
    (directory / "files").mkdir()
    content = random.Random(1).randbytes(3 << 20)
    (directory / "files/big").write_bytes(content)
    host.start()
    guest = host.guest()
    c = guest.dial_boot()
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.send(guest.hello())
    got = b""
    while True:
        kind, payload = c.receive()
        if kind == sim.DATA:
            got += payload
        if kind == sim.COMMIT:
            break
    assert got == content
    c.close()


def test_a_second_fetch_in_a_living_epoch_is_refused(up):
    guest = up.live()
    refused(sim.EPOCH_ALIVE, up.guest(boot_id=guest.boot_id).boot)
    refused(sim.EPOCH_ALIVE, up.guest().boot)
    guest.send_records([record(sim.STDOUT, b"still here\n")])
    guest.wait_ack()
    assert b"hawserd refused: boot session: epoch-alive" in up.text()
    assert up.status(None)["counters"]["refused"]["epoch-alive"] == 2


def test_before_delivery_the_same_boot_is_served_again(up):
    guest = up.guest()
    guest.boot(apply=False)
    token = guest.token
    guest.boot(apply=False)
    assert guest.token == token
    other = up.guest()
    other.boot()
    assert other.token != token
    refused(sim.TOKEN, guest.connect_log)


def test_a_dial_replaces_the_one_before(up):
    guest = up.guest()
    first = guest.dial_boot()
    first.send(guest.hello())
    assert first.receive()[0] == sim.WELCOME
    guest.boot()
    with pytest.raises(Cut):
        while True:
            first.receive()


def test_when_applied_was_lost_the_log_session_tells(up):
    guest = up.guest()
    guest.boot(apply=False)
    assert up.status()["epoch"]["state"] == "open"
    guest.connect_log()
    wait_for(lambda: up.status()["epoch"]["state"] == "live")
    refused(sim.EPOCH_ALIVE, guest.boot)


def test_after_the_end_the_next_boot_is_served_at_once(host):
    host.config["graceMs"] = 60000
    host.vm("vm")
    host.start()
    for _ in range(3):
        guest = host.live()
        guest.send_records([record(sim.STDOUT, b"bye\n")])
        guest.end()
    assert host.stream("stdout") == [b"bye"] * 3


def test_after_the_grace_the_epoch_is_over(up):
    guest = up.live()
    guest.send_records([record(sim.STDOUT, b"half a li")])
    guest.wait_ack()
    guest.log.close()
    wait_for(lambda: up.status()["epoch"]["state"] == "none")
    assert b"stdout+ half a li\n" in up.text()
    assert b"hawserd unclean: " in up.text()
    refused(sim.TOKEN, guest.connect_log)
    up.guest().boot()


def test_refuse_of_a_guest_is_logged(up):
    guest = up.guest()
    c = guest.dial_boot()
    c.send(guest.hello())
    while c.receive()[0] != sim.COMMIT:
        pass
    c.send(sim.frame(sim.REFUSE, struct.pack("<HH", 10, 0) + b"/data: \x1b[31mno such device"))
    with pytest.raises(Cut):
        c.receive()
    wait_for(lambda: b"refused-by-guest: apply: /data: ?[31mno such device" in up.text())


# --- configuration -------------------------------------------------------------------------------------------------

def test_a_bad_vm_json_keeps_the_last_good_one(up):
    up.vm("vm", '{\n  "hostname": "new",\n  "hostnam": 1\n}')
    wait_for(lambda: up.said(r"vm/vm\.json:3:3: "))
    _, frames = up.guest().boot(apply=False)
    assert (sim.HOSTNAME, b"vm") in frames
    assert ":3:3: " in up.status()["problem"]
    up.vm("vm", hostname="newer")
    _, frames = up.guest().boot(apply=False)
    assert (sim.HOSTNAME, b"newer") in frames
    assert "problem" not in up.status()


def test_one_that_was_never_good_is_refused(host):
    host.vm("vm", "{")
    host.start()
    refused(sim.CONFIG, host.guest().boot)
    host.vm("vm")
    host.guest().boot()


def listens(path):
    """The file is there a moment before somebody listens on it."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


def test_machines_come_and_go(up):
    up.vm("later")
    wait_for(lambda: listens(up.run / "later.vsock_610"))
    guest = up.live("later")
    (up.vms / "later/vm.json").unlink()
    with pytest.raises(Cut):
        guest.log.receive()
    wait_for(lambda: not (up.run / "later.vsock_610").exists())
    assert up.status("later") is None
    # What it had is still known when it comes back.
    up.vm("later")
    wait_for(lambda: listens(up.run / "later.vsock_611"))
    guest.connect_log()
    (up.vms / "later/vm.json").unlink()
    (up.vms / "later").rmdir()
    wait_for(lambda: not (up.run / "later.vsock_610").exists())


def test_sighup_looks_again(up):
    up.vm("vm", socket="ignored", text=json.dumps({"hostname": "vm", "hawser": {"socket": "v.sock"},
                                                   "process": {"args": ["/x"]}}))
    up.process.send_signal(signal.SIGHUP)
    wait_for(lambda: (up.vms / "vm/v.sock_610").exists())
    wait_for(lambda: not (up.run / "vm.vsock_610").exists())
    Guest(up.vms / "vm/v.sock").boot()


def test_a_cid_is_one_machine_s(host):
    host.vm("first", hawser={"cid": 5})
    host.vm("second", hawser={"cid": 5})
    host.start()
    assert {host.status(n).get("cid") for n in ("first", "second")} == {5, None}
    problems = [host.status(n).get("problem") for n in ("first", "second")]
    assert None in problems and any("another one" in p for p in problems if p)


def test_a_cid_without_af_vsock(host):
    """By its Unix socket, then; a tool that wants it by its CID is told."""
    host.vm("vm", hawser={"cid": 5})
    host.start()
    host.guest().boot()
    assert "problem" not in host.status()
    answer = host.control().ask(op="attach", dir=str(host.vms / "vm"), name="other", cid=6)
    assert "vsock" in answer["error"]


def test_check(host):
    host.vm("good")
    assert subprocess.run([HAWSERD, "--vms", host.vms, "--check"]).returncode == 0
    host.vm("bad", "{}x")
    run = subprocess.run([HAWSERD, "--vms", host.vms, "--check"], stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1 and re.search(r"bad/vm\.json:1:3", run.stderr)
    assert not host.run.exists()


# --- sockets -------------------------------------------------------------------------------------------------------

def test_only_the_owner_connects(up):
    for path in up.run.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_stale_socket_is_replaced(host):
    host.vm("vm")
    host.start()
    host.kill()
    assert (host.run / "vm.vsock_610").exists()
    host.start()
    host.guest().boot()


def test_a_stale_socket_of_a_machine_that_is_gone_is_removed(host):
    """It went while no hawserd ran. What is none of ours stays: a file, a link, a socket that is listened on."""
    host.vm("vm")
    host.vm("gone")
    host.start()
    host.kill()
    for path in (host.vms / "gone").iterdir():
        path.unlink()
    (host.vms / "gone").rmdir()
    (host.run / "file.vsock_610").write_text("precious")
    (host.run / "link.vsock_610").symlink_to("gone.vsock_611")
    (host.run / "gone.vsock_612").symlink_to("gone.vsock_611")
    used = socket.socket(socket.AF_UNIX)
    used.bind(str(host.run / "used.vsock_610"))
    used.listen()
    assert (host.run / "gone.vsock_610").exists() and (host.run / "gone.vsock_611").exists()
    host.start()
    left = {path.name for path in host.run.iterdir()}
    assert left == {"control.sock", "vm.vsock_610", "vm.vsock_611", "file.vsock_610", "link.vsock_610",
                    "used.vsock_610", "gone.vsock_612"}
    host.guest().boot()


def test_what_is_no_stale_socket_stays(host):
    host.vm("file")
    host.vm("link")
    host.vm("used")
    host.run.mkdir()
    (host.run / "file.vsock_610").write_text("precious")
    target = host.top / "target"
    target.write_text("precious")
    (host.run / "link.vsock_610").symlink_to(target)
    used = socket.socket(socket.AF_UNIX)
    used.bind(str(host.run / "used.vsock_610"))
    used.listen()
    host.start()
    assert (host.run / "file.vsock_610").read_text() == "precious"
    assert target.read_text() == "precious" and (host.run / "link.vsock_610").is_symlink()
    for name in "file", "link", "used":
        assert f"{name}.vsock_610" in host.status(name)["problem"]
        assert not (host.run / f"{name}.vsock_611").exists()
    Control(host.run / "used.vsock_610").close()    # nobody else's listener
    used.close()
    # Mended, and looked at again.
    (host.run / "file.vsock_610").unlink()
    host.process.send_signal(signal.SIGHUP)
    wait_for(lambda: (host.run / "file.vsock_611").exists())
    host.guest("file").boot()


def test_no_symlink_is_followed_below_a_machine(host):
    outside = host.top / "outside"
    outside.mkdir()
    directory = host.vm("vm", hawser={"socket": "sub/v.sock"})
    (directory / "sub").symlink_to(outside)
    (host.vms / "alias").symlink_to(directory)
    host.start()
    assert not list(outside.iterdir())
    assert "symbolic link" in host.status()["problem"]
    assert host.status("alias") is None


def test_a_path_that_is_too_long_is_named(host):
    host.vm("vm", hawser={"socket": "x" * 96})
    host.start()
    assert "x" * 96 + "_610: too long" in host.status()["problem"]


def test_sigterm_ends_it_in_order_and_leaves_no_socket(up):
    """How long that takes is measured by make bench."""
    guest = up.live()
    guest.send_records([record(sim.STDOUT, b"last\n")])
    guest.wait_ack()
    up.process.terminate()
    assert up.process.wait(PATIENCE) == 0
    assert list(up.run.iterdir()) == []


def test_a_state_directory_has_one_hawserd(up):
    run = subprocess.run([HAWSERD, "--vms", up.vms, "--state", up.state, "--runtime", up.top / "other"],
                         stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert run.returncode == 111 and "another hawserd uses it" in run.stderr
    up.guest().boot()


def test_it_dies_with_its_parent(host):
    command = [str(HAWSERD), "--vms", str(host.vms), "--state", str(host.state), "--runtime", str(host.run),
               "--die-with-parent", "--ready-fd", "1"]
    code = ("import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); p.stdout.read(1);"
            "print(p.pid)")
    run = subprocess.run([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         check=True)
    pid = int(run.stdout)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or "Z (" in Path(f"/proc/{pid}/status").read_text())
    wait_for(lambda: not list(host.run.iterdir()))


# --- hostile -------------------------------------------------------------------------------------------------------

BOOT_GARBAGE = {
    "length": (struct.pack("<IHH", 32761, sim.HELLO, 0), sim.MALFORMED),
    "length-max": (struct.pack("<IHH", 0xFFFFFFFF, sim.HELLO, 0), sim.MALFORMED),
    "zero": (struct.pack("<IHH", 32, sim.HELLO, 1) + bytes(32), sim.MALFORMED),
    "type": (sim.frame(0x0777), sim.MALFORMED),
    "size": (sim.frame(sim.HELLO, bytes(31)), sim.MALFORMED),
    "magic": (sim.frame(sim.HELLO, b"HWSX" + struct.pack("<HH", 1, 0) + bytes(24)), sim.MALFORMED),
    "hello-zero": (sim.frame(sim.HELLO, b"HWSR" + struct.pack("<HH", 1, 9) + bytes(24)), sim.MALFORMED),
    "version": (sim.frame(sim.HELLO, b"HWSR" + struct.pack("<HH", 0, 0) + bytes(24)), None),
    "order": (sim.frame(sim.APPLIED, bytes(8)), sim.ORDER),
    "log-hello": (sim.frame(sim.LOG_HELLO, b"HWSR" + struct.pack("<HH", 1, 0) + bytes(24)), None),
    "random": (random.Random(5).randbytes(4096), sim.MALFORMED),
    "ones": (b"\xff" * 70000, sim.MALFORMED),
    "empty": (sim.frame(sim.HELLO), sim.MALFORMED),
}


@pytest.mark.parametrize("port", [610, 611])
@pytest.mark.parametrize("name", BOOT_GARBAGE)
def test_garbage_in_place_of_a_hello(up, name, port):
    data, code = BOOT_GARBAGE[name]
    guest = up.guest()
    guest.boot()
    c = sim.Connection(f"{guest.base}_{port}")
    try:
        c.send(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    with pytest.raises(Refused) as caught:
        c.receive()
    assert caught.value.code in (sim.VERSION, sim.MALFORMED, sim.ORDER, sim.TOKEN)
    assert port == 611 or code is None or caught.value.code == code
    # Nobody else has noticed.
    guest.connect_log()
    guest.send_records([record(sim.STDOUT, b"fine\n")])
    guest.end()


def log_garbage(guest):
    """Frames for a session that expects record 1."""
    good = record(sim.STDOUT, b"x\n")
    head = struct.pack("<Q", 1)

    def records(*parts):
        return sim.frame(sim.RECORDS, head + b"".join(parts))
    return {
        "length": (struct.pack("<IHH", 32761, sim.RECORDS, 0), sim.MALFORMED),
        "no-records": (records(), sim.MALFORMED),
        "half-a-record": (records(good[:10]), sim.MALFORMED),
        "record-length": (records(struct.pack("<IBBHQ", 16385, 0, 5, 0, 0) + bytes(16385)), sim.MALFORMED),
        "record-past-the-end": (records(struct.pack("<IBBHQ", 3, 0, 5, 0, 0) + b"ab"), sim.MALFORMED),
        "stream": (records(record(7, b"x")), sim.MALFORMED),
        "stream-0": (records(record(0, b"x")), sim.MALFORMED),
        "kind": (records(record(sim.STDOUT, b"x", 4)), sim.MALFORMED),
        "bytes-of-init": (records(record(sim.INIT, b"x")), sim.MALFORMED),
        "short-kernel": (records(record(sim.KERNEL, b"1234567", sim.MESSAGE)), sim.MALFORMED),
        "short-event": (records(record(sim.INIT, b"1234567", sim.EVENT)), sim.MALFORMED),
        "gap-reason": (records(sim.gap(sim.KERNEL, 9, 1)), sim.MALFORMED),
        "number": (sim.frame(sim.RECORDS, struct.pack("<Q", 2) + good), sim.MALFORMED),
        "number-max": (sim.frame(sim.RECORDS, struct.pack("<Q", 2**64 - 1) + good), sim.MALFORMED),
        "lost-number": (sim.frame(sim.LOST, struct.pack("<QQBBHIQ", 2, 3, 5, 2, 0, 1, 1)), sim.MALFORMED),
        "lost-empty": (sim.frame(sim.LOST, struct.pack("<QQBBHIQ", 1, 1, 5, 2, 0, 1, 1)), sim.MALFORMED),
        "lost-too-much": (sim.frame(sim.LOST, struct.pack("<QQBBHIQ", 1, 2, 5, 2, 0, 2, 1)), sim.MALFORMED),
        "end-number": (sim.frame(sim.END, struct.pack("<Q", 7)), sim.MALFORMED),
        "end-stream": (sim.frame(sim.END, struct.pack("<QB7xQQ", 1, 9, 1, 1)), sim.MALFORMED),
        "second-hello": (sim.frame(sim.LOG_HELLO, b"HWSR" + struct.pack("<HH", 1, 0) + guest.token + bytes(8)),
                         sim.ORDER),
        "ack": (sim.frame(sim.ACK, bytes(8)), sim.ORDER),
        "boot-frame": (sim.frame(sim.APPLIED, bytes(8)), sim.MALFORMED),
        "type": (sim.frame(0x0999), sim.MALFORMED),
    }


@pytest.mark.parametrize("name", log_garbage(Guest("") if False else type("G", (), {"token": bytes(16)})))
def test_garbage_in_a_log_session(host, name):
    host.config["graceMs"] = 60000
    host.vm("vm")
    host.vm("neighbour")
    host.start()
    neighbour = host.live("neighbour")
    guest = host.live()
    data, code = log_garbage(guest)[name]
    # In one write with a good record before it, which must survive.
    good = sim.frame(sim.RECORDS, struct.pack("<Q", 0) + record(sim.STDOUT, b"good\n"))
    guest.count(sim.STDOUT, 1, 5)
    guest.next = 1
    guest.log.send(good + data)
    with pytest.raises(Refused) as caught:
        while True:
            assert guest.log.receive() == (sim.ACK, struct.pack("<Q", 1))
    assert caught.value.code == code, caught.value
    assert guest.connect_log() == 1
    guest.end()
    assert host.stream("stdout") == [b"good"]
    assert host.status()["refused"] == 1
    neighbour.send_records([record(sim.STDOUT, b"fine\n")])
    neighbour.end()
    assert host.stream("stdout", "neighbour") == [b"fine"]


@pytest.mark.parametrize("port", [610, 611])
def test_good_bytes_with_errors(host, port):
    """Sessions in which a few bytes are wrong, cut anywhere: no answer is wrong, and nobody else notices."""
    host.config["limits"] = {"connectionsPerVm": 1000}
    host.config["graceMs"] = 100
    host.vm("vm")
    host.vm("neighbour")
    host.start()
    neighbour = host.live("neighbour")
    rng = random.Random(port)
    for _ in range(100):
        guest = host.guest()
        if port == 610:
            data = guest.hello() + sim.frame(sim.APPLIED, bytes(8)) * rng.randrange(2)
        else:
            guest.boot(apply=False)
            data = b"".join([
                sim.frame(sim.LOG_HELLO, b"HWSR" + struct.pack("<HH", 1, 0) + guest.token + bytes(8)),
                sim.frame(sim.RECORDS, struct.pack("<Q", 0) + record(sim.STDOUT, b"one\ntwo") +
                          sim.event(17, 1) + sim.gap(sim.KERNEL, 1, 1)),
                sim.frame(sim.LOST, struct.pack("<QQBBHIQ", 3, 5, 5, 2, 0, 2, 9)),
                sim.frame(sim.END, struct.pack("<QB7xQQ", 5, 5, 3, 16))])
        data = bytearray(data[:rng.randrange(1, len(data) + 1)] if rng.random() < 0.3 else data)
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x80, 0xFF, rng.randrange(256)])
        c = sim.Connection(f"{guest.base}_{port}")
        c.send(data)
        c.sock.shutdown(socket.SHUT_WR)
        try:
            while True:
                c.receive()
        except (Cut, Refused):
            pass
        c.close()
        # Whatever became of it, the next boot is served when the grace is over.
        if host.status()["epoch"]["state"] == "live":
            wait_for(lambda: host.status()["epoch"]["state"] == "none")
    neighbour.send_records([record(sim.STDOUT, b"fine\n")])
    neighbour.end()
    assert host.stream("stdout", "neighbour") == [b"fine"]


def test_tokens_are_not_guessed_and_not_borrowed(host):
    for name in "one", "two":
        host.vm(name)
    host.start()
    one, two = host.guest("one"), host.guest("two")
    one.boot()
    two.boot()
    for token in bytes(16), b"\xff" * 16, two.token, one.token[:15] + bytes([one.token[15] ^ 1]):
        refused(sim.TOKEN, one.connect_log, token=token)
    one.connect_log()
    assert host.status(None)["counters"]["refused"]["token"] == 4


@pytest.mark.parametrize("port", [610, 611])
def test_those_who_say_nothing_are_closed(host, port):
    host.config["helloTimeoutMs"] = 200
    host.config["limits"] = {"connectionsPerVm": 100}
    host.vm("vm")
    host.start()
    silent = [sim.Connection(host.run / f"vm.vsock_{port}") for _ in range(20)]
    for i, c in enumerate(silent):
        c.send(bytes(i % 8))    # parts of a header
    host.guest().boot()         # is served among them
    for c in silent:
        with pytest.raises(Cut):
            c.receive()
    assert host.status(None)["counters"]["helloTimeouts"] == 20
    assert host.status()["connections"] == 0


def test_a_thousand_who_take_their_time(host):
    """Each sends a byte of its HELLO now and then. Honest guests are served meanwhile; at the deadline they go."""
    host.config["limits"] = {"connectionsPerVm": 200}
    host.config["helloTimeoutMs"] = 3000
    for i in range(10):
        host.vm("slow%d" % i)
    host.vm("vm")
    host.start()
    guests = [host.guest("slow%d" % (i % 10)) for i in range(1000)]
    slow = [guest.dial_boot() for guest in guests]
    for at in range(3):
        for guest, connection in zip(guests, slow):
            try:
                connection.sock.send(guest.hello()[at:at + 1])
            except OSError:
                pass             # it was too slow already
        for _ in range(10):
            guest = host.live()
            guest.end()
    for connection in slow:
        with pytest.raises((Cut, OSError)):
            connection.receive()
        connection.close()
    counters = host.status(None)["counters"]
    assert counters["helloTimeouts"] == 1000 and counters["boots"] == 30
    wait_for(lambda: host.status(None)["connections"] == 0)


def test_a_machine_has_so_many_connections_and_no_more(host):
    host.config["limits"] = {"connectionsPerVm": 3}
    host.vm("vm")
    host.vm("neighbour")
    host.start()
    held = [host.guest().dial_boot() for _ in range(3)]
    wait_for(lambda: host.status()["connections"] == 3)
    refused(sim.BUSY, host.guest().dial_boot().receive)
    host.guest("neighbour").boot()
    for c in held:
        c.close()
    wait_for(lambda: host.status()["connections"] == 0)
    host.guest().boot()


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors(host):
    host.config["limits"] = {"connectionsPerVm": 1000}
    host.config["helloTimeoutMs"] = 60000
    host.vm("vm")
    host.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    held = []
    with pytest.raises(Refused) as caught:
        for _ in range(50):
            held.append(host.guest().dial_boot())
            held[-1].sock.settimeout(0.05)
            try:
                held[-1].receive()
            except socket.timeout:
                pass
    assert caught.value.code == sim.BUSY
    # Those that are there stay, and nothing spins.
    server = host.pids()["server"]
    before = cpu_seconds(server)
    time.sleep(1)
    assert cpu_seconds(server) - before < 0.3
    assert host.status(None)["counters"]["noDescriptor"] >= 1
    for c in held:
        c.close()
    wait_for(lambda: host.status()["connections"] == 0)
    host.guest().boot()


def test_descriptors_are_kept_for_the_logs(host):
    """One guest takes all that it can get: the log of another, whose files have given way, goes on."""
    host.config["limits"] = {"connectionsPerVm": 1000}
    host.config["helloTimeoutMs"] = 60000
    host.vm("vm")
    host.vm("neighbour")
    host.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    neighbour, held = host.live("neighbour"), []
    while not held or not select.select([held[-1].sock], [], [], 0.1)[0]:
        held.append(host.guest().dial_boot())
    refused(sim.BUSY, held.pop().receive)
    for i in range(50):
        neighbour.send_records([record(sim.STDOUT, b"%d\n" % i)])
        neighbour.wait_ack()
        refused(sim.BUSY, host.guest().dial_boot().receive)      # its files close, but that is not a place for this
    status = host.status("neighbour")
    assert "logError" not in status and status["logSessions"] == 1
    for c in held:
        c.close()
    neighbour.end()
    assert host.stream("stdout", "neighbour") == [b"%d" % i for i in range(50)]


def test_a_grace_does_not_run_out_while_hawserd_stands_still(up):
    """The guest that comes in that time is heard only afterwards."""
    guest = up.guest()
    guest.boot()
    wait_for(lambda: up.status()["epoch"]["state"] == "live")
    server = up.pids()["server"]
    os.kill(server, signal.SIGSTOP)
    comes = threading.Thread(target=guest.connect_log)
    comes.start()
    time.sleep(up.config["graceMs"] / 1000 * 3)
    os.kill(server, signal.SIGCONT)
    comes.join(PATIENCE)
    assert up.status()["logging"] and not up.said("not the token")


def test_refusals_do_not_fill_the_log(up):
    guest = up.live()
    for _ in range(300):
        refused(sim.EPOCH_ALIVE, guest.boot)
    assert up.text().count(b"epoch-alive") < 100
    assert up.status()["refused"] == 300
    assert up.status()["auditsDropped"] >= 200


# --- the log -------------------------------------------------------------------------------------------------------

def test_streams_and_forms(up):
    guest = up.live()
    binary = bytes(range(256)).replace(b"\n", b"")
    long = b"x" * 100000
    guest.send_records([
        record(sim.STDOUT, b"plain\n"), record(sim.STDERR, binary + b"\n"),
        record(sim.KERNEL, struct.pack("<Q", 41) + b"usb 1-1\n SUBSYSTEM=usb", sim.MESSAGE, pri=6),
        record(sim.SYSLOG, b"<13>tag: text", sim.MESSAGE, pri=13),
        record(sim.INIT, b"init says", sim.MESSAGE), sim.event(17, -3),
    ])
    for at in range(0, len(long), 10000):
        guest.send_records([record(sim.CONSOLE, long[at:at + 10000])])
    guest.send_records([record(sim.CONSOLE, b"\n"), sim.gap(sim.KERNEL, sim.OVERRUN, 5)])
    guest.end()
    text = up.text()
    assert up.stream("stdout") == [b"plain"] and up.stream("stderr") == [binary]
    assert b"kernel usb 1-1\n\t SUBSYSTEM=usb\n" in text
    assert up.stream("syslog") == [b"<13>tag: text"]
    assert up.stream("init") == [b"init says", b"[exited -3]"]
    pieces = re.findall(rb"console\+? (x*)\n", text)
    assert [len(p) for p in pieces] == [65536, 100000 - 65536]
    assert b"hawserd lost 5 records, 0 bytes of kernel (overrun)\n" in text
    by_stream = {r["stream"]: r for r in up.records() if "seq" in r}
    assert by_stream["kernel"]["lost"] == {"reason": "overrun", "records": 5, "bytes": 0}
    kernel = next(r for r in up.records() if r.get("message", "").startswith("usb"))
    assert (kernel["priority"], kernel["facility"], kernel["kernelSeq"]) == (6, 0, 41)
    assert by_stream["syslog"]["priority"] == 5 and by_stream["syslog"]["facility"] == 1
    assert "priority" not in by_stream["stdout"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", r["time"]) for r in up.records())
    status = up.status()
    assert status["accountingErrors"] == 0 and status["streams"]["console"]["stored"]["bytes"] == 100001
    assert status["streams"]["console"]["stored"] == status["streams"]["console"]["produced"]


def test_reconnect_and_replay(up):
    guest = up.live()
    records = [record(sim.STDOUT, b"line %d\n" % i) for i in range(10)]
    guest.send_records(records[:6])
    guest.wait_ack()
    guest.send_records(records[6:])
    guest.log.close()                       # without waiting
    assert guest.connect_log() in (6, 10)
    guest.send_records(records, first=0)    # more than it has to
    guest.wait_ack()
    guest.end()
    assert up.stream("stdout") == [b"line %d" % i for i in range(10)]
    status = up.status()
    assert status["streams"]["stdout"]["duplicates"]["records"] >= 6
    assert status["streams"]["stdout"]["replayed"]["records"] >= 6
    assert status["accountingErrors"] == 0


def test_a_second_session_replaces_the_first(up):
    guest = up.live()
    first, guest.log = guest.log, None
    guest.connect_log()
    with pytest.raises(Cut):
        first.receive()
    guest.send_records([record(sim.STDOUT, b"x\n")])
    guest.end()


def test_losses(up):
    guest = up.live()
    guest.send_records([record(sim.STDOUT, b"0\n")])
    guest.wait_ack()
    guest.count(sim.STDOUT, 4, 40)
    guest.count(sim.KERNEL, 1, 30)
    guest.next = 6
    guest.send_lost(1, 6, [(sim.STDOUT, sim.FULL, 4, 40), (sim.KERNEL, sim.FULL, 1, 30)])
    guest.wait_ack()
    guest.send_lost(1, 6, [(sim.STDOUT, sim.FULL, 4, 40), (sim.KERNEL, sim.FULL, 1, 30)])
    guest.send_records([record(sim.STDOUT, b"6\n")])
    guest.end()
    stdout = up.status()["streams"]["stdout"]
    assert stdout["lost"] == {"full": {"records": 4, "bytes": 40}}
    assert stdout["stored"] == {"records": 2, "bytes": 4} and stdout["produced"] == {"records": 6, "bytes": 44}
    assert up.status()["accountingErrors"] == 0


def test_more_after_the_end(up):
    guest = up.live()
    guest.send_records([record(sim.STDOUT, b"one\n")])
    guest.send_end()
    guest.wait_end_ack()
    guest.send_records([record(sim.STDOUT, b"two\n")])
    guest.wait_ack()
    assert up.status()["epoch"]["state"] == "live"
    guest.send_end()
    guest.wait_end_ack()
    # END_ACK may have been lost: it asks again.
    guest.connect_log()
    guest.end()
    assert up.stream("stdout") == [b"one", b"two"]
    assert [r["text"] for r in up.records() if r.get("event") == "end"] == ["1 records", "2 records"]
    time.sleep(0.6)
    assert b"unclean" not in up.text()


@pytest.mark.parametrize("sync", ["write", "fdatasync"])
def test_killed_under_load(host, sync):
    """hawserd dies again and again in mid-stream: nothing is lost, nothing comes twice, everything is in order."""
    host.config["graceMs"] = 60000
    host.config["log"] = {"json": True, "sync": sync, "maxBytes": 300000, "maxFiles": 100}
    host.vm("vm")
    host.start()
    guest = host.guest()
    guest.boot()
    rng = random.Random(11)
    total, made, records = 40000, 0, []
    expected = b"".join(b"%d %s\n" % (i, b"y" * rng.randrange(60)) for i in range(total))
    while made < len(expected):
        size = min(rng.choice([1, 7, 100, 3000]), len(expected) - made)
        records.append(record(sim.STDOUT, expected[made:made + size]))
        made += size
    guest.made = {sim.STDOUT: (len(records), len(expected))}

    def stream():
        """Sends on from where the host is; True when all is acknowledged."""
        at = guest.connect_log()
        while at < len(records) or guest.acked < len(records):
            batch, size = [], 0
            while at + len(batch) < len(records) and size < 30000 and at - guest.acked < 100:
                size += len(records[at + len(batch)])
                if size < 32000:
                    batch.append(records[at + len(batch)])
            if batch:
                guest.send_records(batch, first=at)
                at += len(batch)
                die_when_due()
            else:
                kind, payload = guest.log.receive()
                guest.acked = struct.unpack("<Q", payload)[0]
        return True

    # Each time another tenth is acknowledged, and the next records are on their way.
    marks = [len(records) * (i + rng.random()) / 10 for i in range(9)]

    def die_when_due():
        if marks and guest.acked >= marks[0]:
            marks.pop(0)
            host.kill()
            host.start()

    done = False
    until = time.monotonic() + 120
    while not done and time.monotonic() < until:
        try:
            done = stream()
        except (Cut, OSError):
            time.sleep(0.01)
    assert done and not marks
    guest.next = len(records)
    guest.connect_log()
    guest.end()

    def whole(name):
        files = sorted((host.state / "logs/vm").glob(name + "*"), reverse=True,
                       key=lambda path: int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0)
        return b"".join(path.read_bytes() for path in files)

    lines = [line[35:] for line in whole("text.log").split(b"\n") if line[28:35] == b"stdout "]
    assert b"\n".join(lines) + b"\n" == expected
    lines = [json.loads(line) for line in whole("json.log").splitlines()]
    assert "".join(r["message"] + "\n" for r in lines if r["stream"] == "stdout").encode() == expected
    status = host.status()
    assert status["streams"]["stdout"]["stored"] == status["streams"]["stdout"]["produced"]
    assert status["accountingErrors"] == 0


def test_a_living_epoch_outlives_hawserd(host):
    host.config["graceMs"] = 60000
    host.vm("vm")
    host.start()
    guest = host.live()
    guest.send_records([record(sim.STDOUT, b"before, ")])
    guest.wait_ack()
    host.kill()
    host.start()
    refused(sim.EPOCH_ALIVE, host.guest().boot)
    refused(sim.TOKEN, guest.connect_log, token=bytes(16))
    assert guest.connect_log() == 1
    guest.send_records([record(sim.STDOUT, b"after\n")])
    guest.end()
    assert host.stream("stdout") == [b"before, after"]
    assert guest.token not in b"".join(p.read_bytes() for p in host.state.rglob("*") if p.is_file())


def test_an_open_epoch_outlives_hawserd(host):
    """Its guest was cut before COMMIT and dials again; the token is another one, the old one is as good."""
    host.vm("vm")
    host.start()
    guest = host.guest()
    guest.boot(apply=False)
    first = guest.token
    host.kill()
    host.start()
    guest.boot()
    assert guest.token != first
    guest.connect_log(token=first)
    guest.send_records([record(sim.INIT, b"early", sim.MESSAGE)])
    guest.wait_ack()
    assert guest.connect_log() == 1
    guest.end()


def test_after_a_restart_the_log_session_tells(host):
    host.config["graceMs"] = 60000
    host.vm("vm")
    host.start()
    guest = host.guest()
    guest.boot(apply=False)
    host.kill()
    host.start()
    guest.connect_log()
    wait_for(lambda: host.status()["epoch"]["state"] == "live")
    refused(sim.EPOCH_ALIVE, guest.boot)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "small"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk],
                                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(small_disk, tmp_path):
    host = Host(tmp_path)
    host.state = small_disk / "state"
    host.config["graceMs"] = 200
    host.config["log"] = {"json": False}
    host.vm("vm")
    host.start()
    try:
        guest = host.live()
        lines = [b"%06d %s" % (i, b"z" * 90) for i in range(20000)]
        records = [record(sim.STDOUT, b"\n".join(lines[i:i + 100]) + b"\n") for i in range(0, len(lines), 100)]
        guest.made = {sim.STDOUT: (len(records), sum(len(r) - 16 for r in records))}
        with pytest.raises((Cut, OSError)):
            for i, r in enumerate(records):
                guest.send_records([r], first=i)
            guest.wait_ack(len(records))
        wait_for(lambda: "logError" in host.status())
        assert host.said("cannot be written: No space left on device")
        # Nothing that was acknowledged is missing; the epoch waits for as long as it takes.
        assert host.stream("stdout") == lines[:len(host.stream("stdout"))]
        assert len(host.stream("stdout")) >= guest.acked * 100
        time.sleep(0.5)
        refused(sim.BUSY, guest.connect_log)
        refused(sim.BUSY, host.guest().boot)
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        wait_for(lambda: "logError" not in host.status())
        at = guest.connect_log()
        assert at >= guest.acked
        for i in range(at, len(records)):
            guest.send_records([records[i]], first=i)
        guest.next = len(records)
        guest.wait_ack()
        guest.end()
        assert host.stream("stdout") == lines
        assert host.status()["accountingErrors"] == 0
        assert b"log-recovered" in host.text()
    finally:
        host.stop()


# --- tools ---------------------------------------------------------------------------------------------------------

def attach(host, directory, **more):
    control = host.control()
    return control, control.attach(directory, **more)


def test_attach_and_follow(host):
    directory = host.top / "machine"
    host.vms.rename(host.top / "elsewhere")
    directory.mkdir()
    (directory / "vm.json").write_text('{"process": {"args": ["/bin/true"]}}')
    host.start()
    base = host.top / "v.sock"
    control, answer = attach(host, directory, name="hello", socket=str(base), args=["sh", "-c", "exit 7"],
                             follow=True)
    assert answer == {"ok": True, "vm": "hello"}
    guest = Guest(base)
    _, frames = guest.boot()
    assert [p for k, p in frames if k == sim.ARG] == [b"sh", b"-c", b"exit 7"]
    guest.connect_log()
    guest.send_records([record(sim.STDOUT, b"hi\n"), sim.event(17, 7)])
    guest.end()
    lines = control.lines_until(lambda r: r.get("event") == "end")
    assert [r["event"] for r in lines if r["stream"] == "hawserd"] == ["boot", "applied", "log-connected", "end"]
    assert [r["message"] for r in lines if r["stream"] == "stdout"] == ["hi"]
    assert [r["value"] for r in lines if r.get("event") == "exited"] == [7]
    assert all(r["vm"] == "hello" for r in lines)
    assert attach(host, directory, name="hello")[1]["error"]
    control.close()
    wait_for(lambda: not os.path.exists(f"{base}_610"))
    assert host.status("hello") is None
    assert not list((host.state / "epochs").iterdir())
    assert b"stdout hi\n" in host.text("hello")


def test_ephemeral_leaves_nothing(host):
    host.config["log"] = {"json": True}
    directory = host.top / "machine"
    directory.mkdir()
    (directory / "vm.json").write_text('{"process": {"args": ["/bin/true"]}}')
    host.start()
    control, answer = attach(host, directory, follow=True, ephemeral=True)
    assert answer == {"ok": True, "vm": "machine"}
    guest = host.live("machine")
    guest.send_records([record(sim.STDOUT, b"hi\n")])
    guest.end()
    control.lines_until(lambda r: r.get("event") == "end")
    assert not [p for p in host.state.rglob("*") if p.is_file() and p.name != "audit.log"]
    control.close()
    wait_for(lambda: host.status("machine") is None)


def test_the_owner_slows_his_guest_and_loses_nothing(host):
    directory = host.top / "machine"
    directory.mkdir()
    (directory / "vm.json").write_text('{"process": {"args": ["/bin/true"]}}')
    host.start()
    control, _ = attach(host, directory, follow=True, ephemeral=True)
    guest = host.live("machine")
    guest.log.sock.settimeout(1)
    count = 0
    with pytest.raises(socket.timeout):
        while count < 10000:    # 100 MB, if nobody held it up
            guest.send_records([record(sim.STDOUT, b"%06d\n" % i + b"q" * 9992 + b"\n")
                                for i in range(count, count + 1)])
            count += 1
    assert count < 9000
    rss = int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{host.pids()['server']}/status").read_text())[1])
    assert rss < 32 << 10
    seen = [int(r["message"]) for r in control.lines_until(lambda r: r.get("message") == "%06d" % (count - 2))
            if r.get("message", "").isdigit()]
    assert seen == list(range(count - 1))
    control.close()


def test_a_follower_that_does_not_read_is_dropped(up):
    guest = up.live()
    control = up.control()
    assert control.ask(op="follow", vm="vm")["ok"]
    lazy = up.control()
    assert lazy.ask(op="follow", vm="vm")["ok"]
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(control.lines_until(lambda r: r.get("message") == "last")))
    reader.start()
    for i in range(600):
        guest.send_records([record(sim.STDOUT, b"w" * 10000 + b"\n")])
        guest.wait_ack()
    guest.send_records([record(sim.STDOUT, b"last\n")])
    guest.end()
    reader.join(PATIENCE)
    assert len(lines) > 600
    assert up.status(None)["counters"]["followersDropped"] == 1
    assert up.status(None)["followers"] == 1


def test_tail(up):
    guest = up.live()
    guest.send_records([record(sim.STDOUT, b"line %d\n" % i) for i in range(50)])
    guest.wait_ack()
    control = up.control()
    assert control.ask(op="follow", vm="vm", tail=3) == {"ok": True, "vm": "vm"}
    assert [control.line()["message"] for _ in range(3)] == ["line 47", "line 48", "line 49"]
    guest.send_records([record(sim.STDOUT, b"more\n")])
    assert control.line()["message"] == "more"


def hawser_logs(host, *options):
    done = subprocess.run([HAWSERD.parent / "hawser", "logs", "--runtime", host.run, *options, "vm"],
                          capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", [{"json": True}, {"json": False}])
def test_the_tail_goes_on_in_rotated_files(host, form):
    host.config["log"] = dict(form, maxBytes=2000, maxFiles=5)
    host.vm("vm")
    host.start()
    guest = host.live()
    for i in range(100):
        guest.send_records([record(sim.STDOUT, b"line %d\n" % i + b"second %d\n" % i)])
        guest.wait_ack()
    files = len(list((host.state / "logs/vm").iterdir()))
    assert files > 2
    for count in 1, 7, 40:
        lines = hawser_logs(host, "-n", str(count)).splitlines()
        assert [line.split(b"| ")[1] for line in lines] == (
            [b"%s %d" % (word, i) for i in range(100) for word in (b"line", b"second")][-count:])
    since = hawser_logs(host, "--since", "1 min ago", "--stream", "stdout").splitlines()
    assert 40 < len(since) and since[-1].endswith(b"second 99")
    assert not hawser_logs(host, "--since", "2100-01-01")


@pytest.mark.parametrize("form", [{"json": True}, {"json": False}])
def test_a_long_tail(host, form):
    """Tens of megabytes in many files, more than a follower may let wait; while it is read, files rotate."""
    host.config["log"] = dict(form, maxBytes=1 << 20, maxFiles=200)
    host.vm("vm")
    host.start()
    guest = host.live()
    total = 0

    def write(frames):
        nonlocal total
        for _ in range(frames):
            lines = b"".join(b"%07d %s\n" % (n, b"t" * 140) for n in range(total, total + 100))
            guest.send_records([record(sim.STDOUT, lines)])
            total += 100
        guest.wait_ack()

    for _ in range(100):
        write(10)
    shown = hawser_logs(host, "-n", "90000", "--stream", "stdout").splitlines()
    assert [int(line.split(b"| ")[1][:7]) for line in shown] == list(range(total - 90000, total))
    assert len(hawser_logs(host, "--since", "1 hour ago", "--stream", "stdout").splitlines()) == total
    control = host.control()
    assert control.ask(op="follow", vm="vm", tail=80000)["ok"]
    first = total - 80000
    seen = [int(control.line()["message"][:7]) for _ in range(1000)]
    for _ in range(10):
        write(10)
    seen += [int(control.line()["message"][:7]) for _ in range(total - first - 1000)]
    assert seen == list(range(first, total))
    write(1)        # now as it comes
    assert [int(control.line()["message"][:7]) for _ in range(100)] == list(range(total - 100, total))
    control.close()
    # One that does not read holds nobody up, and takes no memory.
    lazy = host.control()
    assert lazy.ask(op="follow", vm="vm", tail=100000)["ok"]
    write(10)
    rss = int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{host.pids()['server']}/status").read_text())[1])
    assert rss < 32 << 10
    guest.end()


def test_what_is_missing_is_in_every_view(up):
    guest = up.live()
    guest.send_records([record(sim.KERNEL, bytes(8) + b"bad", sim.MESSAGE, pri=2),
                        record(sim.KERNEL, bytes(8) + b"fine", sim.MESSAGE, pri=6),
                        sim.gap(sim.KERNEL, 1, 5), record(sim.STDOUT, b"out\n")])
    guest.wait_ack()
    guest.log.close()
    wait_for(lambda: b"unclean" in up.text())
    shown = hawser_logs(up, "--priority", "err").splitlines()
    assert [line.split(b"| ")[1].split(b":")[0] for line in shown] == [b"bad", b"lost", b"unclean"]
    shown = hawser_logs(up, "--stream", "stdout", "--json").splitlines()
    assert [json.loads(line).get("event") for line in shown] == [None, "unclean"]
    wrong = subprocess.run([HAWSERD.parent / "hawser", "logs", "--stream", "stdput", "vm"], capture_output=True)
    assert wrong.returncode == 2 and b"--stream stdput: must be init" in wrong.stderr


def test_tail_of_the_text_file(host):
    host.config["log"] = {"json": False}
    host.vm("vm")
    host.start()
    guest = host.live()
    guest.send_records([record(sim.STDOUT, b"a\n"), record(sim.SYSLOG, b"two\nlines", sim.MESSAGE),
                        record(sim.STDERR, b"\xff\n")])
    guest.wait_ack()
    control = host.control()
    assert control.ask(op="follow", vm="vm", tail=3) == {"ok": True, "vm": "vm"}
    lines = [control.line() for _ in range(3)]
    assert [(r["stream"], r.get("message"), r.get("base64")) for r in lines] == [
        ("stdout", "a", None), ("syslog", "two\nlines", None), ("stderr", None, "/w==")]


@pytest.fixture
def piped(host):
    """A host whose standard output is a pipe; the reading end is host.pipe."""
    host.config["log"] = {"stdout": True, "text": True, "json": True}
    host.vm("vm")
    host.pipe, theirs = os.pipe()
    host.start(stdout=theirs)
    os.close(theirs)
    yield host
    if host.pipe is not None:
        os.close(host.pipe)


def read_some(fd, enough, seconds=PATIENCE):
    """What comes until enough(bytes) holds."""
    got, until = b"", time.monotonic() + seconds
    while not enough(got):
        assert select.select([fd], [], [], max(0, until - time.monotonic()))[0], got[-200:]
        piece = os.read(fd, 1 << 20)
        assert piece, got[-200:]
        got += piece
    return got


def test_standard_output_has_all_lines(piped):
    guest = piped.live()
    guest.send_records([record(sim.STDOUT, b"one\ntwo\n"), record(sim.STDERR, b"\xff\n")])
    guest.wait_ack()
    guest.end()
    piped.stop()
    with open(piped.pipe, "rb") as pipe:
        assert [json.loads(line) for line in pipe] == piped.records()
    piped.pipe = None


@pytest.mark.parametrize("sync", ["write", "fdatasync"])
def test_standard_output_is_waited_for(host, sync):
    """A reader that does not read holds the guests up, and all is there when he reads again."""
    host.config["log"] = {"stdout": True, "json": True, "sync": sync}
    host.vm("vm")
    mine, theirs = os.pipe()
    host.start(stdout=theirs)
    os.close(theirs)
    guest = host.live()
    guest.log.sock.settimeout(1)
    count = 0
    with pytest.raises(socket.timeout):
        while count < 2000:     # 20 MB
            guest.send_records([record(sim.STDOUT, b"%06d" % count + b"q" * 9993 + b"\n")])
            count += 1
    assert 100 < count < 1000
    status = host.status(None)
    assert status["stdout"]["crowded"] and status["stdout"]["waiting"] > 1 << 20
    epoch = host.status()["epoch"]
    assert epoch["acknowledged"] < epoch["next"]
    other = host.vm("other") and wait_for(lambda: listens(host.run / "other.vsock_610")) and host.guest("other")
    other.boot()        # still served
    last = b'%06d' % (count - 2)
    got = read_some(mine, lambda b: last in b)
    numbers = [int(r["message"][:6]) for r in map(json.loads, got[:got.rindex(b"\n")].split(b"\n"))
               if r["stream"] == "stdout"]
    assert numbers[:count - 2] == list(range(count - 2))
    wait_for(lambda: host.status()["epoch"]["acknowledged"] >= count - 2)
    assert not host.status(None)["stdout"]["crowded"]
    os.close(mine)


def test_standard_output_after_a_kill(piped):
    """Nothing is missing, and what comes twice has the same key."""
    guest = piped.live()
    made = [record(sim.STDOUT, b"%06d" % i + b"k" * 9993 + b"\n") for i in range(50)]
    for i, one in enumerate(made):
        guest.send_records([one])
    wait_for(lambda: piped.status()["epoch"]["next"] == 50)
    piped.kill()
    with open(piped.pipe, "rb") as pipe:
        first = pipe.read()
    piped.pipe, theirs = os.pipe()
    piped.start(stdout=theirs)
    os.close(theirs)
    assert guest.connect_log() < 50
    for i in range(guest.acked, 50):
        guest.send_records([made[i]], first=i)
    second = read_some(piped.pipe, lambda b: b"000049" in b and b.endswith(b"\n"))
    lines = {}
    for line in first.split(b"\n")[:-1] + second.split(b"\n")[:-1]:
        r = json.loads(line)
        if "line" in r:
            assert lines.setdefault((r["boot"], r["seq"], r["line"]), r) == r
    assert [int(r["message"][:6]) for r in lines.values()] == list(range(50))
    wait_for(lambda: [len(x) for x in piped.stream("stdout")] == [9999] * 50)


def test_standard_output_without_a_reader(piped):
    os.close(piped.pipe)
    piped.pipe = None
    guest = piped.live()
    guest.send_records([record(sim.STDOUT, b"unread\n")])
    wait_for(lambda: piped.status()["epoch"]["next"] == 1)
    time.sleep(1)
    assert piped.status()["epoch"]["acknowledged"] == 0
    assert piped.status(None)["stdout"]["error"] == errno.EPIPE
    assert len(re.findall("standard output: ", piped.output.read_text())) == 1
    assert cpu_seconds(piped.pids()["server"]) < 0.5


def test_standard_output_is_a_file(host):
    host.config["log"] = {"stdout": True, "text": False}
    host.vm("vm")
    (host.top / "out").write_text("before\n")
    with open(host.top / "out", "ab") as out:
        host.start(stdout=out)
    guest = host.live()
    guest.send_records([record(sim.STDOUT, b"kept\n")])
    guest.wait_ack()
    lines = (host.top / "out").read_text().splitlines()
    assert lines[0] == "before" and json.loads(lines[-1])["message"] == "kept"


def test_a_quota_for_all_files_of_a_machine(host):
    host.config["limits"] = {"logBytesVm": 4 << 20}
    host.vm("vm")
    host.start()
    guest = host.live()
    for i in range(600):
        guest.send_records([record(sim.STDOUT, b"%06d" % i + b"u" * 14993 + b"\n")])
        guest.wait_ack()
    sizes = {path.name: path.stat().st_size for path in (host.state / "logs/vm").iterdir()}
    assert 2 << 20 < sum(sizes.values()) <= 4 << 20, sizes
    assert {name.split(".")[0] for name in sizes} == {"text", "json"}
    removed = host.status()["quotaRemoved"]
    assert removed["files"] > 3 and removed["bytes"] > 8 << 20
    assert b"000599" in host.text() + host.text(name="text.log.1")
    assert not guest.end()


def journal_entry(data):
    """The fields of an entry in the journal's native form."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            size = struct.unpack("<Q", data[:8])[0]
            value, data = data[8:8 + size], data[9 + size:]
        fields[key.decode()] = value
    return fields


def test_the_journal_of_systemd(host):
    """A journal of our own in its place; without it nothing is acknowledged."""
    place = host.top / "journal"
    place.mkdir()
    before = ["unshare", "-m", "sh", "-c", "mount -t tmpfs t /run && mkdir -p /run/systemd/journal && "
              f"mount --bind {place} /run/systemd/journal || exit; exec \"$@\"", "sh"]
    if subprocess.run([*before, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs the right to mount")

    def listen():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(str(place / "socket"))
        (place / "socket").chmod(0o666)          # as systemd has it
        sock.settimeout(PATIENCE)
        return sock

    journal = listen()
    host.config["log"] = {"journal": True, "text": False}
    host.vm("vm")
    host.start(before=before)
    guest = host.live()
    guest.send_records([record(sim.STDOUT, b"one\ntwo\n"), record(sim.SYSLOG, b"a\nb\xff", sim.MESSAGE, pri=4)])
    guest.wait_ack()
    entries = [journal_entry(journal.recv(1 << 20))]
    while entries[-1]["HAWSER_STREAM"] != b"syslog":
        entries.append(journal_entry(journal.recv(1 << 20)))
    assert {e["HAWSER_EVENT"] for e in entries if "HAWSER_EVENT" in e} <= {b"boot", b"applied", b"log-connected"}
    assert [e["MESSAGE"] for e in entries if "HAWSER_LINE" in e][:3] == [b"one", b"two", b"a\nb\xff"]
    assert entries[-1]["PRIORITY"] == b"4" and entries[-1]["SYSLOG_IDENTIFIER"] == b"vm"
    journal.close()
    (place / "socket").unlink()
    guest.send_records([record(sim.STDOUT, b"three\n")])
    with pytest.raises(Cut):
        guest.wait_ack()
    assert host.said("its log cannot be written: No such file or directory")
    refused(sim.BUSY, guest.connect_log)
    journal = listen()
    wait_for(lambda: "logError" not in host.status())
    assert guest.connect_log() == 2
    guest.send_records([record(sim.STDOUT, b"three\n")], first=2)
    guest.wait_ack()
    while journal_entry(journal.recv(1 << 20))["MESSAGE"] != b"three":
        pass
    journal.close()


def test_a_line_without_an_end_is_shown_when_it_rests(up):
    guest = up.live()
    control = up.control()
    assert control.ask(op="follow", vm="vm")["ok"]
    guest.send_records([record(sim.CONSOLE, b"login: ")])
    line = control.line()
    assert line["message"] == "login: " and line["partial"] and "offset" not in line
    guest.send_records([record(sim.CONSOLE, b"root\n")])
    line = control.line()
    assert line["message"] == "root" and "partial" not in line and line["offset"] == 7
    assert up.stream("console") == [b"login: root"]


REQUESTS = [
    b"", b"{}", b"[]", b"nonsense", b'{"op":"stop"}', b'{"op":5}', b'{"op":"status","x":1}', b'{"op":"follow"}',
    b'{"op":"follow","vm":"nobody"}', b'{"op":"attach"}', b'{"op":"attach","dir":"relative"}',
    b'{"op":"attach","dir":"/nowhere"}', b'{"op":"attach","dir":"/","name":"a/b"}', b'{"op":"attach","dir":"/"}',
    b'{"op":"attach","dir":"/tmp","cid":2}', b'{"op":"follow","vm":"vm","tail":-1}', b'\xff\xfe', b'{"op":"status"',
]


@pytest.mark.parametrize("request_line", REQUESTS)
def test_wrong_requests(up, request_line):
    control = up.control()
    control.sock.sendall(request_line + b"\n")
    assert list(control.line()) == ["error"]
    assert control.ask(op="status")["vms"]    # the connection is as good as before
    control.close()


def test_who_asks_and_does_not_read(up):
    for i in range(40):
        up.vm(f"machine{i}")
    wait_for(lambda: len(up.status(None)["vms"]) == 41)
    control = up.control()
    control.sock.settimeout(1)
    sent = 0
    with pytest.raises(socket.timeout):
        while sent < 200:
            control.sock.sendall(b'{"op":"status"}\n' * 1000)
            sent += 1
    rss = int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{up.pids()['server']}/status").read_text())[1])
    assert rss < 64 << 10
    control.sock.settimeout(PATIENCE)
    for _ in range(1000):
        assert len(control.line()["vms"]) == 41
    control.close()
    up.guest().boot()


def test_an_endless_request(up):
    control = up.control()
    try:
        for _ in range(100):
            control.sock.sendall(b"x" * 65536)
    except OSError:
        pass
    up.guest().boot()
