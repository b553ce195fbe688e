# SPDX-License-Identifier: MIT
"""A pretend guest: the guest's side of docs/PROTOCOL.md over Unix sockets, and ways to get it wrong."""
import socket
import struct
import time
import uuid
import zlib

REFUSE = 0x0001
HELLO, WELCOME = 0x0101, 0x0102
HOSTNAME, ARG, ENV, CWD = 0x0110, 0x0111, 0x0112, 0x0113
DIR, FILE, DATA, SYMLINK, CREDENTIAL = 0x0120, 0x0121, 0x0122, 0x0123, 0x0124
COMMIT, APPLIED = 0x013F, 0x0140
LOG_HELLO, LOG_WELCOME, RECORDS, LOST, ACK, END, END_ACK = range(0x0201, 0x0208)

INIT, KERNEL, CONSOLE, SYSLOG, STDOUT, STDERR = range(1, 7)
BYTES, MESSAGE, EVENT, GAP = range(4)
MORE = 0x80
NO_PRIORITY = 0x0FFF
OVERRUN, FULL, RELAY, DATAGRAM = range(1, 5)

VERSION, MALFORMED, ORDER, UNKNOWN_VM, EPOCH_ALIVE, NOT_ALLOWED, CONFIG, BUSY, TOKEN = range(1, 10)
REVOKED = 12


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Cut(Exception):
    """The host closed without a word."""


def frame(kind, payload=b""):
    return struct.pack("<IHH", len(payload), kind, 0) + payload


def record(stream, data, kind=BYTES, pri=NO_PRIORITY, ns=None):
    ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) if ns is None else ns
    return struct.pack("<IBBHQ", len(data), kind, stream, pri, ns) + data


def event(code, value=0, text=b""):
    return record(INIT, struct.pack("<HHi", code, 0, value) + text, EVENT)


def gap(stream, reason, records, size=0):
    return record(stream, struct.pack("<B7xQQ", reason, records, size), GAP)


class Connection:
    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        """The next frame; raises Refused for REFUSE and Cut at the end."""
        while True:
            if len(self.buffer) >= 8:
                length, kind, zero = struct.unpack_from("<IHH", self.buffer)
                assert length <= 32760 and zero == 0
                if len(self.buffer) >= 8 + length:
                    payload = self.buffer[8:8 + length]
                    self.buffer = self.buffer[8 + length:]
                    if kind == REFUSE:
                        raise Refused(struct.unpack_from("<H", payload)[0], payload[4:].decode())
                    return kind, payload
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError) as error:
                raise Cut() from error
            if not data:
                raise Cut()
            self.buffer += data

    def close(self):
        self.sock.close()


class Guest:
    """One boot of one machine; base is the path its VMM would be given."""

    def __init__(self, base, port=610, boot_id=None, timeout=10):
        self.base, self.port, self.timeout = base, port, timeout
        self.boot_id = boot_id or uuid.uuid4().bytes
        self.token = None
        self.log = None
        self.next = 0        # number of the next record to be made
        self.acked = 0
        self.made = {}

    def hello(self, version=1, extra=b""):
        return frame(HELLO, b"HWSR" + struct.pack("<HH", version, 0) + self.boot_id +
                     struct.pack("<Q", time.clock_gettime_ns(time.CLOCK_BOOTTIME)) + extra)

    def dial_boot(self):
        return Connection(f"{self.base}_{self.port}", self.timeout)

    def boot(self, apply=True):
        """The whole boot session. Returns (WELCOME's payload, the frames up to COMMIT)."""
        c = self.dial_boot()
        c.send(self.hello())
        kind, welcome = c.receive()
        assert kind == WELCOME and len(welcome) == 96
        self.token = welcome[16:32]
        frames, crc = [], 0
        while True:
            kind, payload = c.receive()
            if kind == COMMIT:
                break
            frames.append((kind, payload))
            crc = zlib.crc32(frame(kind, payload), crc)
        assert struct.unpack("<II", payload) == (len(frames), crc)
        if apply:
            c.send(frame(APPLIED, struct.pack("<Q", time.clock_gettime_ns(time.CLOCK_BOOTTIME))))
            try:
                c.receive()
                raise AssertionError("a frame after APPLIED")
            except Cut:
                pass
        c.close()
        return welcome, frames

    def connect_log(self, first=None, token=None):
        """Returns the number that the host expects."""
        if self.log:
            self.log.close()
        self.log = Connection(f"{self.base}_{self.port + 1}", self.timeout)
        self.log.send(frame(LOG_HELLO, b"HWSR" + struct.pack("<HH", 1, 0) + (token or self.token) +
                            struct.pack("<Q", self.acked if first is None else first)))
        kind, payload = self.log.receive()
        assert kind == LOG_WELCOME
        self.acked = struct.unpack_from("<Q", payload, 8)[0]
        return self.acked

    def count(self, stream, records, size):
        have = self.made.get(stream, (0, 0))
        self.made[stream] = (have[0] + records, have[1] + size)

    def send_records(self, records, first=None):
        """Sends records as one frame, numbered from `next` on, or again from `first` on."""
        if first is None:
            first = self.next
            self.next += len(records)
            for r in records:
                length, _, stream = struct.unpack_from("<IBB", r)
                self.count(stream, 1, length)
        self.log.send(frame(RECORDS, struct.pack("<Q", first) + b"".join(records)))

    def send_lost(self, start, to, entries):
        self.log.send(frame(LOST, struct.pack("<QQ", start, to) + b"".join(
            struct.pack("<BBHIQ", stream, reason, 0, n, size) for stream, reason, n, size in entries)))

    def send_end(self):
        self.log.send(frame(END, struct.pack("<Q", self.next) + b"".join(
            struct.pack("<B7xQQ", stream, n, size) for stream, (n, size) in sorted(self.made.items()))))

    def wait_ack(self, to=None):
        """Until everything (or all below `to`) is acknowledged."""
        to = self.next if to is None else to
        while self.acked < to:
            kind, payload = self.log.receive()
            assert kind in (ACK, END_ACK)
            ack = struct.unpack("<Q", payload)[0]
            assert ack >= self.acked
            self.acked = ack
        assert self.acked == to

    def wait_end_ack(self):
        while True:
            kind, payload = self.log.receive()
            self.acked = struct.unpack("<Q", payload)[0]
            if kind == END_ACK:
                assert self.acked == self.next
                return

    def end(self):
        self.send_end()
        self.wait_end_ack()
        self.log.close()
        self.log = None
