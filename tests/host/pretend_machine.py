#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
What `hawser run` takes for QEMU and for vhost-device-vsock, where only what the guest says matters.

As the device it listens where it is told. As QEMU it plays a guest on the sockets in its working directory: $PRETEND
is a JSON list of events, as lists of code, value and text, and of the words "end" and "stay".
"""
import json
import os
import socket
import sys
import time

import guest_sim


def device(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    time.sleep(1000)


def qemu(script):
    guest = guest_sim.Guest("vm.vsock")
    guest.boot()
    guest.connect_log()
    for word in script:
        if word == "end":
            guest.end()
        elif word == "stay":
            time.sleep(1000)
        else:
            code, value, *text = word
            guest.send_records([guest_sim.event(code, value, *(each.encode() for each in text))])
            guest.wait_ack()


if __name__ == "__main__":
    if "--uds-path" in sys.argv:
        device(sys.argv[sys.argv.index("--socket") + 1])
    else:
        qemu(json.loads(os.environ["PRETEND"]))
