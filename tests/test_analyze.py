# SPDX-License-Identifier: MIT
"""gcc's analyzer, clang-tidy, cppcheck and the form of the C: scripts/analyze, which keeps what it found."""
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent


BAD = """#include <stdlib.h>
#include <string.h>

int bad(int n);
int bad(int n)
{
    char *p = malloc(4), q[4];

\tmemcpy(q, p, 4);
\tif (n > 7)
\t\tfree(p);
\tfree(p);
\treturn q[n > 9 ? 10 : 0];
}
"""


def analyze(tree):
    return subprocess.run([tree / "scripts/analyze"], cwd=tree, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def test_analyze():
    done = analyze(TOP)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("place", ["host", "init"])
def test_analyze_finds(tmp_path, place):
    """One thing for each tool to find. In a tree of its own: others may be building in this one."""
    shutil.copytree(TOP / "scripts", tmp_path / "scripts")
    for name in ".clang-tidy", ".clang-format":
        shutil.copy(TOP / name, tmp_path)
    for name in "host", "init", "vsock":
        (tmp_path / name).mkdir()
        (tmp_path / name / "good.c").write_text("/* nothing */\n")
    (tmp_path / place / "bad.c").write_text(BAD)
    done = analyze(tmp_path)
    assert done.returncode == 1
    for tool in "gcc", "clang-tidy", "cppcheck", "format":
        assert "%s/bad.c:" % place in done.stdout and ": %s: " % tool in done.stdout, done.stdout
    assert "is let pass, but not found" in done.stdout
