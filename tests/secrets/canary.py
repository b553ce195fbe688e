# SPDX-License-Identifier: MIT
"""
Canaries: bytes that are nowhere in the world but where the test has put them, and a search for them.

A canary is made of halves of 16 bytes. All halves of one canary begin with the same 8 random bytes, and go on with
their number and 4 random bytes; so one search finds every half of a megabyte of them, and says which it was.
"""
import collections
import os
import struct

HALF = 16
PAGE = 4096

Hit = collections.namedtuple("Hit", "at number whole")       # whole: all 16 bytes, not only the first eight


class Canary:
    def __init__(self, name, size=2 * HALF):
        assert size % HALF == 0
        self.name, self.tag = name, os.urandom(HALF // 2)
        self.halves = [self.tag + struct.pack("<I", n) + os.urandom(4) for n in range(size // HALF)]
        self.content = b"".join(self.halves)

    def hits(self, memory):
        at = memory.find(self.tag)
        while at >= 0:
            half = bytes(memory[at:at + HALF])
            number = struct.unpack_from("<I", half, 8)[0] if len(half) == HALF else -1
            yield Hit(at, number, 0 <= number < len(self.halves) and half == self.halves[number])
            at = memory.find(self.tag, at + 1)

    def count(self, memory):
        """By the beginnings of its halves, so that one that is cut counts too."""
        return memory.count(self.tag)

    def hex(self):
        """The same canary as text, for what cannot hold any byte."""
        made = Canary(self.name, 0)
        made.tag, made.halves = self.tag.hex().encode(), [half.hex().encode() for half in self.halves]
        made.content = b"".join(made.halves)
        return made


def mappings(pid):
    """(name, first address, behind the last) of all readable memory of a process."""
    with open("/proc/%d/maps" % pid) as file:
        for line in file:
            words = line.split(None, 5)
            low, high = (int(word, 16) for word in words[0].split("-"))
            if "r" in words[1]:
                yield words[5].strip() if len(words) > 5 else "", low, high


def process_memory(pid, without=()):
    """(name, content) of each mapping, save those whose name holds one of the words."""
    with open("/proc/%d/mem" % pid, "rb", 0) as file:
        for name, low, high in mappings(pid):
            if any(word in name for word in without):
                continue
            content, at = bytearray(), low
            while at < high:
                try:
                    file.seek(at)
                    part = file.read(min(high - at, 1 << 24))
                except (OSError, ValueError, OverflowError):
                    part = b""       # not to be read by anybody: [vvar], [vsyscall], a device
                if not part:
                    break
                content += part
                at += len(part)
            yield name, content


def files_below(*folders):
    """(path, content) of all that lies in the folders, links not followed."""
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(where, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        yield path, file.read()


class Count:
    """By place: how often each canary was found."""

    def __init__(self, *canaries):
        self.canaries, self.rows = canaries, {}

    def add(self, place, *contents):
        row = self.rows.setdefault(place, collections.Counter())
        row.update({canary.name: sum(map(canary.count, contents)) for canary in self.canaries})

    def set(self, place, name, number):
        self.rows.setdefault(place, collections.Counter())[name] = number

    def process(self, place, pid, without=()):
        self.add(place, *(content for _, content in process_memory(pid, without)))

    def get(self, place, name):
        return self.rows[place][name]

    def __str__(self):
        names = [canary.name for canary in self.canaries]
        lines = ["%-46s" % "16-byte halves found in" + "".join("%10s" % name for name in names)]
        for place, row in self.rows.items():
            lines.append("%-46s" % place + "".join("%10d" % row[name] for name in names))
        return "\n".join(lines)
