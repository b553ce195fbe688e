# SPDX-License-Identifier: MIT
"""
Many guests at once: limits that protect the others, and hawserd's descriptors and memory under guests that come and
go. SOAK_VISITS (20000) says how often they come.
"""
import os
import resource
import select
import signal
import socket
import struct
import subprocess
from pathlib import Path

import guest_sim as sim
from daemon import HAWSERD, wait_for
from guest_sim import record

FLEET = HAWSERD.parent / "fleet"
VISITS = int(os.environ.get("SOAK_VISITS", "20000"))
WINDOWS = 5


def test_a_machine_begins_so_many_connections_a_second(host):
    host.config["limits"] = {"helloRateVm": 4}
    for name in "vm", "neighbour":
        host.vm(name)
    host.start()
    held = [host.guest().dial_boot() for _ in range(4)]      # as many at once
    wait_for(lambda: host.status()["connections"] == 4)
    said = ""
    for _ in range(20):         # on a slow machine a second may have passed since
        c = host.guest().dial_boot()
        held.append(c)
        c.sock.settimeout(0.01)
        try:
            c.receive()
        except sim.Refused as e:
            assert e.code == sim.BUSY
            said = e.text
            break
        except TimeoutError:
            pass
    assert "a second" in said
    host.guest("neighbour").boot()
    # It comes again, as a guest does, and is served.

    def served():
        try:
            return host.guest().boot()
        except (sim.Refused, OSError):          # OSError: closed before HELLO went out
            return None
    wait_for(served)
    for c in held:
        c.close()


def files_below(pid, directory):
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(fd))
        except FileNotFoundError:
            pass
    return [path for path in found if path.startswith(str(directory) + "/")]


def logging(host, names):
    """The machines' guests, booted, with their log sessions."""
    guests = [host.guest(name) for name in names]
    for guest in guests:
        guest.boot()
        guest.connect_log()
    return guests


def test_log_files_in_use_are_few(host):
    """More machines write by turns than may have their files open: nothing is lost, and some are closed meanwhile."""
    host.config["limits"] = {"openLogs": 4}
    names = [f"vm{i:02d}" for i in range(20)]
    for name in names:
        host.vm(name)
    host.start()
    server = host.pids()["server"]
    guests = logging(host, names)
    for turn in range(3):
        for guest in guests:
            guest.send_records([record(sim.STDOUT, b"turn %d\n" % turn)])
            guest.wait_ack()
            assert len(files_below(server, host.state / "logs")) <= 4 * 2
            assert len(files_below(server, host.state / "epochs")) <= 4
    for guest in guests:
        guest.end()
    for name in names:
        assert host.stream("stdout", name) == [b"turn 0", b"turn 1", b"turn 2"]


def test_journals_that_are_closed_in_between_stay_small(host):
    """What is appended each time that a machine's files are open is little, and is not left to grow for ever."""
    host.config["limits"] = {"openLogs": 1, "logRateVm": 0}
    names = "one", "other"
    for name in names:
        host.vm(name)
    host.start()
    server = host.pids()["server"]
    guests = logging(host, names)
    sizes = []
    for _ in range(600):
        for guest in guests:
            guest.send_records([record(sim.STDOUT, b"a line\n")])
            guest.wait_ack()
            assert len(files_below(server, host.state / "epochs")) == 1
        sizes.append((host.state / "epochs/one").stat().st_size)
    grown = sum(max(0, now - before) for before, now in zip(sizes, sizes[1:]))
    assert grown > 100000 and max(sizes) < 80000 and sizes[-1] < grown
    for guest in guests:
        guest.end()
    host.stop()
    host.start()
    assert host.status("one")["streams"]["stdout"]["stored"]["records"] == 600


def test_log_files_give_way_to_guests(host):
    """As many machines as there are descriptors, if no log file were open: each is served, and no log is cut."""
    names = [f"vm{i:02d}" for i in range(48)]
    for name in names:
        host.vm(name)
    # Three for each machine and some for hawserd itself, which is nearly all but those that are kept for files: these
    # hold the oldest at last, and do not help who needs another.
    host.config["limits"] = {"openLogs": 1000}
    host.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
    guests = logging(host, names)
    for turn in range(3):
        for guest in guests:
            guest.send_records([record(sim.STDOUT, b"turn %d\n" % turn)])
            guest.wait_ack()
    for guest in guests:
        guest.end()
    counters = host.status(None)["counters"]
    assert counters["cuts"] == 0 and counters["noDescriptor"] == 0
    for name in names:
        assert host.stream("stdout", name) == [b"turn 0", b"turn 1", b"turn 2"]


DIALS = 10000


def answers(poll, dialled):
    """The beginning of what has come first to each: its kind, and with REFUSE why. Each has only one."""
    heads = []
    for fd, _ in poll.poll(0.02):
        sock = dialled.pop(fd)
        heads.append(struct.unpack("<4xHxxH", sock.recv(10)))
        poll.unregister(fd)
        sock.close()
    return heads


def test_7_ten_thousand_dials(host):
    """More than wait in the kernel, before hawserd looks: who is turned away dials again, and each is answered."""
    host.config["limits"] = {"connectionsPerVm": DIALS, "helloRateVm": 0}
    host.vm("vm")
    host.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    guest, server = host.guest(), host.pids()["server"]
    poll, dialled, launched, again, welcome, idle = select.epoll(), {}, 0, 0, 0, 0
    os.kill(server, signal.SIGSTOP)
    try:
        while welcome < DIALS:
            while launched < DIALS:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                try:
                    sock.connect(f"{guest.base}_{guest.port}")
                except BlockingIOError:
                    sock.close()
                    again += 1
                    os.kill(server, signal.SIGCONT)
                    break
                sock.send(guest.hello())
                poll.register(sock, select.EPOLLIN)
                dialled[sock.fileno()] = sock
                launched += 1
            heads = answers(poll, dialled)
            idle = 0 if heads else idle + 1
            assert idle < 2000, "%d wait for an answer" % len(dialled)
            for kind, code in heads:
                assert kind == sim.WELCOME or (kind, code) == (sim.REFUSE, sim.BUSY)
                welcome += kind == sim.WELCOME
                launched -= kind == sim.REFUSE
    finally:
        os.kill(server, signal.SIGCONT)
        poll.close()
        for sock in dialled.values():
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert again > 0 and host.guest().boot()


def state_of(pids):
    """Descriptors and anonymous memory (KiB) of each process."""
    state = {}
    for name, pid in pids.items():
        status = Path(f"/proc/{pid}/status").read_text()
        state[name] = len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status.split("RssAnon:")[1].split()[0])
    return state


def test_visitors_leave_nothing_behind(host):
    """Connect, HELLO, and gone, in the middle of what the host does for them."""
    host.config["graceMs"] = 100
    host.config["log"] = {"maxBytes": 1 << 20, "maxFiles": 1}
    host.config["limits"] = {"connectionsPerVm": 1000, "openLogs": 1}
    for i in range(50):
        (host.vm(f"g{i:05d}") / "credentials").mkdir()
    host.start("--log-level", "error")
    pids = host.pids()
    fleet = subprocess.Popen([FLEET, host.run], text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def visit(n):
        fleet.stdin.write(f"visit 0 50 2 {n}\n")
        assert fleet.stdout.readline().startswith("done "), "the guests gave up"
        wait_for(lambda: not host.status(None)["connections"], "the end of all connections")
        # What was asked for the last of them, who are gone, may still be under way to the reader.
        wait_for(lambda: state_of(pids)["reader"][0] <= at_rest, "the end of what the reader was asked")
        return state_of(pids)
    at_rest = state_of(pids)["reader"][0]
    try:
        visit(max(VISITS // 10, 2000))
        states = [visit(VISITS // WINDOWS) for _ in range(WINDOWS + 1)]
    finally:
        fleet.stdin.close()
        fleet.wait()
    print(f"\n{VISITS} visits: descriptors and KiB {states[0]} before, {states[-1]} after")
    for name in pids:
        assert states[-1][name][0] <= states[0][name][0] + 3, (name, states)        # one machine's files
        # A leak grows from each to the next. What more guests at once than ever needed is kept, and does not.
        kib = [state[name][1] for state in states]
        assert min(later - earlier for earlier, later in zip(kib, kib[1:])) < 8, (name, kib)
        assert kib[-1] - kib[0] < 1024, (name, kib)
