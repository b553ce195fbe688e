# SPDX-License-Identifier: MIT
"""The manual says what the programs say, and bash completes it."""
import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"


def said(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=20, **more).stdout


def commands():
    return re.findall(r"^  ([a-z]+)  ", said(BUILD / "hawser", "--help"), flags=re.M)


def options(*command):
    """Long options, and where they are on the line."""
    return set(re.findall(r"(?:^|[ \[,])--([a-z][a-z-]*)", said(*command, "--help"), flags=re.M))


def page_options(page):
    """A page of mdoc says Fl -name."""
    return set(re.findall(r"Fl -([a-z][a-z-]*)", (TOP / "docs" / page).read_text()))


def test_hawserd_8():
    assert page_options("hawserd.8") == options(BUILD / "hawserd")


def test_hawser_1():
    everywhere = set().union(*(options(BUILD / "hawser", command) for command in commands()), {"version", "help"})
    assert page_options("hawser.1") == everywhere
    assert set(commands()) <= set(re.findall(r"^\.It Cm ([a-z]+)$", (TOP / "docs/hawser.1").read_text(), flags=re.M))


def test_settings():
    """Each key that hawserd reads has a row, and each row is of a key."""
    source = (TOP / "host/daemonconfig.c").read_text()
    keys = set(re.findall(r'\{ "(\w+)", JSON_KIND', source))
    page = (TOP / "docs/HAWSERD.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` ", page, flags=re.M))
    sections = set(re.findall(r"^## (\w+)$", page, flags=re.M)) & keys
    assert rows | sections == keys


def test_events_of_the_host():
    """What hawserd notes in a machine's log is on the page, and nothing else."""
    source = "".join(path.read_text() for path in (TOP / "host").glob("*.c"))
    notes = re.findall(r'(?:store_note|vm_audit)\([^,()]+, ([^,]+),', source)
    page = (TOP / "docs/LOGS.md").read_text().partition("| event | |")[2].partition("\n\n")[0]
    told = set(re.findall("`([a-z-]+)`", "".join(re.findall(r"^\| ([^|]+) \|", page, flags=re.M))))
    assert told == set(re.findall('"([a-z-]+)"', "".join(notes)))


@pytest.fixture(scope="module")
def manual(tmp_path_factory):
    directory = tmp_path_factory.mktemp("man")
    said(TOP / "scripts/manual", directory)
    return directory


@pytest.mark.parametrize("page", ["hawser.1", "hawserd.8", "vm.json.5", "hawserd.json.5"])
def test_whatis_finds_them(manual, page):
    assert said("lexgrog", manual / page).split('"')[1].startswith(page.rsplit(".", 1)[0] + " - ")


@pytest.mark.parametrize("page", ["hawser.1", "hawserd.8"])
def test_pages_are_clean(manual, page):
    shown = subprocess.run(["man", "--warnings", "-l", manual / page], capture_output=True, text=True,
                           env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80"))
    assert shown.returncode == 0 and not shown.stderr
    assert "SEE ALSO" in shown.stdout


# --- completion -----------------------------------------------------------------------------------------------------

COMPLETE = """
. host/system/hawser.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_$1
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words):
    environment = dict(os.environ, PATH=f"{BUILD}:{os.environ['PATH']}")
    return said("bash", "-c", COMPLETE, "bash", *words, cwd=TOP, env=environment).split()


def test_commands_are_completed():
    assert completed("hawser", "sta") == ["status"]
    assert set(completed("hawser", "")) >= set(commands())


def test_options_are_completed():
    assert set(completed("hawser", "run", "--")) >= {"--raw", "--json", "--kernel", "--help"}
    assert completed("hawserd", "--ch") == ["--check"]


def test_values_are_completed():
    assert completed("hawser", "run", "--accel", "k") == ["kvm"]
    assert completed("hawser", "logs", "--priority", "e") == ["emerg", "err"]
    assert completed("hawserd", "--log-level", "w") == ["warn"]


def test_directories_are_completed():
    assert completed("hawser", "check", "examples/he") == ["examples/hello"]


def test_machines_are_completed(tmp_path):
    """hawser status says which there are."""
    (tmp_path / "vms/web").mkdir(parents=True)
    (tmp_path / "vms/web/vm.json").write_text("{}")
    ready, theirs = os.pipe()
    places = ["--vms", tmp_path / "vms", "--state", tmp_path / "state", "--runtime", tmp_path / "run"]
    hawserd = subprocess.Popen([BUILD / "hawserd", *places, "--ready-fd", str(theirs)], pass_fds=[theirs])
    try:
        os.read(ready, 1)
        assert completed("hawser", "logs", "--runtime", str(tmp_path / "run"), "w") == ["web"]
    finally:
        hawserd.terminate()
        assert hawserd.wait() == 0
        os.close(ready)
        os.close(theirs)
