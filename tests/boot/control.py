# SPDX-License-Identifier: MIT
"""
The host's side of a control session, by way of the VMM's Unix socket:

    with Control(run) as control:                # a guest whose configuration has wire.control("ping")
        assert control.verbs == {"ping"}
        control.send(wire.PING)
        kind, payload = control.read()
"""
import socket
import struct

from . import wire
from .host import PATIENCE_S, Cut


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__("%s: %s" % (code, text))
        self.code, self.text = code, text


class Control:
    def __init__(self, guest, token=None, hello=None, port=612):
        """hello: instead of CTL_HELLO; b"" sends none, and reads nothing."""
        self.buffer = b""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(guest.base)
        token = guest.log.token if token is None else token
        self.write(b"CONNECT %d\n" % port)
        line = b""
        while not line.endswith(b"\n"):
            line += self._take(1)
        assert line.startswith(b"OK "), line
        try:
            self.write(wire.ctl_hello(token) if hello is None else hello)
        except Cut:
            pass         # a guest that has no room refuses before it is asked: its word is there
        if hello == b"":
            return
        kind, payload = self.read()
        assert kind == wire.CTL_WELCOME, kind
        version, zero, verbs = wire.unpack("<HHI", payload)
        assert (version, zero) == (1, 0)
        self.verbs = {name for name, bit in wire.VERBS.items() if verbs & bit}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def write(self, content):
        try:
            self.sock.sendall(content)
        except OSError as error:
            raise Cut(str(error)) from None

    def send(self, kind, payload=b""):
        self.write(wire.frame(kind, payload))

    def _more(self):
        try:
            part = self.sock.recv(1 << 16)
        except OSError as error:
            raise Cut(str(error)) from None
        if not part:
            raise Cut("closed")
        self.buffer += part

    def _take(self, size):
        while len(self.buffer) < size:
            self._more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def read(self):
        """The next frame, kind and payload."""
        head = self._take(8)
        length, kind, zero = struct.unpack("<IHH", head)
        assert length <= wire.PAYLOAD_MAX and zero == 0, head.hex()
        payload = self._take(length)
        if kind == wire.REFUSE:
            raise Refused(wire.REFUSALS[int.from_bytes(payload[:2], "little")], payload[4:].decode())
        return kind, payload

    def wait_cut(self):
        try:
            while True:
                self.read()
        except Cut:
            pass

    # --- verbs ------------------------------------------------------------------------------------------------------

    def ping(self):
        """Boot time in ns, memory in all and available."""
        self.send(wire.PING)
        kind, payload = self.read()
        assert kind == wire.PONG
        return wire.unpack("<QQQ", payload)

    def exec(self, *words, **more):
        self.credit, self.out, self.err = 0, b"", b""
        self.send(wire.EXEC, wire.exec_(*words, **more))

    def next(self):
        """The next frame that is neither output nor credit, both of which are kept."""
        while True:
            kind, payload = self.read()
            if kind == wire.CREDIT:
                self.credit += wire.unpack("<I", payload)[0]
            elif kind == wire.STDOUT:
                self.out += payload
            elif kind == wire.STDERR:
                self.err += payload
            else:
                return kind, payload

    def wait_output(self, content):
        while content not in self.out:
            kind, payload = self.read()
            assert kind in (wire.CREDIT, wire.STDOUT, wire.STDERR), (kind, payload)
            if kind == wire.CREDIT:
                self.credit += wire.unpack("<I", payload)[0]
            elif kind == wire.STDOUT:
                self.out += payload
            else:
                self.err += payload

    def exit(self):
        """The exit code, or minus the signal."""
        kind, payload = self.next()
        assert kind == wire.EXIT
        code, number = wire.unpack("<II", payload)
        return -number if number else code

    def done(self):
        kind, payload = self.next()
        assert kind == wire.DONE
        return wire.unpack("<I", payload)[0]

    def feed(self, chunks):
        """As STDIN, within the credit; output is taken meanwhile by `taken`."""
        for chunk in chunks:
            while chunk:
                while not self.credit:
                    kind, payload = self.read()
                    assert kind in (wire.CREDIT, wire.STDOUT), kind
                    if kind == wire.CREDIT:
                        self.credit += wire.unpack("<I", payload)[0]
                    else:
                        self.taken(payload)
                part = chunk[:min(self.credit, wire.PAYLOAD_MAX)]
                self.send(wire.STDIN, part)
                self.credit -= len(part)
                chunk = chunk[len(part):]
        self.send(wire.STDIN_END)

    def taken(self, payload):
        self.out += payload
