# SPDX-License-Identifier: MIT
"""The short form of `make fuzz`: each target with its seeds, its corpus, and a few seconds of more."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
TARGETS = sorted(path.stem[len("fuzz_"):] for path in (TOP / "tests/fuzz").glob("fuzz_*.c"))
SECONDS = os.environ.get("FUZZ_S", "3")

sys.path.insert(0, str(TOP / "tests/fuzz"))
import seeds    # noqa: E402


def test_every_target_has_seeds():
    assert sorted(seeds.SEEDS) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(target):
    run = subprocess.run([TOP / "scripts/fuzz", "--jobs", "1", "--seconds", SECONDS, target], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout
    print(run.stdout)
