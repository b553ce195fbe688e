# SPDX-License-Identifier: MIT
"""What must be true of the tree and of what was built from it, without a machine being booted."""
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent


def run(*command, **more):
    return subprocess.run(command, cwd=TOP, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def tracked(*patterns):
    out = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns)
    return [TOP / line for line in out.stdout.splitlines() if (TOP / line).is_file()]


def code(path):
    """A C file's text without its comments and strings."""
    text = path.read_text()
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def includes(path):
    return re.findall(r'^#include ["<]([^">]+)[">]', path.read_text(), flags=re.M)


# --- boundaries: who may include what, and which word stands in one file only --------------------------------------

def test_vsock_wire_is_pure():
    allowed = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "wire.h", "wire_codec.h"}
    for path in tracked("vsock/wire*"):
        assert set(includes(path)) <= allowed, path


@pytest.mark.parametrize("side,other", [("init", "host"), ("host", "init"), ("vsock", "init"), ("vsock", "host")])
def test_sides_do_not_include_each_other(side, other):
    for path in tracked(side + "/*.[ch]"):
        assert not [name for name in includes(path) if "../%s/" % other in name], path


ONLY = [
    (r"\bAF_VSOCK\b", {"vsock/address.c"}),
    (r"\b(mount|umount2)\s*\(", {"init/mount.c"}),
    (r"\breboot\s*\(", {"init/power.c"}),
    (r"\b(seccomp_\w+|SYS_landlock_\w+|capset)\b", {"host/sandbox.c"}),
    (r"jansson", {"host/json.c"}),
]


@pytest.mark.parametrize("word,files", ONLY, ids=[word for word, _ in ONLY])
def test_one_file_says(word, files):
    where = "vsock", "init", "host"
    found = set()
    for path in tracked(*[d + "/*.[ch]" for d in where]):
        text = path.read_text() if word == "jansson" else code(path)
        if word == "jansson":
            text = "\n".join(includes(path))
        if re.search(word, text):
            found.add(str(path.relative_to(TOP)))
    assert found == files


def test_only_the_lab_dials():
    """Nothing on this machine itself opens a vsock: programs that do are for guests, or run in the lab."""
    found = {str(path.relative_to(TOP)) for path in tracked("*.py")
             if re.search(r"socket\.AF_VSOCK", path.read_text())}
    assert found == {"tests/lab/inside/vsock.py"}


def test_licence_lines():
    files = tracked("*.c", "*.h", "*.py", "*.sh", "scripts/*", "kconfig/*.config", "Makefile", ".ci/*")
    missing = [str(path) for path in files if "SPDX-License-Identifier: MIT" not in path.read_text()]
    assert not missing


# --- what was built ------------------------------------------------------------------------------------------------

def test_init_is_static_and_small():
    init = TOP / "build/init"
    headers = run("readelf", "-lW", str(init)).stdout
    assert "INTERP" not in headers, "init must not need a dynamic linker"
    assert "NEEDED" not in run("readelf", "-dW", str(init)).stdout
    assert "GNU_RELRO" in headers
    stack = next(line for line in headers.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack
    assert init.stat().st_size <= 80 << 10


def test_host_programs_are_hardened():
    for name in ("hawserd", "hawser"):
        headers = run("readelf", "-lW", str(TOP / "build" / name)).stdout
        dynamic = run("readelf", "-dW", str(TOP / "build" / name)).stdout
        assert "DYN" in headers and "GNU_RELRO" in headers and "BIND_NOW" in dynamic, name


# --- lint ----------------------------------------------------------------------------------------------------------

def shell_scripts():
    return [path for path in tracked("scripts/*", ".ci/*", "host/system/*", "tests/lab/start")
            if re.match(r"#!/bin/(ba)?sh", path.read_text()) or path.suffix in (".sh", ".bash")]


def test_shellcheck():
    out = run("shellcheck", "-x", "-P", "scripts", *map(str, shell_scripts()))
    assert out.returncode == 0, out.stdout


def test_flake8():
    files = [str(path) for path in tracked("*.py", "scripts/*") if re.match(r"#!.*python|# SPDX", path.read_text())
             and (path.suffix == ".py" or "python" in path.read_text().splitlines()[0])]
    out = run("/usr/bin/python3", "-m", "flake8", "--max-line-length", "118", *files)
    assert out.returncode == 0, out.stdout


def test_codespell():
    files = [str(path) for path in tracked() if path.suffix not in (".json", ".config", ".svg")]
    # Words that the tests misspell to see them corrected, and mdoc's .Nd.
    out = run("codespell", "--ignore-words-list", "chekc,satus,nd,nam", *files)
    assert out.returncode == 0, out.stdout


def test_clang_has_no_warnings():
    """gcc's own are seen while building; this is the second opinion, without code being made."""
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wvla", "-Werror",
             "-Wno-missing-field-initializers", "-fsyntax-only"]
    out = run("clang", *flags, *map(str, tracked("init/*.c", "vsock/*.c", "host/*.c")))
    assert out.returncode == 0, out.stdout
