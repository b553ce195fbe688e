# SPDX-License-Identifier: MIT
"""An initramfs, entry by entry: cpio's form "newc" (the kernel's buffer-format.rst)."""
import stat

FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "size", "devmajor", "devminor", "rmajor", "rminor",
          "namesize", "check")
END = "TRAILER!!!"


def _padded(content):
    return content + bytes(-len(content) % 4)


def _entry(name, mode, content=b"", major=0, minor=0):
    name = name.encode() + b"\0"
    values = dict.fromkeys(FIELDS, 0)
    values.update(mode=mode, nlink=1, size=len(content), rmajor=major, rminor=minor, namesize=len(name))
    header = b"070701" + b"".join(b"%08X" % values[field] for field in FIELDS)
    return _padded(header + name) + _padded(content)


class Image:
    def __init__(self, archive):
        self.entries, at = {}, 0
        while at < len(archive):
            values = dict(zip(FIELDS, (int(archive[i:i + 8], 16) for i in range(at + 6, at + 110, 8))))
            name = archive[at + 110:at + 109 + values["namesize"]].decode()
            body = at + 110 + values["namesize"]
            body += -body % 4
            end = body + values["size"]
            end += -end % 4
            if name == END:
                break
            self.entries["/" + name.strip("/")] = archive[at:end]
            at = end

    def add(self, path, content, mode=0o755):
        content = content if isinstance(content, bytes) else content.encode()
        for i in range(1, len(path)):
            if path[i] == "/" and path[:i] not in self.entries:
                self.entries[path[:i]] = _entry(path[1:i], stat.S_IFDIR | 0o755)
        self.entries[path] = _entry(path[1:], stat.S_IFREG | mode, content)

    def remove(self, path):
        del self.entries[path]

    def rename(self, path, to):
        """A file, with what it holds."""
        entry = self.entries.pop(path)
        name = int(entry[94:102], 16)
        start = 110 + name
        start += -start % 4
        self.add(to, entry[start:start + int(entry[54:62], 16)], int(entry[14:22], 16) & 0o7777)

    def pack(self):
        return b"".join(self.entries.values()) + _entry(END, 0)
