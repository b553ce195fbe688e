# SPDX-License-Identifier: MIT
"""
Real guests of tests/boot with the real hawserd of tests/host. A test takes `served` for a host whose machine `vm` has
a guest to go with it: its vm.json names the socket that the guest's device uses.
"""
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in HERE, HERE.parent, HERE.parent / "host":
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from boot.conftest import guest, kit, programs, pytest_runtest_makereport  # noqa: E402, F401
from daemon import Host, wait_for  # noqa: E402


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    return programs(HERE, tmp_path_factory.mktemp("programs"))


class Served:
    """The machine `vm`: a host, a guest, a directory to fill."""

    def __init__(self, host, guest):  # noqa: F811
        self.host, self.guest = host, guest
        self.directory = host.vms / "vm"

    def config(self, script, env=(), **hawser):
        self.host.vm("vm", process={"args": ["sh", "-c", script], "env": list(env)},
                     hawser=dict(hawser, socket=self.guest.base))

    def put(self, path, content, mode=0o644):
        path = self.directory / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    def start(self):
        self.host.start()
        self.guest.start()

    @property
    def log(self):
        return self.host.text().decode(errors="replace")

    def wait_log(self, *texts, times=1):
        wait_for(lambda: self.guest.qemu_process.poll() is not None or
                 all(self.log.count(text) >= times for text in texts), "%r in the log" % (texts,), 120)
        assert all(self.log.count(text) >= times for text in texts), "the machine ended early:\n" + self.log


@pytest.fixture
def served(host, guest):  # noqa: F811
    made = guest(host=False)
    made.clean = False
    return Served(host, made)
