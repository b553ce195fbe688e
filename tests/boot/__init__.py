# SPDX-License-Identifier: MIT
"""
Whole machines: real kernels in QEMU's TCG, with a real virtio-vsock device and a host that can be told to misbehave.

A test that wants a machine run to its end takes `boot`:

    def test_hostname(boot):
        run = boot("hostname; exit 7", wire.hostname("harbour"), cmdline="hawser.log=debug")
        assert (run.stdout, run.exit) == (b"harbour\\n", 7)

The words are a shell script, the workload; what follows are records of the configuration (wire.py). One that wants
more of a say takes `guest`, which makes a machine that is not started yet:

    def test_late_host(guest):
        run = guest(script="echo up; read go </dev/ttyS0")   # machine.py: image, kernel, devices, command line
        run.host.script = [refuse(8), cut(100)]              # host.py: what leads the first boot sessions
        run.image.remove("/dev/console")                     # image.py
        run.start()
        run.host.wait_output(b"up\\n")
        run.type("go\\n")                                    # on the serial console
        run.wait()
        assert run.log.events("exited")                      # host.py: all that the log said

Checked without being asked: the guest's totals in END are what was stored and what was said to be lost, to the byte;
record numbers have no holes; nothing was malformed; no configuration was refused that the test does not take; the
log ended with END, unless `run.clean` says that it cannot. Whatever was started is ended, also when a test fails, and
the report then has the serial console and the log.

Nothing is measured by the clock: every bound is a minute (host.PATIENCE_S), for what takes a second.
"""
