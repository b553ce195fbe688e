# SPDX-License-Identifier: MIT
"""
The lab: a machine whose kernel has KVM and the real vhost_vsock, and real guests on them.

    this machine      hawserd on Unix sockets, QEMU's TCG with AMD's SVM
      the lab         hawser's init; this machine's root, with a layer that is thrown away; hawserd on AF_VSOCK
        its guests    QEMU with KVM, vhost-vsock-device or vhost-vsock-pci, hawser's init

It is booted once, by hawser, and a pytest of its own runs in it. Out here a test of `inside/` is collected like
any other, and its reports are those of the lab; its code runs nowhere else. It is ordinary Python on an ordinary
host:

    def test_exit_status(host, guest):
        host.machine("a", 77, "hostname; exit 7")        # a's directory: CID 77, a shell script
        guest(77).wait()                                 # QEMU, to its end
        assert host.exit("a") == 7                       # what hawserd has of a's log

A test of `outside/` takes `lab`, which has come to its end then: what its own host has to say of it.

Only what runs in the lab may say AF_VSOCK, and only inside/vsock.py does. The word LAB on the kernel's command line
is what tells the lab from every other machine.
"""

LAB = "lab=hawser"
CID = 99                 # of the lab; its guests have 77 and up
CANARY = "canary"


def in_lab():
    with open("/proc/cmdline") as file:
        return LAB in file.read().split()
