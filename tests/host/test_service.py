# SPDX-License-Identifier: MIT
"""hawserd as a service: what it tells the service manager, and whoever watches it."""
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from daemon import PATIENCE, Manager, wait_for
from guest_sim import STDOUT, record

TOP = Path(__file__).resolve().parents[2]


class Listener(Manager):
    """As much of systemd as listens to sd_notify."""

    def environment(self, **more):
        return {"env": dict(os.environ, NOTIFY_SOCKET=self.path, **more)}

    def hear(self):
        """The next note that is not about sockets to keep."""
        while True:
            note = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())
            if "FDNAME" not in note:
                return note

    def hear_of(self, key):
        while key not in (said := self.hear()):
            pass
        return said


@pytest.fixture
def manager(tmp_path):
    manager = Listener(tmp_path / "notify")
    yield manager
    manager.close()


def test_it_says_what_it_does(host, manager):
    host.vm("vm")
    host.start(**manager.environment())
    assert manager.hear() == {"READY": "1", "STATUS": "1 machines"}
    host.vm("another")
    host.process.send_signal(signal.SIGHUP)
    assert int(manager.hear_of("RELOADING")["MONOTONIC_USEC"]) > 0
    assert manager.hear() == {"READY": "1", "STATUS": "2 machines"}
    host.stop()
    assert manager.hear() == {"STOPPING": "1"}


def test_a_watchdog_hears_of_it(host, manager):
    host.start(**manager.environment(WATCHDOG_USEC="200000"))
    manager.hear_of("READY")
    for _ in range(3):
        assert manager.hear() == {"WATCHDOG": "1"}


def test_another_process_s_watchdog_does_not(host, manager):
    """WATCHDOG_PID is not ours."""
    host.start(**manager.environment(WATCHDOG_USEC="1000", WATCHDOG_PID="1"))
    manager.hear_of("READY")
    host.stop()
    assert manager.hear() == {"STOPPING": "1"}


# --- metrics --------------------------------------------------------------------------------------------------------

def ask(path, request=b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a test\r\n\r\n"):
    """The status line and the headers, and the body."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(request)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if head:
        assert int(re.search(rb"Content-Length: (\d+)", head).group(1)) == len(body)
    return head.decode(), body.decode()


def samples(body):
    return dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))


@pytest.fixture
def measured(host):
    host.config["metrics"] = f"unix:{host.top}/metrics"
    host.vm("vm")
    return host.start()


def test_metrics(measured):
    guest = measured.live()
    guest.send_records([record(STDOUT, b"one\n"), record(STDOUT, b"two\n")])
    guest.wait_ack()
    head, body = ask(measured.top / "metrics")
    assert head.startswith("HTTP/1.1 200 OK\r\n") and "text/plain; version=0.0.4" in head
    found = samples(body)
    assert found["hawserd_boots_total"] == found["hawserd_boots_applied_total"] == "1"
    assert found['hawser_vm_logging{vm="vm"}'] == found['hawser_vm_valid{vm="vm"}'] == "1"
    assert found['hawser_log_stored_records_total{vm="vm",stream="stdout"}'] == "2"
    assert found['hawser_log_stored_bytes_total{vm="vm",stream="stdout"}'] == "8"
    status = measured.status()
    assert found['hawser_vm_log_acknowledged_records{vm="vm"}'] == str(status["epoch"]["acknowledged"])


def test_metrics_are_what_prometheus_reads(measured):
    guest = measured.live()
    guest.send_records([record(STDOUT, b"a line\n")])
    guest.wait_ack()
    body = ask(measured.top / "metrics")[1]
    check = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True)
    assert check.returncode == 0 and not check.stderr + check.stdout


@pytest.mark.parametrize("request_, status", [
    (b"GET / HTTP/1.1\r\n\r\n", "404"), (b"GET /metricsandmore HTTP/1.1\r\n\r\n", "404"),
    (b"POST /metrics HTTP/1.1\r\n\r\n", "405"), (b"\r\n\r\n", "405"),
    (b"GET /metrics?x=y HTTP/1.0\r\n\r\n", "200"),
])
def test_other_requests(measured, request_, status):
    assert ask(measured.top / "metrics", request_)[0].split()[1] == status


@pytest.mark.parametrize("garbage", [b"G" * 4096, b"GET /metrics\0\r\n\r\n"])
def test_what_is_no_request_gets_no_answer(measured, garbage):
    try:
        answer = ask(measured.top / "metrics", garbage)
    except ConnectionResetError:
        return
    assert answer == ("", "")


def test_a_crowd_of_silent_scrapers(measured):
    """Four are served at once. Whoever says nothing keeps others waiting until he is gone, and guests not at all."""
    crowd = []
    for _ in range(4):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(measured.top / "metrics"))
        crowd.append(sock)
    measured.guest().boot()
    crowd.pop().close()
    assert ask(measured.top / "metrics")[0].split()[1] == "200"
    for sock in crowd:
        sock.close()


def test_metrics_on_a_loopback_port(host):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host.config["metrics"] = f"127.0.0.1:{port}"
    host.start()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("place", ["0.0.0.0:9100", "127.0.0.1:0", "127.0.0.1:65536", "[::]:9100", "unix:metrics",
                                   "localhost:9100"])
def test_metrics_for_no_network(host, place):
    host.config["metrics"] = place
    host.start(wait=False)
    assert host.process.wait(PATIENCE) == 1
    assert host.said(r"hawserd\.json:1:\d+: .*metrics.*no network")


def test_nothing_is_left_of_a_socket_for_metrics(measured):
    measured.stop()
    assert not (measured.top / "metrics").exists()
    measured.start()
    measured.kill()
    measured.start()                     # over the stale one
    wait_for(lambda: ask(measured.top / "metrics")[1], "metrics")


# --- the unit -------------------------------------------------------------------------------------------------------

UNIT = TOP / "host/system/hawserd.service"


@pytest.fixture
def unit(tmp_path):
    """As `make install` would put it."""
    path = tmp_path / "hawserd.service"
    path.write_text(UNIT.read_text().replace("@sbindir@", str(TOP / "build")))
    return path


def test_the_unit_is_hardened(unit):
    rated = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert rated.returncode == 0, rated.stdout
    assert "ignoring" not in rated.stdout and "Unknown" not in rated.stdout


def test_the_unit_s_capabilities_are_enough(host, unit):
    """With these and no others, and no way to more: it becomes its users, and serves."""
    if os.geteuid():
        pytest.fail("this test has to run as root")
    names = re.search(r"^CapabilityBoundingSet=(.*)$", unit.read_text(), flags=re.M).group(1).lower().split()
    bounding = "-all," + ",".join("+" + name.removeprefix("cap_") for name in names)
    host.vm("vm")
    host.start(before=["setpriv", "--no-new-privs", "--bounding-set", bounding])
    host.guest().boot()
    users = {Path(f"/proc/{pid}").stat().st_uid for pid in descendants(host.process.pid)}
    assert len(users) == 2 and 0 not in users
    host.stop()


def descendants(pid):
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))


def test_the_unit_s_system_calls_are_enough(unit):
    """Each that hawserd's own lists name is in the unit's: its filter holds for all processes."""
    groups = re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), flags=re.M)
    allowed = set()
    for group in groups:
        calls = {call for name in group.lstrip("~").split() for call in calls_of(name)}
        allowed = allowed - calls if group.startswith("~") else allowed | calls
    source = (TOP / "host/sandbox.c").read_text()
    lists = re.findall(r"_calls\[\] = \{(.*?)\};", source, flags=re.S)
    wanted = {call for text in lists for call in re.findall(r'"([a-z0-9_]+)"', text)}
    assert len(wanted) > 50 and wanted - allowed == set()


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    listed = subprocess.check_output(["systemd-analyze", "syscall-filter", name], text=True).splitlines()
    words = [line.strip() for line in listed[1:] if line.strip() and not line.strip().startswith("#")]
    return {call for word in words for call in calls_of(word)}
