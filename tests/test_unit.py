# SPDX-License-Identifier: MIT
"""Each program of tests/unit is one test here; cmocka says which of its cases failed. Built by the Makefile."""
import os
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in (TOP / "tests/unit").glob("*.c"))


@pytest.mark.parametrize("name", NAMES)
def test_unit(name):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1")
    run = subprocess.run([TOP / "build/unit" / name], cwd=TOP, env=env, text=True, errors="replace",
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout
