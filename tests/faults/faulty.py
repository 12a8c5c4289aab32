# SPDX-License-Identifier: Apache-2.0
"""A node whose vpcwired, or whose plugin, has one call fail (faulty.c); which calls there are, one after the other."""
import errno
import json
import mmap
import os
import re
import struct
import subprocess

from tests.faults.mortal import PRELOAD, Mortal, preloaded
from tests.harness import audit, cni, proc

FAULTY = proc.BUILD / "lib" / "faulty.so"
KINDS = ["none", "memory", "map", "open", "socket", "write", "sync", "send", "recv", "dump", "refuse", "bpf"]
# how each kind of call can fail
ERRORS = {"memory": ["ENOMEM"], "map": ["ENOMEM"], "open": ["EMFILE"], "socket": ["EMFILE"], "write": ["ENOSPC", "EINTR"], "sync": ["ENOSPC"],
          "send": ["ENOBUFS", "EINTR"], "recv": ["ENOBUFS", "EINTR"], "dump": ["EINTR"], "refuse": ["EBUSY", "ENOMEM"], "bpf": ["ENOMEM", "EBUSY"]}
DIE = "kill -9"
# each of these changes something, or has just learnt of something: a death there is another one
MORTAL = ["write", "send", "recv", "refuse", "bpf"]
# FAULTS_ALL=1: each call of each kind. Else so many of a kind and error, spread over all that there are
ALL = os.environ.get("FAULTS_ALL", "0") == "1"
# or one of them, as it is printed when it fails: memory,ENOMEM,78 or memory,ENOMEM,1,8c5e0d1f22334455
ONE = os.environ.get("FAULTS_POINT", "")
# of FAULTS_ALL only these kinds (a list with commas), and without so many of the first of each turn
ONLY, FROM = [k for k in os.environ.get("FAULTS_KINDS", "").split(",") if k], int(os.environ.get("FAULTS_FROM", "0"))
# more allocations than that are counted by call path (faulty.c), of which the first and the last fail; and so many calls of the program make a path
MANY, FRAMES = 1000, int(os.environ.get("FAULTS_FRAMES", "3"))
# where in the program a call failed, as faulty.c writes it
FRAME = re.compile(r"^\S+\(.*\) ?\[0x[0-9a-f]+\]\n", re.M)


# libraries that end a program, or make it crash, when they get no memory: not ours to mend, so what matters is what is left then
ENDS = ("libjansson", "libuv", "libnftables")
# and OpenSSL's first call, which libcurl makes when a program starts, before anything of the node is touched; and libseccomp at its filters
ENDS_AT_START = ("curl_global_init", "libseccomp")


class Silent(Exception):
    """The plugin said nothing: it ended itself over an allocation of one of these, or its answer could not be written."""


class Faults:
    """struct page of faulty.c, shared with a program."""

    HEAD = struct.Struct("=12IQ")
    SEEN = struct.Struct(f"={len(KINDS)}I")
    PATH = struct.Struct("=QQ")
    PATHS = 1 << 15
    BEGIN = HEAD.size + SEEN.size       # of the table of paths

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(self.BEGIN + self.PATHS * self.PATH.size))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def arm(self, kind="none", name="EIO", nth=0, path="", count_paths=False):
        """The nth call fails, of those on that path if one is given."""
        self.map[:self.BEGIN] = bytes(self.BEGIN)       # nothing is counted while the rest changes
        if count_paths:
            self.map[self.BEGIN:] = bytes(len(self.map) - self.BEGIN)
        self.map[4:self.HEAD.size] = self.HEAD.pack(0, KINDS.index(kind), nth, 1, 0 if name == DIE else getattr(errno, name), 0, 1, FRAMES,
                                                    count_paths, 0, 0, 0, int(path or "0", 16))[4:]
        self.map[:4] = struct.pack("=I", 1)

    def disarm(self):
        """-> how many calls have failed"""
        self.map[:4] = bytes(4)
        return self.fired()

    def fired(self):
        return self.HEAD.unpack(self.map[:self.HEAD.size])[5]

    def on_path(self):
        """-> how many allocations came by the path that was named"""
        return self.HEAD.unpack(self.map[:self.HEAD.size])[10]

    def seen(self):
        return dict(zip(KINDS, self.SEEN.unpack(self.map[self.HEAD.size:self.BEGIN])))

    def paths(self):
        """{call path: how many allocations came by it}, in an order that is the same each time"""
        assert self.HEAD.unpack(self.map[:self.HEAD.size])[9] == 0, "more paths than there is room for"
        return {f"{hash:016x}": n for hash, n in sorted(self.PATH.iter_unpack(self.map[self.BEGIN:])) if hash}


class Faulty(Mortal):
    """The node: what is asked of it is done inside it by one process (life.py), so that a point costs milliseconds."""

    PRELOADS = (FAULTY, PRELOAD)        # in this order, or the start of the other one would be among the calls that fail

    def __init__(self, lab, scratch):
        super().__init__(lab, scratch)
        self.nameless = False       # without the store a pod's name is not known
        self.daemon, self.plugin = Faults(scratch / "faults"), Faults(scratch / "plugin-faults")

    @property
    def socket(self):
        return self.node.socket

    def pages(self):
        return {**super().pages(), "VPCWIRE_FAULTY": str(self.daemon.path)}

    def run(self, *argv, input=None, env=None, check=True, timeout=None):
        """As Node.run(), so that audit.py can look through it."""
        status, out, err = self.ask("run", argv=[str(a) for a in argv], input=input, env=env)
        assert status == 0 or not check, f"{argv}: {status} {out} {err}"
        return subprocess.CompletedProcess(argv, status, out, err)

    def cni(self, pod, command, prev=None):
        """The plugin, with its page -> its JSON object; CniError."""
        listed = self.node.conflist
        listed["cniVersion"] = "1.0.0"
        env = dict(word.split("=", 1) for word in pod.cni_env(command))
        env.update({**preloaded(FAULTY), "VPCWIRE_FAULTY": str(self.plugin.path), "ASAN_OPTIONS": "detect_leaks=0"})
        done = self.run(proc.BIN / "vpcwire-dynamic", env=env, check=False,
                        input=json.dumps(cni.plugin_conf(listed, prev_result=prev)))
        self.frames = "".join(FRAME.findall(done.stderr))
        done.stderr = FRAME.sub("", done.stderr)
        if done.returncode < 0 and any(lib in self.frames for lib in ENDS) or done.returncode and not done.stdout and "(write+" in self.frames:
            raise Silent(self.frames)
        return cni.judge(done, "1.0.0", f"{command} of {pod.name} {self.frames}")

    def ended(self, point, may_give_up=False):
        """
        Whether the daemon has ended: over an allocation of one of those libraries, as it was told to, or, where it @may_give_up, with a reason
        in its log. Another end is a failure.
        """
        status = self.dead()
        if status is None:
            return False
        log = self.log.read_text()
        fine = status == -9 if point[1] == DIE else any(lib in "".join(FRAME.findall(log)[-24:]) for lib in ENDS + ENDS_AT_START * may_give_up)
        fine = fine or may_give_up and status == 1 and 'msg="vpcwired ends" err="' in log[-400:]
        assert fine, f"the daemon ended with {status} at {point}: {log[-3000:]}"
        return True

    def gone_or_there(self):
        """Who has just died may be asked about in vain for a moment."""
        proc.wait_until(lambda: self.dead() is not None or self.rpc("info"), lambda: f"an end or an answer: {self.log.read_text()[-3000:]}", 20, 0.002)

    def books(self):
        info = self.rpc("info")
        if not info or "pods" not in info:
            return ["nobody answers"]
        for pod in info["pods"] if self.nameless else []:
            pod.pop("pod_name", None)
            pod.pop("pod_namespace", None)
        return sorted(json.dumps(p, sort_keys=True) for p in info["pods"])

    def looks(self, books=True):
        """Kernel and books: audit.node(), from the inside."""
        return audit.kernel(self) + [f"attachment: {a}" for a in (self.books() if books else [])]

    def settles(self, before, point, books=True):
        now = []

        def same():
            now[:] = self.looks(books)
            return now == before

        proc.wait_until(same, lambda: f"the node as before {point}:\n{audit.difference(before, now)}\n{self.log.read_text()[-3000:]}", 20, 0.01)


def points(seen, most, deaths=False, paths=None):
    """
    (kind, error, number, path) of each call that was seen; at most @most of a kind and error unless all are asked for. Where there are MANY
    allocations it is the first and the last of each of @paths, else path is "".
    """
    if ONE:
        kind, name, nth, path = (ONE + ",").split(",")[:4]
        yield kind, name, int(nth), path
        return
    for kind, names in ERRORS.items():
        if kind in ("memory", "map") and proc.SANITIZED:    # the sanitizer has an allocator of its own
            continue
        if ONLY and kind not in ONLY:
            continue
        n = seen[kind]
        if ALL and kind == "memory" and n > MANY:
            yield from ((kind, name, i, path) for name in names for path, count in paths.items() for i in sorted({1, count}))
            continue
        for name in names + [DIE] * (deaths and kind in MORTAL):
            chosen = range(1, n + 1) if ALL or n <= most else sorted({1 + i * (n - 1) // (most - 1) for i in range(most)})
            yield from ((kind, name, i, "") for i in chosen)


def tally(what, found, missed=()):
    """The line that says how many points there were, by kind."""
    print(f"# {what}: {by_kind(found)}{f'; not come to again: {by_kind(missed)}' if missed else ''}", flush=True)


def by_kind(found):
    kinds = {}
    for kind, name, _, path in found:
        kind = name if name == DIE else f"{kind} by path" if path else kind
        kinds[kind] = kinds.get(kind, 0) + 1
    return f"{len(found)} points: {', '.join(f'{k} {n}' for k, n in kinds.items())}"
