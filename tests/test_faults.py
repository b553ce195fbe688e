# SPDX-License-Identifier: MIT
"""The table of docs/FAULTS.md and the tests belong together."""
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def test_table():
    """Its rows are all there, and every test that it names; numbered tests belong to a row."""
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", (TOP / "docs/FAULTS.md").read_text(), re.M)]
    assert numbers == list(range(1, 43))
    run = subprocess.run([sys.executable, TOP / "scripts/faults", "--list"], text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout
    for path in TOP.glob("tests/*/test_*.py"):
        for name in re.findall(r"^def test_((?:\d+_)+)", path.read_text(), re.M):
            assert set(map(int, name.split("_")[:-1])) <= set(numbers), (path, name)
