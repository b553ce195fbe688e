# SPDX-License-Identifier: MIT
"""Logs of real guests in the files of the real hawserd: the numbers are the rows of the fault table."""
import os
import pty
import subprocess

from daemon import HAWSERD, wait_for

HAWSER = HAWSERD.parent / "hawser"


def shown_on_terminal(host, *options):
    """What `hawser logs` writes when its output is a terminal."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen([HAWSER, "logs", "--runtime", host.run, *options, "vm"], stdout=theirs,
                            env=dict(os.environ, NO_COLOR="1"))
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:
        pass                     # the other end is closed
    os.close(ours)
    assert done.wait() == 0
    return shown


NASTY = (b"\x1b[31mred\x1b]0;title\x07\x1b[2J", b"\x9b2J\xc2\x9b2J\x7f", bytes(range(256)).replace(b"\n", b""), b"\0",
         b"", b"\xf0\x9f\x9a\xa2 ahoy", b"\xff\xfe", b"\r\r")


def test_25_lines_and_bytes_of_all_kinds(kept):
    """Lines of 2 KiB, binary ones and those that would upset a terminal are in the file as they were written."""
    lines = [*NASTY, *(b"%04d " % n + b"m" * 2042 for n in range(200)), *NASTY]
    content = b"\n".join(lines)          # the last one has no end
    kept.run("cat /content; cat /content >&2; cat /content >/dev/console; sleep 0.2",
             [("content", content)], whenFull="block")
    assert kept.lines("stdout") == lines and kept.lines("stderr") == lines
    console = kept.lines("console")
    start = console.index(lines[8])
    assert console[start - 8:start + len(lines) - 8 - 1] == lines[:-1]
    shown = shown_on_terminal(kept.host, "-n", "5000", "--stream", "stdout")
    assert not set(shown) & (set(range(32)) - {9, 10, 13} | {0x7f}) and b"\\x1b[31mred" in shown
    assert b"\xc2\x9b" not in shown and b"\xf0\x9f\x9a\xa2 ahoy" in shown


def test_27_lines_of_64_kib(kept):
    """Split on the way, and whole again in the file; those over 64 KiB come in pieces that say so."""
    lines = [bytes([97 + n]) * (65536 - n % 2) for n in range(20)] + [b"z" * 200001]
    kept.run("cat /content", [("content", b"\n".join(lines) + b"\n")], whenFull="block", ringKiB=64)
    assert kept.lines("stdout")[:20] == lines[:20]
    pieces = [r for r in kept.host.records() if r["stream"] == "stdout" and "seq" in r][20:]
    assert [len(r["message"]) for r in pieces] == [65536] * 3 + [200001 - 3 * 65536]
    assert [r.get("offset", 0) for r in pieces] == [0, 65536, 131072, 196608]
    assert [r.get("partial", False) for r in pieces] == [True] * 3 + [False]


CPU = "cpu() { set -- $(cat /proc/$(pidof hawser-relay)/stat); echo $(($14 + $15)); }; "


def test_34_closed_outputs_and_daemons(kept):
    """One that closes its output, or goes to the background, takes nothing from the others; nothing spins."""
    kept.run(CPU + "exec 3>&1; (exec >&- 2>&-; sleep 1); exec 2>&-; before=$(cpu); "
             "(setsid sh -c 'sleep 1; echo daemon; sleep 1; echo daemon again' &) ; echo one; "
             "sleep 3; echo used $(($(cpu) - before)) >&3; echo last")
    lines = kept.lines("stdout")
    assert lines[0] == b"one" and b"daemon" in lines and b"daemon again" in lines and lines[-1] == b"last"
    used = next(int(line.split()[1]) for line in lines if line.startswith(b"used"))
    assert used < 60             # of 300 ticks


def test_35_poweroff_while_it_logs(kept):
    """The last line that a program wrote is there, and the end."""
    kept.run("trap 'echo the last line; exit' TERM; (sleep 1; poweroff) & while :; do echo tick; echo tack >&2; done")
    assert kept.lines("stdout")[-1] == b"the last line"
    assert b"hawserd end: " in kept.host.text() and b"unclean" not in kept.host.text()


def test_36_no_hawserd_at_the_end(kept):
    """The machine ends all the same, and hawserd says so when it is back."""
    kept.start("echo up; read go </dev/ttyS0; echo too late")
    kept.wait_text(b"stdout up")
    kept.host.kill()
    kept.type("go\n")
    kept.guest.wait()
    kept.host.start()
    kept.wait_text(b"hawserd unclean: ")
    assert b"too late" not in kept.host.text() and kept.lines("stdout") == [b"up"]


FLOOD = "n=0; while :; do echo $((n += 1)); done"


def assert_unclean(kept):
    kept.wait_text(b"hawserd unclean: ")
    status = kept.host.status()
    assert status["epoch"]["acknowledged"] == status["epoch"]["next"]
    numbers = [int(line) for line in kept.lines("stdout")[:-1]]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 1000
    assert b"hawserd end: " not in kept.host.text()


def test_37_the_vmm_is_killed(kept):
    """All that was received is kept, the end is unclean, and the next boot is served."""
    kept.start(FLOOD)
    kept.wait_text(b"stdout 1000\n")
    kept.guest.qemu_process.kill()
    kept.guest.qemu_process.wait()
    kept.guest.stop()
    assert_unclean(kept)
    wait_for(lambda: kept.host.status()["epoch"]["state"] == "none")


def test_37_panic(kept):
    kept.start("(" + FLOOD + ") & read go </dev/ttyS0; echo 1 >/proc/sys/vm/panic_on_oom; tail /dev/zero")
    kept.wait_text(b"stdout 1000\n")
    kept.type("go\n")
    kept.guest.qemu_process.wait(120)
    kept.guest.stop()
    assert "Kernel panic" in kept.guest.serial
    assert_unclean(kept)
