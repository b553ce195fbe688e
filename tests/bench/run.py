#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures, prints tables, and writes every figure into one flat object, build/bench.json. Asserts nothing.

usage: run.py [NAME...]      only those tables; their figures replace the old ones in build/bench.json
"""
import importlib
import json
import platform
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
RESULTS = TOP / "build/bench.json"
TABLES = ["wall", "boot", "files", "log", "host", "many"]


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], text=True, stdout=subprocess.PIPE).stdout
    return "%s, Linux %s, %s" % (model, platform.release(), qemu.split("\n")[0])


def main():
    wanted = sys.argv[1:] or TABLES
    unknown = set(wanted) - set(TABLES)
    if unknown:
        sys.exit("run.py: there is no table %s; there are: %s" % (", ".join(sorted(unknown)), ", ".join(TABLES)))
    figures = json.loads(RESULTS.read_text()) if RESULTS.exists() and sys.argv[1:] else {}
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    print("machine: %s" % machine())
    for name in wanted:
        module = importlib.import_module("bench_" + name)
        print("\n%s" % module.__doc__.strip().split("\n")[0])
        figures.update(module.measure(TOP))
        RESULTS.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    print("\nwritten to %s" % RESULTS.relative_to(TOP))
    return 0


if __name__ == "__main__":
    sys.exit(main())
