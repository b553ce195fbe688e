# SPDX-License-Identifier: MIT
"""
Where secrets are, some seconds after a machine has got them: in their own pages of the guest's memory, and nowhere
else. The tables are printed: pytest -s tests/secrets/test_canary.py
"""
import os
import re
import subprocess
import tempfile
import time

import pytest
from boot import wire
from canary import HALF, PAGE, Canary, Count, files_below, process_memory
from daemon import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MEBIBYTE = 1 << 20
GUEST_RAM = "memfd:"         # of QEMU and of the device: mapped there, but looked at by itself
# What the kernel puts a packet of a vsock into is one page, with 320 bytes of its own behind the data.
PACKET = PAGE - 320

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into hawserd, which is the point")


class Dump:
    """A guest's memory, stopped, and the pages in it that belong to files which `hold` has mapped."""

    def __init__(self, guest, held):
        self.guest, self.held = guest, held
        guest.qmp("stop")
        self.pages = {}
        for name, (address, size) in held.items():
            for offset in range(0, size, PAGE):
                self.pages[self._physical(address + offset)] = name, offset
        path = guest.path("dump")
        guest.qmp("pmemsave", val=0, size=guest.memory << 20, filename=path)
        with open(path, "rb") as file:
            self.memory = file.read()
        os.unlink(path)

    def _physical(self, address):
        """By the tables of the process that runs, which is `hold`: it never rests. An interrupt may be in the way."""
        for _ in range(200):
            found = re.match("gpa: (0x[0-9a-f]+)", self.guest.qmp(
                "human-monitor-command", **{"command-line": "gva2gpa %#x" % address}))
            if found:
                return int(found[1], 16)
            self.guest.qmp("cont")
            time.sleep(0.01)
            self.guest.qmp("stop")
        raise AssertionError("%#x is mapped nowhere" % address)

    def split(self, canary):
        """How many halves of a held canary are in its own place, and the others by page."""
        own, others = 0, {}
        for hit in canary.hits(self.memory):
            page, offset = hit.at & -PAGE, hit.at % PAGE
            if hit.whole and self.pages.get(page) == (canary.name, hit.number * HALF // PAGE * PAGE) and \
                    offset == hit.number * HALF % PAGE:
                own += 1
            else:
                others.setdefault(page, []).append(hit)
        return own, others


def held_files(log):
    return {found[1]: (int(found[2], 16), int(found[3]))
            for found in re.finditer(r"held \S*/(\S+) (0x[0-9a-f]+) (\d+)", log)}


@as_root
@pytest.mark.parametrize("cmdline", ["", "init_on_free=1"], ids=["without", "init_on_free"])
def test_a_secret_is_in_its_file_and_nowhere_else(served, program, cmdline):
    small, big = Canary("small"), Canary("big", MEBIBYTE - 2 * HALF)
    file, variable = Canary("file"), Canary("variable").hex()
    host, guest = served.host, served.guest
    guest.cmdline = cmdline
    served.config("wc -c <$CREDENTIALS_DIRECTORY/small; sleep 2; hold $CREDENTIALS_DIRECTORY/* & "
                  "read line </dev/ttyS0; kill $!; wait; cd /; umount $CREDENTIALS_DIRECTORY && echo given up; "
                  "exec sleep 1000", env=["CANARY=" + variable.content.decode()])
    served.put("credentials/small", small.content, 0o600)
    served.put("credentials/big", big.content, 0o600)
    served.put("files/etc/control", file.content)
    with open(program("hold"), "rb") as binary:
        served.put("files/bin/hold", binary.read(), 0o755)
    served.start()
    served.wait_log("phase 9", "stdout 32", *("held /run/credentials/@system/" + name for name in ("small", "big")))
    time.sleep(1)

    count = Count(small, big, file, variable)
    for name, pid in host.pids().items():
        count.process("hawserd's " + name, pid)
    count.process("vhost-device-vsock", guest.processes[0].pid, without=[GUEST_RAM])
    count.process("QEMU, without the guest's memory", guest.qemu_process.pid, without=[GUEST_RAM])
    files = dict(files_below(host.state, host.run))
    count.add("hawserd's logs", host.output.read_bytes(), *(files[path] for path in files if "/logs/" in path))
    count.add("hawserd's state and runtime files", *(files[path] for path in files if "/logs/" not in path))
    count.add("serial console", guest.serial.encode())
    dump = Dump(guest, held_files(served.log))
    count.add("guest, all", dump.memory)
    others = {}
    for canary in small, big:
        own, others[canary] = dump.split(canary)
        count.set("guest, the credential's own pages", canary.name, own)
        count.set("guest, elsewhere", canary.name, sum(map(len, others[canary].values())))
    guest.qmp("cont")
    guest.type("\n")
    served.wait_log("stdout given up")
    time.sleep(1)
    count.add("guest, after umount of the credentials", Dump(guest, {}).memory)
    print("\n%s\n%s" % (cmdline or "without init_on_free", count))

    # The search finds what is there to be found.
    assert count.get("hawserd's reader", "variable") > 0 and count.get("guest, all", "variable") > 0
    assert count.get("guest, all", "file") >= 2
    # Who reads what guests send has nothing of a machine's directory, not even what is no secret.
    assert count.get("hawserd's server", "variable") == 0 and count.get("hawserd's server", "file") == 0
    # Each half once in the credential's file, and all of that file's pages are known.
    assert len(dump.pages) == 1 + -(-len(big.content) // PAGE)
    for canary in small, big:
        assert count.get("guest, the credential's own pages", canary.name) == len(canary.halves)
        for place in ("hawserd's monitor", "hawserd's server", "hawserd's reader", "hawserd's logs",
                      "hawserd's state and runtime files", "QEMU, without the guest's memory", "serial console"):
            assert count.get(place, canary.name) == 0, place
    if cmdline:
        for canary in small, big:
            assert count.get("guest, elsewhere", canary.name) == 0
            assert count.get("guest, after umount of the credentials", canary.name) == 0
    else:
        # What init read it into is wiped: all that is left is what the kernel's freed packets hold.
        for canary in small, big:
            for page, hits in others[canary].items():
                assert len(hits) * HALF <= PACKET, "page %#x holds more than a packet" % page


def test_what_was_not_committed_leaves_nothing(guest):
    """PID 1 lives on, so that what it has not wiped is still there; the kernel clears what is freed."""
    secret, file = Canary("secret", MEBIBYTE // 2), Canary("file", MEBIBYTE // 2)

    def wrong_checksum(session):
        session.hello()
        session.welcome()
        session.records()
        session.commit(checksum=1)
        session.finish()
    machine = guest(wire.file("control", file.content), wire.credential("secret", secret.content), script="true")
    machine.host.script = [wrong_checksum] * 1000
    machine.cmdline = "hawser.deadline=3 hawser.on_failure=shell init_on_free=1"
    machine.clean = False
    machine.start().wait_serial("on_failure=shell")
    time.sleep(1)
    count = Count(secret, file)
    count.add("guest, all", Dump(machine, {}).memory)
    print("\nnever committed, init_on_free=1\n%s" % count)
    assert {refusal.code for refusal in machine.host.take_refusals()} == {"checksum"}
    assert len(machine.host.boots) > 1
    assert count.get("guest, all", "secret") == 0 and count.get("guest, all", "file") == 0


# --- hawser run -----------------------------------------------------------------------------------------------------

def children(pid):
    """Of it and of its children, by name."""
    parents, found = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % entry) as file:
                text = file.read()
        except OSError:
            continue             # it has ended
        parents[int(entry)] = int(text.rsplit(")", 1)[1].split()[1])
    for child in parents:
        parent = child
        while parent in parents and parent != pid:
            parent = parents[parent]
        if parent == pid and child != pid:
            try:
                found[child] = os.path.basename(os.readlink("/proc/%d/exe" % child))
            except OSError:
                continue
    return found


@as_root
def test_hawser_run_holds_no_secret(tmp_path):
    """hawser, its janitor, its private hawserd, and every file of the run, while it runs and when it is over."""
    secret, variable = Canary("secret", 65536), Canary("variable").hex()
    directory = tmp_path / "machine"
    (directory / "credentials").mkdir(parents=True)
    (directory / "credentials/secret").write_bytes(secret.content)
    (directory / "vm.json").write_text('{"process": {"args": ["sh", "-c", "wc -c <$CREDENTIALS_DIRECTORY/secret; '
                                       'sleep 20; echo over"], "env": ["CANARY=%s"]}}' % variable.content.decode())
    count = Count(secret, variable)
    log = tmp_path / "log"
    with tempfile.TemporaryDirectory(prefix="hawser-") as runtime, open(tmp_path / "output", "wb") as output:
        command = [TOP + "/build/hawser", "run", "--private", "--serial", "--accel", "tcg", "--log", log, directory]
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                               env=dict(os.environ, XDG_RUNTIME_DIR=runtime))
        try:
            wait_for(lambda: run.poll() is not None or log.exists() and b"65536" in log.read_bytes(), seconds=120)
            time.sleep(1)
            processes = children(run.pid)
            assert {"hawserd", "vhost-device-vsock"} <= set(processes.values()), processes
            for pid, name in [(run.pid, "hawser")] + sorted(processes.items()):
                count.process("%s%s" % (name, " (janitor)" if name == "hawser" and pid != run.pid else ""), pid,
                              without=[GUEST_RAM])
            qemu = next(pid for pid, name in processes.items() if name.startswith("qemu"))
            ram = [content for name, content in process_memory(qemu) if GUEST_RAM in name]
            count.add("guest, all", *ram)
            count.add("files of the run, meanwhile", *(content for _, content in files_below(runtime)))
            assert run.wait(120) == 0
        finally:
            if run.poll() is None:
                run.terminate()
                run.wait(30)
        assert not os.listdir(runtime), "files stay behind"
    count.add("its output and its log", (tmp_path / "output").read_bytes(), log.read_bytes())
    print("\nhawser run\n%s" % count)
    assert count.get("hawser", "variable") > 0 and count.get("hawserd", "variable") > 0
    # Its kernel clears what it frees, without being asked to: each half is there once, in the credential's pages.
    assert count.get("guest, all", "secret") == len(secret.halves)
    for place in count.rows:
        assert place in ("vhost-device-vsock", "guest, all") or count.get(place, "secret") == 0, place


# --- other users of the host ----------------------------------------------------------------------------------------

@as_root
def test_its_own_user_cannot_look_into_hawserd(tmp_path):
    """Not even a process of the same user, without privileges, reads hawserd's memory, and it leaves no core."""
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all",
              "--inh-caps=-all", "--"]
    with tempfile.TemporaryDirectory(prefix="hawser-") as top:
        os.chmod(top, 0o755)
        for name in "vms", "state", "run":
            os.mkdir(os.path.join(top, name))
            os.chown(os.path.join(top, name), 65534, 65534)
        program = os.path.join(top, "hawserd")
        subprocess.run(["cp", TOP + "/build/hawserd", program], check=True)
        ready, theirs = os.pipe()
        process = subprocess.Popen(nobody + [program, "--vms", top + "/vms", "--state", top + "/state", "--runtime",
                                             top + "/run", "--ready-fd", str(theirs)], pass_fds=[theirs], cwd="/",
                                   stdin=subprocess.DEVNULL, stderr=open(tmp_path / "output", "wb"))
        try:
            os.close(theirs)
            assert os.read(ready, 1) == b"\n", (tmp_path / "output").read_text()
            os.close(ready)
            for what in "mem", "maps", "environ", "fd/0":
                look = subprocess.run(nobody + ["cat", "/proc/%d/%s" % (process.pid, what)], stderr=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
                assert look.returncode != 0 and "Permission denied" in look.stderr, (what, look)
            sleeper = subprocess.Popen(nobody + ["sleep", "100"])
            wait_for(lambda: os.readlink("/proc/%d/exe" % sleeper.pid).endswith("sleep"))
            look = subprocess.run(nobody + ["cat", "/proc/%d/maps" % sleeper.pid], stdout=subprocess.PIPE)
            sleeper.kill()
            sleeper.wait()
            assert look.returncode == 0 and b"sleep" in look.stdout        # others of this user can be looked into
            limits = open("/proc/%d/limits" % process.pid).read()
            assert re.search(r"Max core file size +0 +0 ", limits)
        finally:
            process.terminate()
            process.wait(30)


@as_root
def test_the_memory_for_secrets_is_locked(host):
    """Never swapped, in no core, in no child: what secret.h says, as the kernel has it."""
    host.vm("vm")
    host.start()
    size = 64 * 32 << 10
    with open("/proc/%d/smaps" % host.pids()["reader"]) as file:
        found = [block for block in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", file.read())
                 if re.search(r"(?m)^Size: +%d kB$" % (size >> 10), block)]
    flags = [set(re.search(r"VmFlags: (.*)", block)[1].split()) for block in found]
    assert [f for f in flags if {"lo", "dd", "dc"} <= f], flags
