# SPDX-License-Identifier: MIT
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from daemon import Host  # noqa: E402


@pytest.fixture
def host(tmp_path):
    h = Host(tmp_path)
    yield h
    h.stop()


@pytest.fixture
def up(host):
    """A host that serves the machine `vm`."""
    host.vm("vm")
    return host.start()
