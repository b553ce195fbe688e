# SPDX-License-Identifier: MIT
"""The bytes of docs/PROTOCOL.md. Nothing here is checked: a test may want any of it wrong."""
import struct
import zlib
from collections import namedtuple

PAYLOAD_MAX = 32760

REFUSE = 0x0001
HELLO, WELCOME = 0x0101, 0x0102
HOSTNAME, ARG, ENV, CWD, USER, SYSCTL, MOUNT, WORKLOAD, LOG, POWER, CONTROL, HANDOFF = range(0x0110, 0x011C)
DIR, FILE, DATA, SYMLINK, CREDENTIAL = range(0x0120, 0x0125)
COMMIT, APPLIED = 0x013F, 0x0140
LOG_HELLO, LOG_WELCOME, RECORDS, LOST, ACK, END, END_ACK, BUTTON = range(0x0201, 0x0209)
CTL_HELLO, CTL_WELCOME, PING, PONG = 0x0301, 0x0302, 0x0310, 0x0311
EXEC, STDIN, STDIN_END, CREDIT, RESIZE, EXEC_SIGNAL, FEED = range(0x0320, 0x0327)
STDOUT, STDERR, EXIT = 0x0330, 0x0331, 0x0332
SIGNAL, STOP, DONE = 0x0340, 0x0341, 0x0342

VERBS = {"exec": 1, "signal": 2, "stop": 4, "ping": 8, "feed": 16}
REFUSALS = {1: "version", 2: "malformed", 3: "order", 4: "unknown-vm", 5: "epoch-alive", 6: "not-allowed",
            7: "config", 8: "busy", 9: "token", 10: "apply", 11: "checksum", 12: "revoked"}
STREAMS = {1: "init", 2: "kernel", 3: "console", 4: "syslog", 5: "stdout", 6: "stderr"}
REASONS = {1: "overrun", 2: "full", 3: "relay", 4: "datagram"}
EVENTS = {1: "phase", 2: "connect", 3: "clock", 4: "entropy", 5: "failure", 6: "relay", 7: "power", 16: "started",
          17: "exited", 18: "killed", 19: "oom", 20: "unstarted", 21: "restart", 32: "ready", 33: "status",
          34: "stopping", 35: "exit-status", 36: "watchdog"}
BYTES, MESSAGE, EVENT, GAP = range(4)
MORE, FRAGMENT = 0x80, 0x40

Record = namedtuple("Record", "number kind stream pri ns data")
Event = namedtuple("Event", "name value text ns")
Loss = namedtuple("Loss", "stream reason records bytes")
Total = namedtuple("Total", "records bytes")


class Malformed(Exception):
    """What the guest sent is not what the page allows."""


def frame(kind, payload=b"", zero=0, length=None):
    return struct.pack("<IHH", len(payload) if length is None else length, kind, zero) + payload


def split(stream):
    """The frames of a stream, whole ones only."""
    frames, at = [], 0
    while at + 8 <= len(stream):
        end = at + 8 + struct.unpack_from("<I", stream, at)[0]
        if end > len(stream):
            break
        frames.append(stream[at:end])
        at = end
    return frames


def text(value):
    return value if isinstance(value, bytes) else value.encode()


def sized(value):
    return struct.pack("<H", len(text(value))) + text(value)


# --- what a host sends ----------------------------------------------------------------------------------------------

def refuse(code, why=""):
    return frame(REFUSE, struct.pack("<HH", code, 0) + text(why))


def welcome(token, wall_ns, version=1, flags=3, entropy=bytes(64)):
    return frame(WELCOME, struct.pack("<HHIQ", version, flags, 0, wall_ns) + token + entropy)


def commit(stream, count=None, checksum=None):
    count = len(split(stream)) if count is None else count
    return frame(COMMIT, struct.pack("<II", count, zlib.crc32(stream) if checksum is None else checksum))


def hostname(name):
    return frame(HOSTNAME, text(name))


def args(*words):
    return b"".join(frame(ARG, text(word)) for word in words)


def shell(script):
    return args("/bin/sh", "-c", script)


def env(variable):
    return frame(ENV, text(variable))


def cwd(path):
    return frame(CWD, text(path))


def user(uid, gid, *groups):
    return frame(USER, struct.pack("<II%dI" % len(groups), uid, gid, *groups))


def sysctl(name, value):
    return frame(SYSCTL, sized(name) + text(value))


def mount(destination, kind, source="", options=""):
    return frame(MOUNT, sized(destination) + sized(kind) + sized(source) + sized(options))


def workload(restart="no", at_end="poweroff", restarts=0, signal=15, grace_ms=2000):
    return frame(WORKLOAD, struct.pack("<BBHII", ("no", "on-failure", "always").index(restart),
                                       ("poweroff", "stay", "reboot").index(at_end), restarts, signal, grace_ms))


def log(ring=262144, full="drop"):
    return frame(LOG, struct.pack("<IB3x", ring, ("drop", "block").index(full)))


def power(how):
    return frame(POWER, bytes([("detect", "poweroff", "reset").index(how)]))


def control(*verbs):
    return frame(CONTROL, struct.pack("<I", sum(VERBS[verb] for verb in verbs)))


def handoff(mode=0, flags=0, rest=b""):
    return frame(HANDOFF, struct.pack("<BBH", mode, flags, 0) + rest)


def data(content):
    return b"".join(frame(DATA, content[at:at + PAYLOAD_MAX]) for at in range(0, len(content), PAYLOAD_MAX))


def directory(path, mode=0o755, uid=0, gid=0):
    return frame(DIR, struct.pack("<III", mode, uid, gid) + text(path))


def file(path, content=b"", mode=0o644, uid=0, gid=0):
    content = text(content)
    return frame(FILE, struct.pack("<IIIQ", mode, uid, gid, len(content)) + text(path)) + data(content)


def symlink(path, target, uid=0, gid=0):
    return frame(SYMLINK, struct.pack("<II", uid, gid) + sized(target) + text(path))


def credential(name, content=b"", mode=0o400, uid=0, gid=0):
    content = text(content)
    return frame(CREDENTIAL, struct.pack("<IIII", mode, uid, gid, len(content)) + text(name)) + data(content)


def ctl_hello(token, version=1):
    return frame(CTL_HELLO, b"HWSR" + struct.pack("<HH", version, 0) + token)


def exec_(*words, terminal=None, uid=0, gid=0, cwd="/", variables=()):
    """terminal: rows and columns."""
    payload = struct.pack("<IHHII", bool(terminal), *(terminal or (0, 0)), uid, gid) + sized(cwd)
    for texts in words, variables:
        payload += struct.pack("<H", len(texts)) + b"".join(map(sized, texts))
    return payload


# --- what a guest sends ---------------------------------------------------------------------------------------------

def unpack(form, payload):
    if len(payload) != struct.calcsize(form):
        raise Malformed("a payload of %d bytes" % len(payload))
    return struct.unpack(form, payload)


def hello_parse(payload):
    """The boot id and the boot time of HELLO."""
    magic, version, zero, boot_id, ns = unpack("<4sHH16sQ", payload)
    if (magic, version, zero) != (b"HWSR", 1, 0):
        raise Malformed("HELLO with %r, version %d, zero %d" % (magic, version, zero))
    return boot_id, ns


def log_hello_parse(payload):
    """The token and the first number of LOG_HELLO."""
    magic, version, zero, token, first = unpack("<4sHH16sQ", payload)
    if (magic, version, zero) != (b"HWSR", 1, 0):
        raise Malformed("LOG_HELLO with %r, version %d, zero %d" % (magic, version, zero))
    return token, first


def records_parse(payload):
    number, at = struct.unpack_from("<Q", payload)[0], 8
    if at == len(payload):
        raise Malformed("RECORDS without one")
    while at < len(payload):
        if at + 16 > len(payload):
            raise Malformed("half a record")
        length, kind, stream, pri, ns = struct.unpack_from("<IBBHQ", payload, at)
        at += 16
        if length > 16384 or at + length > len(payload) or stream not in STREAMS or kind & 0x3F > GAP:
            raise Malformed("a record of kind %#x, stream %d, %d bytes" % (kind, stream, length))
        yield Record(number, kind, STREAMS[stream], pri, ns, payload[at:at + length])
        number, at = number + 1, at + length


def lost_parse(payload):
    start, end = struct.unpack_from("<QQ", payload)
    entries = [Loss(STREAMS[s], REASONS[r], n, size)
               for s, r, _, n, size in struct.iter_unpack("<BBHIQ", payload[16:])]
    if not 1 <= len(entries) <= 64 or start >= end:
        raise Malformed("LOST %d to %d with %d entries" % (start, end, len(entries)))
    return start, end, entries


def end_parse(payload):
    """The next number, and each stream's total."""
    totals = {STREAMS[s]: Total(n, size) for s, n, size in struct.iter_unpack("<B7xQQ", payload[8:])}
    return struct.unpack_from("<Q", payload)[0], totals


def event_parse(record):
    code, zero, value = struct.unpack_from("<HHi", record.data)
    if zero:
        raise Malformed("an event with zero %d" % zero)
    return Event(EVENTS[code], value, record.data[8:].decode(), record.ns)


def gap_parse(record):
    reason, records, size = unpack("<B7xQQ", record.data)
    return Loss(record.stream, REASONS[reason], records, size)
