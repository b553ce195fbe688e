# SPDX-License-Identifier: MIT
"""The short forms of what README's table of claims names: that it works, and that no figure is missing."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
SHORT = {
    "BENCH_WALL_RUNS": 1, "BENCH_IMAGE_ROUNDS": 1, "BENCH_BOOT_ROUNDS": 1, "BENCH_MEMORY_ROUNDS": 1,
    "BENCH_FILES_ROUNDS": 1, "BENCH_LOG_MIB": 16, "BENCH_LOG_ROUNDS": 1, "BENCH_GUESTS": 200, "BENCH_BOOTS": 400,
    "BENCH_RECORDS": 280000, "BENCH_IDLE_S": 1, "BENCH_ROUNDS": 1, "BENCH_MANY": 10, "BENCH_MANY_REBOOTS": 20,
    "BENCH_MANY_ROUNDS": 1}
FIGURES = """
    boot_hawser_us boot_floor_us boot_shsocat_us boot_systemd_us
    log_lines_hawser_mbps log_lines_socat_mbps log_blocks_hawser_mbps log_blocks_socat_mbps log_blocks_raw_mbps
    relay_cpu_ms_per_mb socat_cpu_ms_per_mb relay_private_kib files_tree_vs_raw
    host_kib_per_guest host_idle_cpu_pct host_boots_per_s host_boot_p99_ratio host_ingest_vs_rsyslog
    host_hostile_p99_ratio host_stop_ms run_wall_s
""".split()


def run(*command, **environment):
    done = subprocess.run([str(word) for word in command], cwd=TOP, text=True, env=dict(os.environ, **environment),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


# One after the other: they would measure each other, and compile the same programs.
@pytest.mark.xdist_group("bench")
def test_bench(tmp_path):
    text = run("python3", "tests/bench/run.py", "--into", tmp_path, **{key: str(n) for key, n in SHORT.items()})
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert {name for name in FIGURES if not isinstance(figures.get(name), (int, float))} == set(), text
    assert {name for name in FIGURES if figures[name] <= 0} <= {"host_idle_cpu_pct"}
    samples = json.loads((tmp_path / "bench/samples.json").read_text())
    assert all(part["tables"] for part in samples.values())
    report = (tmp_path / "bench/RESULTS.md").read_text()
    pictures = re.findall(r"\]\((\S+\.svg)\)", report)
    assert pictures and all((tmp_path / "bench" / name).stat().st_size for name in pictures)


def test_repro():
    assert re.findall(r"^(\w+) .* (\S+)$", run("scripts/repro", "--no-kernel"), re.M) == [
        ("same", "init"), ("same", "busybox"), ("same", "initramfs.cpio")]


def test_size():
    text = run("scripts/size")
    assert re.search(r"^ *\.text +\d+", text, re.M) and len(re.findall(r"^  \w[\w.]+ +\d+$", text, re.M)) >= 10, text


def test_coverage():
    """Nothing that reads outside bytes is reached by nothing."""
    rows = re.findall(r"^  (\S+\.c) +(\d+) +[\d.]+ +[\d.]+ +([\d.]+)$", run("scripts/coverage"), re.M)
    assert len(rows) > 30 and {path for path, _, reached in rows if float(reached) < 20} == set()
