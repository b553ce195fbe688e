# SPDX-License-Identifier: MIT
"""hawserd's processes: what each of them can do, and what is left when one dies. Its monitor, server and reader."""
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import guest_sim as sim
from daemon import PATIENCE, wait_for
from guest_sim import Cut, record

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's hawserd has other users to become")
EACCES, EPERM = 13, 1


def status(pid):
    """/proc/PID/status, by its words."""
    return dict(re.findall(r"(\w+):[ \t]*(.*?)[ \t]*\n", Path(f"/proc/{pid}/status").read_text()))


def in_process(pid, *calls):
    """What calls in C give in a process that runs, done by a debugger: (result, errno) of each."""
    script = ["set confirm off", "set debuginfod enabled off"]
    for call in calls:
        script += [f"set $r = (int){call}", 'printf "result %d %d\\n", $r, *((int*(*)(void))__errno_location)()']
    options = [word for line in script for word in ("-ex", line)]
    out = subprocess.run(["gdb", "-q", "-nx", "-batch", "-p", str(pid), *options],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=60).stdout
    found = [(int(a), int(b)) for a, b in re.findall(r"result (-?\d+) (-?\d+)", out)]
    assert len(found) == len(calls), out
    return found


def c_open(path):
    return f'((int(*)(const char*,int,...))open)("{path}", 0)'


@as_root
def test_each_has_rights_of_its_own(up):
    pids = up.pids()
    server, reader, monitor = (status(pids[name]) for name in ("server", "reader", "monitor"))
    for process in server, reader:
        assert process["Seccomp"] == "2" and process["NoNewPrivs"] == "1"
        assert len(set(process["Uid"].split())) == 1 and process["Groups"] == ""
        assert process["CapInh"] == process["CapAmb"] == "0" * 16
    assert len({process["Uid"] for process in (server, reader, monitor)}) == 3
    assert server["CapPrm"] == server["CapEff"] == "0" * 16
    assert reader["CapPrm"] == reader["CapEff"] == "0" * 15 + "4"        # CAP_DAC_READ_SEARCH
    answer = up.status(None)
    for said in [answer["server"]] + answer["readers"]:
        assert said["seccomp"] and said["user"]
        assert said["landlock"] > 0 or up.said("this kernel has no Landlock")


@as_root
def test_the_server_opens_no_machine_s_file_and_the_reader_no_other(host):
    """Each does what its own code never does: what a guest, or a directory, could make it do at worst."""
    directory = host.vm("vm")
    (directory / "credentials").mkdir()
    (directory / "credentials/key").write_text("secret")
    host.start()
    pids, landlock = host.pids(), host.status(None)["server"]["landlock"]
    key, log = directory / "credentials/key", host.state / "logs/vm/text.log"
    refusals = {EACCES, EPERM}
    connect, fork, inet = "((int(*)(int,void*,int))connect)(0, 0, 0)", "((int(*)(void))fork)()", \
        "((int(*)(int,int,int))socket)(2, 1, 0)"
    opened, forked, net = in_process(pids["server"], c_open(key), fork, inet)
    assert opened[0] == -1 and opened[1] in refusals
    assert forked == net == (-1, EPERM)
    opened, other, logs, forked, net, connected = in_process(
        pids["reader"], c_open(key), c_open("/etc/shadow"), c_open(log), fork, inet, connect)
    assert opened[0] >= 0
    if landlock:
        assert other == logs == (-1, EACCES)
    assert forked == net == connected == (-1, EPERM)
    # Both go on as if nothing had been.
    guest = host.guest()
    _, frames = guest.boot()
    assert (sim.DATA, b"secret") in frames


def test_without_a_reader_logs_go_on_and_it_comes_back(up):
    guest = up.live()
    pids = up.pids()
    os.kill(pids["reader"], signal.SIGKILL)
    guest.send_records([record(sim.STDOUT, b"still served\n")])
    guest.wait_ack()
    wait_for(lambda: up.pids()["reader"] not in (0, pids["reader"]) and up.status(None)["readers"][0]["up"])
    assert up.pids()["server"] == pids["server"]
    assert up.said(r"the reader of directories \(pid \d+\) was killed by signal 9")
    # It knows all of them again, those that came and went meanwhile, too; and the sockets are the same.
    guest.end()
    again = up.guest()
    _, frames = again.boot()
    assert (sim.HOSTNAME, b"vm") in frames
    again.connect_log()
    again.end()
    up.vm("vm", hostname="newer")
    _, frames = up.guest().boot()
    assert (sim.HOSTNAME, b"newer") in frames


def test_a_boot_at_the_time_of_a_reader_s_death_is_cut_and_comes_again(host):
    directory = host.vm("vm")
    (directory / "files").mkdir()
    (directory / "files/large").write_bytes(bytes(8 << 20))
    host.start()
    guest = host.guest()
    c = guest.dial_boot()
    c.send(guest.hello())
    assert c.receive()[0] == sim.WELCOME
    first = host.pids()["reader"]
    os.kill(first, signal.SIGKILL)
    with pytest.raises(Cut):
        while c.receive()[0] != sim.COMMIT:
            pass
    wait_for(lambda: host.status(None)["readers"][0]["up"] and host.pids()["reader"] != first)
    guest.boot()


def test_machines_that_changed_while_there_was_no_reader(host):
    for name in "one", "two":
        host.vm(name)
    host.start()
    reader = host.pids()["reader"]
    os.kill(reader, signal.SIGSTOP)
    for path in (host.vms / "two").iterdir():
        path.unlink()
    (host.vms / "two").rmdir()
    host.vm("three")
    os.kill(reader, signal.SIGKILL)
    wait_for(lambda: host.status("three") and not host.status("two"))
    assert not (host.run / "two.vsock_610").exists()
    for name in "one", "three":
        host.guest(name).boot()


def test_the_server_s_end_is_the_end(up):
    pids = up.pids()
    os.kill(pids["server"], signal.SIGKILL)
    assert up.process.wait(PATIENCE) == 111
    assert up.said(r"the server \(pid \d+\) was killed by signal 9")
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids.values()))
    assert not list(up.run.iterdir())
    up.start().guest().boot()


def test_the_monitor_s_end_is_the_end(up):
    """And whoever is started at once does not meet those that are about to go."""
    for _ in range(5):
        pids = up.pids()
        up.kill()
        up.start()
        up.guest().boot(apply=False)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids.values()))
    assert not up.said("another process listens there")


def test_a_directory_that_a_tool_attached_has_its_own_reader(host):
    directory = host.top / "machine"
    directory.mkdir()
    (directory / "vm.json").write_text('{"process": {"args": ["/bin/true"]}}')
    host.vm("vm")
    host.start()
    control = host.control()
    assert control.attach(directory, args=["sh", "-c", "x" * 30000])["ok"]
    readers = {reader.get("vm"): reader["pid"] for reader in host.status(None)["readers"]}
    assert set(readers) == {None, "machine"}
    _, frames = host.guest("machine").boot(apply=False)
    assert [p for k, p in frames if k == sim.ARG] == [b"sh", b"-c", b"x" * 30000]
    if os.geteuid() == 0 and host.status(None)["server"]["landlock"]:
        opened, other = in_process(readers["machine"], c_open(directory / "vm.json"), c_open(host.vms / "vm/vm.json"))
        assert opened[0] >= 0 and other == (-1, EACCES)
    # It is started again as any other, with what the tool has said.
    os.kill(readers["machine"], signal.SIGKILL)
    wait_for(lambda: [reader for reader in host.status(None)["readers"] if reader.get("vm") == "machine" and
                      reader["up"] and reader["pid"] != readers["machine"]])
    _, frames = host.guest("machine").boot()
    assert [p for k, p in frames if k == sim.ARG][:2] == [b"sh", b"-c"]
    control.close()
    wait_for(lambda: host.status("machine") is None)
    wait_for(lambda: len(host.status(None)["readers"]) == 1)


def test_a_tool_that_names_a_directory_must_have_it_open(up):
    control = up.control()
    assert "descriptor" in control.ask(op="attach", dir=str(up.vms / "vm"))["error"]


@as_root
def test_state_of_a_time_without_users_of_their_own_is_taken_over(host):
    host.vm("vm")
    for name in "logs/vm", "epochs", "once":
        (host.state / name).mkdir(parents=True)
    (host.state / "logs/vm/text.log").write_text("of root\n")
    host.start()
    host.guest().boot()
    owner = int(status(host.pids()["server"])["Uid"].split()[0])
    assert owner and {path.stat().st_uid for path in (host.state / "logs").rglob("*")} == {owner}
    assert host.text().startswith(b"of root\n")


@as_root
@pytest.mark.parametrize("config,said", [
    ({"user": "root"}, "\"user\" of the settings: must not be root"),
    ({"user": "no-such-user"}, "there is no such user"),
    ({"user": "12345", "readerUser": "12345"}, "must not be")])
def test_users_that_cannot_be(host, config, said):
    host.config.update(config)
    host.start(wait=False)
    assert host.process.wait(PATIENCE) == 111
    assert said in host.output.read_text()


@as_root
def test_users_of_the_settings(host):
    host.config.update({"user": "12345", "readerUser": "nobody"})
    host.vm("vm")
    host.start()
    pids = host.pids()
    assert status(pids["server"])["Uid"].split()[0] == "12345"
    assert status(pids["reader"])["Uid"].split()[0] == "65534"
    host.guest().boot()
