# SPDX-License-Identifier: MIT
"""hawser chart, of what hawserd keeps and of a file."""
import json
import os
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest

from guest_sim import STDOUT, event, record

HAWSER = Path(__file__).resolve().parents[2] / "build/hawser"
PHASE, CONNECT, STARTED, EXITED = 1, 2, 16, 17


def chart(*options, **more):
    return subprocess.run([HAWSER, "chart", *options], capture_output=True, text=True, timeout=30, **more)


def boot(host):
    """One whole boot, with a program that says a line."""
    guest = host.live()
    guest.send_records([event(PHASE, 0, b"start"), event(PHASE, 1, b"early"), event(CONNECT, 0, b"vsock:2:610"),
                        event(PHASE, 9, b"handoff"), event(STARTED, 7, b"/bin/true"), record(STDOUT, b"a line\n"),
                        event(EXITED, 3)])
    guest.end()
    return guest


def test_of_a_machine(up):
    boot(up)
    shown = chart("--runtime", up.run, "vm")
    assert shown.returncode == 0 and shown.stdout.startswith("vm: exit 3, ") and not shown.stderr
    rows = [line.split()[0] for line in shown.stdout.splitlines() if line.startswith("  ")]
    assert rows[:4] == ["kernel", "init", "hand-off", "program"]
    assert [row for row in rows[4:] if row != "end"][:4] == ["early", "connect", "handoff", "program"]


def test_the_last_boot_or_another(up):
    first, second = boot(up).boot_id, boot(up).boot_id
    identity = [f"{n.hex()[:8]}" for n in (first, second)]
    for options, which in ([], 1), (["--boot", identity[0]], 0), (["--boot", identity[1]], 1):
        svg = up.top / "boot.svg"
        assert chart("--runtime", up.run, "-o", svg, *options, "vm").returncode == 0
        assert f"boot {identity[which]}" in svg.read_text()
    none = chart("--runtime", up.run, "--boot", "ffffffff-0", "vm")
    assert none.returncode == 1 and "no such boot" in none.stderr


def test_of_a_file(up, tmp_path):
    boot(up)
    log = up.state / "logs/vm/json.log"
    svg = tmp_path / "boot.svg"
    assert chart("--log", log, "-o", svg).returncode == 0
    root = xml.etree.ElementTree.parse(svg).getroot()
    words = "\n".join(text.text for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "vm: exit 3" in words and "early" in words and "/bin/true" in words
    with open(log) as file:
        piped = chart("--log", "-", stdin=file)
    assert piped.stdout == chart("--log", log).stdout != ""


def test_no_boot_in_it(up, tmp_path):
    log = tmp_path / "log"
    log.write_text(json.dumps({"stream": "stdout", "boot": "b", "ns": 5, "message": "x"}) + "\nno record\n")
    shown = chart("--log", log)
    assert shown.returncode == 1 and "no boot in the log" in shown.stderr and "log: " in shown.stderr
    assert "left out" in shown.stderr
    assert chart("--runtime", up.run, "vm").returncode == 1


@pytest.mark.parametrize("options, status, words", [
    ([], 2, "name one machine"), (["a", "b"], 2, "name one machine"), (["--log", "x", "vm"], 2, "no machine"),
    (["--log", "/nowhere"], 1, "/nowhere: No such file"), (["--what"], 2, "wrong"),
    (["--runtime", "/nowhere", "vm"], 1, "/nowhere"),
])
def test_wrong_options(options, status, words):
    shown = chart(*options)
    assert shown.returncode == status and words in shown.stderr


def test_a_picture_that_cannot_be_written(up):
    boot(up)
    shown = chart("--runtime", up.run, "-o", "/nowhere/boot.svg", "vm")
    assert shown.returncode == 1 and "/nowhere/boot.svg: No such file" in shown.stderr
    with open("/dev/full", "w") as full:
        assert subprocess.run([HAWSER, "chart", "--runtime", up.run, "vm"], stdout=full, stderr=subprocess.PIPE,
                              env=dict(os.environ, LC_ALL="C")).returncode == 1
