# SPDX-License-Identifier: Apache-2.0
"""A node whose vpcwired dies when it is told to (mortal.c), and comes back; what must hold in it each time."""
import functools
import json
import mmap
import os
import pathlib
import re
import select
import struct
import subprocess

from tests.faults.world import CONFIG, enis, slots_at_ec2
from tests.harness import proc
from tests.harness.audit import PODS_TABLE

LIFE = pathlib.Path(__file__).with_name("life.py")
FINE = int(os.environ.get("KILLS_FINE", "0"))       # each write to the store's files, instead of each statement
PRELOAD = proc.BUILD / "lib" / "mortal.so"


@functools.cache
def sanitizer():
    """The library that gcc's AddressSanitizer is, for a build with it: none with clang, which puts it into programs."""
    libraries = proc.run(["ldd", proc.BIN / "vpcwired"]).stdout if proc.SANITIZED else ""
    return re.findall(r"libasan\S* => (\S+)", libraries)


def preloaded(*libraries):
    """
    Environment that puts @libraries before a program's own. AddressSanitizer's comes before them: it must be ready before anything is given back
    to it, and what it hears of first (write(), send(), ...) it asks of those behind it.
    """
    return {"LD_PRELOAD": ":".join([*sanitizer(), *map(str, libraries)])}


class Page:
    """struct page of mortal.c, shared with the daemon."""

    NAME, TRACE = 48, 1024
    HEAD = struct.Struct(f"={NAME}sIIqqII")

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(self.HEAD.size + self.NAME * self.TRACE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.forward_ms = self.calendar_s = 0
        self.arm()

    def arm(self, name="", nth=0):
        """The next life, or what is left of this one, ends at the nth point of that name from now on; without one it goes on."""
        self.map[:self.HEAD.size] = self.HEAD.pack(name.encode(), nth, 0, self.forward_ms, self.calendar_s, FINE, 0)

    def forward(self, ms):
        self.forward_ms += ms
        at = self.NAME + 8
        self.map[at:at + 8] = struct.pack("=q", self.forward_ms)

    def calendar(self, seconds):
        """The clock on the wall is so far from the right time."""
        self.calendar_s = seconds
        at = self.NAME + 16
        self.map[at:at + 8] = struct.pack("=q", seconds)

    def passed(self):
        """Names of the points since arm()."""
        n = self.HEAD.unpack(self.map[:self.HEAD.size])[-1]
        assert n <= self.TRACE, f"{n} points"
        at = self.HEAD.size
        return [self.map[at + i * self.NAME:at + (i + 1) * self.NAME].split(b"\0")[0].decode() for i in range(n)]


class Mortal:
    """The daemon of the one node of a lab that starts none (--no-daemon)."""

    PRELOADS = (PRELOAD,)

    def __init__(self, lab, scratch):
        self.lab, self.node = lab, lab.nodes[0]
        self.page = Page(scratch / "page")
        self.log = scratch / "vpcwired.log"
        self.life = subprocess.Popen(self.node.argv("/usr/bin/python3", str(LIFE)), env=self.node.env(), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)

    def ask(self, what, **args):
        self.life.stdin.write(json.dumps({"do": what, **args}).encode() + b"\n")
        self.life.stdin.flush()
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.life.stdout], [], [], 90)
            chunk = os.read(self.life.stdout.fileno(), 1 << 18) if ready else b""
            assert chunk, f"no answer to {what}"
            line += chunk
        return json.loads(line)

    def start(self):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **preloaded(*self.PRELOADS), **self.pages(), "AWS_REGION": "eu-central-1",
               "VPCWIRE_SYSTEM_CALLS": "kill",
               **{k: v for k, v in self.lab.env.items() if k.startswith("AWS_")}}
        self.ask("start", argv=[str(proc.BIN / "vpcwired"), "--config", CONFIG, "--run-dir", self.node.run_dir, "--bpf-dir",
                                "/sys/fs/bpf/vpcwire"], env=env, log=str(self.log))

    def pages(self):
        """What says to the preloads where to look."""
        return {"VPCWIRE_MORTAL": str(self.page.path)}

    def configure(self, **settings):
        self.ask("write", path=CONFIG, text=json.dumps(settings))

    def rpc(self, op, **args):
        """-> the reply, None when the daemon is not there or died over it"""
        return self.ask("rpc", path=self.node.socket, request={"op": op, "vmin": 1, "vmax": 1, **args})

    def add(self, name):
        return self.rpc("add", **key(name), network="vpcwire", netns=f"/run/netns/{name}", deadline_ms=20000)

    def dead(self):
        """How it ended; None while it lives."""
        return self.ask("status")

    def later(self):
        """So much later that nothing is too young to be given back, and nothing was given back of late; and it plans anew."""
        self.page.forward(70000)
        if self.dead() is None:
            self.ask("wake")

    def forget(self):
        """Without a store, and without what it had at EC2: as on an instance that has just been booted."""
        if self.dead() is None:
            self.ask("end")
        self.ask("clean", pattern=f"{self.node.run_dir}/state.db*")
        for e in enis(self.lab):
            for cidr in e["v4"][1:] if e["device"] == 0 else []:
                self.lab.control("unassign", eni=e["id"], cidr=cidr)
            if e["device"]:
                self.lab.control("delete-eni", eni=e["id"])

    def at_rest(self, total, pods=None):
        """EC2, store, kernel and daemon say the same, nothing is half done, there are @total addresses and these pods."""
        info = self.rpc("info")
        if not info or not info.get("discovered") or info["surveying"] or info["pool"]["actions_under_way"] or \
                info["pool"]["total"] != total:
            return False
        slots = {slot: e["id"] for e in info["enis"] for slot in e["slots"]}
        held = {p["container_id"]: p["address"] for p in info["pods"]}
        everywhere = self.lab.control("state")["state"]["enis"]
        return slots == slots_at_ec2(self.lab) and {e["id"] for e in everywhere} == {e["id"] for e in info["enis"]} and \
            len(set(held.values())) == len(held) and held == (pods or {}) and \
            not self.ask("intents", path=f"{self.node.run_dir}/state.db") and \
            sorted(self.ask("free", table=PODS_TABLE)) == sorted(c.removesuffix("/32") for c in slots) and \
            (total == len(held) or (self.rpc("status") or {}).get("cni") == 0)

    def close(self):
        self.life.stdin.close()
        self.life.wait(60)
        self.life.stdout.close()


def key(name):
    return {"container_id": name, "ifname": "eth0"}


# what pods have asked for of late goes to the store at most every 30 s; and into how many pages something goes is SQLite's business
VOLATILE = "INSERT OR REPLACE INTO meta", "a write to the store's files"


def dry_run(mortal, act, rest):
    """-> the points that act() passes, each by its name and its number among those of that name"""
    mortal.page.arm()
    rest(act())
    names = mortal.page.passed()
    return [(name, names[:i + 1].count(name)) for i, name in enumerate(names)]


def enumerate_deaths(mortal, done, acts, least):
    """
    Each of @acts ({what: act}; in turn, one leads to where the next begins) passes a number of points, and is killed once at each of
    them. After each death a life begins that is not killed, and comes to rest: then @done(what act returned) is true. What the survey
    and growth do at the same time has no order, so points go by name and number; how often one comes depends on that too (a survey ties
    an ENI that growth is about to tie, two writes are one transaction), so only the first of a name must come again. -> how many deaths
    there were, at least @least for each
    """
    def rest(goal, died_at=None):
        proc.wait_until(lambda: done(goal), lambda: f"rest after a death at {died_at}, wanted {goal}: {mortal.rpc('info')} "
                        f"{mortal.log.read_text()[-3000:]}", 30, 0.005)

    points = {what: dry_run(mortal, act, rest) for what, act in acts.items()}
    deaths = {what: [] for what in acts}
    for i in range(max(map(len, points.values()))):
        for what, act in acts.items():
            if i >= len(points[what]):
                mortal.page.arm()
                rest(act())
                continue
            point = points[what][i]
            goal = act(*point)
            proc.wait_until(lambda: mortal.dead() is not None or done(goal), f"{what} to be done, or to die at {point}", 30, 0.002)
            if mortal.dead() is None and (point[1] > 1 or any(v in point[0] for v in VOLATILE)):
                continue
            assert mortal.dead() == -9, f"{what} did not come to {point}: {mortal.page.passed()} {mortal.log.read_text()[-3000:]}"
            deaths[what].append(point)
            mortal.page.arm()
            mortal.start()
            rest(goal, point)
    for what, died_at in deaths.items():
        print(f"# {what}: {len(points[what])} points, {len(died_at)} deaths: {', '.join(f'{name} #{n}' for name, n in died_at)}")
        assert len(died_at) >= least
    return sum(map(len, deaths.values()))
