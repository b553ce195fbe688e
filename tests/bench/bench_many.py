# SPDX-License-Identifier: MIT
"""hawserd with one to ten thousand guests, beside rsyslogd, in a machine where descriptors are not limited

Many a machine that tests gives nobody more than 20000 descriptors, which is too few. So hawserd and its guests
(tests/bench/fleet.c), and rsyslogd with as many connections, are in a guest of QEMU's TCG here, some ten times
slower; what is compared is compared there.
"""
import json
import os
import time
from pathlib import Path

import bench_host
import guest
from report import Table

COUNTS = [n for n in (1, 10, 100, 1000, 10000) if n <= int(os.environ.get("BENCH_MANY", 10000))]
REBOOTS = int(os.environ.get("BENCH_MANY_REBOOTS", 400))
ROUNDS = int(os.environ.get("BENCH_MANY_ROUNDS", 3))
RECORDS, EACH = 200000, 10
IDLE_S = 10
SERIAL = "stty -F /dev/ttyS0 raw -echo; while read -r line <&6; do eval \"$line\"; done 6</dev/ttyS0 >/dev/ttyS0 2>&1"
HAWSERD = "ulimit -n 500000; rm -f /run/ready; mkdir -p /run/h /run/vms /run/state; /bench/hawserd" \
    " --config /bench/hawserd.json --vms /run/vms --state /run/state --runtime /run/h --log-level error" \
    " --ready-fd 5 5>/run/ready & until [ -s /run/ready ]; do sleep 1; done"
RSYSLOGD = "rsyslogd -n -f /bench/rsyslog.conf -i /run/rsyslog.pid >/run/rsyslog.err 2>&1 &" \
    " until [ -S /run/rsyslog.sock ]; do sleep 1; done"
RSYSLOG_MODULES = "/usr/lib/%s-linux-gnu/rsyslog/%%s.so" % os.uname().machine


class Shell(guest.Machine):
    def ask(self, command):
        """The lines that it prints."""
        self.qemu.stdin.write(command + "; echo :$?\n")
        lines = []
        for line in self.qemu.stdout:
            line = line.strip()
            if line.startswith(":"):
                if line != ":0":
                    raise RuntimeError("%s: %s" % (command, lines))
                return lines
            lines.append(line)
        raise RuntimeError("the machine ended instead of doing: %s%s" % (command, self.epilogue()))

    def order(self, *words):
        """As Fleet.order: (seconds in all, how many, median, p99, max), the last three in ms."""
        line = self.ask("echo %s >&3; read line <&4; echo $line" % " ".join(map(str, words)))[0].split()
        if line[0] != "done":
            raise RuntimeError("%s: %s" % (words, " ".join(line)))
        ns, n, *rest = (int(word) for word in line[1:])
        return (ns / 1e9, n, *(each / 1e6 for each in rest))

    def pids(self, *names):
        return sorted(set(self.ask("pidof %s" % " ".join(names))[0].split()))

    def anonymous_kib(self, pids):
        lines = self.ask("for p in %s; do grep RssAnon /proc/$p/status; done" % " ".join(pids))
        return sum(int(line.split()[1]) for line in lines)

    def cpu_s(self, pids):
        return sum(self.order("cpu", pid)[0] for pid in pids)


def image():
    template = guest.BUILT / "template"
    template.mkdir(parents=True, exist_ok=True)
    (template / "vm.json").write_text(bench_host.configuration())
    (template / "key").write_text(bench_host.CREDENTIAL)
    (template / "hawserd.json").write_text(json.dumps({"graceMs": 3600000,
                                                       "limits": {"helloRateVm": 0, "logRateVm": 0}}))
    (template / "rsyslog.conf").write_text(bench_host.RSYSLOG % {"dir": "/run"})
    modules = [word for name in ("lmnet", "imptcp") for word in guest.with_libraries(RSYSLOG_MODULES % name)]
    return guest.pack("many.cpio", "build/init", *guest.with_libraries(guest.TOP / "build/hawserd"),
                      *guest.with_libraries(guest.TOP / "build/fleet"), *guest.with_libraries("rsyslogd"), *modules,
                      "--add", "build/bench/template/rsyslog.conf:/bench/rsyslog.conf:644",
                      "--add", "build/hawserd:/bench/hawserd:755", "--add", "build/fleet:/bench/fleet:755",
                      "--add", "build/bench/template/hawserd.json:/bench/hawserd.json:644",
                      "--add", "build/bench/template/vm.json:/bench/template/vm.json:644",
                      "--add", "build/bench/template/key:/bench/template/credentials/key:600")


def measure(_):
    vm = {"process": {"args": ["/bin/sh", "-c", "echo up; " + SERIAL]}}
    with Shell(image(), vm, memory=2048) as machine:
        guest_log = Path(machine.log)
        while not guest_log.exists() or b" stdout up" not in guest_log.read_bytes():
            time.sleep(0.1)
        time.sleep(1)
        machine.ask(HAWSERD)
        pids = machine.pids("hawserd", "hawserd-server", "hawserd-reader")
        nothing = machine.anonymous_kib(pids)
        machine.ask("kill %s; while pidof hawserd; do sleep 1; done" % " ".join(pids))
        machine.ask("ulimit -n 500000; mkfifo /run/in /run/out; /bench/fleet /run/h <>/run/in >/run/out &"
                    " exec 3>/run/in 4</run/out")
        machine.ask("cp -a /bench/template /run/")       # links do not leave their file system
        theirs = rsyslogd(machine)
        return tables(*hawserd(machine, nothing), theirs)


def hawserd(machine, nothing):
    """By the number of guests connected: what they cost, as a dictionary of samples; and other figures."""
    machine.order("machines", "/run/template", "/run/vms", COUNTS[-1])
    machine.ask(HAWSERD)
    pids = machine.pids("hawserd", "hawserd-server", "hawserd-reader")
    empty, connected, rows = machine.anonymous_kib(pids), 0, {}
    each = (empty - nothing) / COUNTS[-1]
    few, at_once = bench_host.FEW, bench_host.AT_ONCE
    for n in COUNTS:
        machine.order("boot", connected, n - connected, at_once)
        machine.order("log", connected, n - connected, at_once)
        connected = n
        row = rows[n] = {"kib": each + (machine.anonymous_kib(pids) - empty) / n}
        cpu = machine.cpu_s(pids)
        boots = [machine.order("reboot", 0, n, at_once, REBOOTS) for _ in range(ROUNDS)]
        row["cpu_us"] = (machine.cpu_s(pids) - cpu) / REBOOTS / ROUNDS * 1e6
        row["ms"], row["p99_ms"] = [sample[2] for sample in boots], [sample[3] for sample in boots]
        cpu = machine.cpu_s(pids)
        machine.order("records", 0, n, EACH, RECORDS)
        row["per_cpu_s"] = RECORDS / (machine.cpu_s(pids) - cpu)
        if n == few:
            before = boots
    after = [machine.order("reboot", 0, min(few, n), at_once, REBOOTS) for _ in range(ROUNDS)]
    time.sleep(10)
    idle = machine.cpu_s(pids)
    time.sleep(IDLE_S)
    flat = {"host_many": n, "host_many_idle_cpu_pct": (machine.cpu_s(pids) - idle) / IDLE_S * 100,
            "host_many_kib_per_guest": (machine.anonymous_kib(pids) - nothing) / n}
    for name, at in ("median", 2), ("p99", 3):
        if n > few:
            flat["host_many_boot_%s_ratio" % name] = bench_host.ratio(after, before, at)
    machine.ask("kill %s; while pidof hawserd; do sleep 1; done" % " ".join(pids))
    return rows, flat


def rsyslogd(machine):
    """The same of rsyslogd, as far as it does the same."""
    rows = {}
    machine.ask(RSYSLOGD)
    pids = machine.pids("rsyslogd")
    empty, held = machine.anonymous_kib(pids), 0
    for n in COUNTS:
        machine.order("hold", "/run/rsyslog.sock", n - held)
        held = n
        time.sleep(1)
        rows[n] = {"kib": (machine.anonymous_kib(pids) - empty) / n}
        machine.ask("true >/run/rsyslog.out")
        cpu, total = machine.cpu_s(pids), RECORDS // n // EACH * EACH * n
        machine.order("feed", "/run/rsyslog.sock", n, EACH, total)
        machine.ask("until [ $(wc -l </run/rsyslog.out) -ge %d ]; do sleep 1; done" % total)
        rows[n]["per_cpu_s"] = total / (machine.cpu_s(pids) - cpu)
    machine.ask("kill %s; while pidof rsyslogd; do sleep 1; done; rm /run/rsyslog.out" % " ".join(pids))
    return rows


def tables(ours, flat, theirs):
    table = Table("many", "One to ten thousand guests, under TCG", [
        ("hawserd: KiB each", 1), ("rsyslogd: KiB each", 1), ("CPU, µs a boot", 0), ("boot, median, ms", 1),
        ("boot, p99, ms", 1), ("hawserd: records per CPU s", 0), ("rsyslogd: records per CPU s", 0)],
        chart={"kind": "curves", "along": "guests connected", "panels": [
            {"title": "memory, KiB a connection", "columns": [0, 1], "names": ["hawserd", "rsyslogd"], "log": True},
            {"title": "log records per CPU second", "columns": [5, 6], "names": ["hawserd", "rsyslogd"]},
            {"title": "boot, ms", "columns": [3, 4], "names": ["median", "p99"], "own": 2},
            {"title": "hawserd's processor, µs a boot", "columns": [2], "names": ["hawserd"]}]})
    for n, row in ours.items():
        def cell(name, row=row, whose=""):
            return "host_many_%d_%s%s" % (n, whose, name), row[name]
        table.add("%d" % n, cell("kib"), cell("kib", theirs[n], "rsyslog_"), cell("cpu_us"), cell("ms"),
                  cell("p99_ms"), cell("per_cpu_s"), cell("per_cpu_s", theirs[n], "rsyslog_"))
    table.note("KiB: anonymous memory, what a connection adds; hawserd's with what its machine takes, one of %d"
               % flat["host_many"])
    table.note("idle with all of them: %.2f %% of a processor" % flat["host_many_idle_cpu_pct"])
    table.note("%d records of %d bytes in all, %d in a write; hawserd's are acknowledged" % (
        RECORDS, bench_host.LINE, EACH))
    return [table], flat
