# SPDX-License-Identifier: MIT
"""The log under pressure: a relay that is killed, a host that is slow or gone. The numbers are the fault table's."""
import os
import struct
import time

import pytest

from . import wire
from .host import collect_some, refuse, silent

# In the background, ten times; then there is a file.
STRESS = ("(for n in $(seq 1 10); do sleep 0.0%d; until kill -9 $(pidof hawser-relay); do :; done; done 2>/dev/null; "
          ">/tmp/enough) & ")


def numbers(last):
    return b"".join(b"%d\n" % n for n in range(1, last + 1))


def lost(log, stream="stdout"):
    return sum(loss.bytes for loss in log.losses if loss.stream == stream)


def assert_killed(run):
    assert [event.value for event in run.log.events("relay")] == list(range(1, 11))


# --- the relay itself -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("pause", [1, 3, 7])
def test_33_relay_is_killed(boot, pause):
    """Again and again, while three streams are busy. No writer gets SIGPIPE, and nothing is lost or comes twice."""
    noise = os.urandom(1 << 20)
    run = boot(STRESS % pause + "(seq 1 40000 >&2) & one=$!; (seq 1 20000 >/dev/console) & two=$!; "
               "until [ -e /tmp/enough ]; do cat /noise || exit 1; done; wait $one || exit 2; wait $two || exit 3; "
               "sleep 0.3", wire.file("noise", noise), wire.log(1 << 20, "block"))
    assert run.exit == 0
    assert_killed(run)
    assert not run.log.losses
    run.log.assert_bytes("stdout", noise * (len(run.stdout) // len(noise)))
    run.log.assert_bytes("stderr", numbers(40000))
    assert numbers(20000) in run.log.bytes("console")
    sequence = [int.from_bytes(record.data[:8], "little") for record in run.log.of("kernel", wire.MESSAGE)]
    assert sequence == list(range(len(sequence)))


def test_33_messages_and_events(boot):
    """What are datagrams on the way to the relay comes once, too."""
    run = boot(STRESS % 3 + "n=0; until [ -e /tmp/enough ]; do logger -t me $((n += 1)); done; "
               "sleep 0.3; echo $n; exit 7")
    said = [int(message.split()[-1].rstrip(b"\0")) for message in run.log.messages("syslog")]
    assert said == list(range(1, int(run.stdout) + 1)) and run.exit == 7
    assert_killed(run)


def test_26_tiny_writes(boot):
    """A million of them, coalesced."""
    run = boot("dd if=/dev/zero bs=1 count=1000000 status=none", wire.log(1 << 20))
    run.log.assert_bytes("stdout", bytes(1000000))
    first, last = (run.log.of("stdout", wire.BYTES)[i].number for i in (0, -1))
    sizes = [size for number, size in run.log.frames if first <= number <= last]
    assert sum(sizes) / len(sizes) >= 1024
    assert not run.log.losses


def frames_of(log, stream):
    """Numbers of the first records of the frames that hold some of the stream."""
    starts = sorted({number for number, _ in log.frames})
    numbers = [record.number for record in log.of(stream, wire.BYTES)]
    return {max(start for start in starts if start <= number) for number in numbers}


def test_an_idle_relay_sends_a_line_at_once(guest):
    """Each line is at the host before the next one is written, which waits for it; a busy relay batches."""
    run = guest(wire.log(1 << 20), script="for n in 1 2 3 4 5 6 7 8; do echo line $n; read go </dev/ttyS0; done; "
                "seq 1 20000 >&2")
    run.start()
    for n in range(1, 9):
        run.host.wait_output(b"line %d\n" % n)
        assert b"line %d\n" % (n + 1) not in run.log.bytes("stdout")
        run.type("go\n")
    run.wait()
    run.check()
    assert len(frames_of(run.log, "stdout")) == 8
    assert run.stderr == numbers(20000) and len(frames_of(run.log, "stderr")) < 200


def test_24_kernel_log_overrun(guest):
    """The host stands still, so does the relay; the gap is the kernel's own count of what it overwrote."""
    run = guest(wire.log(65536, "block"), script="echo up; read go </dev/ttyS0; for n in $(seq 1 6000); do "
                "echo message number $n of the flood; done >/dev/kmsg; echo written >/dev/ttyS0; sleep 0.5")
    run.cmdline = "printk.devkmsg=on"
    hold(run)
    run.wait_serial("written")
    run.host.flowing.set()
    run.wait()
    run.check()
    sequence = [int.from_bytes(record.data[:8], "little") for record in run.log.of("kernel", wire.MESSAGE)]
    missing = sequence[-1] + 1 - len(sequence)
    gaps = run.log.gaps("kernel")
    assert {gap.reason for gap in gaps} == {"overrun"} and sum(gap.records for gap in gaps) == missing > 0
    assert run.log.messages("kernel")[-1] != b"" and b"message number 6000 of the flood" in run.log.messages("kernel")


def test_32_out_of_memory(boot):
    """The kernel kills the hog. The relay is not its choice, and the log goes on."""
    run = boot("tail /dev/zero; echo still here; exit 3")
    assert (run.stdout, run.exit) == (b"still here\n", 3) and not run.log.events("relay")
    assert any(b"Killed process" in message and b"(tail)" in message for message in run.log.messages("kernel"))


# --- a host that is slow --------------------------------------------------------------------------------------------

def hold(run):
    """The host stops reading, then the script goes on behind its `read`."""
    run.start()
    run.host.wait_output(b"up\n")
    run.host.flowing.clear()
    run.type("go\n")


WRITE = "echo up; read go </dev/ttyS0; seq 1 300000; echo written >/dev/ttyS0; read go </dev/ttyS0; echo done"
WRITTEN = b"up\n" + numbers(300000) + b"done\n"


@pytest.mark.parametrize("ring", [64 << 10, 256 << 10, 1 << 20])
def test_18_host_stands_still(guest, ring):
    """The machine goes on, the oldest records go, and the count of them is exact."""
    run = guest(wire.log(ring), script=WRITE)
    hold(run)
    run.wait_serial("written")
    run.host.flowing.set()
    run.type("go\n")
    run.wait()
    run.check()
    run.log.assert_bytes("stdout", WRITTEN)
    assert {loss.reason for loss in run.log.losses} == {"full"}
    assert lost(run.log) > len(WRITTEN) - 2 * ring - (1 << 20)
    assert run.stdout.endswith(WRITTEN[-ring // 2:])


def test_18_host_is_gone(guest):
    """The same for one that was cut off, and comes back."""
    run = guest(wire.log(64 << 10), script=WRITE)
    run.start()
    run.host.wait_output(b"up\n")
    run.host.stop()
    run.type("go\n")
    run.wait_serial("written")
    run.host.start()
    run.type("go\n")
    run.wait()
    run.check()
    run.log.assert_bytes("stdout", WRITTEN)
    assert lost(run.log) > 0 and len(run.host.logs) >= 2


def test_18_again_and_again(guest):
    """Losses that follow each other, some of them while one is being told."""
    run = guest(wire.log(64 << 10), script="echo up; read go </dev/ttyS0; for n in 1 2 3 4 5; do seq 1 150000; "
                "echo round $n >/dev/ttyS0; sleep 0.2; done; echo done")
    hold(run)
    for n in range(1, 6):
        run.wait_serial("round %d" % n)
        run.host.flowing.set()
        time.sleep(0.1 * (n % 3))
        run.host.flowing.clear()
    run.host.flowing.set()
    run.wait()
    run.check()
    run.log.assert_bytes("stdout", b"up\n" + numbers(150000) * 5 + b"done\n")
    assert lost(run.log) > 0


def test_18_killed_while_it_stands_still(guest):
    """This device does not tell the guest. It notices by the silence, and finds the next host."""
    run = guest(wire.log(64 << 10), script=WRITE)
    hold(run)
    run.wait_serial("written")
    run.host.stop()
    run.host.start()
    run.host.wait(lambda: len(run.host.logs) == 2, "another log session")
    run.type("go\n")
    run.wait()
    run.check()
    run.log.assert_bytes("stdout", WRITTEN)


def test_18_block(guest):
    """Writers wait for the host, and nothing is lost."""
    run = guest(wire.log(64 << 10, "block"), script=WRITE)
    hold(run)
    time.sleep(2)
    assert "written" not in run.serial
    run.host.flowing.set()
    run.wait_serial("written")
    run.type("go\n")
    run.wait()
    run.check()
    run.log.assert_bytes("stdout", WRITTEN)
    assert not run.log.losses


def test_flood_with_a_living_host(boot):
    """A burst fills any ring; while the host keeps up, nothing is dropped for that."""
    run = boot("seq 1 300000", wire.log(64 << 10))
    assert run.stdout == numbers(300000) and not run.log.losses


def test_no_acknowledgement(guest):
    """The ring holds what is not acknowledged, and a silent host is left for another connection."""
    run = guest(script="echo up; sleep 20; echo done")
    run.host.acks = False
    run.start()
    run.host.wait_output(b"up\n")
    run.host.wait(lambda: len(run.host.logs) == 2, "a second log session")
    run.host.acks = True
    run.wait()
    run.check()
    assert run.stdout == b"up\ndone\n" and not run.log.losses


def test_silence_of_the_guest(boot):
    """When nothing is awaited of the host, its silence is no reason to leave it."""
    run = boot("echo one; sleep 17; echo two; sleep 0.5")
    assert run.stdout == b"one\ntwo\n" and len(run.host.logs) == 1


# --- connections that end, and hosts that make no sense -------------------------------------------------------------

def test_21_cut_after_every_frame(guest):
    run = guest(wire.log(4 << 20, "block"),
                script="seq 1 20000; for n in 1 2 3; do cat /bin/busybox; done >&2; read go </dev/ttyS0")
    run.host.log_script = [collect_some(n) for n in range(6)] + [collect_some(1)] * 10
    run.start()
    run.host.wait(lambda: len(run.host.logs) == 17, "the last of them to hear")
    run.type("go\n")
    run.wait()
    run.check()
    assert run.stdout == numbers(20000) and len(run.host.logs) == 17
    assert not run.log.losses


def test_19_host_restarts(guest):
    """Killed under load, five times; what it had acknowledged does not come again, the rest does."""
    run = guest(wire.log(4 << 20), script="echo up; for n in $(seq 1 40); do seq 1 3000; sleep 0.1; done")
    run.start()
    for n in range(5):
        run.host.wait(lambda: run.host.epochs and len(run.host.log.bytes("stdout")) > n * 60000, "output")
        run.host.stop()
        run.host.start()
    run.wait()
    run.check()
    run.log.assert_bytes("stdout", b"up\n" + numbers(3000) * 40)
    assert not run.log.losses and run.log.hellos == sorted(run.log.hellos) and len(run.log.hellos) >= 6


def log_answer(content):
    """This instead of LOG_WELCOME."""
    def lead(session):
        session.hello()
        session.send(content)
        session.wait_cut()
    return lead


def after_welcome(*answers):
    """Frames that a host must not send, each after one of the guest's."""
    def lead(session):
        session.hello()
        session.welcome()
        session.host.acks = False
        for answer in answers:
            session.take()
            session.send(answer)
        session.wait_cut()
        session.host.acks = True
    return lead


def numbered(kind, number):
    return wire.frame(kind, struct.pack("<Q", number))


NONSENSE = [
    log_answer(wire.frame(wire.LOG_WELCOME, struct.pack("<HHIQ", 1, 0, 0, 1 << 40))),
    log_answer(wire.frame(wire.LOG_WELCOME, struct.pack("<HHIQ", 2, 0, 0, 0))),
    log_answer(wire.frame(wire.LOG_WELCOME, struct.pack("<HHIQ", 1, 0, 1, 0))),
    log_answer(wire.frame(wire.LOG_WELCOME, bytes(15))),
    log_answer(numbered(wire.ACK, 0)),
    log_answer(numbered(wire.END_ACK, 0)),
    log_answer(wire.frame(0x0999)),
    log_answer(struct.pack("<IHH", 1 << 31, wire.LOG_WELCOME, 0)),
    log_answer(b""),
    silent,
    refuse(9, "not now"),
    after_welcome(numbered(wire.ACK, 1 << 40)),
    after_welcome(numbered(wire.END_ACK, 1)),
    after_welcome(numbered(wire.LOG_WELCOME, 0)),
    after_welcome(wire.frame(wire.ACK, bytes(9))),
    after_welcome(numbered(wire.RECORDS, 0)),
    after_welcome(struct.pack("<IHH", 32761, wire.ACK, 0)),
]


def test_hosts_that_make_no_sense(guest):
    """The guest leaves each, and gives a better one all it has."""
    run = guest(wire.log(1 << 20), script="(read go </dev/ttyS0; >/tmp/enough) & n=0; "
                "until [ -e /tmp/enough ]; do echo $((n += 1)); sleep 0.1; done; exit 3")
    run.host.log_script = list(NONSENSE)
    run.start()
    run.host.wait(lambda: len(run.host.logs) == len(NONSENSE) + 1, "the last log session")
    run.type("go\n")
    run.wait()
    run.check()
    assert run.stdout == numbers(run.stdout.count(b"\n")) and run.exit == 3
    assert not run.log.losses and len(run.host.logs) == len(NONSENSE) + 1


def test_22_transport_reset(guest):
    """The driver lets the device go and takes it again: all connections are dead, none of the log is."""
    run = guest(wire.log(1 << 20), script="seq 1 5000; cd /sys/bus/virtio/drivers/*vsock*; echo virtio0 >unbind; "
                "seq 1 5000; sleep 0.5; echo virtio0 >bind; seq 1 5000; sleep 3")
    run.run()
    assert run.stdout == numbers(5000) * 3 and len(run.host.logs) >= 2 and not run.log.losses


# --- the end of the machine -----------------------------------------------------------------------------------------

TALK = "while :; do echo tick; echo tack >&2; done"
LAST = [
    ("trap 'echo the last line; exit' TERM; (sleep 0.3; poweroff) & " + TALK, "stdout"),
    ("(" + TALK + ") & (sleep 0.3; echo the last line >&2; poweroff) & sleep 60", "stderr"),
    ("(" + TALK + ") & sleep 0.3; echo the last line >/dev/console; poweroff", "console"),
    ("(" + TALK + ") & sleep 0.3; echo the last line", "stdout"),
    ("(" + TALK + ") & sleep 0.3; logger the last line; reboot", "syslog"),
]


@pytest.mark.parametrize("script, stream", LAST * 4, ids=["%d" % n for n in range(20)])
def test_35_last_line(boot, script, stream):
    """Ending the machine in the middle of a flood takes nothing away that was written before."""
    run = boot(script)
    said = run.log.bytes(stream) if stream != "syslog" else b"".join(run.log.messages(stream))
    assert said.count(b"the last line") == 1
    if script.startswith("trap"):
        assert said.endswith(b"tick\nthe last line\n")


@pytest.mark.parametrize("how", ["gone", "not-reading", "not-acknowledging"])
def test_36_no_host_at_the_end(guest, how):
    """The machine ends without it."""
    run = guest(script="echo up; read go </dev/ttyS0; echo too late")
    run.clean = False
    run.start()
    run.host.wait_output(b"up\n")
    if how == "gone":
        run.host.stop()
    elif how == "not-reading":
        run.host.flowing.clear()
    else:
        run.host.acks = False
    run.type("go\n")
    run.qemu_process.wait(60)
    run.host.flowing.set()
    run.wait()
    assert "Restarting system" in run.serial and "panic" not in run.serial
