# SPDX-License-Identifier: MIT
"""
Twenty guests' relays write checksummed lines while hawserd, the relays and their connections are killed at random:
the account is exact. SOAK_SECONDS (10) says for how long in all, SOAK_SEED (1) how it goes.
"""
import os
import random
import signal
import time

import pytest

from relay_machine import WRITERS, Machine, assert_account, assert_lines

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
MACHINES = 20

# Each of them in the first seconds, then as it comes.
DEEDS = ["burst", "kill", "relay", "cut", "burst", "stop", "pause"]


def harm(host, machines, rng, deed):
    if deed in ("relay", "cut"):
        rng.choice(machines).order(deed)
    elif deed == "burst":
        for machine in rng.sample(machines, 5):
            machine.order("burst 1500")
    elif deed == "pause":
        server = host.pids()["server"]
        os.kill(server, signal.SIGSTOP)
        time.sleep(rng.uniform(0, 1))
        os.kill(server, signal.SIGCONT)
    else:
        host.kill() if deed == "kill" else host.stop()
        time.sleep(rng.choice([0, 0, rng.uniform(0, 1)]))
        host.start()


@pytest.mark.parametrize("sync", ["write", "fdatasync"])
def test_soak(host, sync):
    """Half of the machines drop the oldest, with a small ring; the others wait."""
    rng, deeds = random.Random(SEED), {}
    host.config = {"graceMs": 600000, "log": {"sync": sync, "maxBytes": 1 << 20, "maxFiles": 1000}}
    names = [f"vm{i:02d}" for i in range(MACHINES)]
    for name in names:
        host.vm(name)
    host.start()
    machines = [Machine(host, name, ring=64 << 10 if i % 2 else 256 << 10, full="drop" if i % 2 else "block",
                        seed=SEED * 1000 + i) for i, name in enumerate(names)]
    try:
        until, plan = time.monotonic() + SECONDS / 2, list(reversed(DEEDS))
        while plan or time.monotonic() < until:
            deed = plan.pop() if plan else rng.choice(["relay"] * 8 + ["cut"] * 8 + DEEDS)
            deeds[deed] = deeds.get(deed, 0) + 1
            harm(host, machines, rng, deed)
            time.sleep(rng.uniform(0, 0.3))
        for machine in machines:
            machine.end(wait=False)
        for machine in machines:
            machine.ended()
    finally:
        for machine in machines:
            machine.kill()
    totals = dict.fromkeys(["produced", "stored", "lost", "lines"], 0)
    for i, machine in enumerate(machines):
        status = host.status(machine.name)
        assert status["epoch"]["state"] == "ended"
        assert_account(status)
        for stream in WRITERS:
            counts = status["streams"][stream]
            lost = sum(loss["bytes"] for loss in counts["lost"].values())
            assert counts["produced"]["bytes"] == machine.made[stream][1], (machine.name, stream)
            assert i % 2 or not lost, (machine.name, stream)
            totals["lines"] += assert_lines(host, machine.name, stream, machine.made[stream], lost)
            totals["produced"] += counts["produced"]["bytes"]
            totals["stored"] += counts["stored"]["bytes"]
            totals["lost"] += lost
    done = ", ".join("%d %s" % (n, deed) for deed, n in sorted(deeds.items()))
    print("\nsoak, seed %d, %s: %s" % (SEED, sync, done))
    print("  bytes: produced %(produced)d = stored %(stored)d + lost %(lost)d; %(lines)d lines checked" % totals)
    assert totals["produced"] == totals["stored"] + totals["lost"]
    assert "accounting" not in host.output.read_text()
