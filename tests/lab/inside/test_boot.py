# SPDX-License-Identifier: MIT
"""Guests on the kernel's vhost_vsock, from boot to exit status, alone and with others."""
import os
import re
import subprocess

import pytest

from .conftest import PATIENCE_S, TOP


@pytest.mark.parametrize("device", ["microvm", "q35"])
def test_boots_to_an_exit_status(host, guest, device):
    host.machine("a", 77, "hostname; cat $CREDENTIALS_DIRECTORY/key; exit 7", credentials={"key": "of a\n"})
    guest(77, device).wait()
    assert host.exit("a") == 7
    assert host.stdout("a") == ["a", "of a"]
    status = host.status("a")
    assert (status["cid"], status["boots"], status["epoch"]["state"]) == (77, 1, "ended") and "socket" not in status


def test_two_at_once_get_their_own(host, guest):
    """Both boot at the same time, again and again, by both kinds of device."""
    script = "hostname; cat $CREDENTIALS_DIRECTORY/key /etc/own; exit %d"
    for name, cid, code in ("a", 77, 7), ("b", 78, 8):
        host.machine(name, cid, script % code, credentials={"key": "secret of %s\n" % name})
        (host.vms / name / "files/etc").mkdir()
        (host.vms / name / "files/etc/own").write_text("file of %s\n" % name)
    rounds = 2
    for _ in range(rounds):
        for each in [guest(77), guest(78, "q35")]:
            each.wait()
    for name, other, code in ("a", "b", 7), ("b", "a", 8):
        assert host.stdout(name) == [name, "secret of " + name, "file of " + name] * rounds
        assert [event["value"] for event in host.events(name, "exited")] == [code] * rounds
        assert b"of " + other.encode() not in host.text(name)
        assert host.status(name)["boots"] == rounds


def test_no_directory_names_the_cid(host, guest):
    host.machine("a", 77)
    stranger = guest(78)
    assert host.wait_said(r"refused a connection from CID 78, port \d+: no machine has this CID")
    host.machine("late", 78, "exit 5")
    stranger.wait()
    assert host.exit("late") == 5 and host.status("a")["boots"] == 0


def hawser_run(*options, **env):
    return subprocess.run([TOP / "build/hawser", "run", *options, TOP / "examples/hello", "--", "sh", "-c", "exit 7"],
                          env=dict(os.environ, HAWSER_CACHE="/run/cache", **env), text=True, timeout=PATIENCE_S,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_hawser_run_finds_kvm_and_vhost(tmp_path):
    """By itself: no option, and no vhost-device-vsock to be found."""
    run = hawser_run("--private", HAWSER_VHOST_DEVICE_VSOCK="/nonexistent")
    assert run.returncode == 7, run.stderr
    assert re.search(r"hawser: hello: exit 7; CID 42, .* 0 lost, kvm, ", run.stderr), run.stderr


@pytest.mark.parametrize("vsock", [True, False])
def test_hawser_run_with_the_hawserd_that_is_there(host, vsock):
    """vhost where that listens on AF_VSOCK, and vhost-device-vsock where it does not."""
    host.config["vsock"] = vsock
    host.start()
    run = hawser_run("--runtime", host.run)
    assert run.returncode == 7 and " 0 lost, kvm, " in run.stderr, run.stderr
    assert ("using vhost-device-vsock" in run.stderr) == (not vsock)


def test_hawser_run_where_the_ports_are_taken(host):
    host.machine("a", 77)
    run = hawser_run("--private")
    assert run.returncode == 7, run.stderr
    assert "using vhost-device-vsock, not /dev/vhost-vsock: another hawserd listens" in run.stderr
