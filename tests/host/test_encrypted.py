# SPDX-License-Identifier: MIT
"""Credentials that are encrypted on the host's disk, by systemd-creds with a key of this test's own."""
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import guest_sim as sim
from daemon import HAWSERD, Host, refused, wait_for
from guest_sim import Cut

sys.path.append(str(Path(__file__).resolve().parent.parent / "secrets"))
from canary import process_memory  # noqa: E402

PROGRAM = "/usr/bin/systemd-creds"

pytestmark = pytest.mark.skipif(not os.path.exists(PROGRAM) or os.geteuid() != 0,
                                reason="needs systemd-creds, as root")


class Keyed(Host):
    """A host whose hawserd finds a key of its own."""

    def __init__(self, top):
        super().__init__(top)
        self.key = top / "key"
        self.key.write_bytes(os.urandom(4096))
        self.key.chmod(0o400)
        self.env = dict(os.environ, SYSTEMD_CREDENTIAL_SECRET=str(self.key))
        self.folder = self.vm("vm") / "credentials.encrypted"
        self.folder.mkdir()

    def encrypt(self, name, content, named=None):
        done = subprocess.run([PROGRAM, "encrypt", "--with-key=host", "--name=" + (named or name), "-", "-"],
                              input=content, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        (self.folder / name).write_bytes(done.stdout)
        return done.stdout

    def start(self, *arguments, **more):
        return super().start(*arguments, **dict({"env": self.env}, **more))


@pytest.fixture
def keyed(tmp_path):
    made = Keyed(tmp_path)
    yield made
    made.stop()


def received(frames):
    """Credentials by name."""
    found, name = {}, None
    for kind, payload in frames:
        if kind == sim.CREDENTIAL:
            name = payload[16:].decode()
            found[name] = [struct.unpack_from("<I", payload, 12)[0], payload[:12], b""]
        elif kind == sim.DATA and name:
            found[name][2] += payload
    assert all(size == len(content) for size, _, content in found.values())
    return {name: content for name, (_, _, content) in found.items()}


def cut(keyed):
    with pytest.raises(Cut):
        keyed.guest().boot()


def test_they_come_as_they_were(keyed):
    rng = random.Random(4)
    secrets = {"small": b"quite a secret", "empty": b"", "large": rng.randbytes(700000),
               "other.key": rng.randbytes(40)}
    for name, content in secrets.items():
        keyed.encrypt(name, content)
    (keyed.vms / "vm/credentials").mkdir()
    (keyed.vms / "vm/credentials/plain").write_bytes(b"not encrypted")
    keyed.start()
    for _ in range(2):
        _, frames = keyed.guest().boot(apply=False)
        assert received(frames) == dict(secrets, plain=b"not encrypted")
    for path in [keyed.output, *keyed.state.rglob("*")]:
        assert path.is_dir() or b"quite a secret" not in path.read_bytes()
    # Nothing of it stays in a process, nor the program that did it.
    for name, pid in keyed.pids().items():
        for part in secrets["large"][350000:350032], secrets["other.key"]:
            assert not any(part in content for _, content in process_memory(pid)), name
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        assert not children or name == "monitor"


def test_what_was_encrypted_for_another_name_is_not_sent(keyed):
    keyed.encrypt("key", b"secret", named="other")
    keyed.start()
    cut(keyed)
    assert keyed.said(r"credentials\.encrypted/key: systemd-creds: cannot decrypt it: status 1; ")
    assert keyed.said("does not match filename")
    keyed.encrypt("key", b"secret")
    _, frames = keyed.guest().boot()
    assert received(frames) == {"key": b"secret"}


def test_one_that_was_altered_is_not_sent(keyed):
    text = keyed.encrypt("key", bytes(3000))
    broken = bytearray(text)
    broken[len(text) // 2] ^= 1
    (keyed.folder / "key").write_bytes(broken)
    keyed.start()
    cut(keyed)
    (keyed.folder / "key").write_bytes(text[:len(text) // 2])
    cut(keyed)
    (keyed.folder / "key").write_bytes(b"")
    cut(keyed)
    (keyed.folder / "key").write_bytes(text)
    _, frames = keyed.guest().boot()
    assert received(frames) == {"key": bytes(3000)}


def test_without_the_key_nothing_is_sent(keyed):
    keyed.encrypt("key", b"secret")
    keyed.key.rename(keyed.top / "elsewhere")
    keyed.start(env=dict(os.environ, SYSTEMD_CREDENTIAL_SECRET=str(keyed.top / "nowhere/key")))
    cut(keyed)
    assert keyed.said("cannot decrypt it: status 1")


def test_bounds(keyed):
    """A mebibyte of all credentials, as they are when they are decrypted."""
    keyed.encrypt("a", bytes(700000))
    keyed.encrypt("b", bytes(348576))
    keyed.start()
    _, frames = keyed.guest().boot(apply=False)
    assert sum(map(len, received(frames).values())) == 1 << 20
    keyed.encrypt("b", bytes(348577))
    cut(keyed)
    assert keyed.said("all credentials together have 1048577 bytes and more; they may have 1048576")
    (keyed.folder / "b").unlink()
    (keyed.folder / "c").write_bytes(bytes((2 << 20) + 1))
    refused(sim.CONFIG, keyed.guest().boot)
    assert keyed.said("c: has 2097153 bytes; a credential may have 2097152")


def test_hawser_check_needs_no_key(keyed):
    keyed.encrypt("key", b"secret")
    environment = {key: value for key, value in keyed.env.items() if key != "SYSTEMD_CREDENTIAL_SECRET"}
    done = subprocess.run([HAWSERD.parent / "hawser", "check", keyed.vms / "vm"], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and "1 credential" in done.stdout, done.stdout
    (keyed.folder / "no name").write_bytes(b"")
    done = subprocess.run([HAWSERD.parent / "hawser", "check", keyed.vms / "vm"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 1 and "credentials.encrypted/no name: is not a credential's name" in done.stdout


def test_a_name_that_is_there_twice(keyed):
    keyed.encrypt("key", b"secret")
    (keyed.vms / "vm/credentials").mkdir()
    (keyed.vms / "vm/credentials/key").write_bytes(b"another")
    keyed.start()
    refused(sim.CONFIG, keyed.guest().boot)
    assert keyed.said(r"credentials\.encrypted/key: is in credentials/, too")


def test_what_does_not_belong_there(keyed):
    (keyed.folder / "link").symlink_to("/etc/passwd")
    keyed.start()
    refused(sim.CONFIG, keyed.guest().boot)
    assert keyed.said("link: is a symbolic link; a credential is a regular file")
    (keyed.folder / "link").unlink()
    shutil.rmtree(keyed.folder)
    keyed.folder.symlink_to("/etc")
    refused(sim.CONFIG, keyed.guest().boot)


def test_many_machines_at_once(keyed):
    """One reader decrypts for all of them, one credential at a time."""
    for i in range(8):
        folder = keyed.vm("m%d" % i) / "credentials.encrypted"
        folder.mkdir()
        keyed.folder = folder
        keyed.encrypt("key", b"secret of %d" % i)
    keyed.start()
    connections = []
    for i in range(8):
        guest = keyed.guest("m%d" % i)
        connection = guest.dial_boot()
        connection.send(guest.hello())
        connections.append(connection)
    for i, connection in enumerate(connections):
        frames = [connection.receive()]
        while frames[-1][0] != sim.COMMIT:
            frames.append(connection.receive())
        assert received(frames) == {"key": b"secret of %d" % i}
    wait_for(lambda: keyed.status(None)["counters"]["boots"] == 8)
