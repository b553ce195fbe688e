# SPDX-License-Identifier: MIT
"""In the lab: runs the tests that settings.json names. conftest.py writes their reports beside it."""
import json
import os
import sys

import pytest

with open("/run/share/settings.json") as file:
    settings = json.load(file)
os.chdir(settings["rootdir"])
os.environ.pop("NOTIFY_SOCKET", None)         # the workload's own, and nobody's in this root
os.environ.update(HOME="/root", TMPDIR="/run", PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
sys.exit(settings["tests"] and pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp=/run/t",
                                            "--rootdir", settings["rootdir"], *settings["tests"]]))
