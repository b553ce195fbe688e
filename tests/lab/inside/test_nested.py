# SPDX-License-Identifier: MIT
"""The lab is a guest itself: hawser booted it, and it serves guests. ../outside has the other half."""
import os
from pathlib import Path

from .. import CANARY


def test_its_guests_come_to_it(host, guest):
    """A canary that a guest of the lab prints, for the lab's own host to look for in vain."""
    canary = os.urandom(16).hex()
    host.machine("a", 77, "echo %s; exit 7" % canary)
    guest(77).wait()
    assert host.exit("a") == 7 and host.stdout("a") == [canary]
    Path("/run/share", CANARY).write_text(canary)
