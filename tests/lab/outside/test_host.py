# SPDX-License-Identifier: MIT
"""The lab as its own host sees it: a guest like any other, over a vsock of its own."""
from .. import CANARY, CID


def test_it_was_served_once_and_lost_nothing(lab):
    status = lab.hawserd.status("lab")
    assert (status["boots"], status["logSessions"], status["epoch"]["state"]) == (1, 1, "ended")
    for name, stream in status["streams"].items():
        assert stream["produced"] == stream["stored"] and not stream["lost"], name


def test_it_ended_by_itself(lab):
    events = {event["event"]: event for event in lab.hawserd.records("lab") if "event" in event}
    assert "exited" in events and "end" in events and "unclean" not in events and "killed" not in events
    assert lab.qemu_process.returncode == 0


def test_its_cid_is_that_of_a_guest(lab):
    phases = [event["text"] for event in lab.hawserd.records("lab") if event.get("event") == "phase"]
    assert "cid %d" % CID in phases


def test_its_guests_never_came_here(lab):
    """Nothing that a guest of the lab said is here, and its host has heard of one machine only."""
    canary = (lab.share / CANARY).read_text()
    assert canary.encode() not in lab.hawserd.text("lab") + lab.hawserd.text("lab", "json.log")
    counters = lab.hawserd.status(None)["counters"]
    assert counters["boots"] == 1 and counters["applied"] == 1


def test_its_log_has_who_asked_for_control(lab):
    """Its own programs and its guests, which it turned away."""
    said = lab.hawserd.text("lab").decode()
    for cid in 1, 77:
        assert "control: refused a connection from CID %d: it is not the host" % cid in said
