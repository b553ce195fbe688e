# SPDX-License-Identifier: MIT
"""Real guests of tests/boot whose log the real hawserd keeps. A test takes `kept` for such a machine, `vm`."""
import base64
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in HERE.parent, HERE.parent / "host":
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from boot.conftest import guest, kit, pytest_runtest_makereport  # noqa: E402, F401
from daemon import Host, wait_for  # noqa: E402
from relay_machine import assert_account  # noqa: E402

PATIENCE = 120


class Kept:
    def __init__(self, host, guest):  # noqa: F811
        self.host, self.guest = host, guest
        self.type, self.wait_serial = guest.type, guest.wait_serial

    def start(self, script, files=(), **log):
        directory = self.host.vm("vm", process={"args": ["sh", "-c", script]},
                                 hawser={"socket": self.guest.base, "log": log})
        for name, content in files:
            (directory / "files").mkdir(exist_ok=True)
            (directory / "files" / name).write_bytes(content)
        self.host.start()
        self.guest.start()

    def run(self, script, files=(), **log):
        self.start(script, files, **log)
        self.end()

    def end(self):
        """The machine has ended by itself, and its log is whole."""
        self.guest.wait()
        wait_for(lambda: self.host.status()["epoch"]["state"] == "ended", "the log's end", PATIENCE)
        assert_account(self.host.status())

    def lines(self, stream):
        """As bytes, however they are written in the JSON form."""
        records = [r for r in self.host.records() if r["stream"] == stream and ("message" in r or "base64" in r)]
        return [r["message"].encode() if "message" in r else base64.b64decode(r["base64"]) for r in records]

    def wait_text(self, text):
        wait_for(lambda: text in self.host.text(), "%r in the log" % text, PATIENCE)


@pytest.fixture
def kept(tmp_path, guest):  # noqa: F811
    host = Host(tmp_path)
    host.config = {"graceMs": 1000, "log": {"json": True}}
    yield Kept(host, guest(host=False))
    try:
        if host.process and host.process.poll() is None:
            assert_account(host.status())
    finally:
        host.stop()
