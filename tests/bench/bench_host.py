# SPDX-License-Identifier: MIT
"""hawserd with a fleet: what a guest costs, how fast guests boot, what their logs cost, and what ill-behaved ones do

The guests are tests/bench/fleet.c, on the same processors. `BENCH_GUESTS` (10000) is cut to what the hard limit of
descriptors allows: hawserd needs three for a guest of a Unix socket, two listeners and its log session.
"""
import json
import os
import resource
import statistics
import subprocess
import time

import guest
from report import Table

FEW = 100                        # guests that are compared with
LOGGERS = 1000                   # guests that log at once
BOOTS = int(os.environ.get("BENCH_BOOTS", 4000))
RECORDS = int(os.environ.get("BENCH_RECORDS", 2000000))
IDLE_S = float(os.environ.get("BENCH_IDLE_S", 12))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
INGEST_ROUNDS = int(os.environ.get("BENCH_INGEST_ROUNDS", 1))
AT_ONCE = 8                      # boots that are under way
LINE = 100
SLOW, SLOW_VMS = 1000, 100
# What hawserd writes, too: a time and the line.
RSYSLOG = """global(workDirectory="%(dir)s" net.enableDNS="off")
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


def anonymous_kib(pid):
    kib = 0
    for one in guest.family(pid):
        for line in open("/proc/%d/status" % one):
            if line.startswith("RssAnon:"):
                kib += int(line.split()[1])
    return kib


class Fleet(guest.Directory):
    """hawserd and as many machines as are asked for, and the processes that are their guests."""

    def __init__(self, machines, **config):
        super().__init__()
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
        self.config = config

    def start(self):
        self.start_hawserd(self.config, "--log-level", "error")
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
            raise RuntimeError("fleet ended instead of doing: %s; hawserd: %s" % (words, self.complaints()))
        ns, n, *rest = (int(word) for word in line[1:])
        return (ns / 1e9, n, *(each / 1e6 for each in rest))


def curve(counts):
    """Of each size of the fleet: what is known of it. The fleet of most guests is left connected, for `latency`."""
    for n in counts:
        with Fleet(0) as empty:
            nothing = anonymous_kib(empty.pid)
        with Fleet(n) as fleet:
            at_once = min(n, AT_ONCE)
            cpu = guest.cpu_s(fleet.pid)
            boots = fleet.order("boot", 0, n, at_once)
            cpu = (guest.cpu_s(fleet.pid) - cpu) / n
            fleet.order("log", 0, n, at_once)
            again = fleet.order("reboot", 0, n, at_once, max(n, BOOTS // 4))
            time.sleep(1)
            idle = guest.cpu_s(fleet.pid)
            time.sleep(IDLE_S)
            idle = (guest.cpu_s(fleet.pid) - idle) / IDLE_S * 100
            kib = (anonymous_kib(fleet.pid) - nothing) / n
            yield n, kib, n / boots[0], cpu * 1e6, again[2], again[3], idle


def latency(most):
    """(median, p99, max) of boots with few guests connected and with most, one after the other and again."""
    with Fleet(FEW) as few, Fleet(most) as many:
        for fleet, n in (few, FEW), (many, most):
            fleet.order("boot", 0, n, AT_ONCE)
            fleet.order("log", 0, n, AT_ONCE)
        return zip(*[[fleet.order("reboot", 0, n, AT_ONCE, BOOTS)[2:] for fleet, n in ((few, FEW), (many, most))]
                     for _ in range(ROUNDS)])


def lines_come(path, total):
    """How many the file has when it has all, or has not grown for as long as anything may take."""
    size = lines = 0
    grew = time.monotonic()
    while lines != total and time.monotonic() < grew + guest.PATIENCE_S:
        time.sleep(0.2)
        now = path.stat().st_size if path.exists() else 0
        if now != size:
            size, grew = now, time.monotonic()
        elif now >= total * LINE:
            lines = path.read_bytes().count(b".\n")
    return lines


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
        cpu = guest.cpu_s(fleet.pid)
        fleet.order("records", 0, LOGGERS, each, total)
        ours = guest.cpu_s(fleet.pid) - cpu
        lines = sum(path.read_bytes().count(b" stdout ") for path in fleet.dir.glob("state/logs/*/text.log"))
        if lines != total:
            raise RuntimeError("hawserd acknowledged %d records, and has %d" % (total, lines))
        pid = rsyslogd(fleet)
        cpu = guest.cpu_s(pid)
        fleet.order("feed", fleet.dir / "rsyslog.sock", LOGGERS, each, total)
        lines = lines_come(fleet.dir / "rsyslog.out", total)
        theirs = guest.cpu_s(pid) - cpu
        if lines != total:
            raise RuntimeError("rsyslogd has %d of %d records" % (lines, total))
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
    return alone, beside


def curve_table(most):
    table = Table("host_curve", "What a guest costs hawserd, by the number of guests", [
        ("KiB each", 1), ("boots/s", 0), ("CPU, µs a boot", 0), ("boot, median, ms", 2), ("boot, p99, ms", 2),
        ("idle, % of a processor", 2)], chart={"kind": "curves", "along": "guests", "panels": [
            {"title": "memory, KiB each", "columns": [0], "names": ["hawserd"], "log": True},
            {"title": "processor, µs a boot", "columns": [2], "names": ["hawserd"]},
            {"title": "boot, ms", "columns": [3, 4], "names": ["median", "p99"], "own": 2},
            {"title": "idle, % of a processor", "columns": [5], "names": ["hawserd"]}]})
    for n, *row in curve([n for n in (1, 10, 100, 1000, 3000, 10000) if n < most] + [most]):
        names = "kib", "boots_per_s", "cpu_us_per_boot", "boot_ms", "boot_p99_ms", "idle_cpu_pct"
        table.add("%d" % n, *[("host_curve_%d_%s" % (n, name), value) for name, value in zip(names, row)])
    table.note("boots are timed from connect() to the close that answers APPLIED, %d at once" % AT_ONCE)
    table.note("KiB: hawserd's anonymous memory (RssAnon) less that of one without machines; not the kernel's")
    return table, {"host_guests": most, "host_kib_per_guest": row[0], "host_boots_per_s": row[1],
                   "host_idle_cpu_pct": row[5]}


def ratio(samples, others, at):
    return statistics.median(one[at] for one in samples) / statistics.median(one[at] for one in others)


def latency_table(most):
    few, many = latency(most)
    alone, beside = hostile()
    table = Table("host_latency", "Boots of honest guests", [("median, ms", 2), ("p99, ms", 2), ("records/s", 0)],
                  chart={"kind": "bars", "columns": [0, 1]})
    for label, samples in (("%d connected" % FEW, few), ("%d connected" % most, many), ("alone", alone),
                           ("beside ill-behaved guests", beside)):
        median, p99, last = (list(column) for column in zip(*samples))
        table.add(label, median, p99, last if samples in (alone, beside) else None, own=True)
    table.note("ill-behaved: %d connections that send a byte now and then, and a guest that floods the log" % SLOW)
    return table, {"host_boot_median_ratio": ratio(many, few, 0), "host_boot_p99_ratio": ratio(many, few, 1),
                   "host_hostile_median_ratio": ratio(beside, alone, 0),
                   "host_hostile_p99_ratio": ratio(beside, alone, 1),
                   "host_hostile_records_ratio": ratio(beside, alone, 2)}


def ingest_table():
    each = 1, 10, 280
    rates = [list(zip(*[ingest(n) for _ in range(INGEST_ROUNDS)])) for n in each]
    table = Table("host_ingest", "Log ingest of %d guests: records per CPU second" % LOGGERS,
                  [("%d records a write" % n, 0) for n in each], chart={"kind": "bars", "columns": [0, 1, 2]})
    table.add("hawserd", *[("host_ingest_%d_per_cpu_s" % n, list(ours)) for n, (ours, _) in zip(each, rates)],
              own=True)
    table.add("rsyslogd", *[("host_ingest_%d_rsyslog_per_cpu_s" % n, list(theirs))
                            for n, (_, theirs) in zip(each, rates)])
    ratios = [statistics.median(ours) / statistics.median(theirs) for ours, theirs in rates]
    table.note("times rsyslogd's: %s" % ", ".join("%.2f" % one for one in ratios))
    table.note("records of %d bytes; rsyslogd: imptcp on a Unix socket to omfile, which acknowledges nothing" % LINE)
    table.note("frames of 1 KiB, ten records, are the least that relays make of more than a trickle (init/pace.h), "
               "and of 32 KiB, 280, the most. host_ingest_vs_rsyslog is the lower of these two. A record a write is "
               "guests that have a line now and then: most of it is the kernel's work for each write")
    flat = {"host_ingest_%d_vs_rsyslog" % n: one for n, one in zip(each, ratios)}
    return table, {**flat, "host_ingest_vs_rsyslog": min(ratios[1:])}


def measure(_):
    most = most_guests()
    tables, figures = zip(curve_table(most), latency_table(most), ingest_table())
    return list(tables), {key: value for flat in figures for key, value in flat.items()}
