# SPDX-License-Identifier: MIT
"""The guest with UBSan, whose findings are traps: the kernel says so, and the process is gone."""
import hashlib
import os

import pytest

from . import wire
from .conftest import output


@pytest.fixture(scope="session")
def ubsan(kit):
    output("make", "-s", "build/init-ubsan")
    with open(os.path.join(kit.top, "build/init-ubsan"), "rb") as file:
        return file.read()


def kernel(run):
    return b"\n".join(record.data[8:] for record in run.log.of("kernel", wire.MESSAGE)).decode()


def test_ubsan(guest, ubsan):
    """Every kind of record, files over the image and onto a mount, all streams, a restart, a stop: nothing traps."""
    big = os.urandom(300000)
    run = guest(wire.hostname("ubsan"), wire.env("MODE=loud"), wire.cwd("/data"), wire.user(1000, 100, 7),
                wire.sysctl("vm.overcommit_ratio", "77"), wire.mount("/data", "tmpfs", "tmpfs", "size=8m,mode=777"),
                wire.log(ring=65536), wire.workload("on-failure", restarts=1),
                wire.directory("data"), wire.file("data/big", big), wire.symlink("data/link", "big"),
                wire.directory("etc"), wire.file("etc/app", "over\n", 0o640, 5, 6),
                wire.credential("key", big[:70000], 0o400, 1000, 100),
                script="hostname; sha256sum <link; sha256sum <$CREDENTIALS_DIRECTORY/key; logger -p user.err said; "
                       "seq 1 20000; head -c 200000 /dev/zero; echo err >&2; [ -e again ] && exit 0; touch again; "
                       "exit 3")
    run.image.add("/init", ubsan)
    run.run()
    text = run.log.bytes("stdout").decode().split("\n")
    assert run.exit == 0 and text[0] == "ubsan"
    assert text[1:3] == [hashlib.sha256(part).hexdigest() + "  -" for part in (big, big[:70000])]
    assert len(run.host.logs) == 1, "the relay started anew"
    assert run.stderr == b"err\nerr\n"
    assert "trap" not in kernel(run) + run.serial


def test_ubsan_traps(guest, ubsan):
    """What a finding would look like: one instruction of UBSan's, in a program that the guest runs."""
    trap = bytes.fromhex("0f0b")
    assert ubsan.count(trap) > 100
    run = guest(wire.args("/trap"))
    run.image.add("/trap", b"\x7fELF" + bytes.fromhex("02010100") + bytes(8) + bytes.fromhex(
        "02003e00 01000000 7800400000000000 4000000000000000 0000000000000000 00000000 4000 3800 0100 0000 0000 0000"
        "01000000 05000000 0000000000000000 0000400000000000 0000400000000000 7a00000000000000 7a00000000000000"
        "0010000000000000") + trap)
    run.run()
    assert run.exit == -4
    assert "trap[" in kernel(run)
