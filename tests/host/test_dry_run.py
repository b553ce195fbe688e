# SPDX-License-Identifier: MIT
"""hawser run --dry-run: what it prints boots the machine beside a hawserd that serves it."""
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from daemon import wait_for

TOP = Path(__file__).resolve().parents[2]
HAWSER = TOP / "build/hawser"
DEVICE = TOP / "build/vhost-device-vsock"


def hawser_run(*words, **more):
    return subprocess.run([HAWSER, "run", *words], capture_output=True, text=True, timeout=60, **more)


def dry_run(*options, directory=TOP / "examples/hello", **more):
    return hawser_run("--dry-run", *options, directory, **more)


def words_of(text):
    """As a shell splits it; shlex makes a word of a newline behind a backslash."""
    return shlex.split(text.replace("\\\n", ""))


def commands(text):
    words = words_of(text)
    at = words.index("&")
    return words[:at], words[at + 1:]


def pci_kernel():
    kernel = subprocess.check_output([TOP / "scripts/kernel", "--variant", "pci"], text=True)
    return Path(kernel.strip()) / "vmlinux"


@pytest.mark.parametrize("vmm", ["qemu", "qemu-q35"])
def test_it_boots(host, vmm):
    """As a service would have it: hawserd has the directory, and whoever starts machines copies two commands."""
    shutil.copytree(TOP / "examples/hello", host.vms / "hello", symlinks=True)
    host.start()
    kernel = ["--kernel", pci_kernel()] if vmm == "qemu-q35" else []
    printed = dry_run("--vmm", vmm, "--accel", "tcg", "--runtime", host.run, *kernel, directory=host.vms / "hello")
    assert printed.returncode == 0
    device, qemu = commands(printed.stdout)
    helper = subprocess.Popen([DEVICE, *device[1:]], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (host.run / "hello.vsock.vhost").exists(), "vhost-device-vsock's socket")
        subprocess.run(qemu, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=True)
        wait_for(lambda: b"[exited 0]" in host.text("hello"), "the guest's end in its log")
    finally:
        helper.kill()
        helper.wait()


def test_q35_is_run_too():
    run = hawser_run("--vmm", "qemu-q35", "--kernel", pci_kernel(), "--accel", "tcg", TOP / "examples/hello", "--",
                     "sh", "-c", "ls /sys/bus/pci/devices; exit 7")
    assert run.returncode == 7 and "0000:00:00.0" in run.stdout


def test_firecracker():
    printed = dry_run("--vmm", "firecracker", "--append", 'a="b c"')
    config = json.loads(printed.stdout)
    assert config["vsock"] == {"guest_cid": 42, "uds_path": "/run/hawser/hello.vsock"}
    assert Path(config["boot-source"]["kernel_image_path"]).exists()
    assert config["boot-source"]["boot_args"].startswith("console=ttyS0 reboot=k panic=-1 ")
    assert config["boot-source"]["boot_args"].endswith(' a="b c"')
    assert config["machine-config"] == {"vcpu_count": 1, "mem_size_mib": 64} and config["drives"] == []
    assert "--config-file" in printed.stderr


def test_cloud_hypervisor(tmp_path):
    (tmp_path / "vm.json").write_text(json.dumps({"hawser": {"socket": "its.sock", "cid": 9, "machine": {
        "memoryMiB": 128, "cpus": 2}}}))
    printed = dry_run("--vmm", "cloud-hypervisor", "--name", "m", directory=tmp_path)
    words = words_of(printed.stdout)
    options = dict(zip(words[1::2], words[2::2]))
    assert options["--vsock"] == f"cid=9,socket={tmp_path}/its.sock"
    assert options["--memory"] == "size=128M" and options["--cpus"] == "boot=2"
    assert "--variant pci" in printed.stderr


PROTOTYPES = """
#include <stdbool.h>
#include <stdint.h>
#define KRUN_KERNEL_FORMAT_ELF 1
int32_t krun_create_ctx();
int32_t krun_set_vm_config(uint32_t ctx_id, uint8_t num_vcpus, uint32_t ram_mib);
int32_t krun_set_kernel(uint32_t ctx, const char *kernel, uint32_t format, const char *initramfs, const char *args);
int32_t krun_disable_implicit_vsock(uint32_t ctx_id);
int32_t krun_add_vsock(uint32_t ctx_id, uint32_t tsi_features);
int32_t krun_add_vsock_port(uint32_t ctx_id, uint32_t port, const char *path);
int32_t krun_start_enter(uint32_t ctx_id);
int main(void)
{
%s
}
"""


def test_libkrun_compiles():
    printed = dry_run("--vmm", "libkrun", "--append", 'a="b"')
    assert 'krun_add_vsock_port(ctx, 610, "/run/hawser/hello.vsock_610");' in printed.stdout
    compiler = subprocess.run(["gcc", "-x", "c", "-fsyntax-only", "-Werror", "-Wall", "-"], text=True,
                              input=PROTOTYPES % printed.stdout, capture_output=True)
    assert compiler.returncode == 0, compiler.stderr


@pytest.mark.parametrize("options, words", [
    (["--vmm", "bhyve"], "must be qemu"), (["--vmm"], "needs a value"),
])
def test_wrong_options(options, words):
    failed = hawser_run("--dry-run", TOP / "examples/hello", *options)
    assert failed.returncode == 125 and words in failed.stderr


def test_others_are_not_run():
    failed = hawser_run("--vmm", "firecracker", TOP / "examples/hello")
    assert failed.returncode == 125 and "--dry-run" in failed.stderr and not failed.stdout


def test_nothing_is_needed_and_nothing_is_started(tmp_path):
    """Neither QEMU nor hawserd; a mistake in the directory is told all the same."""
    environment = dict(os.environ, HAWSER_QEMU="/nowhere", HAWSER_VHOST_DEVICE_VSOCK="/nowhere")
    assert dry_run(env=environment).returncode == 0
    (tmp_path / "vm.json").write_text('{ "hostnmae": "x" }')
    failed = dry_run(directory=tmp_path)
    assert failed.returncode == 125 and "vm.json:1:3" in failed.stderr and not failed.stdout


def test_a_comma_in_a_path(tmp_path):
    printed = dry_run("--runtime", tmp_path / "a,b'c")
    device, qemu = commands(printed.stdout)
    assert device[device.index("--uds-path") + 1] == f"{tmp_path}/a,b'c/hello.vsock"
    assert f"socket,id=vsock,path={tmp_path}/a,,b'c/hello.vsock.vhost" in qemu
