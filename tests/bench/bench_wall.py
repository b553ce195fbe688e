# SPDX-License-Identifier: MIT
"""From the command to the guest's exit: hawser run examples/hello, wall clock"""
import os
import subprocess
import time

from guest import Directory
from report import Table

RUNS = int(os.environ.get("BENCH_WALL_RUNS", 7))


def stop():
    """From SIGTERM to the end of a hawserd that serves a machine."""
    with Directory() as directory:
        (directory.dir / "vms/vm").mkdir(parents=True)
        (directory.dir / "vms/vm/vm.json").write_text("{}")
        directory.start_hawserd({"vsock": False})
        start = time.monotonic()
        directory.hawserd.terminate()
        directory.hawserd.wait()
        return time.monotonic() - start


def measure(top):
    samples = []
    for _ in range(RUNS):
        start = time.monotonic()
        subprocess.run([top / "build/hawser", "run", "--private", "--quiet", top / "examples/hello"], check=True)
        samples.append(time.monotonic() - start)
    table = Table("wall", "A whole run", [("s", 2)])
    table.add("hawser run examples/hello", ("run_wall_s", samples), own=True)
    end = Table("stop", "A hawserd that is stopped", [("ms", 1)])
    end.add("SIGTERM to its end", ("host_stop_ms", [stop() * 1000 for _ in range(RUNS)]), own=True)
    return [table, end], {}
