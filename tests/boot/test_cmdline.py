# SPDX-License-Identifier: MIT
"""The kernel command line: what each option does, and what is wrong with it said by name."""
import pytest

from . import wire
from .host import cut

CID = "needs a CID from 0 to 4294967294"
PORT = "needs a port from 1 to 1021"
SECONDS = "needs seconds from 1 to 86400"
KIB = "needs KiB from 64 to 16384, a multiple of 4"
POLICY = "is one of poweroff, reboot, shell, continue"
UNKNOWN = "is not an option of hawser"

COMPLAINTS = [
    ("oops=1", UNKNOWN), ("oops", UNKNOWN), ("", UNKNOWN), ("=", UNKNOWN), ("Port=610", UNKNOWN), ("p=6", UNKNOWN),
    ("host", CID), ("host=", CID), ("host=4294967295", CID), ("host=two", CID), ("host=-2", CID), ("host=0x2", CID),
    ("port=0", PORT), ("port=1022", PORT), ("port=610,611", PORT), ("port=4294967906", PORT),
    ("deadline=0", SECONDS), ("deadline=86401", SECONDS), ("deadline=1m", SECONDS), ("deadline=99999999999", SECONDS),
    ("ring=60", KIB), ("ring=66", KIB), ("ring=16388", KIB),
    ("on_failure=explode", POLICY), ("on_failure", POLICY), ("on_failure=Shell", POLICY), ("on_failure=shel", POLICY),
    ("power=off", "is one of detect, poweroff, reset"), ("log=loud", "is one of error, warn, info, debug"),
]


def complaints(run):
    return [message.decode() for message in run.log.messages("init") if b"command line" in message]


def test_nothing_to_complain_about(boot):
    run = boot("true")
    assert complaints(run) == [] and "hawser" not in run.serial
    assert run.log.events("connect")[-1].text == "vsock:2:610"


def test_complaints(boot):
    """Every one is named, in the log and on the console, and the default stays."""
    run = boot("exit 3", cmdline=" ".join("hawser." + word for word, _ in COMPLAINTS))
    expected = ["kernel command line: hawser.%s: %s; its default is used" % complaint for complaint in COMPLAINTS]
    assert complaints(run) == expected
    assert [line for line in run.serial.splitlines() if line.startswith("hawser: kernel")] == [
        "hawser: " + line for line in expected]
    assert run.exit == 3 and run.log.events("connect")[-1].text == "vsock:2:610"


def test_what_is_not_ours(boot):
    """Other options, and words that only look like ours."""
    assert complaints(boot("true", cmdline="nohawser.oops=1 hawser=1 hawserd.x foo.hawser.oops=1")) == []


@pytest.mark.parametrize("word", ["hawser.port=700", "hawser.port=611 hawser.port=700", '"hawser.port=700"',
                                  'hawser.port="700"'])
def test_port(guest, word):
    """The boot session goes to that port, the log to the next; the last of two counts."""
    run = guest(script="exit 3", port=700)
    run.cmdline = word
    run.run()
    assert run.exit == 3 and complaints(run) == []
    assert run.log.events("connect")[-1].text == "vsock:2:700"


def test_host(guest):
    """This device answers for no other CID than the host's, so that is where it ends."""
    run = guest(host=False)
    run.cmdline = "hawser.host=3 hawser.deadline=2"
    run.run()
    assert "the boot failed: vsock:3:610: " in run.serial


def test_deadline(guest):
    run = guest(host=False)
    run.cmdline = "hawser.deadline=1 quiet=no"
    run.run()
    assert "the boot failed: vsock:2:610: " in run.serial


@pytest.mark.parametrize("kib, loses", [(64, True), (16384, False)])
def test_ring(guest, kib, loses):
    """While the host stands still the ring holds that much."""
    run = guest(script="echo up; read go </dev/ttyS0; seq 1 300000; echo written >/dev/ttyS0; read go </dev/ttyS0")
    run.cmdline = "hawser.ring=%d" % kib
    run.start()
    run.host.wait_output(b"up\n")
    run.host.flowing.clear()
    run.type("go\n")
    run.wait_serial("written")
    run.host.flowing.set()
    run.type("go\n")
    run.wait()
    run.check()
    assert bool(run.log.losses) == loses


@pytest.mark.parametrize("level, warned", [("error", False), ("warn", True), ("info", True), ("debug", True)])
def test_log(guest, level, warned):
    run = guest(script="true")
    run.cmdline = "hawser.log=" + level
    run.host.script = [cut(0)]
    run.run()
    line = "no answer to HELLO: the connection was cut; trying again"
    assert (line.encode() in run.log.messages("init"), line in run.serial) == (warned, warned)


@pytest.mark.parametrize("power, code", [("detect", 1), ("reset", 1), ("poweroff", 0)])
def test_power(guest, power, code):
    """This machine has nothing to be powered off with: asked for that, it stands still."""
    run = guest(script="true")
    run.cmdline = "hawser.power=" + power
    run.start()
    run.host.wait(lambda: run.host.epochs and run.log.end, "END")
    run.wait_serial("reboot: ")
    assert [event.value for event in run.log.events("power")] == [code]
    assert ("Restarting system" in run.serial) == (code == 1)


def test_power_of_the_configuration_goes_before(guest):
    run = guest(wire.power("reset"), script="true")
    run.cmdline = "hawser.power=poweroff"
    run.run()
    assert "Restarting system" in run.serial


def test_words_behind_the_dashes(guest):
    """They are PID 1's arguments."""
    run = guest(script="exit 3")
    run.machine += ",auto-kernel-cmdline=off"    # or the device would stand there, too
    run.cmdline = "virtio_mmio.device=512@0xfeb00e00:12 -- hawser.port=700 hawser.oops=1"
    run.run()
    assert run.exit == 3 and complaints(run) == []
