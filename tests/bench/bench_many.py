# SPDX-License-Identifier: MIT
"""hawserd with ten thousand guests: what bench_host.py measures, in a machine where descriptors are not limited

Many a machine that tests gives nobody more than 20000 descriptors, which is too few. So hawserd and its guests
(tests/bench/fleet.c) are in a guest of QEMU's TCG here, some ten times slower; what is compared is compared there.
"""
import json
import os
import statistics
import time
from pathlib import Path

import bench_host
import guest

MANY = int(os.environ.get("BENCH_MANY", 10000))
REBOOTS = 500
ROUNDS = 3
IDLE_S = 20
TICKS = 100              # a second, in /proc/PID/stat
SERIAL = "stty -F /dev/ttyS0 raw -echo; while read -r line <&6; do eval \"$line\"; done 6</dev/ttyS0 >/dev/ttyS0 2>&1"
START = "ulimit -n 500000; rm -f /run/ready; mkdir -p /run/h /run/vms /run/state; /bench/hawserd" \
    " --config /bench/hawserd.json --vms /run/vms --state /run/state --runtime /run/h --log-level error" \
    " --ready-fd 5 5>/run/ready & until [ -s /run/ready ]; do sleep 1; done"


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
        ns, n, *rest = (int(word) for word in line[1:])
        return (ns / 1e9, n, *(each / 1e6 for each in rest))

    def pids(self):
        return sorted(set(self.ask("pidof hawserd hawserd-server hawserd-reader")[0].split()))

    def anonymous_kib(self):
        lines = self.ask("for p in %s; do grep RssAnon /proc/$p/status; done" % " ".join(self.pids()))
        return sum(int(line.split()[1]) for line in lines)

    def cpu_s(self):
        lines = self.ask("for p in %s; do cat /proc/$p/stat; done" % " ".join(self.pids()))
        return sum(sum(map(int, line.rsplit(")", 1)[1].split()[11:13])) for line in lines) / TICKS


def image():
    template = guest.BUILT / "template"
    template.mkdir(parents=True, exist_ok=True)
    (template / "vm.json").write_text(bench_host.configuration())
    (template / "key").write_text(bench_host.CREDENTIAL)
    (template / "hawserd.json").write_text(json.dumps({"graceMs": 3600000, "limits": {"helloRateVm": 0}}))
    return guest.pack("many.cpio", "build/init", *guest.with_libraries(guest.TOP / "build/hawserd"),
                      *guest.with_libraries(guest.TOP / "build/fleet"),
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
        machine.ask(START)
        nothing = machine.anonymous_kib()
        machine.ask("kill %s; while pidof hawserd; do sleep 1; done" % " ".join(machine.pids()))
        machine.ask("ulimit -n 500000; mkfifo /run/in /run/out; /bench/fleet /run/h <>/run/in >/run/out &"
                    " exec 3>/run/in 4</run/out")
        machine.ask("cp -a /bench/template /run/")       # links do not leave their file system
        machine.order("machines", "/run/template", "/run/vms", MANY)
        machine.ask(START)
        return report(machine, nothing)


def report(machine, nothing):
    few, at_once = bench_host.FEW, bench_host.AT_ONCE
    machine.order("boot", 0, few, at_once)
    machine.order("log", 0, few, at_once)
    before = [machine.order("reboot", 0, few, at_once, REBOOTS) for _ in range(ROUNDS)]
    cpu = machine.cpu_s()
    boots = machine.order("boot", few, MANY - few, at_once)
    cpu = (machine.cpu_s() - cpu) / (MANY - few)
    machine.order("log", few, MANY - few, at_once)
    after = [machine.order("reboot", 0, few, at_once, REBOOTS) for _ in range(ROUNDS)]
    others = [machine.order("reboot", 0, MANY, at_once, REBOOTS) for _ in range(ROUNDS)]
    time.sleep(2)
    idle = machine.cpu_s()
    time.sleep(IDLE_S)
    idle = (machine.cpu_s() - idle) / IDLE_S * 100
    kib = (machine.anonymous_kib() - nothing) / MANY
    flat = {"host_many": MANY, "host_many_kib_per_guest": round(kib, 2), "host_many_idle_cpu_pct": round(idle, 3)}
    print("  %d guests: %.1f KiB each, idle: %.2f %% of a processor" % (MANY, kib, idle))
    print("  under TCG: %.0f boots/s, %.0f us of CPU each" % ((MANY - few) / boots[0], cpu * 1e6))
    for name, at in ("median", 2), ("p99", 3):
        one, two, three = (statistics.median(sample[at] for sample in samples) for samples in (before, after, others))
        print("  boots, %s: %.1f ms with %d connected; with %d: the same guests %.1f ms, all of them by turns %.1f ms"
              % (name, one, few, MANY, two, three))
        flat["host_many_boot_%s_ratio" % name] = round(two / one, 3)
        flat["host_many_boot_%s_ratio_by_turns" % name] = round(three / one, 3)
    return flat
