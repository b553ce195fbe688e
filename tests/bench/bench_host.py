# SPDX-License-Identifier: MIT
"""hawserd with a fleet: what a guest costs, how fast guests boot, what their logs cost, and what ill-behaved ones do

The guests are tests/bench/fleet.c, on the same processors. `BENCH_GUESTS` (10000) is cut to what the hard limit of
descriptors allows: hawserd needs three for a guest of a Unix socket, two listeners and its log session.
"""
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import guest

FEW = 100                        # guests that are compared with
LOGGERS = 1000                   # guests that log at once
BOOTS = int(os.environ.get("BENCH_BOOTS", 4000))
RECORDS = int(os.environ.get("BENCH_RECORDS", 2000000))
IDLE_S = float(os.environ.get("BENCH_IDLE_S", 12))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
AT_ONCE = 8                      # boots that are under way
LINE = 100
SLOW, SLOW_VMS = 1000, 100
# What hawserd writes, too: a time and the line.
RSYSLOG = """global(workDirectory="%(dir)s")
module(load="imptcp")
template(name="line" type="string" string="%%timegenerated:::date-rfc3339%% %%rawmsg%%\\n")
input(type="imptcp" path="%(dir)s/rsyslog.sock" unlink="on" supportOctetCountedFraming="off")
action(type="omfile" file="%(dir)s/rsyslog.out" template="line")
"""
CREDENTIAL = "0123456789abcdef0123456789abcdef"


def most_guests():
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(int(os.environ.get("BENCH_GUESTS", 10000)), (files - 500) // 3)


def configuration():
    """A vm.json whose records take 4 KiB."""
    env = ["SETTING_%02d=%s" % (i, "v" * 52) for i in range(55)]
    return json.dumps({"hostname": "guest", "process": {"args": ["/bin/service", "--serve"], "env": env}})


def family(pid):
    """A process and its descendants."""
    pids, at = [pid], 0
    while at < len(pids):
        for task in Path("/proc/%d/task" % pids[at]).iterdir():
            pids += [int(child) for child in (task / "children").read_text().split()]
        at += 1
    return pids


def cpu_s(pid):
    """The scheduler's own count, in ns: the clock of a process, by its number."""
    return sum(time.clock_gettime(~one << 3 | 2) for one in family(pid))


def anonymous_kib(pid):
    kib = 0
    for one in family(pid):
        for line in open("/proc/%d/status" % one):
            if line.startswith("RssAnon:"):
                kib += int(line.split()[1])
    return kib


class Fleet:
    """hawserd and as many machines as are asked for, and the processes that are their guests."""

    def __init__(self, machines, **config):
        self.dir = Path(tempfile.mkdtemp(prefix="hawser-fleet-"))
        self.processes = []
        for name in "run", "state", "vms":
            (self.dir / name).mkdir()
        text = configuration()
        for i in range(machines):
            vm = self.dir / ("vms/g%05d" % i)
            (vm / "credentials").mkdir(parents=True)
            (vm / "vm.json").write_text(text)
            (vm / "credentials/key").write_text(CREDENTIAL)
            (vm / "credentials/key").chmod(0o600)
        config.setdefault("graceMs", 60000)
        # One machine of few boots more often than any real one.
        config.setdefault("limits", {"helloRateVm": 0, "logRateVm": 0})
        (self.dir / "hawserd.json").write_text(json.dumps(config))

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        shutil.rmtree(self.dir)

    def spawn(self, *command, **more):
        process = subprocess.Popen(guest.CHILD + [str(word) for word in command], cwd=self.dir, **more)
        self.processes.append(process)
        return process

    def start(self):
        ready, told = os.pipe()
        self.hawserd = self.spawn(guest.TOP / "build/hawserd", "--config", self.dir / "hawserd.json", "--vms",
                                  self.dir / "vms", "--state", self.dir / "state", "--runtime", self.dir / "run",
                                  "--log-level", "error", "--ready-fd", told, pass_fds=[told],
                                  stderr=open(self.dir / "hawserd.err", "w"))
        os.close(told)
        if os.read(ready, 1) != b"\n":
            raise RuntimeError("hawserd: " + (self.dir / "hawserd.err").read_text())
        os.close(ready)
        self.pid = self.hawserd.pid
        self.guests = self.more_guests()

    def more_guests(self):
        return self.spawn(guest.TOP / "build/fleet", self.dir / "run", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, bufsize=1)

    def order(self, *words, to=None):
        """(seconds in all, how many, median, p99, max), the last three in ms."""
        process = to or self.guests
        process.stdin.write(" ".join(str(word) for word in words) + "\n")
        line = process.stdout.readline().split()
        if not line:
            raise RuntimeError("fleet ended instead of doing: %s; hawserd: %s" % (
                words, (self.dir / "hawserd.err").read_text()[-2000:]))
        ns, n, *rest = (int(word) for word in line[1:])
        return (ns / 1e9, n, *(each / 1e6 for each in rest))


def curve(counts):
    """Of each size of the fleet: what is known of it. The fleet of most guests is left connected, for `latency`."""
    for n in counts:
        with Fleet(0) as empty:
            nothing = anonymous_kib(empty.pid)
        with Fleet(n) as fleet:
            at_once = min(n, AT_ONCE)
            cpu = cpu_s(fleet.pid)
            boots = fleet.order("boot", 0, n, at_once)
            cpu = (cpu_s(fleet.pid) - cpu) / n
            fleet.order("log", 0, n, at_once)
            again = fleet.order("reboot", 0, n, at_once, max(n, BOOTS // 4))
            time.sleep(1)
            idle = cpu_s(fleet.pid)
            time.sleep(IDLE_S)
            idle = (cpu_s(fleet.pid) - idle) / IDLE_S * 100
            kib = (anonymous_kib(fleet.pid) - nothing) / n
            yield n, kib, n / boots[0], cpu * 1e6, again[2], again[3], idle


def latency(most):
    """Median and p99 of boots with most guests connected, over those with few, one after the other and again."""
    with Fleet(FEW) as few, Fleet(most) as many:
        for fleet, n in (few, FEW), (many, most):
            fleet.order("boot", 0, n, AT_ONCE)
            fleet.order("log", 0, n, AT_ONCE)
        samples = [(few.order("reboot", 0, FEW, AT_ONCE, BOOTS), many.order("reboot", 0, most, AT_ONCE, BOOTS))
                   for _ in range(ROUNDS)]
    return [[statistics.median(pair[which][at] for pair in samples) for at in (2, 3)] for which in (0, 1)]


def settled_size(path):
    size = -1
    while path.stat().st_size != size:
        size = path.stat().st_size
        time.sleep(0.5)


def rsyslogd(fleet):
    (fleet.dir / "rsyslog.conf").write_text(RSYSLOG % {"dir": fleet.dir})
    process = fleet.spawn("rsyslogd", "-n", "-f", fleet.dir / "rsyslog.conf", "-i", fleet.dir / "rsyslog.pid",
                          stderr=subprocess.DEVNULL)
    while not (fleet.dir / "rsyslog.sock").exists():
        time.sleep(0.05)
    return process.pid


def ingest(each):
    """Records per second of the processor: of hawserd and of rsyslogd."""
    total = RECORDS if each > 1 else RECORDS // 4
    total = total // LOGGERS // each * each * LOGGERS
    with Fleet(LOGGERS) as fleet:
        fleet.order("boot", 0, LOGGERS, AT_ONCE)
        fleet.order("log", 0, LOGGERS, AT_ONCE)
        cpu = cpu_s(fleet.pid)
        fleet.order("records", 0, LOGGERS, each, total)
        ours = cpu_s(fleet.pid) - cpu
        lines = sum(path.read_bytes().count(b" stdout ") for path in fleet.dir.glob("state/logs/*/text.log"))
        if lines != total:
            raise RuntimeError("hawserd acknowledged %d records, and has %d" % (total, lines))
        pid = rsyslogd(fleet)
        cpu = cpu_s(pid)
        fleet.order("feed", fleet.dir / "rsyslog.sock", LOGGERS, each, total)
        settled_size(fleet.dir / "rsyslog.out")
        theirs = cpu_s(pid) - cpu
        lines = (fleet.dir / "rsyslog.out").read_bytes().count(b".\n")
        if lines != total:
            print("  rsyslogd has %d of %d records" % (lines, total))
    return total / ours, total / theirs


def hostile():
    """p99 of honest guests' boots, and their records per second, alone and beside guests that mean harm."""
    alone, beside = [], []
    with Fleet(FEW + SLOW_VMS + ROUNDS, limits={}) as fleet:
        fleet.order("boot", 0, FEW, AT_ONCE)
        fleet.order("log", 0, FEW, AT_ONCE)
        for turn in range(ROUNDS):
            for samples in alone, beside:
                if samples is beside:
                    ill = fleet.more_guests()
                    ill.stdin.write("hostile %d %d %d %d\n" % (FEW, SLOW_VMS, SLOW // SLOW_VMS,
                                                               FEW + SLOW_VMS + turn))
                    ill.stdout.readline()
                    time.sleep(2)
                boots = fleet.order("reboot", 0, FEW, AT_ONCE, BOOTS)
                each = 10
                records = fleet.order("records", 0, FEW, each, RECORDS // 10)
                samples.append((boots[2], boots[3], RECORDS / 10 / records[0]))
                if samples is beside:
                    ill.terminate()
                    ill.wait()
                    time.sleep(0.5)
    return [[statistics.median(sample[at] for sample in samples) for at in range(3)] for samples in (alone, beside)]


def measure(_):
    most = most_guests()
    flat = {}
    print("  what guests cost hawserd; boots are timed from connect() to the close that answers APPLIED, %d at once"
          % AT_ONCE)
    print("  %7s %10s %9s %12s %10s %10s %8s" % ("guests", "KiB each", "boots/s", "CPU, us/boot", "median, ms",
                                                 "p99, ms", "idle, %"))
    for row in curve([n for n in (1, 10, 100, 1000, 3000, 10000) if n < most] + [most]):
        print("  %7d %10.1f %9.0f %12.0f %10.2f %10.2f %8.3f" % row, flush=True)
        flat["host_curve_%d" % row[0]] = [round(value, 3) for value in row[1:]]
    flat.update(host_guests=most, host_kib_per_guest=row[1], host_boots_per_s=row[2],
                host_idle_cpu_pct=row[6])
    print("  KiB: hawserd's anonymous memory (RssAnon) less that of one without machines; the kernel's is not in it")
    few, many = latency(most)
    print("  boots with %d connected: median %.2f ms, p99 %.2f ms; with %d: %.2f ms, %.2f ms" % (
        FEW, *few, most, *many))
    flat.update(host_boot_median_ratio=many[0] / few[0], host_boot_p99_ratio=many[1] / few[1])
    ratios = []
    for each in 1, 10, 280:
        ours, theirs = ingest(each)
        ratios.append(ours / theirs)
        print("  %3d records a write: hawserd %8.0f, rsyslogd %8.0f records per CPU second: %5.2f times" % (
            each, ours, theirs, ratios[-1]))
        flat["host_ingest_%d_per_cpu_s" % each] = ours
        flat["host_ingest_%d_vs_rsyslog" % each] = ratios[-1]
    flat["host_ingest_vs_rsyslog"] = min(ratios)
    alone, beside = hostile()
    print("  honest boots alone: median %.2f ms, p99 %.2f ms, %.0f records/s" % tuple(alone))
    print("  beside %d slow connections and a flood: median %.2f ms, p99 %.2f ms, %.0f records/s" % (SLOW, *beside))
    flat.update(host_hostile_median_ratio=beside[0] / alone[0], host_hostile_p99_ratio=beside[1] / alone[1],
                host_hostile_records_ratio=beside[2] / alone[2])
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in flat.items()}
