# SPDX-License-Identifier: MIT
"""
A host on Unix sockets that does what docs/PROTOCOL.md says, unless a test tells it otherwise.

Each boot session is led by a function of the session: `serve`, unless the host's `script` names another one for it.
Such a function is a list of steps, and a test that wants a step wrong writes its own:

    def old_version(session):
        session.hello()
        session.welcome(version=0)

    host.script = [refuse(8), cut(100), old_version]      # for the first three sessions, then serve
"""
import collections
import os
import socket
import threading
import time
import traceback

from . import wire

PATIENCE_S = 60          # before a test gives up; says nothing about how fast a thing has to be

Refusal = collections.namedtuple("Refusal", "code text")


class Cut(Exception):
    """The connection ended."""


class Epoch:
    """One boot of a machine, and what the host has of its log."""

    def __init__(self, boot_id):
        self.boot_id, self.token = boot_id, os.urandom(16)
        self.committed = self.delivered = False
        self.records, self.losses, self.next = [], [], 0
        self.end = self.totals = None    # what the last END said
        self.history = []                # records and losses, as they came
        self.frames = []                 # of each RECORDS its first number and its size
        self.duplicates = 0
        self.hellos = []                 # the first number of each LOG_HELLO

    # --- what came --------------------------------------------------------------------------------------------------

    def take_records(self, payload):
        records = list(wire.records_parse(payload))
        self.frames.append((records[0].number, 8 + len(payload)))
        if records[0].number > self.next:
            raise wire.Malformed("RECORDS from %d on, where %d comes next" % (records[0].number, self.next))
        for record in records:
            if record.number < self.next:
                self.duplicates += 1
            else:
                self.records.append(record)
                self.history.append(record)
                self.next += 1

    def take_lost(self, payload):
        start, end, entries = wire.lost_parse(payload)
        if start > self.next:
            raise wire.Malformed("LOST from %d on, where %d comes next" % (start, self.next))
        if end <= self.next:
            self.duplicates += end - start
            return
        if sum(entry.records for entry in entries) != end - self.next:
            raise wire.Malformed("LOST %d to %d, where %d comes next, of %r" % (start, end, self.next, entries))
        self.losses += entries
        self.history += entries
        self.next = end

    def take_end(self, payload):
        self.end, self.totals = wire.end_parse(payload)
        if self.end != self.next:
            raise wire.Malformed("END at %d, where %d comes next" % (self.end, self.next))
        if self.counted() != self.totals:
            raise wire.Malformed("END says %r, stored and lost are %r" % (self.totals, self.counted()))

    def counted(self):
        """What was stored and what was said to be lost, by stream: END must say the same."""
        sums = collections.defaultdict(lambda: [0, 0])
        for record in self.records:
            sums[record.stream][0] += 1
            sums[record.stream][1] += len(record.data)
        for loss in self.losses:
            sums[loss.stream][0] += loss.records
            sums[loss.stream][1] += loss.bytes
        return {stream: wire.Total(*total) for stream, total in sums.items()}

    # --- for a test to look at --------------------------------------------------------------------------------------

    def of(self, stream, kind):
        return [record for record in self.records if record.stream == stream and record.kind & 0x3F == kind]

    def bytes(self, stream):
        return b"".join(record.data for record in self.of(stream, wire.BYTES))

    def assert_bytes(self, stream, content):
        """The stream is this, byte for byte, but for what was said to be lost, which is missing just there."""
        at = 0
        for item in self.history:
            if item.stream != stream:
                continue
            size = item.bytes if isinstance(item, wire.Loss) else len(item.data)
            if not isinstance(item, wire.Loss):
                assert item.data == content[at:at + size], "record %d differs, at %d" % (item.number, at)
            at += size
        assert at == len(content)

    def messages(self, stream):
        """Whole messages; the kernel's without number and dictionary."""
        whole, part = [], b""
        for record in self.of(stream, wire.MESSAGE):
            part += record.data[8:].split(b"\n")[0] if stream == "kernel" else record.data
            if not record.kind & wire.MORE:
                whole.append(part)
                part = b""
        return whole

    def events(self, name=None):
        events = [wire.event_parse(record) for record in self.of("init", wire.EVENT)]
        return [event for event in events if name in (None, event.name)]

    def gaps(self, stream):
        return [wire.gap_parse(record) for record in self.of(stream, wire.GAP)]

    def text(self):
        lines = []
        for record in self.records:
            kind = record.kind & 0x3F
            shown = "%s %s %s" % wire.event_parse(record)[:3] if kind == wire.EVENT else \
                str(wire.gap_parse(record)) if kind == wire.GAP else \
                record.data[8 if record.stream == "kernel" else 0:][:2000].decode(errors="replace").rstrip("\n")
            lines += ["[%10.6f] %-7s | %s" % (record.ns / 1e9, record.stream, line) for line in shown.split("\n")]
        return "\n".join(lines + [str(loss) for loss in self.losses])


class Session:
    """One connection of the guest."""

    def __init__(self, host, sock):
        self.host, self.sock, self.epoch = host, sock, None
        self.taken = 0           # bytes read
        sock.settimeout(PATIENCE_S)

    def read(self, size):
        content = b""
        while len(content) < size:
            try:
                part = self.sock.recv(size - len(content))
            except OSError as error:
                raise Cut(str(error)) from None
            if not part:
                raise Cut("after %d bytes" % (self.taken + len(content)))
            content += part
        self.taken += size
        return content

    def read_frame(self, *wanted):
        header = self.read(8)
        length, kind = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:6], "little")
        if length > wire.PAYLOAD_MAX or header[6:] != b"\0\0" or kind not in wanted + (wire.REFUSE,):
            raise wire.Malformed("a frame that begins with %s" % header.hex())
        payload = self.read(length)
        if kind == wire.REFUSE and kind not in wanted:
            refusal = Refusal(wire.REFUSALS[int.from_bytes(payload[:2], "little")], payload[4:].decode())
            self.host.refusals.append(refusal)
            raise Cut("the guest refuses: %s: %s" % refusal)
        return kind, payload

    def send(self, content):
        try:
            self.sock.sendall(content)
        except OSError as error:
            raise Cut(str(error)) from None

    def wait_cut(self):
        """Until the guest has closed."""
        try:
            while self.read(1):
                pass
        except Cut:
            pass

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass             # the guest was faster
        self.sock.close()


class BootSession(Session):
    applied = None           # APPLIED's time

    def send(self, content):
        try:
            super().send(content)
        except Cut:
            self.read_frame()    # why the guest has closed
            raise

    def hello(self):
        boot_id, _ = wire.hello_parse(self.read_frame(wire.HELLO)[1])
        self.epoch = self.host.epoch_of(boot_id)
        if self.epoch.delivered:
            self.send(wire.refuse(5, "this boot has been served"))
            raise Cut("served")

    def stream(self):
        """All that a host says, in one piece."""
        records = self.host.records
        return wire.welcome(self.epoch.token, time.time_ns()) + records + wire.commit(records)

    def welcome(self, **wrong):
        self.send(wire.welcome(wrong.pop("token", self.epoch.token), wrong.pop("wall_ns", time.time_ns()), **wrong))

    def records(self):
        self.send(self.host.records)

    def commit(self, **wrong):
        self.epoch.committed = True
        self.send(wire.commit(self.host.records, **wrong))

    def finish(self):
        payload = self.read_frame(wire.APPLIED)[1]
        self.applied, = wire.unpack("<Q", payload)
        self.epoch.delivered = True


class LogSession(Session):
    def hello(self):
        token, first = wire.log_hello_parse(self.read_frame(wire.LOG_HELLO)[1])
        self.epoch = next((epoch for epoch in self.host.epochs if epoch.token == token), None)
        if not self.epoch:
            self.send(wire.refuse(9, "no such epoch"))
            raise wire.Malformed("LOG_HELLO with the token %s" % token.hex())
        self.epoch.delivered |= self.epoch.committed
        self.epoch.hellos.append(first)

    def welcome(self, **wrong):
        number = wrong.get("next", self.epoch.next)
        self.send(wire.frame(wire.LOG_WELCOME, wire.struct.pack("<HHIQ", wrong.get("version", 1), 0, 0, number)))

    def take(self):
        """One frame, and its answer."""
        self.host.flowing.wait()
        kind, payload = self.read_frame(wire.RECORDS, wire.LOST, wire.END)
        with self.host.changed:
            {wire.RECORDS: self.epoch.take_records, wire.LOST: self.epoch.take_lost,
             wire.END: self.epoch.take_end}[kind](payload)
            self.host.changed.notify_all()
        if self.host.acks:
            answer = wire.END_ACK if kind == wire.END else wire.ACK
            try:
                self.send(wire.frame(answer, wire.struct.pack("<Q", self.epoch.next)))
            except Cut:
                pass             # what the guest sent before is still to be read
        return kind


# --- what leads a session -------------------------------------------------------------------------------------------

def serve(session):
    session.hello()
    session.welcome()
    session.records()
    session.commit()
    session.finish()


def refuse(code, why=""):
    def lead(session):
        session.hello()
        session.send(wire.refuse(code, why))
        session.wait_cut()
    return lead


def silent(session):
    """Accepts, and says nothing."""
    session.wait_cut()


def cut(size):
    """Cuts after that many bytes."""
    def lead(session):
        session.hello()
        stream = session.stream()
        session.epoch.committed |= size >= len(stream)
        session.send(stream[:size])
    return lead


def say(*frames):
    """Goes on with these instead of the records and COMMIT."""
    def lead(session):
        session.hello()
        session.welcome()
        session.send(b"".join(frames))
        session.finish()
    return lead


def collect(session):
    session.hello()
    session.welcome()
    while True:
        session.take()


def collect_some(frames):
    """Cuts after so many."""
    def lead(session):
        session.hello()
        session.welcome()
        for _ in range(frames):
            session.take()
    return lead


class Host:
    def __init__(self, base, *records, port=610):
        self.base, self.port, self.records = base, port, b"".join(records)
        self.script, self.log_script = [], []    # what leads the next sessions, instead of serve and collect
        self.acks = True
        self.flowing = threading.Event()         # clear() it, and no more of the log is read
        self.flowing.set()
        self.changed = threading.Condition()
        self.epochs, self.boots, self.logs = [], [], []
        self.refusals, self.errors = [], []
        self.listeners, self.accepting, self.leading = [], [], []
        self.start()

    # --- being up ---------------------------------------------------------------------------------------------------

    def start(self):
        for number, kind in (self.port, BootSession), (self.port + 1, LogSession):
            path = "%s_%d" % (self.base, number)
            if os.path.exists(path):
                os.unlink(path)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(socket.SOMAXCONN)
            self.listeners.append(listener)
            self._spawn(self.accepting, self._accept, listener, kind)

    def stop(self):
        """As if it had been killed: connections are cut, the sockets' files stay. start() goes on where it was."""
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.listeners.clear()
        self._join(self.accepting)
        self.flowing.set()
        for session in self.boots + self.logs:
            session.close()
        self.settle()

    def settle(self):
        """Until all that came is read from connections that have ended."""
        self._join(self.leading)

    def _join(self, threads):
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads), "a thread of the host does not end"
        threads.clear()

    def _spawn(self, threads, run, *args):
        threads.append(threading.Thread(target=run, args=args, daemon=True))
        threads[-1].start()

    def _accept(self, listener, kind):
        while True:
            try:
                sock = listener.accept()[0]
            except OSError:
                return
            session = kind(self, sock)
            if kind is BootSession:
                sessions, script, default = self.boots, self.script, serve
            else:
                sessions, script, default = self.logs, self.log_script, collect
            sessions.append(session)
            self._spawn(self.leading, self._lead, session, script.pop(0) if script else default)

    def _lead(self, session, lead):
        try:
            lead(session)
        except Cut:
            pass
        except Exception:
            self.errors.append(traceback.format_exc())
        session.close()
        with self.changed:
            self.changed.notify_all()

    # --- for a test -------------------------------------------------------------------------------------------------

    def epoch_of(self, boot_id):
        epoch = next((epoch for epoch in self.epochs if epoch.boot_id == boot_id), None)
        if not epoch:
            epoch = Epoch(boot_id)
            self.epochs.append(epoch)
        return epoch

    @property
    def log(self):
        """The last boot's."""
        return self.epochs[-1]

    def wait(self, true, what, patience=PATIENCE_S):
        with self.changed:
            assert self.changed.wait_for(lambda: self.errors or true(), patience), "waited in vain for " + what
        assert not self.errors, "\n".join(self.errors)

    def wait_output(self, content, stream="stdout"):
        self.wait(lambda: self.epochs and content in self.log.bytes(stream), "%r on %s" % (content, stream))

    def take_refusals(self):
        """What the guest refused. A refusal that no test asks for is an error."""
        taken = list(self.refusals)
        self.refusals.clear()
        return taken

    def check(self, clean=True):
        assert not self.errors, "\n".join(self.errors)
        assert not self.refusals, self.refusals
        for epoch in self.epochs if clean else []:
            assert epoch.end is not None, "the log has no END"
            # The kernel may have a last word between END and the machine's end.
            assert {record.stream for record in epoch.records if record.number >= epoch.end} <= {"kernel"}
