# SPDX-License-Identifier: MIT
"""Who asked for what, and what became of it: the audit log; and what an administrator closes and opens again."""
import json
import os
import subprocess

import pytest

import guest_sim as sim
from daemon import HAWSERD, PATIENCE, refused, wait_for
from guest_sim import Cut, record

HAWSER = HAWSERD.parent / "hawser"


def entries(host, folder=None, name="audit.log"):
    path = (folder or host.state / "audit") / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def words(host, *keys):
    return [tuple(entry.get(key) for key in ("what", "outcome", *keys)) for entry in entries(host)]


def hawser(host, *arguments):
    return subprocess.run([HAWSER, arguments[0], "--runtime", host.run, *arguments[1:]], text=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def credentials(frames):
    return [payload[16:] for kind, payload in frames if kind == sim.CREDENTIAL]


@pytest.fixture
def kept(host):
    """A host with a machine that has two credentials."""
    (host.vm("vm") / "credentials").mkdir()
    for name in "one", "two":
        (host.vms / "vm/credentials" / name).write_text("value of " + name)
    return host


def test_a_boot_from_end_to_end(kept):
    kept.start()
    guest = kept.live()
    refused(sim.EPOCH_ALIVE, kept.guest().boot)
    other = kept.guest()
    other.token = bytes(16)
    refused(sim.TOKEN, other.connect_log)
    guest.end()
    wait_for(lambda: ("epoch", "over") in words(kept))
    assert words(kept, "reason", "credentials") == [
        ("boot", "served", None, 2), ("deliver", "applied", None, None), ("boot", "refused", "epoch-alive", None),
        ("log", "refused", "token", None), ("epoch", "over", None, None)]
    for entry in entries(kept):
        assert entry["vm"] == "vm" and entry["epoch"] == entries(kept)[0]["epoch"] and entry["time"].endswith("Z")
        assert set(entry) <= {"time", "vm", "epoch", "what", "outcome", "reason", "credentials", "uid"}
    assert "value of" not in (kept.state / "audit/audit.log").read_text()
    assert (kept.state / "audit/audit.log").stat().st_mode & 0o777 == 0o600


def test_what_comes_to_nothing(kept):
    kept.start()
    guest = kept.guest()
    guest.boot(apply=False)
    guest.boot(apply=False)
    c = guest.dial_boot()
    c.send(guest.hello())
    while c.receive()[0] != sim.COMMIT:
        pass
    c.send(sim.frame(sim.REFUSE, b"\x0a\0\0\0" + b"value of one"))
    with pytest.raises(Cut):
        c.receive()
    guest.connect_log()
    guest.log.close()
    wait_for(lambda: ("epoch", "over") in words(kept))
    said = words(kept)
    assert said.count(("boot", "served")) == 1 and said.count(("boot", "served again")) == 2
    assert ("boot", "refused by the guest") in said and ("deliver", "applied") in said
    assert words(kept, "reason")[-1] == ("epoch", "over", "its log ended without an end")
    assert "value of" not in (kept.state / "audit/audit.log").read_text()


def test_without_an_audit_log_nothing_is_delivered(kept):
    kept.start()
    folder = kept.state / "audit"
    (folder / "audit.log").unlink()
    (folder / "audit.log").mkdir()
    kept.process.send_signal(1)      # SIGHUP: the file is opened anew
    wait_for(lambda: kept.said("looking at all machines again"))
    text = refused(sim.BUSY, kept.guest().boot)
    assert "audit" in text and kept.said("audit.log: cannot be written")
    (folder / "audit.log").rmdir()
    _, frames = kept.guest().boot()
    assert len(credentials(frames)) == 2 and ("boot", "served") in words(kept)


def test_it_rotates_and_goes_where_it_is_told(kept, tmp_path):
    folder = tmp_path / "journal"
    kept.config["audit"] = str(folder)
    kept.config["log"] = {"maxBytes": 600, "maxFiles": 3}
    kept.start()
    for _ in range(6):
        guest = kept.live()
        guest.end()
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"]
    assert all(path.stat().st_size <= 600 for path in folder.iterdir())
    assert all(entries(kept, folder, name) for name in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_said(kept, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o700)
    kept.config["audit"] = str(tmp_path / "mine")
    kept.start(wait=False)
    assert kept.process.wait(PATIENCE) == 111
    assert kept.said(r"audit.log: cannot be written by user \d+: Permission denied; give it its directory")


# --- revoke and rearm -----------------------------------------------------------------------------------------------

def test_revoke_and_rearm(kept):
    kept.start()
    guest = kept.live()
    assert hawser(kept, "revoke", "vm").returncode == 0
    # What runs goes on, and keeps what it has.
    guest.send_records([record(sim.STDOUT, b"still here\n")])
    guest.wait_ack()
    guest.end()
    assert "hawser rearm" in refused(sim.REVOKED, kept.guest().boot)
    assert "revoked" in hawser(kept, "status").stdout
    kept.stop()
    kept.start()
    refused(sim.REVOKED, kept.guest().boot)
    assert hawser(kept, "rearm", "vm").returncode == 0
    _, frames = kept.guest().boot()
    assert len(credentials(frames)) == 2
    assert "revoked" not in hawser(kept, "status").stdout
    said = words(kept, "uid")
    assert ("revoke", "done", os.geteuid()) in said and ("rearm", "done", os.geteuid()) in said
    assert ("boot", "refused", "revoked") in words(kept, "reason")
    assert b"hawserd revoked: by user" in kept.text()


def test_a_boot_that_is_under_way_is_cut_by_revoke(kept):
    (kept.vms / "vm/files").mkdir()
    (kept.vms / "vm/files/large").write_bytes(bytes(8 << 20))
    kept.start()
    guest = kept.guest()
    c = guest.dial_boot()
    c.send(guest.hello())
    assert c.receive()[0] == sim.WELCOME
    assert hawser(kept, "revoke", "vm").returncode == 0
    with pytest.raises(Cut):
        while c.receive()[0] != sim.COMMIT:
            pass
    refused(sim.REVOKED, guest.boot)


def test_rearm_of_what_is_delivered_once(host):
    (host.vm("vm", hawser={"credentials": {"delivery": "once"}}) / "credentials").mkdir()
    (host.vms / "vm/credentials/key").write_text("x")
    host.start()

    def boot():
        guest = host.guest()
        _, frames = guest.boot()
        guest.connect_log()
        guest.end()
        return credentials(frames)
    assert [boot(), boot()] == [[b"key"], []]
    assert host.status()["spent"]
    host.stop()
    host.start()
    assert boot() == []
    assert hawser(host, "rearm", "vm").returncode == 0
    assert not host.status()["spent"]
    assert [boot(), boot()] == [[b"key"], []]
    assert [entry["credentials"] for entry in entries(host) if entry["outcome"] == "served"] == [1, 0, 0, 1, 0]


def test_one_that_is_attached_is_revoked_while_it_is_there(host):
    directory = host.top / "machine"
    directory.mkdir()
    (directory / "vm.json").write_text('{"process": {"args": ["/bin/true"]}}')
    host.start()
    control = host.control()
    assert control.attach(directory)["ok"]
    assert hawser(host, "revoke", "machine").returncode == 0
    refused(sim.REVOKED, host.guest("machine").boot)
    assert hawser(host, "rearm", "machine").returncode == 0
    host.guest("machine").boot()
    control.close()
    assert not list((host.state / "revoked").iterdir())


def test_machines_that_nobody_knows(up):
    for command in "revoke", "rearm":
        done = hawser(up, command, "nobody")
        assert done.returncode == 1 and "no machine named nobody" in done.stderr
        assert hawser(up, command, "../vm").returncode == 1
        assert hawser(up, command).returncode == 2 and hawser(up, command, "--wrong").returncode == 2
        assert "usage" in hawser(up, command, "--help").stdout
    assert [(entry["vm"], entry["what"]) for entry in entries(up)] == [("nobody", "revoke"), ("nobody", "rearm")]
