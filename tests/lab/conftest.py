# SPDX-License-Identifier: MIT
"""
Two halves. Out here, the protocol of a test of inside/ is to take its reports from the lab, which is booted for the
first of them; in the lab, to write them where they are taken from.
"""
import json
import sys
import traceback
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "host"))

from . import in_lab  # noqa: E402

INSIDE = HERE / "inside"
REPORTS = Path("/run/share/reports")
started = {}             # "lab": the one of this session, "error": why there is none


def of_lab(item, directory=HERE):
    return directory in item.path.parents


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With xdist's loadgroup, one process runs them all: so there is one lab."""
    for item in items:
        if of_lab(item):
            item.add_marker(pytest.mark.xdist_group("lab"))


# --- in the lab -----------------------------------------------------------------------------------------------------

def pytest_runtest_logreport(report):
    if in_lab():
        data = started["config"].hook.pytest_report_to_serializable(config=started["config"], report=report)
        with REPORTS.open("a") as file:
            file.write(json.dumps(data) + "\n")


def pytest_configure(config):
    started["config"] = config


# --- out here -------------------------------------------------------------------------------------------------------

def name_of(item):
    return item.nodeid.partition("@")[0]         # loadgroup's addition


def the_lab(session):
    """Booted when it is first asked for."""
    from boot.conftest import make_kit
    from .machine import Lab

    if "error" in started:
        raise RuntimeError(started["error"])
    if "lab" not in started:
        tests = [name_of(item) for item in session.items if of_lab(item, INSIDE)]
        try:
            top = session.config._tmp_path_factory.mktemp("lab")
            started["lab"] = Lab(make_kit(top), top, session.config.rootpath, tests)
        except Exception:
            started["error"] = traceback.format_exc()
            raise
    return started["lab"]


def reports_of(item):
    lab = None
    try:
        lab = the_lab(item.session)
        for data in lab.reports(name_of(item)):
            report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
            report.nodeid = item.nodeid
            yield report
    except Exception:
        why = started.setdefault("error", traceback.format_exc() + (lab.story() if lab else ""))
        yield pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")


def pytest_runtest_protocol(item):
    if in_lab() or not of_lab(item, INSIDE):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports_of(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(scope="session")
def lab(request):
    """The lab, at its end."""
    made = the_lab(request.session)
    made.finish()
    return made


def pytest_unconfigure():
    if "lab" in started:
        started.pop("lab").close()
