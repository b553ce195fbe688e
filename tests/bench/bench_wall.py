# SPDX-License-Identifier: MIT
"""From the command to the guest's exit: hawser run examples/hello, wall clock."""
import statistics
import subprocess
import time

RUNS = 7


def measure(top):
    samples = []
    for _ in range(RUNS):
        start = time.monotonic()
        subprocess.run([top / "build/hawser", "run", "--private", "--quiet", top / "examples/hello"], check=True)
        samples.append(time.monotonic() - start)
    median = statistics.median(samples)
    print("  %-28s %6.2f s median of %d, %.2f to %.2f" % ("whole run", median, RUNS, min(samples), max(samples)))
    return {"run_wall_s": round(median, 3), "run_wall_s_samples": [round(s, 3) for s in samples]}
