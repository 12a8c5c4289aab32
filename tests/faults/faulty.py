# SPDX-License-Identifier: Apache-2.0
"""A node whose vpcwired, or whose plugin, has one call fail (faulty.c); which calls there are, one after the other."""
import errno
import json
import mmap
import os
import re
import struct
import subprocess

from tests.faults.mortal import PRELOAD, Mortal
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
# or one of them, as it is printed when it fails: memory,ENOMEM,78
ONE = os.environ.get("FAULTS_POINT", "")
# where in the program a call failed, as faulty.c writes it
FRAME = re.compile(r"^\S+\(.*\) ?\[0x[0-9a-f]+\]\n", re.M)


# libraries that end a program, or make it crash, when they get no memory: not ours to mend, so what matters is what is left then
ENDS = ("libjansson", "libuv", "libnftables")
# and OpenSSL's first call, which libcurl makes when a program starts, before anything of the node is touched
ENDS_AT_START = ("curl_global_init",)


class Silent(Exception):
    """The plugin said nothing: it ended itself over an allocation of one of these, or its answer could not be written."""


class Faults:
    """struct page of faulty.c, shared with a program."""

    HEAD = struct.Struct("=7I")
    SEEN = struct.Struct(f"={len(KINDS)}I")

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(self.HEAD.size + self.SEEN.size))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def arm(self, kind="none", name="EIO", nth=0, times=1):
        self.map[:self.HEAD.size] = bytes(self.HEAD.size)       # nothing is counted while the rest changes
        self.map[self.HEAD.size:] = bytes(self.SEEN.size)
        self.map[4:self.HEAD.size] = struct.pack("=6I", KINDS.index(kind), nth, times, 0 if name == DIE else getattr(errno, name), 0, 1)
        self.map[:4] = struct.pack("=I", 1)

    def disarm(self):
        """-> how many calls have failed"""
        self.map[:4] = bytes(4)
        return self.fired()

    def fired(self):
        return self.HEAD.unpack(self.map[:self.HEAD.size])[5]

    def seen(self):
        return dict(zip(KINDS, self.SEEN.unpack(self.map[self.HEAD.size:])))


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
        env.update({"LD_PRELOAD": str(FAULTY), "VPCWIRE_FAULTY": str(self.plugin.path), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
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


def points(seen, most, deaths=False):
    """(kind, error, number) of each call that was seen; at most @most of a kind and error unless all are asked for."""
    if ONE:
        kind, name, nth = ONE.split(",")
        yield kind, name, int(nth)
        return
    for kind, names in ERRORS.items():
        if kind in ("memory", "map") and proc.SANITIZED:    # the sanitizer has an allocator of its own
            continue
        n = seen[kind]
        for name in names + [DIE] * (deaths and kind in MORTAL):
            chosen = range(1, n + 1) if ALL or n <= most else sorted({1 + i * (n - 1) // (most - 1) for i in range(most)})
            yield from ((kind, name, i) for i in chosen)


def tally(what, found):
    """The line that says how many points there were, by kind."""
    kinds = {}
    for kind, name, _ in found:
        kind = name if name == DIE else kind
        kinds[kind] = kinds.get(kind, 0) + 1
    print(f"# {what}: {len(found)} points: {', '.join(f'{k} {n}' for k, n in kinds.items())}", flush=True)
