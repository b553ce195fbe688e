# SPDX-License-Identifier: MIT
"""From the command to the guest's exit: hawser run examples/hello, wall clock"""
import os
import subprocess
import time

from report import Table

RUNS = int(os.environ.get("BENCH_WALL_RUNS", 7))


def measure(top):
    samples = []
    for _ in range(RUNS):
        start = time.monotonic()
        subprocess.run([top / "build/hawser", "run", "--private", "--quiet", top / "examples/hello"], check=True)
        samples.append(time.monotonic() - start)
    table = Table("wall", "A whole run", [("s", 2)])
    table.add("hawser run examples/hello", ("run_wall_s", samples), own=True)
    return [table], {}
