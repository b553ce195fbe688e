# SPDX-License-Identifier: MIT
"""Who gets secrets from the real hawserd, when, how often, and which: in pretend guests and in real ones."""
import contextlib
import ctypes
import hashlib
import os
import random
import re
import shutil
import threading
import time

import guest_sim as sim
import pytest
from canary import Canary, files_below
from guest_sim import Cut, Refused
from daemon import refused, wait_for

MEBIBYTE = 1 << 20


def fill(host, name="vm", credentials=None, **more):
    """A machine with credentials. Returns its directory."""
    directory = host.vm(name, **more)
    (directory / "credentials").mkdir(exist_ok=True)
    for key, value in (credentials or {}).items():
        (directory / "credentials" / key).write_bytes(value)
    return directory


def patient(host):
    """For tests with many connections, on machines that have much else to do."""
    host.config["limits"] = {"connectionsPerVm": 1000}
    host.config["helloTimeoutMs"] = 20000


def credentials(frames):
    """What a guest would have in $CREDENTIALS_DIRECTORY."""
    got, name = {}, None
    for kind, payload in frames:
        if kind == sim.CREDENTIAL:
            name = payload[16:].decode()
            got[name] = b""
        elif kind == sim.DATA and name is not None:
            got[name] += payload
        elif kind != sim.DATA:
            name = None
    return got


def fetch(host, name="vm", **more):
    """The credentials that a whole boot gets. Its epoch is over at once."""
    guest = host.guest(name, **more)
    got = credentials(guest.boot()[1])
    guest.connect_log()
    guest.end()
    return got


def fetch_at_last(host, name="vm"):
    """As fetch, by a guest that dials again after each cut. Returns how often it had to, too."""
    for again in range(1000):
        guest = host.guest(name)
        try:
            frames = guest.boot()[1]
        except Cut:
            continue
        except Refused as refusal:       # it changed while it was looked at, and nothing had been sent yet
            assert refusal.code == sim.CONFIG and refusal.text.startswith("its directory cannot be served"), refusal
            continue
        guest.connect_log()
        guest.end()
        return frames, again
    raise AssertionError("never served")


# --- the epoch ------------------------------------------------------------------------------------------------------

def settled(epoch):
    return epoch["acknowledged"] == epoch["next"]


def test_a_program_in_the_guest_asks(served, program):
    """
    Root and others, with the boot's own id and another: refused and noted, also by a hawserd that was killed and
    started again in the meantime. After a reboot the machine is served again, and they are not.
    """
    canary = Canary("secret", 4096)
    served.host.config["graceMs"] = 20000
    # A second before each, since hawserd notes no more than eight things a second of one machine.
    ask = ("sleep 1; for who in 0 1000; do for id in same other; do thief $id $who; done; done; echo asked; "
           "read line </dev/ttyS0")
    served.config("sha256sum <$CREDENTIALS_DIRECTORY/secret; %s; %s; reboot; sleep 100" % (ask, ask))
    served.put("credentials/secret", canary.content, 0o600)
    with open(program("thief"), "rb") as binary:
        served.put("files/bin/thief", binary.read(), 0o755)
    host, guest = served.host, served.guest
    host.start()
    for boot in 1, 2:
        guest.start()
        served.wait_log("stdout asked\n", times=2 * boot - 1)
        wait_for(lambda: settled(host.status()["epoch"]), "all to be settled, hawserd's own words, too")
        host.kill()
        host.start()
        wait_for(lambda: host.status()["logging"], "the log's return")
        guest.type("\n")
        served.wait_log("stdout asked\n", times=2 * boot)
        guest.type("\n")
        guest.wait()             # a reset is QEMU's end
        guest.terminal.close()
        guest.terminal = None
    said = re.findall(r"stdout (thief .*)", served.log)
    print("\n" + "\n".join(sorted(set(said))))
    got = [line.split(" port:")[1] for line in said]
    # A REFUSE is the last that the host says, and the device may close before the guest has read it.
    assert len(got) == 16 and set(got) <= {" REFUSE 5 end", " end"} and got.count(" REFUSE 5 end") > 8, said
    assert sum("uid 1000, any port" in line for line in said) == 8
    assert sum("uid 0, privileged port" in line for line in said) == 8
    assert served.log.count("hawserd refused: boot session: epoch-alive") == 16
    assert served.log.count("stdout " + hashlib.sha256(canary.content).hexdigest()) == 2
    assert len(re.findall(r"hawserd boot: .*served first", served.log)) == 2


def test_a_crowd_does_not_end_an_epoch(host):
    """
    Programs in the guest take all connections that it may have, so that its log cannot come back after hawserd was
    started again. The grace is over when there was room and it did not come, not before.
    """
    fill(host, credentials={"key": b"value"})
    patient(host)
    host.config["limits"] = {"connectionsPerVm": 4}
    host.start()
    guest = host.live()
    host.kill()
    host.start()
    crowd = [sim.Connection(guest.base.with_name("vm.vsock_%d" % port)) for port in (610, 611, 610, 611)]
    until = time.monotonic() + 5 * host.config["graceMs"] / 1000
    while time.monotonic() < until:
        with pytest.raises((Refused, Cut, OSError)):
            guest.connect_log()
        time.sleep(0.05)
    crowd.pop().close()
    wait_for(lambda: host.status()["connections"] == 3)
    refused(sim.EPOCH_ALIVE, host.guest().boot)
    assert guest.connect_log() == 0
    guest.log.close()
    guest.log = None
    wait_for(lambda: host.status()["epoch"]["state"] == "none")
    assert fetch(host) == {"key": b"value"}
    for each in crowd:
        each.close()


def test_wrong_orders(host):
    """Every type of frame in every state in which it has no place: an end, no secret, nothing counts as delivered."""
    canary = Canary("secret", 4096)
    directory = fill(host, credentials={"secret": canary.content}, hawser={"credentials": {"delivery": "once"}})
    (directory / "files").mkdir()
    (directory / "files/big").write_bytes(bytes(4 * MEBIBYTE))      # more than all sockets hold; credentials follow
    patient(host)
    host.start()
    hello, applied = host.guest().hello(), sim.frame(sim.APPLIED, bytes(8))
    kinds = [*range(0x0100, 0x0125), 0x013F, 0x0140, *range(0x0200, 0x0208), 0x0300, 0x0301, 0x0310, 0x0320, 0xFFFF]
    frames = [sim.frame(kind, bytes(size)) for kind in kinds for size in (0, 8, 32)]
    frames += [hello, applied, hello + applied, applied + hello, hello[:8] + b"\xff" * 32]

    def accepted(guest):
        return guest.dial_boot(), 0

    def sending(guest):
        c = guest.dial_boot()
        c.send(guest.hello())
        assert c.receive()[0] == sim.WELCOME
        return c, sim.WELCOME

    def waiting(guest):
        c, _ = sending(guest)
        while c.receive()[0] != sim.COMMIT:
            pass
        return c, sim.COMMIT
    for state in accepted, sending, waiting:
        for wrong in frames:
            if wrong == hello and state is accepted or wrong == applied and state is waiting:
                continue
            connection, last = state(host.guest())
            with contextlib.suppress(ConnectionError):
                connection.send(wrong)
            got = connection.buffer
            with contextlib.suppress(Refused, Cut):
                while True:
                    kind, payload = connection.receive()
                    assert last == sim.WELCOME and kind not in (sim.CREDENTIAL, sim.COMMIT), (state, wrong)
                    got += payload
            assert not canary.count(got), (state, wrong)
            connection.close()
    assert not list((host.state / "once").iterdir())
    assert host.status()["epoch"]["state"] == "open"
    assert fetch(host) == {"secret": canary.content}
    counters = host.status(None)["counters"]
    assert counters["refused"]["order"] > 10 and counters["refused"]["malformed"] > 300, counters


def test_cut_at_every_byte(host):
    """The epoch stays, with its token, and nothing counts as delivered."""
    fill(host, credentials={"a.key": b"alpha", "b.key": b"beta"}, hawser={"credentials": {"delivery": "once"}})
    host.start()
    guest = host.guest()
    for size in range(40):
        connection = guest.dial_boot()
        connection.send(guest.hello()[:size])
        connection.close()
    wait_for(lambda: host.status()["connections"] == 0)
    assert host.status()["epoch"]["state"] == "none"
    frames = guest.boot(apply=False)[1]
    token = guest.token
    stream = 8 + 96 + sum(8 + len(payload) for _, payload in frames) + 16
    for size in range(stream + 1):
        connection = guest.dial_boot()
        connection.send(guest.hello())
        left = size
        while left:
            left -= len(connection.sock.recv(left))
        connection.close()
    wait_for(lambda: host.status()["connections"] == 0)
    assert host.status()["epoch"]["state"] == "open" and not list((host.state / "once").iterdir())
    assert guest.boot()[1] == frames and guest.token == token
    refused(sim.EPOCH_ALIVE, guest.boot)
    assert len(set(re.findall(rb"hawserd boot: (\S+),", host.text()))) == 1


def test_clones_of_a_snapshot(host):
    """Taken before PID 1 fetched: siblings with one boot id. The first that asks is served, and no other, ever."""
    fill(host, credentials={"key": b"value"})
    host.start()
    first = host.guest()
    clones = [host.guest(boot_id=first.boot_id) for _ in range(3)]
    first.boot()
    first.connect_log()
    refused(sim.EPOCH_ALIVE, clones[0].boot)
    first.end()
    refused(sim.EPOCH_ALIVE, clones[0].boot)
    wait_for(lambda: host.status()["epoch"]["state"] == "none")
    refused(sim.EPOCH_ALIVE, clones[1].boot)
    host.stop()
    host.start()
    assert "clone" in refused(sim.EPOCH_ALIVE, clones[2].boot)
    host.guest().boot()


# --- once -----------------------------------------------------------------------------------------------------------

ONCE = {"credentials": {"delivery": "once"}}


@pytest.mark.parametrize("told_by", ["applied", "log"])
def test_once(host, told_by):
    """Not lost with a cut, a lost APPLIED or hawserd; not given again after any of these, until it is rearmed."""
    fill(host, credentials={"key": b"value"}, hawser=ONCE)
    host.start()
    guest = host.guest()
    assert credentials(guest.boot(apply=False)[1]) == {"key": b"value"}
    assert credentials(host.guest().boot(apply=False)[1]) == {"key": b"value"}   # a new boot: nothing was applied
    guest = host.guest()
    guest.boot(apply=False)
    host.kill()
    host.start()
    assert credentials(guest.boot(apply=told_by == "applied")[1]) == {"key": b"value"}
    guest.connect_log()
    wait_for(lambda: host.status()["epoch"]["state"] == "live")
    host.kill()
    host.start()
    guest.connect_log()
    guest.end()
    for _ in range(2):
        assert fetch(host) == {}
        host.kill()
        host.start()
    (host.state / "once/vm").unlink()
    assert fetch(host) == {"key": b"value"} and fetch(host) == {}


def test_once_is_for_one_machine(host):
    for name in "one", "two":
        fill(host, name, {"key": name.encode()}, hawser=ONCE)
    host.start()
    assert fetch(host, "one") == {"key": b"one"} and fetch(host, "one") == {}
    assert fetch(host, "two") == {"key": b"two"}


# --- what lies on the disk ------------------------------------------------------------------------------------------

def test_tokens_are_kept_as_hashes(host):
    """Whoever reads hawserd's files cannot be a guest's relay; and no credential is there."""
    canary = Canary("secret", 65536)
    fill(host, credentials={"secret": canary.content})
    host.config["graceMs"] = 20000
    host.config["log"]["sync"] = "fdatasync"
    host.start()
    guest = host.live()
    guest.send_records([sim.record(sim.STDOUT, b"here I am\n")])
    guest.wait_ack()
    for _ in range(2):
        files = dict(files_below(host.state, host.run))
        assert any("epochs" in path for path in files) and any(b"here I am" in content for content in files.values())
        for path, content in files.items():
            assert not canary.count(content), path
            assert guest.token not in content and guest.token.hex().encode() not in content.lower(), path
            assert os.stat(path).st_mode & 0o077 == 0, path
        host.kill()
        host.start()
        guest.connect_log()


# --- how much -------------------------------------------------------------------------------------------------------

def test_sizes(host, tmp_path):
    """A mebibyte, in one credential or in all together, and not a byte more."""
    whole = os.urandom(MEBIBYTE)
    fill(host, "whole", {"key": whole})
    fill(host, "halves", {"a": whole[:MEBIBYTE // 2], "b": whole[MEBIBYTE // 2:], "none": b""})
    fill(host, "one-more", {"key": whole + b"x"})
    fill(host, "one-more-in-all", {"a": whole, "b": b"x"})
    host.start()
    assert fetch(host, "whole") == {"key": whole}
    assert fetch(host, "halves") == {"a": whole[:MEBIBYTE // 2], "b": whole[MEBIBYTE // 2:], "none": b""}
    for name, place in ("one-more", "credentials/key: has 1048577 bytes"), ("one-more-in-all", "have 1048577 bytes"):
        refused(sim.CONFIG, host.guest(name).boot)
        assert host.said(re.escape(place))
        assert host.status(name)["epoch"]["state"] == "none"


def test_a_thousand_credentials(served):
    """In a real guest; each in its place, of its size."""
    wanted = {"key.%04d" % n: os.urandom(n) for n in range(1000)}
    served.config("cd $CREDENTIALS_DIRECTORY; ls | wc -l; sha256sum * | sha256sum; exec sleep 1000")
    for name, content in wanted.items():
        served.put("credentials/" + name, content, 0o600)
    served.start()
    sums = "".join("%s  %s\n" % (hashlib.sha256(wanted[name]).hexdigest(), name) for name in sorted(wanted))
    served.wait_log("stdout 1000\n", "stdout " + hashlib.sha256(sums.encode()).hexdigest())


# --- while they change ----------------------------------------------------------------------------------------------

class Changing:
    """Does something to a directory again and again, in a thread, with pauses of up to so many milliseconds."""

    def __init__(self, change, pause_ms, seed=1):
        self.change, self.pause_ms, self.rng = change, pause_ms, random.Random(seed)
        self.over, self.count, self.error = threading.Event(), 0, None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.over.wait(self.rng.random() * self.pause_ms / 1000):
                self.change(self.count)
                self.count += 1
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.change(0)
        self.count = 1
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        assert not self.error, self.error
        assert self.count > 10


class Volume:
    """A Kubernetes Secret volume, and what kubelet does when the Secret has changed."""

    def __init__(self, directory, names, size):
        self.directory, self.names, self.size, self.last = directory, names, size, None
        directory.mkdir(exist_ok=True)
        for name in names:
            (directory / name).symlink_to("..data/" + name)

    def content(self, name, version):
        return (b"%08d %s\n" % (version, name.encode())) * (self.size // 16)

    def swap(self, version):
        new = self.directory / ("..%d" % version)
        new.mkdir()
        for name in self.names:
            (new / name).write_bytes(self.content(name, version))
        link = self.directory / "..data_tmp"
        link.symlink_to(new.name)
        link.rename(self.directory / "..data")
        if self.last:
            for name in self.names:
                (self.last / name).unlink()
            self.last.rmdir()
        self.last = new


def test_secret_volume_under_swaps(host):
    """Whatever kubelet does, each boot has one version, whole."""
    volume = Volume(host.vm("vm") / "credentials", ["user", "password", "tls.crt", "tls.key"], 50000)
    patient(host)
    seen, dialled = set(), 0
    host.start()
    with Changing(volume.swap, 60) as changing:
        while len(seen) < 60:
            frames, again = fetch_at_last(host)
            got, dialled = credentials(frames), dialled + again
            version = int(got["user"][:8])
            assert got == {name: volume.content(name, version) for name in volume.names}
            seen.add(version)
    print("\n%d versions seen of %d, %d sessions cut" % (len(seen), changing.count, dialled))
    assert dialled > 0       # some were noticed half-way, or this was no test


def test_secret_volume_under_swaps_in_guests(served):
    served.config("cd $CREDENTIALS_DIRECTORY; for each in *; do tail -n 1 $each; done | cut -c 1-8 | uniq -c; "
                  "wc -c * | tail -n 1")
    volume = Volume(served.directory / "credentials", ["a", "b", "c", "d"], 200000)
    guest = served.guest
    served.host.start()
    with Changing(volume.swap, 60):
        for boot in range(4):
            guest.start().wait()
    versions = re.findall(r"stdout +(\d+) (\d{8})\n", served.log)
    assert len(versions) == 4 and {count for count, _ in versions} == {"4"}, versions
    assert len(set(versions)) == 4
    assert len(re.findall(r"stdout +%d total\n" % (4 * len(volume.content("a", 0))), served.log)) == 4


def version_of(frames):
    """Of vm.json, of the credential, and of the file if there is one."""
    config = next(payload for kind, payload in frames if kind == sim.ENV).split(b"=")[1]
    data = [payload[:8] for kind, payload in frames if kind == sim.DATA]
    return int(config), *map(int, data)


def test_vm_json_and_credentials_are_of_one_time(host):
    """Version n of vm.json is there before version n of the credentials: no guest has seen it the other way round."""
    directory = host.vm("vm")
    volume = Volume(directory / "credentials", ["key"], 100)

    def change(version):
        host.vm("vm", process={"args": ["true"], "env": ["VERSION=%d" % version]})
        time.sleep(0.002)
        volume.swap(version)
    patient(host)
    host.start()
    pairs = set()
    with Changing(change, 40) as changing:
        while changing.count < 300 or len(pairs) < 60:
            pairs.add(version_of(fetch_at_last(host)[0]))
    print("\n%d pairs seen of %d versions" % (len(pairs), changing.count))
    assert {config - credential for config, credential in pairs} <= {0, 1}


def test_directories_that_change_places(host):
    """A whole machine's directory is put in the place of another, at once; the one before is removed."""
    libc = ctypes.CDLL(None, use_errno=True)
    new = host.vms / ".new"

    def change(version):
        made = host.vms / ".made"
        for folder, name in ("credentials", "key"), ("files", "file"):
            (made / folder).mkdir(parents=True, exist_ok=True)
            (made / folder / name).write_bytes(b"%08d" % version * 5000)
        (made / "vm.json").write_text('{"process": {"args": ["true"], "env": ["VERSION=%d"]}}' % version)
        made.rename(new)
        if (host.vms / "vm").exists():
            assert libc.renameat2(-100, bytes(new), -100, bytes(host.vms / "vm"), 2) == 0, ctypes.get_errno()
            shutil.rmtree(new)
        else:
            new.rename(host.vms / "vm")
    change(0)
    patient(host)
    host.start()
    seen = set()
    with Changing(change, 40) as changing:
        while changing.count < 200 or len(seen) < 40:
            seen.add(version_of(fetch_at_last(host)[0]))
    print("\n%d versions seen of %d" % (len(seen), changing.count))
    assert not [versions for versions in seen if len(set(versions)) > 1 or len(versions) < 5]


def test_racing_links(host):
    """
    Somebody who may write into a machine's directory puts links to what only hawserd may read in the place of its
    files, at any moment: nothing of it comes out, not even in a session that is cut.
    """
    forbidden, allowed = Canary("forbidden", 65536), Canary("allowed", 65536)
    outside = host.top / "outside"
    outside.mkdir()
    for name in "key", "file":
        (outside / name).write_bytes(forbidden.content)
    directory = fill(host, credentials={"key": allowed.content})
    (directory / "files/sub").mkdir(parents=True)
    (directory / "files/sub/file").write_bytes(allowed.content)
    spare = host.top / "spare"
    patient(host)
    host.start()

    def exchange(path, target):
        """A link in the place of the path, for a moment."""
        spare.symlink_to(target)
        libc.renameat2(-100, bytes(spare), -100, bytes(path), 2)
        time.sleep(rng.random() / 300)
        libc.renameat2(-100, bytes(spare), -100, bytes(path), 2)
        spare.unlink()

    def change(number):
        exchange(*[(directory / "credentials/key", outside / "key"), (directory / "credentials", outside),
                   (directory / "files/sub/file", "../../../../outside/file"), (directory / "files/sub", outside),
                   (directory / "credentials/key", "../../../outside/key"), (directory / "files", outside),
                   (directory, outside)][number % 7])
    libc, rng, served, cut = ctypes.CDLL(None, use_errno=True), random.Random(3), 0, 0
    with Changing(change, 12) as changing:
        while served < 50 or cut < 50 or changing.count < 200:
            guest = host.guest()
            try:
                connection = guest.dial_boot()
                connection.send(guest.hello())
            except OSError:
                continue         # for a moment it is no machine: a link is none
            frames = []
            try:
                while not frames or frames[-1][0] != sim.COMMIT:
                    frames.append(connection.receive())
                served += 1
                assert credentials(frames[1:]) == {"key": allowed.content}
            except (Refused, Cut, OSError):
                cut += 1
            assert not forbidden.count(b"".join(payload for _, payload in frames) + connection.buffer)
            connection.close()
    print("\n%d served, %d not, %d exchanges" % (served, cut, changing.count))
    assert not forbidden.count(host.text() + host.output.read_bytes())
