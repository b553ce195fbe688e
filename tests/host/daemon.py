# SPDX-License-Identifier: MIT
"""A hawserd of a test's own: started, asked, stopped, killed."""
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from guest_sim import Guest, Refused

HAWSERD = Path(os.environ.get("HAWSERD", Path(__file__).resolve().parents[2] / "build/hawserd"))
PATIENCE = 60    # seconds for what should take none, on a machine that has time


def wait_for(condition, what="the condition", seconds=PATIENCE):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true in {seconds} s")


class Control:
    """A tool's connection."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")

    def ask(self, **request):
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        return self.line()

    def attach(self, directory, **request):
        """As a tool does: with the directory's descriptor."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        line = json.dumps(dict(request, op="attach", dir=str(directory))).encode() + b"\n"
        socket.send_fds(self.sock, [line], [fd])
        os.close(fd)
        return self.line()

    def line(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def lines_until(self, condition):
        lines = []
        while not lines or not condition(lines[-1]):
            line = self.line()
            assert line is not None, lines
            lines.append(line)
        return lines

    def close(self):
        self.file.close()
        self.sock.close()


class Host:
    def __init__(self, top):
        self.top = top
        self.vms, self.state, self.run = top / "vms", top / "state", top / "run"
        self.vms.mkdir()
        self.process = None
        self.config = {"graceMs": 300, "log": {"json": True}}
        self.output = top / "output"

    def vm(self, name, text=None, **more):
        directory = self.vms / name
        directory.mkdir(exist_ok=True)
        spare = directory / "spare"
        spare.write_text(json.dumps(dict({"hostname": name, "process": {"args": ["/bin/true"]}}, **more))
                         if text is None else text)
        spare.rename(directory / "vm.json")
        return directory

    def start(self, *options, wait=True, before=(), more_fds=(), **popen):
        # No real guest dials as often as these.
        limits = dict({"helloRateVm": 0}, **self.config.get("limits", {}))
        (self.top / "hawserd.json").write_text(json.dumps(dict(self.config, limits=limits)))
        ready, theirs = os.pipe()
        self.process = subprocess.Popen(
            [*before, HAWSERD, "--config", self.top / "hawserd.json", "--vms", self.vms, "--state", self.state,
             "--runtime", self.run, "--log-level", "debug", "--ready-fd", str(theirs), *options],
            stdin=subprocess.DEVNULL, stderr=open(self.output, "ab"), pass_fds=[theirs, *more_fds], **popen)
        os.close(theirs)
        said = os.read(ready, 1) if wait else b"\n"
        os.close(ready)
        assert said == b"\n", self.output.read_text()
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In good order; it is gone in any case."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                assert self.process.wait(PATIENCE) == 0
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def guest(self, name="vm", **more):
        return Guest(self.run / f"{name}.vsock", **more)

    def live(self, name="vm", **more):
        """A guest that has booted, and whose log session is up."""
        guest = self.guest(name, **more)
        guest.boot()
        guest.connect_log()
        return guest

    def control(self):
        return Control(self.run / "control.sock")

    def status(self, vm="vm"):
        control = self.control()
        answer = control.ask(op="status")
        control.close()
        return next((v for v in answer["vms"] if v["vm"] == vm), None) if vm else answer

    def pids(self):
        """Of its processes, by name. The reader is that of the settings' directory."""
        answer = self.status(None)
        readers = [reader["pid"] for reader in answer["readers"] if "vm" not in reader]
        return dict({"monitor": self.process.pid, "server": answer["server"]["pid"]},
                    **({"reader": readers[0]} if readers else {}))

    def text(self, vm="vm", name="text.log"):
        path = self.state / "logs" / vm / name
        return path.read_bytes() if path.exists() else b""

    def records(self, vm="vm"):
        """Whole lines: hawserd may be at the last one."""
        return [json.loads(line) for line in self.text(vm, "json.log").split(b"\n")[:-1]]

    def stream(self, name, vm="vm"):
        """A stream's lines in the text file."""
        return [line[28 + len(name) + 1:] for line in self.text(vm).split(b"\n")
                if line[28:].startswith(name.encode() + b" ")]

    def said(self, pattern):
        return re.search(pattern, self.output.read_text())


class Manager:
    """A service manager: the socket that sd_notify(3) speaks to."""

    def __init__(self, path):
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(PATIENCE)

    def close(self):
        self.sock.close()


def refused(code, call, *args, **more):
    with pytest.raises(Refused) as caught:
        call(*args, **more)
    assert caught.value.code == code, caught.value
    return caught.value.text
