# SPDX-License-Identifier: MIT
"""
vm.json: what `hawser check` and docs/vm.schema.json (with python3-jsonschema) say of the same documents. First those
of tests/documents; then thousands that are made from a grammar and broken, in the tree or in the text. The seed is
printed, and HAWSER_SEED=n makes the same documents again.
"""
import fcntl
import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

TOP = Path(__file__).resolve().parent.parent
DOCUMENTS = TOP / "tests/documents"
SCHEMA = Draft202012Validator(json.loads((TOP / "docs/vm.schema.json").read_text()))
SEED = int(os.environ.get("HAWSER_SEED", "610"))
MALFORMED = 10000
LARGEST = 1 << 20
BATCH = 500              # documents that one run of `hawser check` gets
MARK = "Gibraltar"       # stands in every value that could be a secret, and may be in no message


# --- hawser check ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    """`hawser check` with ASan and UBSan, which end it at the first fault."""
    program = tmp_path_factory.mktemp("programs") / "check"
    source = program.with_suffix(".c")
    source.write_text('#include "%s/host/check.h"\nint main(int argc, char **argv)\n{\n'
                      '\treturn check_main(argc, argv);\n}\n' % TOP)
    libs = subprocess.run(["pkg-config", "--libs", "jansson", "nettle"], stdout=subprocess.PIPE, text=True)
    with open(TOP / "build/tests.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "build/san/libhawser.a"], cwd=TOP, check=True, stdin=subprocess.DEVNULL)
    subprocess.run([os.environ.get("CC", "gcc"), "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o",
                    program, source, TOP / "build/san/libhawser.a", *libs.stdout.split()], check=True)
    return program


def check(program, folder, documents):
    """What it says of each: None when it takes the document, else the problem behind "vm.json:"."""
    for number, document in enumerate(documents):
        directory = folder / ("m%d" % number)
        directory.mkdir(exist_ok=True)
        (directory / "vm.json").write_bytes(document)
    names = ["m%d" % number for number in range(len(documents))]
    run = subprocess.run([program, *([] if program.name == "check" else ["check"]), *names], cwd=folder,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # A problem is one line, whatever was in the document; so a crash or a sanitizer's report is found as well.
    problems = {}
    for line in run.stderr.decode().split("\n")[:-1]:
        if re.match(r"m\d+: hawser\.cid is \d+, which m\d+ has already", line):
            continue             # true, but these are no machines of one host
        found = re.match(r"(m\d+)/vm\.json:(.*)", line)
        assert found and found[1] not in problems, "%s\n%s" % (line, run.stderr.decode()[-5000:])
        problems[found[1]] = found[2]
    assert run.returncode in (0, 1), "status %d\n%s" % (run.returncode, run.stderr.decode()[-5000:])
    assert run.returncode == 1 or not problems
    return [problems.get(name) for name in names]


def place_is_right(problem, document):
    """Line and column are given, and are in the document or right behind it. Nothing has none, nor has too much."""
    if not document.strip(b" \t\r\n") or len(document) > LARGEST:
        return True
    found = re.match(r"(\d+):(\d+): .", problem)
    if not found:
        return False
    lines = document.split(b"\n")
    line, column = int(found[1]), int(found[2])
    return 1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1].decode(errors="replace")) + 1


# --- what the schema says, and what it cannot say -------------------------------------------------------------------

class Refused(Exception):
    pass


def pairs(items):
    if len(dict(items)) != len(items):
        raise Refused("a key comes twice")
    return dict(items)


def constant(name):
    raise Refused(name)


def texts(value):
    """All texts of a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts(each)


def size(text):
    return len(text.encode())


def sizes_are_right(document):
    """docs/CONFIG.md, "What the schema cannot say". The schema has been satisfied before."""
    process, hawser = document.get("process", {}), document.get("hawser", {})
    words = process.get("args", []) + process.get("env", [])
    names = [variable.split("=")[0] for variable in process.get("env", [])]
    mounts = document.get("mounts", [])
    paths = [process.get("cwd", "/")] + [mount["destination"] for mount in mounts]
    paths += [mount.get("source", "") for mount in mounts]
    paths += [",".join(mount.get("options", [])) for mount in mounts]
    paths += [text for text in hawser.get("handoff", {}).values() if isinstance(text, str)]
    return all(size(word) <= 32760 for word in words) and sum(size(word) + 8 for word in words) <= 128 << 10 and \
        len(set(names)) == len(names) and all(size(path) <= 4095 for path in paths) and \
        all(size(value) <= 4096 for value in document.get("linux", {}).get("sysctl", {}).values()) and \
        size(hawser.get("socket", "")) <= 96


def is_good(document):
    """By Python's own parser, made strict, and the schema."""
    try:
        value = json.loads(document.decode(), object_pairs_hook=pairs, parse_constant=constant)
        if any("\ud800" <= character <= "\udfff" for text in texts(value) for character in text):
            return False
        return len(document) <= LARGEST and SCHEMA.is_valid(value) and sizes_are_right(value)
    except (ValueError, Refused, RecursionError, OverflowError):
        return False


# --- documents that are kept ----------------------------------------------------------------------------------------

def kept(kind):
    return sorted((DOCUMENTS / kind).glob("*.json"))


def schema_accepts(document):
    try:
        return SCHEMA.is_valid(json.loads(document.decode()))
    except ValueError:
        return False


@pytest.mark.parametrize("kind, schema, hawser", [
    ("good", True, True), ("bad", False, False), ("beyond-schema", True, False)])
def test_kept_documents(tmp_path, kind, schema, hawser):
    files = kept(kind)
    assert files
    documents = [file.read_bytes() for file in files]
    for file, document, problem in zip(files, documents, check(TOP / "build/hawser", tmp_path, documents)):
        # To a schema, a document that is no JSON at all is none of its business: nobody gets that far.
        assert schema_accepts(document) == schema, file
        assert is_good(document) == hawser, file
        assert (problem is None) == hawser, (file, problem)
        assert hawser or place_is_right(problem, document), (file, problem)


def test_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA.schema)


# --- a grammar ------------------------------------------------------------------------------------------------------

class Leaf:
    """Good values, and bad ones that only this rule refuses."""

    def __init__(self, good, bad):
        self.good, self.bad = good, bad

    def make(self, rng):
        value = rng.choice(self.good)
        return value(rng) if callable(value) else value


class Many:
    def __init__(self, item, low, high):
        self.item, self.low, self.high = item, low, high

    def make(self, rng):
        return [self.item.make(rng) for _ in range(rng.randint(self.low, self.high))]


class Keys:
    """An object: its rules by key; those that begin with "_" must be there."""

    def __init__(self, **rules):
        self.rules = {key.lstrip("_"): rule for key, rule in rules.items()}
        self.needed = [key.lstrip("_") for key in rules if key.startswith("_")]

    def make(self, rng):
        keys = [key for key in self.rules if key in self.needed or rng.random() < 0.5]
        rng.shuffle(keys)
        return {key: self.rules[key].make(rng) for key in keys}


class Map:
    def __init__(self, key, value):
        self.key, self.value = key, value

    def make(self, rng):
        return {self.key.make(rng): self.value.make(rng) for _ in range(rng.randint(0, 3))}


def number(low, high, step=1):
    return Leaf([low, high, lambda rng: rng.randrange(low, high + 1, step), float(low)],
                [low - step, high + step, low + step / 2, -1, 2**63, 2**64, -2**63, 1e300, 0.1])


def words(*good):
    return Leaf(list(good), [good[0].upper(), good[0] + " ", "", good[0] + MARK])


NUL = "a\0" + MARK
TEXT = Leaf([MARK, "", MARK + " ünïcode ⚓ \U0001f6a2", MARK + ' "quoted" \\ \n\t\x01'], [NUL])
PATH = Leaf(["/", "/" + MARK, "/srv/%s/x" % MARK, "/...", "/..a/b..", "/" + "p" * 4094, "/a b"],
            [MARK, "", "/%s/" % MARK, "//" + MARK, "/../" + MARK, "/%s/.." % MARK, "/./" + MARK, "/" + "p" * 4095,
             "/" + NUL, MARK + "/x"])
DEEP = Leaf(PATH.good[1:], PATH.bad + ["/"])
ID = number(0, 4294967294)
KIND = Leaf(["tmpfs", "9p", "a" * 63, "x._-"], ["", "a" * 64, "tmp/fs", "tmpfs\n", " " + MARK, "ü"])
HOSTNAME = Leaf(["a", "harbour", "db-1.harbour", "a" * 64, "0.0"],
                ["", "a" * 65, "-a", "a-", "a..b", ".a", "a.", MARK + "_x", "a\n", MARK + "!"])
ARG = Leaf(TEXT.good + ["x" * 1000], [NUL, "x" * 32761, "ü" * 16381])
VARIABLES = ["A", "B", "_C", "D4", "LANG", "PATH", "x", "VERY_LONG_NAME"]
FLAG = Leaf([True, False], [0, 1, "true", "yes"])
SIGNAL = Leaf(["SIGTERM", "SIGHUP", "SIGSYS", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+30"],
              ["TERM", "15", "SIGRTMIN+0", "SIGRTMIN+31", "SIGRTMAX", "sigterm", "SIG" + MARK, "SIGTERM\n"])
SOCKET = Leaf(["v.sock", "/run/vm/v.sock", "a/b/c", "s" * 96, "...", "..a"],
              ["", "/", "s" * 97, "../" + MARK, MARK + "/..", "a//b", "a/./b", "a/", "ü" * 49, NUL])
GRAMMAR = Keys(
    ociVersion=TEXT, hostname=HOSTNAME,
    process=Keys(args=Many(Leaf([MARK] + ARG.good[2:], ARG.bad + [""]), 1, 1), cwd=PATH, terminal=FLAG,
                 env=Many(Leaf([lambda rng: "%s=%s" % (rng.choice(VARIABLES), MARK)],
                               ["=" + MARK, MARK, "1A=" + MARK, "A-B=" + MARK, "", "Ü=" + MARK, "A=" + NUL,
                                "A=" + "x" * 32759]), 0, 1),
                 user=Keys(_uid=ID, _gid=ID, additionalGids=Many(ID, 0, 32))),
    mounts=Many(Keys(_destination=DEEP, _type=KIND, source=Leaf(TEXT.good, [NUL, "s" * 4096]),
                     options=Many(Leaf(["ro", "size=1m", MARK], ["", "a,b", NUL, "o" * 4096]), 0, 4)), 0, 3),
    linux=Keys(sysctl=Map(Leaf(["kernel.panic", "a.b", "net.core.x-y_z", "a.%s" % ("b" * 253)],
                               ["panic", ".a", "a.", "a..b", "kernel/panic", "a." + "b" * 254, "a.b\n"]),
                          Leaf(TEXT.good + ["v" * 4096], [NUL, "v" * 4097]))),
    annotations=Map(Leaf(["org.example.owner", "", "ünï ⚓\n\x9b"], ["a\0"]), TEXT),
    hawser=Keys(
        cid=number(3, 4294967294), socket=SOCKET, restart=words("no", "on-failure", "always"),
        restartLimit=number(0, 65535), atEnd=words("poweroff", "stay", "reboot"), stopSignal=SIGNAL,
        stopGraceMs=number(0, 3600000),
        log=Keys(ringKiB=number(64, 16384, 4), whenFull=words("block", "drop-oldest")),
        credentials=Keys(mode=Leaf(["0400", "0777", "0000"], ["400", "00400", "0800", "4400", "04 0", "0400\n", ""]),
                         uid=ID, gid=ID, delivery=words("per-boot", "once")),
        power=words("detect", "poweroff", "reset"), clock=FLAG, entropy=FLAG,
        control=Leaf([[], ["exec"], ["ping", "stop", "signal", "exec"]],
                     [["exec", "exec"], ["reboot"], [MARK], [1], "exec"]),
        handoff=Leaf([{"mode": "busybox"}, {"mode": "switch_root", "type": "ext4", "source": "/dev/vda"},
                      {"mode": "switch_root", "type": "ext4", "source": MARK, "options": "ro", "overlay": True,
                       "init": "/sbin/" + MARK}],
                     [{}, {"mode": MARK}, {"mode": "switch_root"}, {"mode": "busybox", "overlay": True},
                      {"mode": "switch_root", "type": "ext4", "source": ""},
                      {"mode": "switch_root", "type": "ext4", "source": "x", "init": MARK}]),
        machine=Keys(memoryMiB=number(32, 1048576), cpus=number(1, 255),
                     kernelArgs=Leaf(["", "quiet " + MARK, "x" * 1024], ["x" * 1025, "a\nb", "ü", NUL]))))


# --- breaking the tree ----------------------------------------------------------------------------------------------

def places(rule, value, path=()):
    """(path, rule) of everything in a document that has a rule."""
    yield path, rule
    if isinstance(rule, Keys):
        for key in value:
            yield from places(rule.rules[key], value[key], path + (key,))
    elif isinstance(rule, Many):
        for index, each in enumerate(value):
            yield from places(rule.item, each, path + (index,))
    elif isinstance(rule, Map):
        for key in value:
            yield from places(rule.value, value[key], path + (key,))


def replaced(value, path, new):
    if not path:
        return new
    if isinstance(value, dict):
        return {key: replaced(each, path[1:], new) if key == path[0] else each for key, each in value.items()}
    return [replaced(each, path[1:], new) if index == path[0] else each for index, each in enumerate(value)]


def at(value, path):
    for step in path:
        value = value[step]
    return value


def misspelt(rng, key):
    where = rng.randrange(len(key) + 1)
    return rng.choice([key[:where] + key[where + 1:], key[:where] + "x" + key[where:], key.upper(), key + " ", "",
                       key[:where] + "\n\x1b\x9b" + key[where:], "ключ", key * 40])


def break_tree(rng, document):
    """One rule is broken; values stay values, so that the mark may be in no message."""
    path, rule = rng.choice(list(places(GRAMMAR, document)))
    value = at(document, path)
    kind = rng.randrange(4)
    if kind == 0:
        wrong = [None, [], {}, "x", 1, 1.5, True, [[]], {"x": {}}, [MARK], {"a": MARK}, -1]
        return replaced(document, path, rng.choice(wrong))
    if isinstance(rule, Leaf):
        return replaced(document, path, rng.choice(rule.bad))
    if isinstance(rule, Keys):
        if value and kind == 1:
            key = rng.choice(list(value))
            return replaced(document, path, {misspelt(rng, k) if k == key else k: v for k, v in value.items()})
        if value and kind == 2:
            key = rng.choice(list(value))
            return replaced(document, path, {k: v for k, v in value.items() if k != key})
        return replaced(document, path, dict(value, **{misspelt(rng, rng.choice(list(rule.rules))): MARK}))
    if isinstance(rule, Map):
        return replaced(document, path, dict(value, **{rng.choice(rule.key.bad): MARK}))
    much = {32: 33}.get(rule.high, 4097)
    return replaced(document, path, [rule.item.make(rng) for _ in range(rng.choice([0, much]))])


# --- writing, and breaking the text ---------------------------------------------------------------------------------

def space(rng):
    return rng.choice(["", "", "", " ", "\n", "\t", "\r\n", "  \n\t"])


def written(rng, value):
    """As JSON, in one of the many ways."""
    def text(value):
        if rng.random() < 0.7:
            return json.dumps(value, ensure_ascii=rng.random() < 0.3)
        return '"' + "".join("\\u%04x" % unit if unit < 0x20 or rng.random() < 0.3 or unit in (0x22, 0x5c)
                             else chr(unit) for unit in map(ord, value) if unit < 0x10000) + '"'
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        inner = [space(rng) + text(k) + space(rng) + ":" + space(rng) + written(rng, v) for k, v in value.items()]
        return "{" + (space(rng) + ",").join(inner) + space(rng) + "}"
    if isinstance(value, list):
        return "[" + (space(rng) + ",").join(space(rng) + written(rng, v) for v in value) + space(rng) + "]"
    return json.dumps(value)


NASTY = [
    b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\\", b'"',
    b"'", b"{", b"}", b"[", b"]", b",", b":", b"//", b"/**/", b"#", b"NaN", b"Infinity", b"-", b"+1", b"01", b"1.",
    b".5", b"1e", b"1e999", b"-1e999", b"0x1f", b"1" * 400, b"\t", b"\n", b"\r", b"\x0b", b"\x7f", b"\\u", b"\\u12",
    b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"\\x41", b"null", b"nul", b"True", b"{}", b"[]", b'""', b'"a":1,',
    b"[" * 300, b'{"a":' * 300, b"[" * 5000, b"-0", b"0.0", b"1E+2", b" "]


def break_text(rng, document, other):
    """One or two edits, as a hand slips or a disk forgets."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        here = rng.randrange(len(document) + 1)
        to = min(len(document), here + rng.choice([1, 1, 2, 5, 40]))
        kind = rng.randrange(6)
        if kind == 0:
            document = document[:here]
        elif kind == 1:
            document = document[:here] + document[to:]
        elif kind == 2:
            document = document[:here] + rng.choice(NASTY) + document[here:]
        elif kind == 3:
            document = document[:here] + rng.choice(NASTY) + document[to:]
        elif kind == 4:
            document = document[:to] + document[here:]
        else:
            document = document[:here] + other[min(here, len(other)):]
    return document


def documents(rng):
    """(document, whether its values are still values), for ever."""
    other = b"{}"
    while True:
        tree = GRAMMAR.make(rng)
        good = written(rng, tree).encode()
        if rng.random() < 0.05:
            yield good, True
        if rng.random() < 0.5:
            yield written(rng, break_tree(rng, tree)).encode(), True
        else:
            yield break_text(rng, good, other), False
        other = good


def test_malformed_documents(sanitized, tmp_path):
    """Each is refused with file, line and column, or it is as good as the schema says; nothing else happens."""
    rng, refused, accepted, batch = random.Random(SEED), 0, 0, []
    made = documents(rng)
    while refused < MALFORMED:
        batch = [next(made) for _ in range(BATCH)]
        problems = check(sanitized, tmp_path, [document for document, _ in batch])
        for (document, values), problem in zip(batch, problems):
            what = "HAWSER_SEED=%d: %r: %s" % (SEED, document, problem)
            assert (problem is None) == is_good(document), what
            if problem is None:
                accepted += 1
                continue
            refused += 1
            assert place_is_right(problem, document), what
            assert len(problem) < 1000 and not re.search("[\0-\x1f\x7f-\x9f]", problem), what
            assert not values or MARK not in problem, what
    print("\nHAWSER_SEED=%d: %d documents refused, %d accepted, as the schema says" % (SEED, refused, accepted))
    assert accepted > MALFORMED / 50     # the grammar makes good ones, or what is above says little


# --- what is no document at all -------------------------------------------------------------------------------------

@pytest.mark.parametrize("document, place", [
    (b"", None), (b" \n ", None), (b"\0", "1:1"), (b"\xef\xbb\xbf{}", "1:1"), (b"[" * 100000, None),
    (b'{"hostname":' * 50000, None), (b'{"a":"' + b"x" * 1000000 + b'"}', "1:2"), (b"{}" + b" " * 1000000, "ok"),
    (b"{" + b"\n" * 500000, "500001:1")],
    ids=["empty", "white", "nul", "bom", "arrays", "objects", "long", "trailing", "lines"])
def test_odd_documents(sanitized, tmp_path, document, place):
    problem, = check(sanitized, tmp_path, [document])
    if place == "ok":
        assert problem is None
    else:
        assert place_is_right(problem, document), problem
        assert place is None or problem.startswith(place + ": "), problem


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "link", "large"])
def test_no_document(tmp_path, kind):
    """Not a file to read: said at once, by its name."""
    directory, file = tmp_path / "m", tmp_path / "m/vm.json"
    directory.mkdir()
    if kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "link":
        (tmp_path / "elsewhere").write_text("{}")
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "large":
        with open(file, "wb") as sparse:
            sparse.truncate(1 << 40)
    run = subprocess.run([TOP / "build/hawser", "check", "m"], cwd=tmp_path, stdin=subprocess.DEVNULL, timeout=60,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1 and re.match(r"m/vm\.json: \w", run.stderr), run
