#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A hawser host in about a hundred lines, written from docs/PROTOCOL.md alone.

    host.py BASE [--hostname NAME] [--env NAME=VALUE]... [--credential NAME=FILE]... [-- PROGRAM ARG...]

Listens on the Unix sockets BASE_610 and BASE_611 (Firecracker's, Cloud Hypervisor's and vhost-device-vsock's form),
serves one boot of one guest, prints its log and ends with its program's exit status.
"""
import argparse
import os
import selectors
import socket
import struct
import sys
import time
import zlib

REFUSE, HELLO, WELCOME, HOSTNAME, ARG, ENV = 0x0001, 0x0101, 0x0102, 0x0110, 0x0111, 0x0112
DATA, CREDENTIAL, COMMIT, APPLIED = 0x0122, 0x0124, 0x013F, 0x0140
LOG_HELLO, LOG_WELCOME, RECORDS, LOST, ACK, END, END_ACK = range(0x0201, 0x0208)
STREAMS = {1: "init", 2: "kernel", 3: "console", 4: "syslog", 5: "stdout", 6: "stderr"}
EVENT_EXITED, EVENT_KILLED = 17, 18
PAYLOAD_MAX = 32760


def frame(kind, payload=b""):
    return struct.pack("<IHH", len(payload), kind, 0) + payload


def read(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("cut")
        data += part
    return data


def read_frame(sock):
    length, kind, zero = struct.unpack("<IHH", read(sock, 8))
    if length > PAYLOAD_MAX or zero:
        raise ValueError("malformed header")
    payload = read(sock, length)
    if kind == REFUSE:
        raise ValueError("the guest refuses: %s" % payload[4:].decode())
    return kind, payload


def expect(sock, wanted):
    kind, payload = read_frame(sock)
    if kind != wanted:
        sock.sendall(frame(REFUSE, struct.pack("<HH", 3, 0) + b"out of order"))
        raise ValueError("got type %#06x instead of %#06x" % (kind, wanted))
    return payload


def records(args):
    """The configuration, as frames."""
    if args.hostname:
        yield frame(HOSTNAME, args.hostname.encode())
    for arg in args.program:
        yield frame(ARG, arg.encode())
    for env in args.env:
        yield frame(ENV, env.encode())
    for name, path in (c.split("=", 1) for c in args.credential):
        with open(path, "rb") as file:
            value = file.read()
        yield frame(CREDENTIAL, struct.pack("<IIII", 0o400, 0, 0, len(value)) + name.encode())
        for at in range(0, len(value), PAYLOAD_MAX):
            yield frame(DATA, value[at:at + PAYLOAD_MAX])


def boot_session(sock, args, token):
    magic, version, zero, boot_id, boot_ns = struct.unpack("<4sHH16sQ", expect(sock, HELLO)[:32])
    if magic != b"HWSR" or zero:
        raise ValueError("not a hello")
    sock.sendall(frame(WELCOME, struct.pack("<HHIQ", 1, 3, 0, time.time_ns()) + token + os.urandom(64)))
    frames = list(records(args))
    sock.sendall(b"".join(frames))
    sock.sendall(frame(COMMIT, struct.pack("<II", len(frames), zlib.crc32(b"".join(frames)))))
    expect(sock, APPLIED)


class Log:
    """One log session; `next` survives it, so a guest that dials again goes on where it was."""
    next, status = 0, 125

    def __init__(self, sock, token):
        hello = expect(sock, LOG_HELLO)
        if hello[8:24] != token:
            raise ValueError("wrong token")
        self.sock = sock
        sock.sendall(frame(LOG_WELCOME, struct.pack("<HHIQ", 1, 0, 0, Log.next)))

    def take(self):
        """One frame; False after END."""
        kind, payload = read_frame(self.sock)
        if kind == RECORDS:
            number, at = struct.unpack_from("<Q", payload)[0], 8
            while at < len(payload):
                length, form, stream, pri, ns = struct.unpack_from("<IBBHQ", payload, at)
                if number == Log.next:
                    self.show(form & 0x3F, stream, ns, payload[at + 16:at + 16 + length])
                    Log.next += 1
                number, at = number + 1, at + 16 + length
        elif kind == LOST:
            Log.next = max(Log.next, struct.unpack_from("<QQ", payload)[1])
        elif kind == END:
            self.sock.sendall(frame(END_ACK, struct.pack("<Q", Log.next)))
            return False
        sys.stdout.flush()
        self.sock.sendall(frame(ACK, struct.pack("<Q", Log.next)))
        return True

    def show(self, form, stream, ns, data):
        if form == 2:
            code, _, value = struct.unpack_from("<HHi", data)
            if code in (EVENT_EXITED, EVENT_KILLED):
                Log.status = value if code == EVENT_EXITED else 128 + value
            text = "event %d, %d %s" % (code, value, data[8:].decode())
        else:
            text = data[8 if stream == 2 else 0:].decode(errors="replace").rstrip("\n")
        for line in text.split("\n"):
            print("[%10.6f] %-7s | %s" % (ns / 1e9, STREAMS[stream], line))


def listen(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(socket.SOMAXCONN)
    return sock


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("--hostname")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--credential", action="append", default=[], metavar="NAME=FILE")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:split])
    args.program = sys.argv[split + 1:]
    token, selector, running = os.urandom(16), selectors.DefaultSelector(), True
    for port in (610, 611):
        selector.register(listen("%s_%d" % (args.base, port)), selectors.EVENT_READ, port)
    while running:
        for key, _ in selector.select():
            try:
                if key.data == 610:
                    boot_session(key.fileobj.accept()[0], args, token)
                elif key.data == 611:
                    log = Log(key.fileobj.accept()[0], token)
                    selector.register(log.sock, selectors.EVENT_READ, log)
                else:
                    running = key.data.take()
            except (ValueError, ConnectionError) as error:
                print("host.py: %s" % error, file=sys.stderr)
                if isinstance(key.data, Log):
                    selector.unregister(key.fileobj)
    for port in (610, 611):
        os.unlink("%s_%d" % (args.base, port))
    return Log.status


if __name__ == "__main__":
    sys.exit(main())
