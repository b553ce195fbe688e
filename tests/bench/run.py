#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures, and writes one report: bench.json, every figure in one flat object; bench/samples.json, all samples of
the last run of each part; bench/RESULTS.md and bench/*.svg, the report. Asserts nothing.
"""
import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import draw
import report

TOP = Path(__file__).resolve().parent.parent.parent
PARTS = ["wall", "image", "boot", "memory", "files", "log", "host", "many"]


def said(*command, pattern="(.*)"):
    """The first thing like that in what a command prints."""
    text = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=TOP).stdout
    found = re.search(pattern, text)
    return found.group(1) if found else "?"


def machine():
    """(what, which): of a machine nothing that tells it from others of its kind."""
    cpus = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    busybox = subprocess.run(["strings", TOP / "build/busybox"], text=True, stdout=subprocess.PIPE).stdout
    version = r"\b(\d+\.\d[\w.+~:-]*)"
    return [
        ("processors", "%d × %s" % (len(cpus), cpus[0] if cpus else "?")),
        ("memory", "%.0f GiB" % memory),
        ("host", "Linux %s, %s" % (re.match(r"[\d.]+", os.uname().release).group(0),
                                   said("sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"))),
        ("guest", "Linux %s, %s, under QEMU's TCG" % (
            said("readlink", "-f", "build/kernel", pattern=r"microvm-([\d.]+)"),
            (re.search(r"BusyBox v[\d.]+", busybox) or ["?"])[0])),
        ("QEMU", said("qemu-system-x86_64", "--version", pattern=version)),
        ("socat", said("socat", "-V", pattern="socat version " + version)),
        ("rsyslogd", said("rsyslogd", "-v", pattern="rsyslogd  " + version)),
        ("systemd", said("systemctl", "--version", pattern=r"\(([^)]+)\)")),
    ]


def measure(name):
    module = importlib.import_module("bench_" + name)
    print("\n%s" % module.__doc__.strip().split("\n")[0], flush=True)
    began = time.time()
    tables, figures = module.measure(TOP)
    return {"title": module.__doc__.strip().split("\n")[0], "when": time.strftime("%F %H:%M UTC", time.gmtime(began)),
            "took_s": round(time.time() - began), "commit": said("git", "describe", "--always", "--dirty"),
            "settings": {key: value for key, value in sorted(os.environ.items()) if key.startswith("BENCH_")},
            "tables": [table.data for table in tables], "figures": figures}


def markdown(kept, names, pictures):
    text = ["# Results", "",
            "What `make bench` measured, written by it. [PROOF.md](PROOF.md) says what each part is, and what it "
            "does not show.", "", "| machine | |", "|---|---|"]
    text += ["| %s | %s |" % pair for pair in machine()] + [""]
    for name in names:
        part = kept[name]
        settings = "".join("%s=%s " % pair for pair in part["settings"].items())
        text += ["## %s" % part["title"], "", "`%smake bench BENCH=%s`, %s, commit %s, %d s." % (
            settings, name, part["when"], part["commit"], part["took_s"]), ""]
        for table in part["tables"]:
            text += report.markdown(table, pictures)
    return "\n".join(text).rstrip() + "\n"


def publish(kept, names, directory, pictures):
    """The report of these parts; pictures: where, from there."""
    (directory / pictures).mkdir(exist_ok=True)
    for name in names:
        for table in kept[name]["tables"]:
            if table["chart"]:
                (directory / pictures / (table["name"] + ".svg")).write_text(draw.picture(table))
    (directory / "RESULTS.md").write_text(markdown(kept, names, pictures))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", action="store_true", help="measure nothing: report what was measured last")
    parser.add_argument("--docs", action="store_true", help="so, and into docs/ too")
    parser.add_argument("--into", type=Path, default=TOP / "build", metavar="DIR", help="instead of build/")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these parts, of: " + " ".join(PARTS))
    options = parser.parse_args()
    if set(options.names) - set(PARTS):
        parser.error("the parts are: " + " ".join(PARTS))
    built = options.into / "bench"
    built.mkdir(parents=True, exist_ok=True)
    path = built / "samples.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    measured = not (options.kept or options.docs)
    names = [name for name in options.names or PARTS if measured or name in kept]
    for what, which in machine():
        print("%-10s  %s" % (what, which))
    for name in names:
        if measured:
            kept[name] = measure(name)
            path.write_text(json.dumps(kept, indent=1) + "\n")
        for table in kept[name]["tables"]:
            print("\n" + "\n".join(report.lines(table)), flush=True)
    figures = {key: value for part in kept.values() for key, value in report.figures(part).items()}
    (options.into / "bench.json").write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    publish(kept, names, built, ".")
    if options.docs:
        publish(kept, names, TOP / "docs", "bench")
    print("\n" + ", ".join(os.path.relpath(options.into / name) for name in (
        "bench.json", "bench/RESULTS.md", "bench/samples.json")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
