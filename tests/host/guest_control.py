# SPDX-License-Identifier: MIT
"""A pretend VMM and guest on the socket that a machine's control sessions come by."""
import os
import socket
import struct
import threading

from guest_sim import Cut, frame

CTL_HELLO, CTL_WELCOME = 0x0301, 0x0302
PING, PONG, EXEC, STDIN, STDIN_END, CREDIT = 0x0310, 0x0311, 0x0320, 0x0321, 0x0322, 0x0323
RESIZE, EXEC_SIGNAL, FEED, STDOUT, STDERR, EXIT = 0x0324, 0x0325, 0x0326, 0x0330, 0x0331, 0x0332
SIGNAL, STOP, DONE = 0x0340, 0x0341, 0x0342
VERBS = {"exec": 1, "signal": 2, "stop": 4, "ping": 8, "feed": 16}


def welcome(*verbs, version=1):
    return frame(CTL_WELCOME, struct.pack("<HHI", version, 0, sum(VERBS[verb] for verb in verbs)))


class Session:
    """One connection of the host's, after its CONNECT line."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""
        sock.settimeout(60)

    def take(self, size):
        while len(self.buffer) < size:
            part = self.sock.recv(1 << 16)
            if not part:
                raise Cut()
            self.buffer += part
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def line(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self.take(1)
        return line

    def send(self, kind, payload=b""):
        self.sock.sendall(frame(kind, payload))

    def receive(self):
        length, kind, zero = struct.unpack("<IHH", self.take(8))
        assert length <= 32760 and zero == 0
        return kind, self.take(length)

    def greet(self, *verbs):
        """As a guest that allows these; the token is for the test to look at."""
        assert self.line() == b"CONNECT 612\n"
        self.sock.sendall(b"OK 1073741824\n")
        kind, hello = self.receive()
        assert kind == CTL_HELLO and hello[:8] == b"HWSR\x01\0\0\0"
        self.token = hello[8:]
        self.sock.sendall(welcome(*verbs))


class Listener:
    """Leads each connection in a thread: Listener(base, lambda session: session.greet("ping"))."""

    def __init__(self, base, lead):
        self.lead, self.sessions, self.errors = lead, [], []
        self.path = str(base)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                session = Session(self.sock.accept()[0])
            except OSError:
                return
            self.sessions.append(session)
            threading.Thread(target=self._lead, args=[session], daemon=True).start()

    def _lead(self, session):
        try:
            self.lead(session)
        except (Cut, OSError):
            pass
        except Exception as error:
            self.errors.append(error)
        session.sock.close()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        os.unlink(self.path)
        assert not self.errors, self.errors
