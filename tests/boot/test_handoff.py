# SPDX-License-Identifier: MIT
"""What becomes PID 1: the program itself, or the init of another root, on every kind of file system."""
import os
import shutil
import subprocess

import pytest

from . import wire
from .conftest import output

BLOCK = "virtio-blk-device,drive=root"
# The init of the small root: what it finds is on the console; the machine is ended in hawser's way.
INIT = "#!/bin/sh\nPATH=/bin\n%s\nexec /run/initramfs/shutdown poweroff\n"


def switch_root(kind, source, options="", init="/sbin/init", overlay=False):
    return wire.handoff(2, int(overlay), b"".join(map(wire.sized, (kind, source, options, init))))


def console(run):
    return run.log.bytes("console").decode().replace("\r", "").split("\n")


# --- the program is PID 1 -------------------------------------------------------------------------------------------

def test_exec(guest):
    """With all that a workload has: arguments, variables, directory, user, streams of its own."""
    script = ("echo $$ $0 $1 $MODE $HOME $(pwd) $(id -u) $(id -g) $(id -G); echo $CREDENTIALS_DIRECTORY; "
              "cat $CREDENTIALS_DIRECTORY/key; echo err >&2; grep -hE 'Sig(Blk|Ign)' /proc/self/status >&2; "
              "ls /proc/self/fd; for n in 0 1 2; do readlink /proc/1/fd/$n; done; echo end; sleep 1000")
    run = guest(wire.handoff(1), wire.args("/bin/sh", "-c", script, "zero", "two words"), wire.env("MODE=quiet"),
                wire.cwd("/var/log"), wire.user(1000, 100, 7), wire.credential("key", "key\n", 0o400, 1000, 100))
    run.clean = False
    run.start().host.wait_output(b"end\n")
    lines = run.stdout.decode().split("\n")
    assert lines[:3] == ["1 zero two words quiet / /var/log 1000 100 100 7", "/run/credentials/@system", "key"]
    assert lines[3:] == ["0", "1", "2", "3", "/dev/null", "/run/hawser/stdout", "/run/hawser/stderr", "end", ""]
    errors = run.stderr.decode().split("\n")
    assert errors[0] == "err" and {line.split()[1] for line in errors[1:3]} == {"0" * 16}


def test_exec_returns(guest):
    """The end of PID 1 is a panic, and that a reset, as the command line has it: an end that is not clean."""
    run = guest(wire.handoff(1), wire.args("/bin/sh", "-c", "echo up; read go </dev/ttyS0; exit 7"))
    run.clean = False
    run.start().host.wait_output(b"up\n")
    run.type("go\n")
    run.wait()
    assert run.log.end is None and "Attempted to kill init! exitcode=0x00000700" in run.serial


def test_exec_ends_the_machine(guest):
    """By the names in the image: nothing is asked of PID 1, which knows nothing of that."""
    run = guest(wire.handoff(1), script="sleep 1000 & echo last; poweroff; echo not reached").run()
    assert run.stdout == b"last\n"
    assert [(event.value, event.text) for event in run.log.events("power")] == [(1, "poweroff")]


@pytest.mark.parametrize("program, user, errno", [
    ("/no/such", b"", 2), ("/etc/passwd", b"", 13), ("/no/such", wire.user(1000, 100), 2),
    ("/bin/true", wire.cwd("/no/such"), 2)], ids=["missing", "not-executable", "user", "cwd"])
@pytest.mark.parametrize("policy", ["poweroff", "reboot"])
def test_exec_impossible(guest, program, user, errno, policy):
    """The host knows which program it was, and why; the policy applies, also where the program was to be a user's."""
    run = guest(wire.handoff(1), wire.args(program), user)
    run.cmdline = "hawser.on_failure=" + policy
    run.run()
    assert [(event.value, event.text) for event in run.log.events("unstarted")] == [(errno, program)]
    assert len(run.log.events("failure")) == 1 and "panic" not in run.serial
    assert "the boot failed" in run.serial and "hawser.on_failure=" + policy in run.serial


# --- another root ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def kernel(kit):
    return os.path.join(output("scripts/kernel", "--variant", "pci"), "vmlinux")


class Root:
    """A small root file system of BusyBox's, in a directory."""

    def __init__(self, path, script):
        self.path = path
        busybox = os.path.join(output("scripts/busybox"), "busybox")
        for name in "bin", "sbin", "etc", "dev", "proc", "sys", "run", "usr/lib":
            os.makedirs(os.path.join(path, name))
        shutil.copy(busybox, os.path.join(path, "bin/busybox"))
        for name in "sh cat echo ls stat readlink grep sleep kill pidof tr seq touch cut sort".split():
            os.symlink("busybox", os.path.join(path, "bin", name))
        self.write("sbin/init", INIT % script, 0o755)

    def write(self, name, content, mode=0o644):
        path = os.path.join(self.path, name)
        with open(path, "w") as file:
            file.write(content)
        os.chmod(path, mode)

    def image(self, path):
        """An ext4 file system with that in it."""
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", self.path, path, "8M"], check=True,
                       env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        return path


@pytest.fixture
def rooted(guest, kernel, tmp_path):
    """rooted(kind, script, record...): a guest whose root is of that kind, and whose init is the script."""
    made = []

    def make(kind, script, *records, **settings):
        root = Root(str(tmp_path / ("root%d" % len(made))), script)
        run = guest()
        run.kernel, run.root = kernel, root
        made.append((run, root))
        what = {"ext4": ("ext4", "/dev/vda"), "9p": ("9p", "root", "trans=virtio,version=9p2000.L"),
                "virtiofs": ("virtiofs", "root"), "file": ("ext4", "/root.img")}[kind]
        run.host.records = switch_root(*what, **settings) + b"".join(records)
        return run
    yield make


def plug(run, kind):
    """The device with the root in it, as it is now."""
    if kind == "ext4":
        run.qemu += ["-drive", "id=root,if=none,format=raw,file=" + run.root.image(run.path("root.img")),
                     "-device", BLOCK]
    elif kind == "9p":
        run.qemu += ["-fsdev", "local,id=root,security_model=none,path=" + run.root.path,
                     "-device", "virtio-9p-device,fsdev=root,mount_tag=root"]
    elif kind == "virtiofs":
        run.spawn("virtiofsd", "/usr/lib/qemu/virtiofsd", "--socket-path=" + run.path("fs.sock"), "-o",
                  "source=" + run.root.path, socket="fs.sock")
        run.qemu += ["-global", "virtio-mmio.force-legacy=off", "-device", "vhost-user-fs-device,chardev=fs,tag=root",
                     "-chardev", "socket,id=fs,path=" + run.path("fs.sock")]
    elif kind == "file":
        with open(run.root.image(run.path("root.img")), "rb") as file:
            run.image.add("/root.img", file.read(), 0o600)
    return run


KINDS = ["ext4", "9p", "virtiofs", "file"]
LOOK = ("echo pid $$ $0 $#; grep ' / ' /proc/mounts; for n in 0 1 2; do readlink /proc/1/fd/$n; done; "
        "touch /written && echo written; echo kernel ${X}line >/dev/kmsg; sleep 0.2")


@pytest.mark.parametrize("overlay", [False, True], ids=["plain", "overlay"])
@pytest.mark.parametrize("kind", KINDS)
def test_root(rooted, kind, overlay):
    run = plug(rooted(kind, LOOK, overlay=overlay), kind).run()
    lines = console(run)
    at = lines.index("pid 1 /sbin/init 0")
    where, _, kinds = lines[at + 1].split()[:3]
    assert kinds == ("overlay" if overlay else {"file": "ext4"}.get(kind, kind)) and where
    assert lines[at + 2] == "/dev/null" and lines[at + 3].startswith("pipe:") and lines[at + 4] == lines[at + 3]
    assert lines[at + 5] == "written"
    if kind in ("9p", "virtiofs"):
        assert os.path.exists(os.path.join(run.root.path, "written")) == (not overlay)
    assert b"kernel line" in run.log.messages("kernel")
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


def test_root_gets_the_configuration(rooted):
    """All of it below the new root, and nothing of it in the initramfs, which is empty."""
    script = ("echo 'args' \"$0\" \"$@\"; echo $MODE $TERM $CREDENTIALS_DIRECTORY; cat /proc/sys/kernel/hostname "
              "/proc/sys/vm/overcommit_ratio $CREDENTIALS_DIRECTORY/key /etc/motd /data/file; "
              "stat -c '%a %u:%g' /etc/motd; "
              "grep -c ' /data ' /proc/mounts; echo x >>$CREDENTIALS_DIRECTORY/key; "
              "cut -d ' ' -f 2 /proc/mounts | sort | tr '\\n' ' '; echo; "
              "echo left: $(ls -A /proc/$(pidof hawser-keeper)/root)")
    run = plug(rooted(
        "ext4", script, wire.args("init", "3", "two words"), wire.env("MODE=quiet"), wire.hostname("root"),
        wire.sysctl("vm.overcommit_ratio", "77"), wire.directory("etc"), wire.file("etc/motd", "ahoy\n", 0o640, 5, 6),
        wire.mount("/data", "tmpfs"), wire.directory("data"), wire.file("data/file", "on a mount\n"),
        wire.credential("key", "key\n")), "ext4")
    lines = console(run.run())
    at = lines.index("args /sbin/init 3 two words")
    assert lines[at + 1:at + 9] == ["quiet /run/credentials/@system", "root", "77", "key", "ahoy", "on a mount",
                                    "640 5:6", "1"]
    assert "Read-only file system" in lines[at + 9]
    assert lines[at + 10].split() == ["/", "/data", "/dev", "/dev/console", "/dev/pts", "/proc", "/run",
                                      "/run/credentials/@system", "/sys", "/sys/fs/cgroup"]
    assert lines[at + 11] == "left:"


def test_root_relay_lives_on(rooted):
    """It comes back when it is killed, and finds the kernel's log, of which it has no name any more."""
    run = plug(rooted("ext4", "echo first ${X}line >/dev/kmsg; sleep 0.2; kill -9 $(pidof hawser-relay); sleep 0.2; "
                      "echo second ${X}line >/dev/kmsg; echo console ${X}line >/dev/console; tr '\\0' ' ' "
                      "</proc/$(pidof hawser-relay)/cmdline; echo; sleep 0.2"), "ext4").run()
    assert [event.value for event in run.log.events("relay")] == [1]
    assert {b"first line", b"second line"} <= set(run.log.messages("kernel"))
    assert "console line" in console(run) and any(line.startswith("@init") for line in console(run))


def no_root(run, policy):
    run.cmdline = "hawser.deadline=3 hawser.on_failure=" + policy
    run.start()


@pytest.mark.parametrize("what, why, source, more", [
    ("/dev/none", "No such file or directory", "/dev/none", {}),
    ("/dev/vda", "No such device", "/dev/vda", {"kind": "nosuchfs"}),
    ("/dev/vda", "Invalid argument", "/dev/vda", {"kind": "squashfs"}),
    ("/dev/vda", "Invalid argument", "/dev/vda", {"options": "nosuchoption"}),
    ("/etc/passwd", "I/O error", "/etc/passwd", {}),
    ("/no/init", "No such file or directory", "/dev/vda", {"init": "/no/init"}),
    ("/etc/passwd", "Permission denied", "/dev/vda", {"init": "/etc/passwd"}),
    ("/bin", "Permission denied", "/dev/vda", {"init": "/bin"}),
    ("/proc", "No such file or directory", "/dev/vda", {"options": "ro"}),
], ids=lambda value: value.replace("/", ":") if isinstance(value, str) else "")
def test_root_impossible(rooted, what, why, source, more):
    """The host knows what it was, and nothing is handed on."""
    run = rooted("ext4", "true")
    run.root.write("etc/passwd", "no program\n")
    if more.get("options") == "ro":
        os.rmdir(os.path.join(run.root.path, "proc"))
    plug(run, "ext4")
    run.host.records = switch_root(**{"kind": "ext4", "source": source, **more}) + wire.credential("key", "key")
    no_root(run, "poweroff")
    run.wait()
    text = "HANDOFF %s: %s" % (what, why)
    assert run.host.take_refusals() == [("apply", text)]
    assert [event.text for event in run.log.events("failure")] == [text]
    assert "the boot failed: " + text in run.serial and "panic" not in run.serial


def test_root_that_takes_no_files(rooted):
    """What cannot be laid over it is named, and the policy has the initramfs."""
    run = plug(rooted("ext4", "true"), "ext4")
    run.host.records = (switch_root("ext4", "/dev/vda", "ro") + wire.directory("etc") + wire.file("etc/motd", "x") +
                        wire.credential("key", "key"))
    no_root(run, "poweroff")
    run.wait()
    assert run.host.take_refusals() == [("apply", "FILE etc/motd: Read-only file system")]
    assert len(run.log.events("failure")) == 1 and "panic" not in run.serial


def test_root_impossible_shell(rooted):
    """A person finds the initramfs as it was: its shell, its devices, and no other root."""
    run = plug(rooted("ext4", "true", wire.credential("key", "key"), init="/no/init"), "ext4")
    no_root(run, "shell")
    run.wait_serial("# ")
    run.type("ls -1d /init /dev/vda /sysroot/*\n")
    run.wait_serial("\n/dev/vda\n/init\n")
    assert "ls: /sysroot/*: No such file" in run.serial
    run.type("ls -A /run/hawser/credentials; grep -c vda /proc/mounts; echo $((6 * 7))\n")
    run.wait_serial("\n0\n42\n")
    assert "\nkey" not in run.serial
    run.type("poweroff -f\n")
    run.clean = False
    run.wait()
    run.host.take_refusals()


def test_root_impossible_continue(rooted):
    """BusyBox's init takes over, of the initramfs."""
    run = plug(rooted("ext4", "true", init="/no/init"), "ext4")
    run.image.add("/etc/inittab", "::shutdown:/init shutdown\n::once:/bin/sh -c 'ls /init /sysroot; sleep 0.2; "
                  "poweroff'\n", 0o644)
    no_root(run, "continue")
    run.wait()
    run.host.take_refusals()
    at = console(run).index("/init")
    assert console(run)[at + 1:at + 3] == ["", "/sysroot:"]
    assert [event.text for event in run.log.events("power")] == ["poweroff"]


def test_root_cannot_be_executed(rooted):
    """Found out when the initramfs is gone: the machine is ended all the same."""
    run = plug(rooted("ext4", "true", init="/etc/nonsense"), "ext4")
    run.root.write("etc/nonsense", "\x7fELF nonsense", 0o755)
    plug(run, "file")            # the device has it not yet
    run.qemu = []
    run.host.records = switch_root("ext4", "/root.img", init="/etc/nonsense")
    no_root(run, "poweroff")
    run.wait()
    assert [(event.value, event.text) for event in run.log.events("unstarted")] == [(8, "/etc/nonsense")]
    assert [event.text for event in run.log.events("failure")] == ["/etc/nonsense: Exec format error"]


def test_root_device_is_late(rooted):
    """It is waited for, until the deadline."""
    run = plug(rooted("ext4", "echo got ${X}it"), "ext4")
    run.before_init("(sleep 2; ln -s vda /dev/late) &")
    run.host.records = switch_root("ext4", "/dev/late")
    assert "got it" in console(run.run())


# --- the machine's own way to be ended ------------------------------------------------------------------------------

def test_power_button(guest, kernel):
    """Of a machine with ACPI: a clean stop, and a power-off."""
    run = guest(script="trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done")
    run.kernel, run.machine, run.device = kernel, "q35,accel=tcg", "vhost-user-vsock-pci"
    run.start().host.wait_output(b"up\n")
    run.qmp("system_powerdown")
    run.wait()
    run.check()
    assert (run.stdout, run.exit) == (b"up\nbye\n", 9)
    power, = run.log.events("power")
    assert (power.value, power.text) == (0, "poweroff") and "Power down" in run.serial


# --- Debian ---------------------------------------------------------------------------------------------------------

PROBE = """[Service]
ImportCredential=db.key
ExecStart=/usr/local/bin/probe
StandardOutput=tty
StandardError=tty
"""

LOOK_AROUND = """#!/bin/sh
until systemctl is-system-running | grep -qE 'running|degraded'; do sleep 0.2; done
echo
echo release $(. /etc/os-release; echo $VERSION_ID)
echo init $(readlink /proc/1/exe)
echo motd $(cat /etc/motd)
echo listed $(systemd-creds --system list --no-legend)
echo value $(systemd-creds --system cat db.key)
echo imported $(cat $CREDENTIALS_DIRECTORY/db.key)
echo left: $(ls -A /run/credentials/@initrd)
echo relay $(grep -hE '^hawser-(keeper|relay)$' /proc/[0-9]*/comm)
logger to the journal
journalctl --sync
echo journal $(journalctl -q -b -o cat -g '^to the journal')
echo kernel ${X}line >/dev/kmsg
systemctl poweroff
"""


@pytest.fixture(scope="session")
def debian_root(kit):
    return output("scripts/fetch", "debian-root")


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_debian(guest, kernel, debian_root, machine):
    """systemd as PID 1: it has our credential, its console is in the log, it says when it is up, and ends well."""
    secret = "canary-%s" % os.urandom(8).hex()
    run = guest(switch_root("ext4", "/dev/vda", overlay=True), wire.hostname("debian"),
                wire.credential("db.key", secret), *map(wire.directory, (
                    "etc", "etc/systemd", "etc/systemd/system", "etc/systemd/system/multi-user.target.wants")),
                wire.file("etc/systemd/system/probe.service", PROBE), wire.file("etc/motd", "ahoy\n"),
                *map(wire.directory, ("usr", "usr/local", "usr/local/bin")),
                wire.file("usr/local/bin/probe", LOOK_AROUND, 0o755),
                wire.symlink("etc/systemd/system/multi-user.target.wants/probe.service", "../probe.service"))
    run.kernel, run.memory, run.patience = kernel, 512, 600
    device = "virtio-blk-device"
    if machine == "q35":
        run.machine, run.device, device = "q35,accel=tcg", "vhost-user-vsock-pci", "virtio-blk-pci"
    run.qemu = ["-drive", "id=root,if=none,format=raw,readonly=on,file=" + debian_root,
                "-device", device + ",drive=root"]
    run.cmdline = "hawser.deadline=120 systemd.unit=multi-user.target systemd.show_status=1"
    run.run()
    lines = dict(line.split(" ", 1) for line in console(run) if " " in line)
    assert lines["release"] == "13" and lines["init"] == "/usr/lib/systemd/systemd" and lines["motd"] == "ahoy"
    assert "db.key" in lines["listed"] and lines["value"] == lines["imported"] == secret
    assert any(line.startswith("left:") and line.strip() == "left:" for line in console(run))
    assert lines["relay"] == "hawser-keeper hawser-relay" and lines["journal"] == "to the journal"
    assert b"kernel line" in run.log.messages("kernel")
    assert "multi-user.target" in run.log.bytes("console").decode()       # what systemd itself says
    assert [event.name for event in run.log.events()].count("ready") == 1
    assert run.log.events("status")
    power, = run.log.events("power")
    assert (power.value, power.text) == (int(machine == "microvm"), "poweroff")
    assert not any(secret in line for line in run.serial.split("\n"))
