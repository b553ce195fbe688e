# SPDX-License-Identifier: MIT
"""hawserd and its units as `make install` leaves them, under a real systemd: Debian's, which is a guest of ours."""
import json
import os
import subprocess
from pathlib import Path

import pytest

from . import wire
from .control import Control
from .test_handoff import debian_root, kernel, switch_root  # noqa: F401

# The programs' libraries that the small Debian does not have; its own are newer than what they were built with.
LIBRARIES = "libjansson.so.4", "libnettle.so.8"
# Guests g00000 and g00001 of tests/bench/fleet.c: each boots, and writes five lines.
FLEET = "printf 'boot 0 2 2\\nlog 0 2 2\\nrecords 0 2 1 10\\nend 0 2 2\\n' | fleet /run/hawser"
# Who is a guest itself has its own /run/hawser, which must outlive the service.
BOTH = "[Service]\nRuntimeDirectoryPreserve=yes\n"
DROP_IN = "etc/systemd/system/hawserd.service.d"


def tree(top):
    """That directory's content as records."""
    records = []
    for path in sorted(Path(top).rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            records.append(wire.symlink(name, os.readlink(path)))
        elif path.is_dir():
            records.append(wire.directory(name))
        else:
            records.append(wire.file(name, path.read_bytes(), path.stat().st_mode & 0o777))
    return records


@pytest.fixture(scope="session")
def installed(kit, tmp_path_factory):
    """What is installed of hawserd, with settings and two machines."""
    top = tmp_path_factory.mktemp("installed")
    whole, part = top / "whole", top / "part"
    subprocess.run(["make", "-s", "install", "build/fleet", "DESTDIR=%s" % whole, "PREFIX=/usr"], cwd=kit.top,
                   check=True, stdout=subprocess.DEVNULL)
    for name in "usr/bin", "usr/sbin", "usr/lib", "etc/hawser/vms":
        (part / name).parent.mkdir(parents=True, exist_ok=True)
    for name in "usr/bin", "usr/sbin", "usr/lib":
        (whole / name).rename(part / name)
    subprocess.run(["install", "-s", os.path.join(kit.top, "build/fleet"), part / "usr/bin"], check=True)
    needed = subprocess.run(["ldd", part / "usr/sbin/hawserd"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for name, _, path, *_ in filter(lambda words: words[0] in LIBRARIES, map(str.split, needed.splitlines())):
        (part / "usr/lib" / name).write_bytes(Path(path).read_bytes())
    for name in "g00000", "g00001":
        (part / "etc/hawser/vms" / name / "credentials").mkdir(parents=True)
        (part / "etc/hawser/vms" / name / "vm.json").write_text(json.dumps({"process": {"args": ["true"]}}))
        (part / "etc/hawser/vms" / name / "credentials/key").write_text("secret")
        (part / "etc/hawser/vms" / name / "credentials/key").chmod(0o600)
    (part / "etc/hawser/hawserd.json").write_text(json.dumps({"log": {"journal": True, "json": True}}))
    (part / DROP_IN).mkdir(parents=True)
    (part / DROP_IN / "both.conf").write_text(BOTH)
    return tree(part)


class Machine:
    def __init__(self, run):
        self.run = run

    def sh(self, script, status=0):
        """What it prints."""
        with Control(self.run) as control:
            control.sock.settimeout(self.run.patience)
            control.exec("sh", "-c", script)
            assert (control.exit(), control.err) == (status, b""), (script, control.out, control.err)
            return control.out.decode()

    def shows(self, *names):
        """Properties of the service."""
        shown = dict(line.split("=", 1) for line in self.sh("systemctl show hawserd").splitlines())
        return [shown.get(name) for name in names]

    def sockets(self):
        """Names, and which they are."""
        return self.sh("cd /run/hawser; stat -c '%n %i' *.vsock_61?")

    def journal(self, *words):
        lines = self.sh("journalctl --sync; journalctl -q -o json --no-pager " + " ".join(words)).splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def machine(guest, kernel, debian_root, installed):  # noqa: F811
    run = guest(switch_root("ext4", "/dev/vda", overlay=True), wire.control("exec", "stop"), *installed)
    run.kernel, run.memory, run.patience = kernel, 512, 600
    run.qemu = ["-drive", "id=root,if=none,format=raw,readonly=on,file=" + debian_root,
                "-device", "virtio-blk-device,drive=root"]
    run.cmdline = "hawser.deadline=120 systemd.unit=multi-user.target"
    run.start()
    run.host.wait(lambda: run.host.epochs and run.log.events("ready"), "systemd's READY=1", run.patience)
    made = Machine(run)
    made.sh("systemd-sysusers")
    yield made
    with Control(run) as control:
        control.send(wire.STOP, (300000).to_bytes(4, "little"))
        assert control.done() == 0
        run.wait()


def serves(machine, boots):
    """Guests boot, and their logs are in files and in the journal, once more than before."""
    assert [line.split()[0] for line in machine.sh(FLEET).splitlines()] == ["done"] * 4
    lines = machine.sh("grep -ch '\"stream\":\"stdout\"' /var/lib/hawser/logs/g*/json.log")
    assert lines.split() == [str(5 * boots)] * 2
    entries = machine.journal("HAWSER_VM=g00001", "HAWSER_STREAM=stdout")
    assert len(entries) == 5 * boots and {entry["_SYSTEMD_UNIT"] for entry in entries} == {"hawserd.service"}


def test_the_units(machine):
    """One machine for all of it: it takes its time to boot."""
    machine.sh("systemctl start hawserd")
    assert machine.shows("ActiveState", "SubState", "StatusText", "NotifyAccess", "WatchdogUSec") == [
        "active", "running", "2 machines", "main", "30s"]
    users = machine.sh("for pid in $(pidof hawserd); do stat -c %U /proc/$pid; done")
    assert set(users.split()) == {"root", "hawser", "hawser-reader"}
    serves(machine, 1)

    # Another machine, and SIGHUP, of which systemd hears.
    machine.sh("cp -a /etc/hawser/vms/g00001 /etc/hawser/vms/another; systemctl reload hawserd")
    machine.sh("until systemctl show -P StatusText hawserd | grep -qx '3 machines'; do sleep 0.1; done")

    # The sockets are the same ones, for who dials meanwhile; nobody had to be killed.
    before, sockets = machine.shows("MainPID"), machine.sockets()
    assert int(machine.shows("NFileDescriptorStore")[0]) >= 6
    machine.sh("systemctl restart hawserd")
    assert machine.shows("MainPID") != before and machine.sockets() == sockets
    serves(machine, 2)

    # A hawserd that hangs is ended and started again, by the watchdog.
    machine.sh("printf '[Service]\\nWatchdogSec=3\\n' >/%s/watchdog.conf; systemctl daemon-reload; "
               "systemctl restart hawserd; systemctl kill -s STOP --kill-whom=main hawserd; "
               "until [ $(systemctl show -P NRestarts hawserd) != 0 ]; do sleep 0.1; done; "
               "rm /%s/watchdog.conf; systemctl daemon-reload; systemctl restart hawserd" % (DROP_IN, DROP_IN))
    said = [entry["MESSAGE"] for entry in machine.journal("-u hawserd")]
    assert "hawserd.service: Failed with result 'watchdog'." in said
    assert machine.sockets() == sockets
    serves(machine, 3)

    # Its end, and that somebody who asks for it starts it.
    machine.sh("systemctl stop hawserd")
    assert machine.shows("ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]
    machine.sh("systemctl start hawserd.socket")
    assert machine.shows("ActiveState") == ["inactive"]
    assert len(machine.sh("hawser status").splitlines()) == 4
    assert machine.shows("ActiveState", "TriggeredBy") == ["active", "hawserd.socket"]
    serves(machine, 4)
