# SPDX-License-Identifier: MIT
"""What the benchmarks boot: a machine with a serial line to talk over, a vsock device, and hawserd beside it."""
import ctypes
import json
import mmap
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILT = TOP / "build/bench"
# A helper ends with the benchmark, however that ends.
CHILD = ["setpriv", "--pdeathsig", "KILL", "--"]
PATIENCE_S = 10


def output(*command):
    return subprocess.run(command, cwd=TOP, check=True, text=True, stdout=subprocess.PIPE).stdout


def compile_guest(name, *more):
    """A static program for a guest, of tests/bench/NAME.c and others of the tree."""
    BUILT.mkdir(parents=True, exist_ok=True)
    headers = output("scripts/musl-headers").strip()
    subprocess.run(["musl-gcc", "-static", "-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-isystem",
                    headers, "-o", BUILT / name, "tests/bench/%s.c" % name, *more], cwd=TOP, check=True)
    return BUILT / name


def compile_host(name):
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", BUILT / name, "tests/bench/%s.c" % name], cwd=TOP,
                   check=True)
    return BUILT / name


def with_libraries(program):
    """--add options of scripts/initramfs for a program or library of this machine, and the libraries it needs."""
    program = os.path.realpath(shutil.which(program) or program)
    files = [program] + re.findall(r"(/\S+) \(0x", output("ldd", program))
    return [word for path in files for word in ("--add", "%s:%s:755" % (os.path.realpath(path), path))]


def pack(name, init, *options):
    BUILT.mkdir(parents=True, exist_ok=True)
    return Path(output("scripts/initramfs", "--init", init, "-o", BUILT / name, *options).strip())


def tsc_khz():
    """
    The processor's clock, which QEMU's TCG shows the guest as it is. A guest that is told needs not measure it, which
    fails on a busy machine: it would go on with a clock of 4 ms.
    """
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))         # rdtsc; shl rdx, 32; or rax, rdx; ret
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    now, ticks = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), rdtsc()
    time.sleep(0.2)
    ticks, now = rdtsc() - ticks, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - now
    return ticks * 1000000 // now


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


class Directory:
    """What is measured and what it needs, in a directory of its own; all started and ended with the `with` block."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="hawser-bench-"))
        self.base = self.dir / "vm.vsock"
        self.processes = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        pass

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        shutil.rmtree(self.dir)

    def spawn(self, *command, **more):
        process = subprocess.Popen(CHILD + [str(word) for word in command], cwd=self.dir, **more)
        self.processes.append(process)
        return process

    def wait_for(self, path):
        for _ in range(PATIENCE_S * 100):
            if path.exists():
                return
            time.sleep(0.01)
        raise RuntimeError("%s does not come" % path)

    def start_hawserd(self, config, *options):
        """With the directories of the machines as they are in vms/."""
        for name in "run", "state", "vms":
            (self.dir / name).mkdir(exist_ok=True)
        (self.dir / "hawserd.json").write_text(json.dumps(config))
        ready, told = os.pipe()
        self.hawserd = self.spawn(TOP / "build/hawserd", "--config", self.dir / "hawserd.json", "--vms",
                                  self.dir / "vms", "--state", self.dir / "state", "--runtime", self.dir / "run",
                                  "--ready-fd", told, *options, pass_fds=[told],
                                  stderr=open(self.dir / "hawserd.err", "w"))
        os.close(told)
        if os.read(ready, 1) != b"\n":
            raise RuntimeError("hawserd: " + self.complaints())
        os.close(ready)

    def complaints(self):
        """What hawserd says."""
        return (self.dir / "hawserd.err").read_text()[-2000:]

    def start_device(self):
        self.device = self.spawn(TOP / "build/vhost-device-vsock", "--guest-cid", 42, "--socket", "vm.sock",
                                 "--uds-path", self.base)
        self.wait_for(self.dir / "vm.sock")

    def start_qemu(self, kernel, image, *words, memory=256, options=()):
        self.qemu = self.spawn(
            "qemu-system-x86_64", "-M", "microvm,accel=tcg,acpi=off,rtc=on,memory-backend=mem", "-m", memory,
            "-object", "memory-backend-memfd,id=mem,size=%dM,share=on" % memory, "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", "stdio", "-no-reboot", "-chardev", "socket,id=c,path=vm.sock",
            "-device", "vhost-user-vsock-device,chardev=c", "-kernel", kernel, "-initrd", image, *options, "-append",
            " ".join(["console=ttyS0 reboot=t panic=-1 quiet noapictimer no_timer_check tsc=reliable", *words]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        return self.qemu

    def say(self, order):
        self.qemu.stdin.write(order + "\n")

    def hear(self, word):
        """The rest of the line of the serial console that begins with the word."""
        for line in self.qemu.stdout:
            if line.startswith(word):
                return line[len(word):].split()
            if line.strip():
                raise RuntimeError("the guest says: " + line.strip())
        raise RuntimeError("the guest ended instead of saying %r%s" % (word, self.epilogue()))

    def epilogue(self):
        return ""


class Machine(Directory):
    """With hawserd, which keeps its log in a file."""

    def __init__(self, image, vm, kernel=TOP / "build/vmlinux", memory=256, files=None):
        super().__init__()
        self.image, self.kernel, self.memory = image, kernel, memory
        self.log = self.dir / "state/logs/vm/text.log"
        (self.dir / "vms/vm").mkdir(parents=True)
        vm.setdefault("hawser", {})["socket"] = str(self.base)
        (self.dir / "vms/vm/vm.json").write_text(json.dumps(vm))
        if files:
            os.rename(files, self.dir / "vms/vm/files")

    def start(self):
        # The log is one file: it is read as a whole.
        self.start_hawserd({"vsock": False, "log": {"maxBytes": 0}, "limits": {"logRateVm": 0}})
        self.start_device()
        self.start_qemu(self.kernel, self.image, "tsc_early_khz=%d" % tsc_khz(), memory=self.memory)

    def epilogue(self):
        return ":\n" + self.log.read_bytes()[-2000:].decode(errors="replace") if self.log.exists() else ""
