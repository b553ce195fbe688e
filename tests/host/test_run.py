# SPDX-License-Identifier: MIT
"""hawser run as a person uses it: real guests, their exit statuses, and nothing left behind by whatever is killed."""
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
HAWSER = TOP / "build/hawser"
HELLO = TOP / "examples/hello"
BOUND_S = 120


def hawser_run(*args, options=(), **more):
    more.setdefault("stdout", subprocess.PIPE)
    if "input" not in more:
        more.setdefault("stdin", subprocess.DEVNULL)
    command = [HAWSER, "run", "--private", *options, HELLO, *(["--", *args] if args else [])]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=BOUND_S, **more)


def test_hello_shows_what_it_was_given():
    run = hawser_run(text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == ("ahoy from hello\nThis file was laid over the root of the guest.\n"
                          "greeting.key has 32 bytes\n")
    assert "kernel  | Linux version" in run.stderr
    assert "stdout  |" not in run.stderr
    assert "hawser: hello: exit 0; CID " in run.stderr and " 0 lost" in run.stderr
    secret = (HELLO / "credentials/greeting.key").read_text().strip()
    assert secret not in run.stdout + run.stderr


@pytest.mark.parametrize("command,status,words", [
    ("exit 0", 0, "exit 0"), ("exit 7", 7, "exit 7"), ("exit 255", 255, "exit 255"),
    ("kill -TERM $$", 128 + 15, "killed by SIGTERM"), ("kill -KILL $$", 128 + 9, "killed by SIGKILL"),
])
def test_exit_status(command, status, words):
    run = hawser_run("sh", "-c", command, text=True)
    assert run.returncode == status, run.stderr
    assert "hawser: hello: %s;" % words in run.stderr


@pytest.mark.parametrize("program,status", [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_program_that_cannot_be_started(program, status):
    run = hawser_run(program, text=True)
    assert run.returncode == status
    assert program in run.stdout + run.stderr


def test_log_and_output_on_one_stream():
    """As on a terminal: lines, each with where it comes from."""
    run = subprocess.run([HAWSER, "run", "--private", HELLO], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=BOUND_S)
    assert "stdout  | ahoy from hello" in run.stdout and "hawser: hello: exit 0" in run.stdout


# --- as in a pipeline -----------------------------------------------------------------------------------------------

def test_pipe_in_and_out():
    run = hawser_run("wc", "-c", input=b"hi\n")
    assert (run.returncode, run.stdout) == (0, b"3\n"), run.stderr


def test_megabytes_in_and_out():
    content = os.urandom(3 << 20) + b"without an end of line"
    run = hawser_run("cat", input=content, options=["--raw"])
    assert run.returncode == 0 and run.stdout == content


def test_input_that_is_not_read():
    """Neither a program that reads nothing nor one that stops reading is held up, and it ends as it likes."""
    run = hawser_run("sh", "-c", "read a; echo $a; exec <&-; sleep 0.3; exit 4", input=b"one\n" + bytes(1 << 20))
    assert (run.returncode, run.stdout) == (4, b"one\n"), run.stderr
    assert hawser_run("true", input=bytes(1 << 20)).returncode == 0


def machine(base, text="{}"):
    directory = base / "vm"
    directory.mkdir()
    (directory / "vm.json").write_text(text)
    return directory


def test_empty_input_costs_nothing(tmp_path):
    run = subprocess.run([HAWSER, "run", "--private", machine(tmp_path), "--", "sh", "-c",
                          "ps -o comm; wc -c; readlink /proc/self/fd/0"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND_S)
    assert b"hawser-relay" in run.stdout
    assert run.stdout.endswith(b"0\n/dev/null\n") and b"hawser-control" not in run.stdout


# --- signals --------------------------------------------------------------------------------------------------------

POLITE = "trap 'sleep 0.3; echo bye; exit 6' TERM; echo up; while :; do sleep 0.05; done 2>/dev/null"


@pytest.fixture
def base():
    """A short path: where a socket's would be too long, hawser run takes another directory."""
    with tempfile.TemporaryDirectory(prefix="hawser-") as directory:
        yield Path(directory)


@pytest.fixture
def start():
    """start(script, base): a run that has said "up". None outlives its test."""
    runs = []

    def begin(script, base, directory=HELLO, **more):
        env = dict(os.environ, XDG_RUNTIME_DIR=str(base))
        more.setdefault("stdin", subprocess.DEVNULL)
        run = subprocess.Popen([HAWSER, "run", "--private", directory, "--", "sh", "-c", script], env=env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        runs.append(run)
        assert run.stdout.readline() == b"up\n"
        return run
    yield begin
    for run in runs:
        if run.poll() is None:
            run.terminate()
            print(run.communicate(timeout=BOUND_S)[1].decode(errors="replace"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signal_is_an_end_in_good_order(number, start, base):
    run = start(POLITE, base)
    run.send_signal(number)
    out, err = run.communicate(timeout=BOUND_S)
    assert (run.returncode, out) == (6, b"bye\n"), err
    assert b"exit 6" in err and b"again to kill it" in err
    assert not list(base.iterdir())


def test_signal_to_one_that_does_not_catch_it(start, base):
    run = start("echo up; exec sleep 1000", base)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=BOUND_S)
    assert run.returncode == 128 + signal.SIGINT and b"killed by SIGTERM" in err


def test_twice_kills(start, base):
    run = start("trap '' TERM; echo up; while :; do sleep 0.05; done 2>/dev/null", base)
    run.send_signal(signal.SIGINT)
    assert any(b"again to kill it" in line for line in iter(run.stderr.readline, b""))
    time.sleep(0.3)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=BOUND_S)
    assert run.returncode == 128 + signal.SIGINT
    assert not list(base.iterdir())


# --- verbs ----------------------------------------------------------------------------------------------------------

def hawser(command, base, *words, **more):
    runtime, = base.glob("hawser-run.*/run")
    return subprocess.run([HAWSER, command, "--runtime", runtime, *words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=BOUND_S, **more)


def test_verbs_of_a_run(start, base, tmp_path):
    """Ping, exec with both directions, signal, stop: the whole way."""
    directory = machine(tmp_path, '{ "hawser": { "control": ["ping", "exec", "signal", "stop"] } }')
    run = start("trap 'echo hup' HUP; " + POLITE, base, directory)
    ping = hawser("ping", base, "vm")
    assert ping.returncode == 0 and ping.stdout.startswith(b"vm: "), ping.stderr
    done = hawser("exec", base, "vm", "sh", "-c", "wc -c; echo err >&2; exit 9", input=bytes(1 << 20))
    assert (done.returncode, done.stdout, done.stderr) == (9, b"1048576\n", b"err\n")
    assert hawser("signal", base, "vm", "HUP").returncode == 0
    assert run.stdout.readline() == b"hup\n"
    stopped = hawser("stop", base, "vm")
    assert stopped.returncode == 0, stopped.stderr
    out, err = run.communicate(timeout=BOUND_S)
    assert (run.returncode, out) == (6, b"bye\n"), err


def test_forbidden(start, base, tmp_path):
    run = start("echo up; sleep 1000", base, machine(tmp_path))
    for command, words in ("ping", []), ("signal", ["HUP"]), ("stop", []), ("exec", ["true"]):
        refused = hawser(command, base, "vm", *words)
        assert refused.returncode in (1, 125) and b"hawser.control" in refused.stderr, refused.stderr
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=BOUND_S)


def test_raw_keeps_streams_apart_and_bytes_as_they_are():
    run = hawser_run("sh", "-c", r"printf 'a\000\377\033[31m'; printf 'b\n' >&2", options=["--raw"])
    assert run.stdout == b"a\x00\xff\x1b[31m"
    assert b"b\n" in run.stderr


def test_a_directory_with_a_mistake_says_where(tmp_path):
    (tmp_path / "vm.json").write_text('{\n  "hostnmae": "x"\n}\n')
    run = subprocess.run([HAWSER, "run", "--private", tmp_path], text=True, stderr=subprocess.PIPE, timeout=BOUND_S)
    assert run.returncode == 125
    assert 'vm.json:2:3: unknown key "hostnmae"; did you mean "hostname"?' in run.stderr


def processes(mark):
    """Living processes with a mark in their environment: what a run started, and whatever that started."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
        except OSError:
            pass
    return found


VICTIMS = {
    "hawser": lambda pid, name, run: pid == run.pid,
    "hawserd": lambda pid, name, run: name == "hawserd",
    "qemu": lambda pid, name, run: name.startswith("qemu"),
    "device": lambda pid, name, run: name.startswith("vhost"),
    "janitor": lambda pid, name, run: name == "hawser-janitor",
    "all but the janitor": lambda pid, name, run: name != "hawser-janitor",
}
ROUNDS = 4


@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_leaves_nothing_behind(victim, base):
    seed = int(os.environ.get("SEED", "1"))
    print("SEED=%d" % seed)
    dice = random.Random("%d %s" % (seed, victim))
    for _ in range(ROUNDS):
        mark = uuid.uuid4().hex
        env = dict(os.environ, HAWSER_TEST_MARK=mark, XDG_RUNTIME_DIR=str(base))
        run = subprocess.Popen([HAWSER, "run", "--private", HELLO, "--", "sleep", "60"], env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(dice.random() ** 2 * 2)
            names = processes(mark)
            for pid in [pid for pid, name in names.items() if VICTIMS[victim](pid, name, run)]:
                with contextlib.suppress(ProcessLookupError):       # it was about to end
                    os.kill(pid, signal.SIGKILL)
            if victim == "janitor" or run.poll() is None and not names:
                os.kill(run.pid, signal.SIGINT)
            elif run.poll() is None:
                # The victim may not have been there yet; then this is an early Ctrl-C.
                time.sleep(0.5)
                if run.poll() is None:
                    run.send_signal(signal.SIGINT)
            run.wait(BOUND_S)
            until = time.monotonic() + BOUND_S
            while (processes(mark) or list(base.iterdir())) and time.monotonic() < until:
                time.sleep(0.05)
            assert not processes(mark)
            assert not list(base.iterdir())
        finally:
            for pid in processes(mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


# --- readiness ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def notifier(tmp_path_factory):
    """A machine's directory with the program notify in it, which sends its words to $NOTIFY_SOCKET."""
    directory = tmp_path_factory.mktemp("notify") / "notifier"
    (directory / "files/usr/bin").mkdir(parents=True)
    (directory / "vm.json").write_text("{}")
    headers = subprocess.run([TOP / "scripts/musl-headers"], stdout=subprocess.PIPE, text=True, check=True).stdout
    subprocess.run([os.environ.get("MUSL_CC", "musl-gcc"), "-static", "-Os", "-s", "-isystem", headers.strip(), "-o",
                    directory / "files/usr/bin/notify", TOP / "tests/boot/notify.c"], check=True)
    return directory


def run_ready(directory, script, *options, **more):
    return subprocess.run([HAWSER, "run", "--private", *options, directory, "--", "sh", "-c", script], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND_S,
                          **more)


def test_ready(notifier):
    """The rest of it is test_run_fates.py's."""
    run = run_ready(notifier, "notify STATUS=x READY=1; exit 7", "--wait-ready", "100")
    assert run.returncode == 7 and "ready after " in run.stderr


@pytest.mark.parametrize("script, status, words", [
    ("exec tail /dev/zero", 137, "killed by SIGKILL"), ("poweroff; sleep 100", 143, "killed by SIGTERM")])
def test_ends(notifier, script, status, words):
    run = run_ready(notifier, script)
    assert run.returncode == status and words in run.stderr


@pytest.mark.parametrize("script, status", [("poweroff", 0), ("notify EXIT_STATUS=9; poweroff", 9), ("exit 0", 125)])
def test_nobody_watches(notifier, script, status):
    """Where PID 1 is the program itself, its exit status is what it says, or that the machine was ended in order."""
    (notifier / "vm.json").write_text('{ "process": { "args": ["x"] }, "hawser": { "handoff": { "mode": "exec" } } }')
    try:
        assert run_ready(notifier, script).returncode == status
    finally:
        (notifier / "vm.json").write_text("{}")
