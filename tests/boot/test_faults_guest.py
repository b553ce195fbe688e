# SPDX-License-Identifier: MIT
"""What goes wrong around a guest, by fault: the numbers are the rows of the fault table."""
import re
import struct
import time

import pytest

from . import wire
from .host import cut, refuse, say, silent

AFTER = ("cat /etc/wrong; ls -d /.hawser /wrong; ls -A /run/credentials /run/hawser/credentials | grep wrong; "
         "grep wrong /proc/mounts; env | grep wrong; hostname")

# A whole configuration of which nothing must be seen when it was not applied.
WRONG = (wire.hostname("wrong") + wire.mount("/wrong", "tmpfs", "wrong") + wire.directory("etc") +
         wire.file("etc/wrong", "wrong") + wire.symlink("etc/wronger", "wrong") + wire.credential("wrong", "wrong") +
         wire.env("wrong=wrong"))


def wrong_stream(token):
    return wire.welcome(token, 0, flags=0) + WRONG + wire.commit(WRONG)


def assert_untouched(run):
    """The script AFTER found nothing of an earlier configuration, and only the last session was applied."""
    assert run.stdout == b"right\n"
    applied = [session.applied is not None for session in run.host.boots]
    assert applied == [False] * (len(applied) - 1) + [True]


def log_lines(run):
    return [message.decode() for message in run.log.messages("init")]


# --- no machine to talk with: rows 1 to 3 ---------------------------------------------------------------------------

def test_1_no_device(guest):
    run = guest(host=False)
    run.device, run.cmdline = None, "hawser.deadline=2"
    run.run()
    assert re.search("the boot failed: this machine has no CID of a guest .*hawser.on_failure=poweroff", run.serial)
    assert "panic" not in run.serial


def test_1_decision_at_the_deadline(guest):
    run = guest(host=False)
    run.device, run.cmdline = None, "hawser.deadline=4 hawser.on_failure=shell"
    run.start()
    run.wait_serial("# ")
    run.type("read up idle </proc/uptime; echo after=$up; poweroff -f\n")
    run.wait()
    assert float(re.search(r"after=([\d.]+)", run.serial).group(1)) >= 4


def test_2_device_appears_late(guest):
    """The driver lets the device go before init runs, and takes it again later."""
    run = guest(script="true")
    run.before_init("""
        mount -t sysfs sysfs /sys
        cd /sys/bus/virtio/drivers/*vsock*
        echo virtio0 >unbind
        (sleep 2; echo the device comes >/dev/kmsg; sleep 0.1; echo virtio0 >bind) &
        cd /
    """)
    run.run()
    comes, = [record for record in run.log.of("kernel", wire.MESSAGE) if b"the device comes" in record.data]
    cid, = [event for event in run.log.events("phase") if event.text == "cid 42"]
    connects = run.log.events("connect")
    assert cid.ns > comes.ns and min(connect.ns for connect in connects) > cid.ns
    assert connects[-1].value == 0


@pytest.mark.parametrize("cid", [0, 1, 2, 0xffffffff])
def test_3_cid_that_is_no_guests(guest, cid):
    run = guest(script="true")
    run.cid, run.cmdline, run.clean = cid, "hawser.deadline=2", False
    run.run()
    assert run.host.boots == run.host.logs == []
    assert "no CID of a guest (the kernel says %d)" % cid in run.serial


# --- no host, or one that says nothing: rows 4 to 6 -----------------------------------------------------------------

def test_4_5_host_appears_late(guest):
    """This device answers nothing when nobody listens, so every attempt ends by its own timeout."""
    run = guest(script="true")
    run.host.stop()
    run.start()
    time.sleep(5)
    run.host.start()
    run.wait()
    run.check()
    connects = run.log.events("connect")
    assert len(connects) >= 3
    assert [connect.value for connect in connects] == [110] * (len(connects) - 1) + [0]
    assert "vsock:2:610: Operation timed out; trying again" in log_lines(run)


def test_4_host_that_never_comes(guest):
    run = guest(host=False)
    run.cmdline = "hawser.deadline=3"
    run.run()
    assert "the boot failed: vsock:2:610: Operation timed out; hawser.on_failure=poweroff" in run.serial


def test_6_silent_hosts(guest):
    """Silent from the start, after WELCOME, and in the middle of a frame."""
    def after_welcome(session):
        session.hello()
        session.welcome()
        session.wait_cut()

    def in_a_frame(session):
        session.hello()
        session.send(wrong_stream(session.epoch.token)[:150])
        session.wait_cut()
    run = guest(wire.hostname("right"), script=AFTER)
    run.cmdline = "hawser.deadline=60"
    run.host.script = [silent, after_welcome, in_a_frame]
    run.run()
    assert_untouched(run)
    assert "no answer to HELLO: the host is silent; trying again" in log_lines(run)
    assert "the records are not complete: the host is silent; trying again" in log_lines(run)
    assert len(run.host.boots) == 4


def test_host_refuses(guest):
    """With every code there is; the reason is in the log. Then it changes its mind."""
    run = guest(wire.hostname("right"), script=AFTER)
    run.cmdline = "hawser.deadline=60"
    run.host.script = [refuse(code, "for reason %d" % code) for code in wire.REFUSALS]
    run.run()
    assert_untouched(run)
    for code, name in wire.REFUSALS.items():
        assert "the host refuses: %s: for reason %d; trying again" % (name, code) in log_lines(run)


# --- a boot stream that is cut or wrong: rows 9 to 12 ---------------------------------------------------------------

def share(guest, leads, number):
    """So many guests share the sessions: each dials again after a bad one, and boots with what is right at last."""
    runs = [guest(wire.hostname("right"), script=AFTER) for _ in range(number)]
    for i, run in enumerate(runs):
        run.host.script = leads[i::number]
        run.cmdline = "hawser.deadline=600"
        run.start()
    for i, run in enumerate(runs):
        run.wait()
        assert_untouched(run)
        assert len(run.host.boots) == len(leads[i::number]) + 1
    return runs


def test_9_cut_at_every_byte(guest):
    def cut_wrong(at):
        def lead(session):
            session.hello()
            session.send(wrong_stream(session.epoch.token)[:at])
        return lead
    share(guest, [cut_wrong(at) for at in range(len(wrong_stream(bytes(16))))], 6)


def test_9_cut_in_large_files(guest):
    content = bytes(range(256)) * 1000
    run = guest(wire.hostname("right"), wire.directory("etc"), wire.file("etc/large", content),
                wire.credential("key", content), script=AFTER + "; cat /etc/large $CREDENTIALS_DIRECTORY/key >&2")
    run.cmdline = "hawser.deadline=60"
    run.host.script = [cut(at) for at in (40000, 200000, 300000, 500000)]
    run.run()
    assert_untouched(run)
    assert run.stderr.endswith(content + content)


def test_9_applied_is_lost(guest):
    """The host closes without having read APPLIED: the log session says the same."""
    run = guest(wire.hostname("right"), script=AFTER)

    def deaf(session):
        session.hello()
        session.welcome()
        session.records()
        session.commit()
        session.host.wait(lambda: session.epoch.delivered, "a log session")
    run.host.script = [deaf]
    run.run()
    assert run.stdout == b"right\n" and len(run.host.boots) == 1


def header(length, kind=wire.HOSTNAME, zero=0):
    return struct.pack("<IHH", length, kind, zero)


def wrong_welcome(**wrong):
    def lead(session):
        session.hello()
        session.welcome(**wrong)
        session.send(WRONG + wire.commit(WRONG))
        session.finish()
    return lead


def wrong_commit(**wrong):
    def lead(session):
        session.hello()
        session.welcome()
        session.records()
        session.commit(**wrong)
        session.finish()
    return lead


def hello_answered_by(content):
    def lead(session):
        session.hello()
        session.send(content)
        session.finish()
    return lead


def at_end(bad):
    """Records that would do, then a bad one, then a COMMIT that is right."""
    return say(WRONG, bad, wire.commit(WRONG + bad))


LARGE = 32760
TWO_BYTES = wire.frame(wire.FILE, struct.pack("<IIIQ", 0o644, 0, 0, 2) + b"etc/x")

# What is sent, the guest's refusal, and a part of its text.
BAD = [
    # 10: lengths
    (say(header(LARGE + 1)), "malformed", "a frame header with a length"),
    (say(header(0xffffffff)), "malformed", "a frame header with a length"),
    (hello_answered_by(header(LARGE + 1, wire.WELCOME)), "malformed", "a frame header with a length"),
    (say(header(3, zero=1) + b"abc"), "malformed", "zero"),
    # 11: versions, checksums, counts, orders
    (wrong_welcome(version=0), "version", "1 is spoken here"),
    (wrong_welcome(version=2), "version", "1 is spoken here"),
    (wrong_welcome(flags=4), "malformed", "WELCOME"),
    (wrong_welcome(entropy=bytes(63)), "malformed", "WELCOME"),
    (wrong_welcome(entropy=bytes(65)), "malformed", "WELCOME"),
    (hello_answered_by(wire.hostname("early")), "order", "HOSTNAME: came instead of WELCOME"),
    (wrong_commit(checksum=0), "checksum", "the checksum differs"),
    (wrong_commit(checksum=0xffffffff), "checksum", "the checksum differs"),
    (wrong_commit(count=0), "checksum", "the number of records differs"),
    (say(WRONG, wire.commit(WRONG + wire.hostname("x"))), "checksum", "the number of records differs"),
    (say(WRONG, wire.frame(wire.COMMIT, bytes(7))), "malformed", "COMMIT"),
    # 12: what comes twice
    (at_end(wire.hostname("again")), "malformed", "HOSTNAME: comes twice"),
    (at_end(wire.cwd("/") + wire.cwd("/")), "malformed", "CWD: comes twice"),
    (at_end(wire.user(0, 0) + wire.user(0, 0)), "malformed", "USER: comes twice"),
    (at_end(wire.workload() + wire.workload()), "malformed", "WORKLOAD: comes twice"),
    (at_end(wire.log() + wire.log()), "malformed", "LOG: comes twice"),
    (at_end(wire.power("reset") + wire.power("reset")), "malformed", "POWER: comes twice"),
    (at_end(wire.handoff() + wire.handoff()), "malformed", "HANDOFF: comes twice"),
    (at_end(wire.env("wrong=again")), "malformed", "ENV: comes twice for the same name"),
    (at_end(wire.sysctl("a.b", "1") + wire.sysctl("a.b", "2")), "malformed", "SYSCTL: comes twice for the same name"),
    (at_end(wire.directory("etc")), "malformed", "DIR: comes twice for the same path: etc"),
    (at_end(wire.file("etc/wrong", "again")), "malformed", "FILE: comes twice for the same path: etc/wrong"),
    (at_end(wire.symlink("etc/wrong", "again")), "malformed", "SYMLINK: comes twice for the same path: etc/wrong"),
    (at_end(wire.directory("etc/wronger")), "malformed", "DIR: comes twice for the same path: etc/wronger"),
    (at_end(wire.credential("wrong", "again")), "malformed", "CREDENTIAL: comes twice for the same path: wrong"),
    # 12: NUL
    (at_end(wire.args("a\0b")), "malformed", "ARG"),
    (at_end(wire.env("a=b\0c")), "malformed", "ENV"),
    (at_end(wire.cwd("/a\0b")), "malformed", "CWD"),
    (at_end(wire.sysctl("a\0b", "1")), "malformed", "SYSCTL"),
    (at_end(wire.sysctl("a", "1\0")), "malformed", "SYSCTL"),
    (at_end(wire.mount("/a", "tmpfs", "", "a\0b")), "malformed", "MOUNT"),
    (at_end(wire.file("a\0b")), "malformed", "FILE"),
    (at_end(wire.symlink("x", "a\0b")), "malformed", "SYMLINK"),
    (at_end(wire.credential("a\0b")), "malformed", "CREDENTIAL"),
    # 12: paths and names
    (at_end(wire.file("../x")), "malformed", "FILE"),
    (at_end(wire.file("etc/../x")), "malformed", "FILE"),
    (at_end(wire.file("/etc/x")), "malformed", "FILE"),
    (at_end(wire.file("etc//x")), "malformed", "FILE"),
    (at_end(wire.file("etc/./x")), "malformed", "FILE"),
    (at_end(wire.file("")), "malformed", "FILE"),
    (at_end(wire.directory("etc/")), "malformed", "DIR"),
    (at_end(wire.directory(".")), "malformed", "DIR"),
    (at_end(wire.directory("..")), "malformed", "DIR"),
    (at_end(wire.file("x" * 4096)), "malformed", "FILE"),
    (at_end(wire.file("no/such/dir")), "malformed", "FILE: comes without the directory it lies in: no/such/dir"),
    (at_end(wire.file("etc/wrong/x")), "malformed", "FILE: comes without the directory it lies in: etc/wrong/x"),
    (at_end(wire.file("etc/" + "x" * 256)), "malformed", "FILE: has a name that is too long"),
    (at_end(wire.symlink("out", "etc") + wire.file("out/x")), "malformed", "FILE: lies behind a symlink: out/x"),
    (at_end(wire.symlink("x", "/etc")), "malformed", "SYMLINK"),
    (at_end(wire.symlink("x", "..")), "malformed", "SYMLINK"),
    (at_end(wire.symlink("etc/x", "../../etc")), "malformed", "SYMLINK"),
    (at_end(wire.symlink("etc/x", "a/../../../b")), "malformed", "SYMLINK"),
    (at_end(wire.symlink("x", "")), "malformed", "SYMLINK"),
    (at_end(wire.credential("a/b")), "malformed", "CREDENTIAL"),
    (at_end(wire.credential("..")), "malformed", "CREDENTIAL"),
    (at_end(wire.credential(".")), "malformed", "CREDENTIAL"),
    (at_end(wire.credential("a b")), "malformed", "CREDENTIAL"),
    (at_end(wire.mount("data", "tmpfs")), "malformed", "MOUNT"),
    (at_end(wire.cwd("data")), "malformed", "CWD"),
    (at_end(wire.env("noequals")), "malformed", "ENV"),
    (at_end(wire.env("=value")), "malformed", "ENV"),
    # 12: unknown types, values, sizes
    (at_end(wire.frame(0x0199, b"x")), "malformed", "unknown type"),
    (at_end(wire.frame(0)), "malformed", "unknown type"),
    (at_end(wire.frame(wire.RECORDS, b"x")), "malformed", ""),
    (at_end(wire.frame(wire.APPLIED, bytes(8))), "malformed", "APPLIED"),
    (at_end(wire.welcome(bytes(16), 0)), "malformed", "WELCOME"),
    (at_end(wire.frame(wire.WORKLOAD, bytes(11))), "malformed", "WORKLOAD"),
    (at_end(wire.workload(signal=0)), "malformed", "WORKLOAD"),
    (at_end(wire.workload(signal=65)), "malformed", "WORKLOAD"),
    (at_end(wire.frame(wire.WORKLOAD, struct.pack("<BBHII", 3, 0, 0, 15, 0))), "malformed", "WORKLOAD"),
    (at_end(wire.frame(wire.WORKLOAD, struct.pack("<BBHII", 0, 3, 0, 15, 0))), "malformed", "WORKLOAD"),
    (at_end(wire.frame(wire.USER, bytes(9))), "malformed", "USER"),
    (at_end(wire.user(0, 0, *range(33))), "malformed", "USER"),
    (at_end(wire.log(65536 - 4096)), "malformed", "LOG"),
    (at_end(wire.log(65537)), "malformed", "LOG"),
    (at_end(wire.log(32 << 20)), "malformed", "LOG"),
    (at_end(wire.frame(wire.LOG, struct.pack("<IBBH", 65536, 0, 0, 1))), "malformed", "LOG"),
    (at_end(wire.frame(wire.POWER, b"\3")), "malformed", "POWER"),
    (at_end(wire.frame(wire.CONTROL, struct.pack("<I", 32))), "malformed", "CONTROL"),
    (at_end(wire.handoff(3)), "malformed", "HANDOFF"),
    (at_end(wire.handoff(0, 2)), "malformed", "HANDOFF"),
    (at_end(wire.frame(wire.SYSCTL, b"\7\0abc")), "malformed", "SYSCTL"),
    (at_end(wire.frame(wire.MOUNT, b"\2\0/a\5\0tmpfs\0\0\0\0left")), "malformed", "MOUNT"),
    (at_end(wire.file("etc/x", "", mode=0o10644)), "malformed", "FILE"),
    (say(wire.hostname("x" * 65)), "malformed", "HOSTNAME"),
    # 12: data, and what is too much
    (at_end(wire.data(b"x")), "malformed", "DATA: without a file or credential"),
    (at_end(wire.file("etc/x", "abc") + wire.data(b"d")), "malformed", "DATA: without a file or credential"),
    (at_end(TWO_BYTES + wire.data(b"abc")), "malformed", "DATA: longer than"),
    (at_end(TWO_BYTES + wire.data(b"a") + wire.args("x")), "malformed", "ARG: before the data"),
    (at_end(TWO_BYTES + wire.data(b"a")), "checksum", "the last file or credential is not complete"),
    (at_end(wire.frame(wire.DATA)), "malformed", "DATA"),
    (say(wire.frame(wire.CREDENTIAL, struct.pack("<IIII", 256, 0, 0, 1048577) + b"big")), "malformed", "CREDENTIAL"),
    (at_end(wire.credential("big", bytes(1048576))), "malformed", "1 MiB"),
    (at_end(wire.args("x" * LARGE) * 4 + wire.args("y" * 32)), "malformed", "128 KiB"),
    (at_end(b"".join(wire.mount("/a", "tmpfs", "", "x" * 4095) for _ in range(1100))), "malformed", "4 MiB"),
]


def test_10_11_12_bad_streams(guest):
    """Each is refused with a reason, and the guest is none the worse for it."""
    for i, run in enumerate(share(guest, [lead for lead, _, _ in BAD], 4)):
        refusals, bad = run.host.take_refusals(), BAD[i::4]
        for number, (refusal, (_, code, text)) in enumerate(zip(refusals, bad)):
            assert refusal.code == code and text in refusal.text, "number %d of BAD" % (number * 4 + i)
        assert len(refusals) == len(bad)


def test_11_never_right(guest):
    """The policy decides, and the host still gets the log."""
    run = guest(script="echo handed on")
    run.cmdline = "hawser.deadline=3"
    run.host.script = [wrong_commit(checksum=1)] * 100
    run.start().wait()
    assert {refusal.code for refusal in run.host.take_refusals()} == {"checksum"}
    run.check()
    assert run.stdout == b"" and run.exit is None
    failure, = run.log.events("failure")
    assert failure.text == "COMMIT: the checksum differs"


# --- a machine that lacks something: rows 38 to 40 ------------------------------------------------------------------

def test_38_no_console_in_the_image(guest):
    run = guest(script="echo fine; ls -l /proc/self/fd >&2; exit 3")
    run.image.remove("/dev/console")
    run.run()
    assert (run.stdout, run.exit) == (b"fine\n", 3)


def test_38_no_console_at_all(guest):
    run = guest(script="echo fine; readlink /proc/1/fd/0; readlink /proc/1/fd/1; exit 3")
    run.image.remove("/dev/console")
    run.console = "console="
    run.run()
    assert run.stdout.startswith(b"fine\n/dev/null\npipe:") and run.exit == 3


def test_38_closed_descriptors(guest):
    run = guest(script="echo fine; exit 3")
    run.before_init("exec <&- >&- 2>&-")
    run.run()
    assert (run.stdout, run.exit) == (b"fine\n", 3)


def test_39_no_clock(guest):
    """The host's time and entropy; the kernel's generator is ready as soon as the host has spoken."""
    run = guest(script="date +%s; dd if=/dev/random bs=32 count=1 2>/dev/null | wc -c")
    run.machine = run.machine.replace("rtc=on", "rtc=off")
    run.cmdline = "random.trust_cpu=off random.trust_bootloader=off"
    run.run()
    seconds, count = map(int, run.stdout.split())
    assert abs(time.time() - seconds) < 3600 and count == 32
    clock, = run.log.events("clock")
    assert clock.value > 50 * 365 * 86400
    assert [event.value for event in run.log.events("entropy")] == [64]


def test_39_clock_and_entropy_not_wanted(guest):
    def plain(session):
        session.hello()
        session.welcome(flags=0)
        session.records()
        session.commit()
        session.finish()
    run = guest(script="date +%s")
    run.machine = run.machine.replace("rtc=on", "rtc=off")
    run.host.script = [plain]
    run.run()
    assert int(run.stdout) < 365 * 86400 and not run.log.events("clock")
    assert [event.value for event in run.log.events("entropy")] == [0]


@pytest.mark.parametrize("change, why", [
    (lambda image: image.remove("/bin/busybox"), "No such file or directory"),
    (lambda image: image.remove("/sbin/init"), "No such file or directory"),
    (lambda image: image.add("/bin/busybox", b"\x7fELF", 0o644), "Permission denied"),
    (lambda image: image.add("/bin/busybox", b"\x7fELF nonsense", 0o755), "Exec format error"),
], ids=["missing", "no-link", "not-executable", "nonsense"])
def test_40_busybox(guest, change, why):
    run = guest(script="true")
    change(run.image)
    run.run()
    failure, = run.log.events("failure")
    assert failure.text == "/sbin/init: " + why
    assert "panic" not in run.serial and "Restarting system" in run.serial
    assert run.log.events("phase")[-1].text == "handoff"
