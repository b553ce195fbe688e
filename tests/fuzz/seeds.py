# SPDX-License-Identifier: MIT
"""What fuzzing starts from: a whole session of each kind, and the documents of the other tests."""
import re
import struct
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))
from boot import wire    # noqa: E402

TOKEN = b"T" * 16


def session(records):
    stream = b"".join(records)
    return wire.welcome(TOKEN, 1700000000 * 10**9) + stream + wire.commit(stream)


def boot_guest():
    records = [
        wire.hostname("harbour"), wire.args("/bin/sh", "-c", "true"), wire.env("A=b"), wire.cwd("/srv"),
        wire.user(1, 2, 3, 4), wire.sysctl("kernel.panic", "5"), wire.mount("/d", "tmpfs", "tmpfs", "size=1m"),
        wire.workload("on-failure", restarts=2), wire.log(), wire.power("reset"), wire.directory("etc"),
        wire.file("etc/motd", b"hello"), wire.symlink("etc/link", "motd"), wire.credential("key", b"it is the key"),
        wire.handoff(2, 1, b"".join(map(wire.sized, ("ext4", "/dev/vda", "ro", "/sbin/init"))))]
    yield b"\0" + session(records)
    yield b"\0" + wire.refuse(8, "busy")
    for record in records:
        yield b"\0" + session([record])


def hello(version=1):
    return wire.frame(wire.HELLO, struct.pack("<4sHH16sQ", b"HWSR", version, 0, b"b" * 16, 1500000000))


def boot_host():
    applied = wire.frame(wire.APPLIED, struct.pack("<Q", 2000000000))
    yield b"\0" + hello() + applied
    yield b"\0" + hello(2)
    yield b"\0" + hello() + wire.refuse(10, "no such file")
    yield b"\0" + applied


def record(stream, data, kind=0, pri=0x0fff):
    return struct.pack("<IBBHQ", len(data), kind, stream, pri, 1600000000) + data


def log_host():
    opening = wire.frame(wire.LOG_HELLO, struct.pack("<4sHH16sQ", b"HWSR", 1, 0, TOKEN, 0))
    records = [record(5, b"out\n"), record(6, b"no end"), record(3, b"\x1b[31mred\r\n"),
               record(4, b"<11>said", 1, 11), record(2, struct.pack("<Q", 7) + b"kernel\n KEY=value", 0x41, 6),
               record(1, struct.pack("<HHi", 1, 0, 3) + b"relay", 2), record(1, struct.pack("<HHi", 17, 0, 7), 2),
               record(2, struct.pack("<B7xQQ", 1, 5, 0), 3), record(4, b"a part", 0x81, 11),
               record(4, b"the rest", 1, 11)]
    first = wire.frame(wire.RECORDS, struct.pack("<Q", 0) + b"".join(records))
    lost = wire.frame(wire.LOST, struct.pack("<QQ", 10, 13) + struct.pack("<BBHIQ", 5, 2, 0, 3, 300))
    more = wire.frame(wire.RECORDS, struct.pack("<Q", 13) + record(5, b" of line\n"))
    end = wire.frame(wire.END, struct.pack("<Q", 14) + struct.pack("<B7xQQ", 5, 5, 313))
    yield b"\0" + opening + first + lost + more + end
    yield b"\7" + opening + first + lost + more + end
    yield b"\0" + opening + end
    for each in records:
        yield b"\0" + opening + wire.frame(wire.RECORDS, struct.pack("<Q", 0) + each)


def log_guest():
    opening = wire.frame(wire.LOG_WELCOME, struct.pack("<HHIQ", 1, 0, 0, 0))
    yield b"\x40" + opening + b"".join(wire.frame(wire.ACK, struct.pack("<Q", n)) for n in (1, 2, 16))
    ends = wire.frame(wire.ACK, struct.pack("<Q", 5)), wire.frame(wire.END_ACK, struct.pack("<Q", 17))
    yield b"\x41" + opening + b"".join(ends)
    yield b"\x40" + wire.refuse(9, "token")
    yield b"\x02" + opening


def vectors():
    """Every frame of the protocol's page, alone and one behind the other."""
    page = (TESTS.parent / "docs/PROTOCOL.md").read_text()
    frames = [bytes.fromhex(text) for text in re.findall(r"^    [A-Z_]+.*: ([0-9a-f]{16,})$", page, re.M)]
    yield b"\0" + b"".join(frames)
    yield from (b"\0" + frame for frame in frames)


def sources():
    def datagram(source, data):
        return struct.pack("<BH", source, len(data)) + data
    event = record(1, struct.pack("<HHi", 17, 0, 7), 2)
    yield datagram(0, b"6,339,5140900,-;a line of the kernel\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:00.0\n")
    yield datagram(0, b"6,1,1,-;one\n") + datagram(0, b"4,9,2,c,x=1;part\n") + datagram(0, b"30,10,3,-;\n")
    yield datagram(3, b"<11>Nov 22 10:00:00 name: said") + datagram(3, b"")
    yield datagram(6, b"READY=1\nSTATUS=all is well\nX_SYSTEMD_UNIT_ACTIVE=active\nMAINPID=7\nEXIT_STATUS=3\n")
    yield datagram(6, b"STOPPING=1\nWATCHDOG=1\nWATCHDOG_USEC=5000000\nSTATUS=a\0b\nREADY=0")
    yield datagram(7, event) + datagram(7, b"P") + datagram(7, b"C")
    yield b"".join(datagram(source, b"bytes\n") for source in (1, 2, 4, 5))


def cmdline():
    yield (b"console=ttyS0 hawser.host=2 hawser.port=610 hawser.deadline=30 hawser.ring=256 hawser.on_failure=shell "
           b"hawser.power=reset hawser.log=debug quiet -- hawser.port=1")
    yield b'hawser.port=0 hawser.port="610" hawser. hawser hawser.nothing=1 hawser.ring=65 \xff\n'


def vmconfig():
    for path in sorted(TESTS.glob("documents/*/*.json")):
        yield path.read_bytes()


def daemonconfig():
    page = (TESTS / "unit/test_daemonconfig.c").read_text()
    yield re.sub(r'"\s*"|\\(?=")', "", re.search(r'everything.*?"(\{.*?\})"', page, re.S).group(1)).encode()
    yield b'{"vms":"/v","limits":{"connections":0},"log":{"sync":"never"}}'


def record_lines():
    yield (b'{"vm":"v","boot":"30","seq":0,"line":1,"stream":"stdout","ns":123456789,"message":"two"}\n'
           b'{"ok":true,"vm":"v"}\n{"error":"no"}\n'
           b'{"vm":"v","seq":1,"stream":"kernel","ns":1,"priority":6,"base64":"/w==","partial":true,"offset":4}\n'
           b'{"vm":"v","seq":2,"stream":"init","ns":1,"event":"exited","value":-1,"message":"x"}\n'
           b'{"vm":"v","seq":3,"stream":"stdout","lost":"full","records":3,"bytes":300}\n')


def local():
    yield b'\x41{"op":"status"}\n{"op":"follow","vm":"vm","tail":10}\n'
    yield b'\x41{"op":"attach","dir":"vms/vm"}\n{"op":"status","vm":"vm"}\n'
    yield b'\x03{"op":"attach","dir":"/nowhere","name":"n","args":["sh"],"follow":true,"ephemeral":true}\n'


def scrape():
    yield b"\x41GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    yield b"\x03HEAD / HTTP/1.0\r\n\r\n"


def control_verbs():
    """What a host asks of a guest, and what it says while a program runs."""
    exec_ = wire.exec_("cat", variables=["A=b"])
    credit = wire.frame(wire.STDIN, b"to cat")
    yield [wire.frame(wire.PING)]
    yield [wire.frame(wire.EXEC, exec_), credit, wire.frame(wire.EXEC_SIGNAL, struct.pack("<I", 15)),
           wire.frame(wire.STDIN_END)]
    yield [wire.frame(wire.EXEC, wire.exec_("sh", terminal=(24, 80))),
           wire.frame(wire.RESIZE, struct.pack("<HH", 50, 132)), credit, wire.frame(wire.STDIN_END)]
    yield [wire.frame(wire.SIGNAL, struct.pack("<I", 1))]
    yield [wire.frame(wire.STOP, struct.pack("<I", 1000))]
    yield [wire.frame(wire.FEED), credit, wire.frame(wire.STDIN_END)]


def control_guest():
    for frames in control_verbs():
        yield b"\xff" + wire.ctl_hello(TOKEN) + b"".join(frames)
    yield b"\0" + wire.ctl_hello(TOKEN) + wire.frame(wire.PING)
    yield b"\xff" + wire.ctl_hello(b"t" * 16) + wire.frame(wire.PING)


def ctl_welcome(verbs):
    return wire.frame(wire.CTL_WELCOME, struct.pack("<HHI", 1, 0, verbs))


def control_host():
    yield b"\0OK 1073741824\n"
    yield b"\1OK 1\n" + ctl_welcome(0xff)
    yield b"\2OK 1\n" + ctl_welcome(0)
    yield b"\2OK 1\n" + wire.refuse(9, "not the token of this boot")
    yield b"\0NO\n"


def control_tool():
    said = [wire.frame(wire.CREDIT, struct.pack("<I", 65536)), wire.frame(wire.STDOUT, b"out\n"),
            wire.frame(wire.STDERR, b"err\n")]
    yield b"\0" + b"".join(said) + wire.frame(wire.EXIT, struct.pack("<II", 3, 0))
    yield b"\0" + b"".join(said) + wire.frame(wire.EXIT, struct.pack("<II", 0, 9))
    yield b"\0" + wire.refuse(6, "no")


def split():
    """One of each size, as host/split.h has them on this machine."""
    name = b"vm".ljust(65, b"\0")
    yield b"\0" + struct.pack("<II", 8, 1)
    yield b"\1" + struct.pack("<IIII", 10, 1, 0, 612) + name.ljust(68, b"\0")
    yield b"\2" + struct.pack("<I", 4) + name.ljust(68, b"\0")
    yield b"\0" + struct.pack("<I", 17)


SEEDS = {"control_guest": [control_guest, vectors], "control_host": [control_host],
         "control_tool": [control_tool, vectors], "split": [split],
         "boot_guest": [boot_guest], "boot_host": [boot_host, vectors], "log_host": [log_host, vectors],
         "log_guest": [log_guest, vectors], "wire": [vectors, boot_guest, log_host], "frame": [vectors],
         "sources": [sources], "cmdline": [cmdline], "vmconfig": [vmconfig], "daemonconfig": [daemonconfig],
         "record": [record_lines], "local": [local], "scrape": [scrape]}


def write(target, directory):
    directory.mkdir(parents=True, exist_ok=True)
    contents = [content for make in SEEDS[target] for content in make()]
    for number, content in enumerate(contents):
        (directory / ("seed-%03d" % number)).write_bytes(content)
    return len(contents)
