# SPDX-License-Identifier: MIT
"""From the kernel's start to the end of the workload, when nothing goes wrong."""
import hashlib
import os
import subprocess
import sys
import time

import pytest

from . import wire

INITTAB = "::once:/init workload\n::shutdown:/init shutdown\n"
PHASES = ["start", "early", "options", "relay", "modules", "cid 42", "hello", "commit", "apply", "handoff"]


def lines(content):
    return content.decode().split("\n")[:-1]


# --- the boot -------------------------------------------------------------------------------------------------------

def test_phases(boot):
    run = boot("true")
    phases = run.log.events("phase")
    assert [(phase.value, phase.text) for phase in phases] == list(enumerate(PHASES))
    assert [phase.ns for phase in phases] == sorted(phase.ns for phase in phases)
    assert 0 < phases[0].ns < run.host.boots[0].applied < phases[-1].ns
    assert len(run.host.boots) == len(run.host.logs) == 1


def test_hostname(boot):
    assert boot("hostname", wire.hostname("harbour")).stdout == b"harbour\n"


def test_arguments(guest):
    words = ["/bin/sh", "-c", 'for word; do echo "<$word>"; done', "0", "", "two words", "⚓", "*", "$HOME"]
    assert lines(guest(wire.args(*words)).run().stdout) == ["<>", "<two words>", "<⚓>", "<*>", "<$HOME>"]


def test_environment(boot):
    run = boot("env", wire.env("MODE=quiet"), wire.env("EMPTY="), wire.env("A=b=c d"), wire.env("HOME=/tmp"))
    assert {"MODE=quiet", "EMPTY=", "A=b=c d", "HOME=/tmp"} <= set(lines(run.stdout))
    assert {line.split("=")[0] for line in lines(run.stdout)} == {
        "MODE", "EMPTY", "A", "HOME", "PATH", "PWD", "NOTIFY_SOCKET"}


def test_program_is_found_in_path(guest):
    assert guest(wire.args("echo", "found")).run().stdout == b"found\n"


def test_working_directory(boot):
    assert boot("pwd", wire.cwd("/var/log")).stdout == b"/var/log\n"


def test_user_and_groups(boot):
    run = boot("id -u; id -g; id -G; echo $HOME", wire.user(1000, 100, 7, 8))
    assert lines(run.stdout) == ["1000", "100", "100 7 8", "/"]


def test_links_to_descriptors(boot):
    """The streams can be opened by name, by any user."""
    run = boot("echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin; echo more >/dev/fd/2",
               wire.user(1000, 100))
    assert (run.stdout, run.stderr) == (b"out\n", b"err\nmore\n")


def test_sysctl(boot):
    names = "vm.overcommit_ratio", "kernel.printk"
    run = boot("cat /proc/sys/vm/overcommit_ratio /proc/sys/kernel/printk",
               wire.sysctl(names[0], "77"), wire.sysctl(names[1], "3 4 1 7"))
    assert lines(run.stdout) == ["77", "3\t4\t1\t7"]


@pytest.mark.parametrize("record, what", [
    (wire.sysctl("vm.overcommit_ratio", "many"), "SYSCTL vm.overcommit_ratio"),
    (wire.sysctl("no.such", "1"), "SYSCTL no.such"),
    (wire.sysctl("../../etc/passwd", "1"), "SYSCTL ../../etc/passwd"),
    (wire.mount("/data", "nosuchfs"), "MOUNT /data"),
    (wire.mount("/data", "tmpfs", "tmpfs", "size=much"), "MOUNT /data"),
    (wire.directory("bin") + wire.directory("bin/busybox"), "DIR bin/busybox"),
    (wire.file("tmp", "x"), "FILE tmp"),
    (wire.symlink("tmp", "etc"), "SYMLINK tmp"),
], ids=lambda value: value.replace("/", ":") if isinstance(value, str) else "")
def test_what_cannot_be_applied(guest, record, what):
    """The host is told what it was, and nothing is handed on."""
    run = guest(record, script="echo handed on").start().wait()
    (code, text), = run.host.take_refusals()
    assert code == "apply" and text.startswith(what + ": ")
    assert run.stdout == b"" and not run.host.boots[0].applied
    failure, = run.log.events("failure")
    assert failure.text == text
    assert "the boot failed: " + text in run.serial
    assert [phase.text for phase in run.log.events("phase")][-1] == "commit"


# --- mounts, files, credentials -------------------------------------------------------------------------------------

def test_mounts(boot):
    run = boot("cat /proc/mounts", wire.mount("/data/deep", "tmpfs", "stuff", "size=1m,nosuid,noexec,mode=0750"),
               wire.mount("/data/deep/er", "tmpfs", "tmpfs"))
    mounts = {line.split()[1]: line.split() for line in lines(run.stdout)}
    source, _, kind, options = mounts["/data/deep"][:4]
    assert (source, kind) == ("stuff", "tmpfs")
    assert {"rw", "nosuid", "noexec", "size=1024k", "mode=750"} <= set(options.split(","))
    assert "nosuid" not in mounts["/data/deep/er"][3]


def test_bind_mount(boot):
    run = boot("cat /mnt/passwd | head -n 1; touch /mnt/new 2>&1; touch /etc/new && echo elsewhere",
               wire.mount("/mnt", "none", "/etc", "bind,ro"))
    assert lines(run.stdout)[0].startswith("root:") and lines(run.stdout)[-1] == "elsewhere"
    assert "Read-only file system" in lines(run.stdout)[1]


def test_files(boot):
    """A tree over the root: new and replaced files, modes, owners, symbolic links, empty directories."""
    big = os.urandom(300000)
    run = boot("cd /; stat -c '%a %u:%g %F %n' etc/passwd etc/app etc/app/run etc/app/none etc/app/key etc; "
               "readlink etc/app/link; stat -c '%u:%g %F' etc/app/link; cat etc/app/link; ls etc/app/empty; "
               "sha256sum < etc/app/big; ls -d .hawser 2>&1",
               wire.directory("etc", 0o700, 5, 5), wire.file("etc/passwd", "new\n", 0o640),
               wire.directory("etc/app", 0o1711, 1000, 100), wire.directory("etc/app/empty", 0o500),
               wire.file("etc/app/run", "#!/bin/sh\n", 0o4755, 1, 2), wire.file("etc/app/none"),
               wire.file("etc/app/key", "key", 0o400, 1000, 100), wire.file("etc/app/big", big),
               wire.symlink("etc/app/link", "../passwd", 3, 4))
    assert lines(run.stdout) == [
        "640 0:0 regular file etc/passwd", "1711 1000:100 directory etc/app", "4755 1:2 regular file etc/app/run",
        "644 0:0 regular empty file etc/app/none", "400 1000:100 regular file etc/app/key",
        "755 0:0 directory etc",     # was there: keeps mode and owner
        "../passwd", "3:4 symbolic link", "new", hashlib.sha256(big).hexdigest() + "  -",
        "ls: .hawser: No such file or directory"]


def test_files_through_links_of_the_image(boot):
    """In this image /usr/bin is /bin, and /var/run is /run."""
    run = boot("tool; readlink /usr/bin; cat /run/deep/file",
               wire.directory("usr"), wire.directory("usr/bin"),
               wire.file("usr/bin/tool", "#!/bin/sh\necho ours\n", 0o755),
               wire.directory("var"), wire.directory("var/run"), wire.directory("var/run/deep"),
               wire.file("var/run/deep/file", "ours too\n"))
    assert lines(run.stdout) == ["ours", "../bin", "ours too"]


def test_files_onto_a_mount(boot):
    content = os.urandom(100000)
    run = boot("cd /data/sub; stat -c '%a %u:%g %n' . file; readlink link; stat -c '%u:%g' link; sha256sum <file",
               wire.mount("/data", "tmpfs"), wire.directory("data"), wire.directory("data/sub", 0o710, 7, 8),
               wire.file("data/sub/file", content, 0o4711, 9, 10), wire.symlink("data/sub/link", "file", 11, 12))
    assert lines(run.stdout) == ["710 7:8 .", "4711 9:10 file", "file", "11:12",
                                 hashlib.sha256(content).hexdigest() + "  -"]


def test_credentials(boot):
    """One of the largest size there is; read-only, in a directory that says nothing, of nobody else's."""
    secret = os.urandom(1048576 - 3)
    run = boot("cd $CREDENTIALS_DIRECTORY && pwd; stat -c '%a %u:%g %n' . *; sha256sum <big; cat small; "
               "echo x 2>&1 >>small; rm -f small 2>&1; grep ' /run/credentials/@system ' /proc/mounts; "
               "find / -xdev -name '*small*' 2>/dev/null; tr '\\0' '\\n' </proc/1/environ",
               wire.credential("big", secret), wire.credential("small", "key", 0o440, 0, 7))
    got = lines(run.stdout)
    assert got[:5] == ["/run/credentials/@system", "711 0:0 .", "400 0:0 big", "440 0:7 small",
                       hashlib.sha256(secret).hexdigest() + "  -"]
    assert got[5].startswith("key") and "Read-only file system" in got[5] and "Read-only file system" in got[6]
    kind, options = got[7].split()[2:4]
    assert kind == "ramfs" and {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert "CREDENTIALS_DIRECTORY=/run/credentials/@system" in got[8:]
    assert not any("small" in line for line in got[8:])


def test_credential_of_a_user(boot):
    run = boot("cat $CREDENTIALS_DIRECTORY/mine; cat $CREDENTIALS_DIRECTORY/roots || ls $CREDENTIALS_DIRECTORY",
               wire.credential("mine", "mine\n", 0o400, 1000, 1000), wire.credential("roots", "roots\n"),
               wire.user(1000, 1000))
    assert run.stdout == b"mine\n" and run.exit != 0
    assert run.stderr.count(b"Permission denied") == 2


def test_credentials_of_root_are_hidden(boot):
    run = boot("stat -c %a /run/credentials/@system; cat /run/credentials/@system/key", wire.credential("key", "key"),
               wire.user(1000, 1000))
    assert run.stdout == b"700\n" and b"Permission denied" in run.stderr


# --- what processes find --------------------------------------------------------------------------------------------

def test_nothing_is_left_over(boot):
    """Neither the workload nor PID 1 after the hand-off has anything of init's but what it shall have."""
    run = boot("cd /proc; grep -hE 'Sig(Blk|Ign)' self/status 1/status >&2; echo $(ls 1/fd); "
               "for n in 0 1 2; do readlink $$/fd/$n; done; for n in 0 1 2; do readlink 1/fd/$n; done; "
               "umask; cat $$/oom_score_adj; stat -c %a /run/hawser")
    assert {line.split()[1] for line in lines(run.stderr)} == {"0" * 16}
    got = lines(run.stdout)
    assert got[:5] == ["0 1 2", "/dev/null", "/run/hawser/stdout", "/run/hawser/stderr", "/dev/null"]
    assert got[5].startswith("pipe:") and got[6] == got[5]
    assert got[7:] == ["0022", "0", "700"]


def test_descriptors(guest):
    """The three, and the one that ls looks through."""
    assert guest(wire.args("/bin/ls", "/proc/self/fd")).run().stdout == b"0\n1\n2\n3\n"


def test_relay_is_last_to_be_killed(boot):
    run = boot("for name in keeper relay; do cat /proc/$(pidof hawser-$name)/oom_score_adj; done")
    assert lines(run.stdout) == ["-1000", "-1000"]


# --- output ---------------------------------------------------------------------------------------------------------

def test_output_and_status(boot):
    run = boot("echo to stdout; echo to stderr >&2; exit 7")
    assert (run.stdout, run.stderr, run.exit) == (b"to stdout\n", b"to stderr\n", 7)


def test_streams(boot):
    """Each stream has what was written to it, and nothing of another's."""
    inittab = "::sysinit:/bin/sh -c 'echo in${X}ittab'\n" + INITTAB
    run = boot("echo dev${X}ice >/dev/console; echo '<3>ours' >/dev/kmsg; logger -p daemon.warn -t me sys${X}log; "
               "echo out${X}put; echo er${X}ror >&2; sleep 0.2",
               wire.directory("etc"), wire.file("etc/inittab", inittab), cmdline="hawser.odd=1")
    log = run.log
    assert b"\ninittab\n" in log.bytes("console") and b"\ndevice\n" in log.bytes("console")
    assert (log.bytes("stdout"), log.bytes("stderr")) == (b"output\n", b"error\n")
    kernel, = [record for record in log.of("kernel", wire.MESSAGE) if record.data[8:] == b"ours"]
    assert kernel.pri & 7 == 3
    syslog, = log.messages("syslog")
    assert syslog.startswith(b"<28>") and syslog.rstrip(b"\n\0").endswith(b"me: syslog")
    assert any(b"hawser.odd=1" in message for message in log.messages("init"))


def test_kernel_log_is_whole(boot):
    """From its first line on, in the kernel's own numbering, and up to what comes after the hand-off."""
    run = boot("echo the last one >/dev/kmsg; sleep 0.2")
    messages = run.log.messages("kernel")
    assert messages[0].startswith(b"Linux version ") and b"the last one" in messages
    numbers = [int.from_bytes(record.data[:8], "little") for record in run.log.of("kernel", wire.MESSAGE)]
    assert numbers == list(range(len(numbers)))
    assert not run.log.gaps("kernel")


def test_bytes_are_unchanged(boot):
    """Every byte there is, lines of 64 KiB, and a last line without an end."""
    content = bytes(range(256)) * 64 + (b"x" * 65535 + b"\n") * 3 + b"\x1b[31m\r\n\0\0\xff" + b"y" * 65536
    run = boot("cat /tree/content; cat /tree/content >&2; cat /tree/content >/dev/console; sleep 0.2",
               wire.directory("tree"), wire.file("tree/content", content), wire.log(4 << 20))
    assert run.stdout == content and run.stderr == content
    assert content in run.log.bytes("console")


def test_output_in_order(boot):
    """One stream's bytes are never out of order, and what was written before the program's end is before it."""
    run = boot("seq 1 20000; echo end >&2")
    assert run.stdout == b"".join(b"%d\n" % n for n in range(1, 20001))
    exited, = [record for record in run.log.of("init", wire.EVENT) if wire.event_parse(record).name == "exited"]
    assert all(record.number < exited.number for record in run.log.of("stdout", wire.BYTES))


def test_output_of_a_process_that_stays(boot):
    """The streams stay open for who inherits them, when the program itself has gone."""
    run = boot("(while kill -0 $$ 2>/dev/null; do sleep 0.05; done; echo after; poweroff) & echo before; exit 3",
               wire.workload(at_end="stay"))
    assert (run.stdout, run.exit) == (b"before\nafter\n", 3)


def test_closed_output(boot):
    """A program that closes its output, or never had any, ends like another."""
    assert boot("exec >&- 2>&-; sleep 0.1; exit 5").exit == 5


# --- the end of the program -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("script, status", [
    ("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("no-such-program", 127), ("/etc/passwd", 126),
    ("kill -9 $$", -9), ("kill -TERM $$", -15), ("exec sh -c 'kill -SEGV $$'", -11)])
def test_status(boot, script, status):
    assert boot(script).exit == status


@pytest.mark.parametrize("program, errno", [
    ("/no/such/program", 2), ("no-such-program", 2), ("/etc/passwd", 13), ("/etc", 13)])
def test_program_that_cannot_be_started(guest, program, errno):
    run = guest(wire.args(program)).run()
    unstarted, = run.log.events("unstarted")
    assert (unstarted.value, unstarted.text) == (errno, program)
    assert not run.log.events("started") and run.exit is None


def test_bad_working_directory(guest):
    run = guest(wire.args("/bin/true"), wire.cwd("/no/such")).run()
    assert [event.value for event in run.log.events("unstarted")] == [2]


COUNT = "n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n + 1)) >/tmp/n; echo run $n; "


@pytest.mark.parametrize("restart, restarts, script, runs", [
    ("no", 0, "false", 1), ("on-failure", 0, "[ $n = 2 ]", 3), ("on-failure", 0, "[ $n = 2 ] || kill -9 $$", 3),
    ("on-failure", 0, "true", 1), ("on-failure", 2, "false", 3), ("always", 2, "true", 3),
    ("always", 0, "[ $n != 3 ] || poweroff; true", 4)])
def test_restart(boot, restart, restarts, script, runs):
    run = boot(COUNT + script, wire.workload(restart, restarts=restarts))
    assert lines(run.stdout)[:runs] == ["run %d" % n for n in range(runs)]
    assert len(lines(run.stdout)) == runs or "poweroff" in script
    restarted = [event.value for event in run.log.events("restart")]
    assert restarted[:runs - 1] == list(range(1, runs))


def test_supervisor_reports(boot):
    run = boot("echo $$; exit 4")
    started, = run.log.events("started")
    assert started.value == int(run.stdout) and started.text == "/bin/sh"
    assert [event.value for event in run.log.events("exited")] == [4]


def test_stop_signal(boot):
    """The program gets the stop signal of the configuration and no other, and the time to say goodbye."""
    run = boot("trap 'echo other' TERM; trap 'sleep 3; echo bye; exit 9' USR1; (sleep 0.2; poweroff) & "
               "while :; do sleep 0.05; done", wire.workload(signal=10, grace_ms=60000))
    assert (run.stdout, run.exit) == (b"bye\n", 9)


def test_stop_grace(boot):
    """A program that does not stop is killed."""
    run = boot("trap '' TERM; (sleep 0.2; poweroff) & while :; do sleep 0.05; done", wire.workload(grace_ms=300))
    assert run.exit == -9


# --- the end of the machine -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("at_end", ["poweroff", "stay", "reboot"])
@pytest.mark.parametrize("script", ["true", "poweroff", "reboot"])
def test_power(boot, script, at_end):
    """What the program asks for goes before what its end means."""
    power = at_end if script == "true" else script
    run = boot(script if power != "stay" else "(sleep 0.3; poweroff) &", wire.workload(at_end=at_end))
    assert [(event.value, event.text) for event in run.log.events("power")] == [
        (1, "poweroff" if power == "stay" else power)]
    assert "Restarting system" in run.serial


@pytest.mark.parametrize("how, script, power, message", [
    (None, "halt", (1, "halt"), "System halted"), ("poweroff", "true", (0, "poweroff"), "Power down|System halted"),
    ("poweroff", "poweroff", (0, "poweroff"), "Power down|System halted")])
def test_power_that_keeps_qemu(guest, how, script, power, message):
    """This machine has nothing to be switched off with: the processor stands still, and QEMU stays."""
    run = guest(wire.power(how) if how else b"", script=script).start()
    run.host.wait(lambda: run.host.epochs and run.log.end, "END")
    for _ in range(1000):
        if any(word in run.serial for word in message.split("|")):
            break
        time.sleep(0.05)
    assert any(word in run.serial for word in message.split("|"))
    assert run.qemu_process.poll() is None
    assert [(event.value, event.text) for event in run.log.events("power")] == [power]


def test_power_by_force(guest):
    """Without a word to anybody: the log has no end."""
    run = guest(script="sleep 0.5; poweroff -f")
    run.clean = False
    run.run()
    assert run.log.end is None and not run.log.events("power")


def test_reboot_is_a_new_epoch(guest):
    run = guest(wire.workload(at_end="reboot"), script="cat /proc/sys/kernel/random/boot_id")
    run.run()
    run.run()
    first, second = run.host.epochs
    for epoch in first, second:
        assert epoch.bytes("stdout").decode().strip().replace("-", "") == epoch.boot_id.hex()
        assert [event.text for event in epoch.events("power")] == ["reboot"]
    assert first.boot_id != second.boot_id


def test_no_program(guest):
    """The machine is inittab's alone."""
    inittab = INITTAB + "::once:/bin/sh -c 'hostname; sleep 0.2; poweroff'\n"
    run = guest(wire.hostname("alone"), wire.directory("etc"), wire.file("etc/inittab", inittab)).run()
    assert b"\nalone\n" in run.log.bytes("console") and not run.log.events("started")


# --- another host ---------------------------------------------------------------------------------------------------

def test_example_host(guest, kit, tmp_path):
    """examples/host.py, which was written from the protocol's page, serves a boot."""
    (tmp_path / "key").write_bytes(os.urandom(40000))
    run = guest(host=False)
    script = "hostname; echo $MODE; sha256sum <$CREDENTIALS_DIRECTORY/key; echo to stderr >&2; exit 7"
    command = [sys.executable, os.path.join(kit.top, "examples/host.py"), run.base, "--hostname", "example",
               "--env", "MODE=loud", "--credential", "key=%s" % (tmp_path / "key"), "--", "/bin/sh", "-c", script]
    example = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        while not os.path.exists(run.base + "_611"):
            assert example.poll() is None
            time.sleep(0.01)
        run.run()
        text = example.communicate(timeout=60)[0]
    finally:
        example.kill()
        example.wait()
    shown = [line.split("| ", 1) for line in text.split("\n") if "| " in line]
    digest = hashlib.sha256((tmp_path / "key").read_bytes()).hexdigest()
    assert [line for tag, line in shown if "stdout" in tag] == ["example", "loud", digest + "  -"]
    assert [line for tag, line in shown if "stderr" in tag] == ["to stderr"]
    assert any("kernel" in tag and "Linux version" in line for tag, line in shown)
    assert example.returncode == 7
