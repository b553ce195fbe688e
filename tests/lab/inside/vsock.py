# SPDX-License-Identifier: MIT
"""The only Python file that says AF_VSOCK. Programs of the lab itself dial from here."""
import socket

from .. import in_lab

LOCAL, HOST = 1, 2
HELLO = bytes.fromhex("2000000001010000 48575352 01000000") + bytes(range(16)) + bytes(8)
PATIENCE_S = 60


def whole(frame):
    return len(frame) == 8 + int.from_bytes(frame[:4], "little")


def dial(cid, port, source=None, say=HELLO, first=False):
    """
    What the other side answers until it closes: bytes, or an OSError when there is nobody. source: our port.
    first: its first frame is enough.
    """
    assert in_lab(), "no AF_VSOCK outside the lab"
    with socket.socket(socket.AF_VSOCK) as sock:
        sock.settimeout(PATIENCE_S)
        if source:
            sock.bind((socket.VMADDR_CID_ANY, source))
        sock.connect((cid, port))
        answer = b""
        try:
            sock.sendall(say)
        except BrokenPipeError:
            pass             # it was refused before it had said anything
        try:
            while (part := sock.recv(4096)) and not (first and whole(answer + part)):
                answer += part
            answer += part
        except ConnectionResetError:
            pass
        return answer


def refusal(answer):
    """The code of the one frame that a refused session gets."""
    assert answer[4:6] == b"\1\0" and whole(answer), answer.hex()
    return int.from_bytes(answer[8:10], "little")
