# SPDX-License-Identifier: MIT
"""Whole machines: real kernels in QEMU, with a real virtio-vsock device and a host that can be told to misbehave."""
