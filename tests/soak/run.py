#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A node under everything at once, for as long as one likes, and a balance sheet at the end.

  run.py [--minutes N] [--seed N] [--pods N]

On one node of a lab, dual stack: three pods stand, with flows whose every packet is waited for (polflows.c: numbered payloads, counted
losses) and with packets of a stranger that policy must stop; others come and go in waves: many until all ENIs are there, few until one has gone;
the policy of those that stand is changed several times a second, always to one that says the same of them; EC2 fails in the simulator's ways; the
daemon is killed, and stopped, and comes back. Then all faults end, the pods that came go, and the sheet is drawn up: exit 0 when each line
balances, 1 when one does not. ^C ends it early, with the sheet. A seed gives the same faults in the same order, not at the same instants.

A run of WHOLE_MINUTES or more waits until the daemon has given every ENI back that came, in the life that it is in: then the node is what it was.
A shorter one starts the daemon anew and takes the ENIs as they are.
"""
import argparse
import collections
import json
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.harness import audit, bpfmem, cni, flows, proc  # noqa: E402
from tests.harness.lab import Lab, Pod  # noqa: E402
from tests.harness.policy import Policies, network_policy  # noqa: E402

FLOWS = 400
# 3 ENIs of 6 addresses: 15 pods, of which 3 stand
LAB = {"instance_type": "t3.medium", "daemon_config": {"ip_cooldown_s": 1, "warm_ip_target": 2, "add_wait_ms": 5000}}
ROOM, ENIS = 12, 3
# a wave: many pods for so long and until all ENIs are there; then few until one has gone. While they are few the daemon lives, for an ENI must be a
# minute old to go, and each start counts anew
MANY_S = 60
WHOLE_MINUTES = 5
# an ENI goes a minute after the last start, at most every half a minute, its addresses before it; after faults of EC2 pauses come on top
REST_LIMIT_S = 240
WHOLE_LIMIT_S = 1200
DIRTY_KIB = 1 << 20 if proc.SANITIZED else 2048     # what an allocator may keep more; not a balance of one thing against another
GIVING_BACK = ("UnassignPrivateIpAddresses", "DetachNetworkInterface", "DeleteNetworkInterface")
FAULTS = [{"action": a, **how} for a in ("AssignPrivateIpAddresses", "CreateNetworkInterface", "AttachNetworkInterface",
                                         "ModifyNetworkInterfaceAttribute", "DescribeNetworkInterfaces", "AssignIpv6Addresses", *GIVING_BACK)
          for how in ({"code": "RequestLimitExceeded", "times": 3}, {"code": "InternalError", "times": 1}, {"kind": "close", "times": 1},
                      {"kind": "truncate", "bytes": 100, "times": 1}, {"kind": "delay", "delay_ms": 1500, "times": 2})]
# what the node has more of for each further ENI
PER_ENI = {"links": 1, "addrs": 1, "rules": 2, "routes": 6, "nftables objects": 4}
FIRST_ENI = {"nftables objects": 4}     # the chain for what the node sends from secondary ENIs' addresses


class Ledger:
    """What happened, counted under one lock; `wrong` is what must never happen."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.causes = collections.Counter()
        self.wrong = []
        self.held = {}          # address -> container id, of pods that came

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def error(self, text):
        with self.lock:
            self.wrong.append(text)


def among(extra):
    """The policy of the pods that stand. `extra` changes what it says, and nothing that it says of them."""
    ports = [{"protocol": p, "port": flows.PORT} for p in ("TCP", "UDP")]
    peers = [{"podSelector": {}}] + [{"ipBlock": {"cidr": f"192.0.2.{n}/32"}} for n in range(extra % 7)]
    more = [{"from": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"protocol": "TCP", "port": 1000 + extra % 50}]}]
    return network_policy("among", policyTypes=["Ingress", "Egress"], ingress=[{"from": peers, "ports": ports}] + more * (extra % 2),
                          egress=[{"to": peers, "ports": ports}])


class Soak:
    def __init__(self, minutes, seed, pods):
        self.minutes, self.n_workers = minutes, pods
        self.random = random.Random(seed)
        self.ledger, self.end = Ledger(), threading.Event()
        self.many = True
        self.interrupted = False
        self.memory = []        # the daemon's, KiB, at the end of each wave

    def whole(self):
        return self.minutes >= WHOLE_MINUTES and not self.interrupted

    def interrupt(self, *_):
        self.interrupted = True
        self.end.set()

    # --- pods that come and go

    def wanted(self):
        """How many workers have a pod now."""
        return self.n_workers if self.many else 1

    def waves(self):
        while not self.end.is_set():
            began = time.monotonic()
            while not self.end.wait(1) and (time.monotonic() - began < MANY_S or self.attached() < ENIS):
                pass
            self.clear_faults()         # what is given back is not throttled from now on: it would be left alone for minutes
            self.many = False
            while not self.end.wait(1) and self.attached() == ENIS:
                pass
            if not self.end.is_set():
                self.ledger.count("waves")
                self.memory.append(dirty_kib(self.node))
                self.many = True

    def attached(self):
        """How many ENIs the node has. Not how many were made: one whose attaching failed is deleted without having been there."""
        changes = self.lab.control("counters")["enis"]
        return changes["attached"] - changes["detached"]

    def worker(self, index):
        rand, serial = random.Random(index), 0
        while not self.end.is_set():
            if index >= self.wanted():
                self.end.wait(0.2)
                continue
            serial += 1
            name = f"come{index}-{serial:06d}"
            self.node.run("ip", "netns", "add", name)   # a sandbox has a namespace of its own
            self.one_life(Pod(self.node, name), rand)
            self.node.run("ip", "netns", "del", name)

    def one_life(self, pod, rand):
        container = pod.container_id
        env = {"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=churn;K8S_POD_NAME={pod.name}"}
        try:
            pod.add(env=env)
        except cni.CniError as exc:
            self.refused(exc)
        else:
            self.ledger.count("ADDs")
            self.inspect(pod)
            self.end.wait(6 * rand.random())    # long enough for all of them to be there at once
        with self.ledger.lock:
            self.ledger.held = {a: c for a, c in self.ledger.held.items() if c != container}
        try:
            pod.delete(env=env)
            self.ledger.count("DELs")
            if pod.result:
                self.ledger.count("DELs of pods that had an address")
        except cni.CniError as exc:
            self.ledger.error(f"DEL of {container}: {exc}")

    def refused(self, exc):
        with self.ledger.lock:
            self.ledger.counts["ADDs refused"] += 1
            self.ledger.causes[f"code {exc.code}: {cause(exc.msg)}"] += 1
        if exc.code != 11:
            self.ledger.error(f"an ADD failed for good: {exc.code} {exc.msg}")

    def inspect(self, pod):
        address = str(pod.result.address)
        with self.ledger.lock:
            other = self.ledger.held.get(address)
            self.ledger.held[address] = pod.container_id
        if other:
            self.ledger.error(f"{address} was given to {pod.container_id} while {other} had it")
        if pod.pings(self.node.facts["address"], 10):
            self.ledger.count("pods that reached their node")
        else:
            self.ledger.error(f"{pod.container_id} with {address} does not reach its node")

    # --- what disturbs

    def flip(self):
        folder, n = Policies(self.node), 0
        while not self.end.is_set():
            n += 1
            folder.write("among.json", among(n))
            self.ledger.count("policies written")
            self.end.wait(0.25)
        folder.write("among.json", among(0))

    def break_things(self):
        while not self.end.wait(0.5 + 3 * self.random.random()):
            # every second wave is without, so that a daemon sees ENIs come and go in one life
            mortal = self.many and self.ledger.counts["waves"] % 2 == 0
            what = self.random.choice(["ec2"] * 4 + ["kill", "stop"])
            if what == "ec2" or not mortal:
                self.fault(self.random.choice(FAULTS))
                continue
            (self.lab.kill_daemon if what == "kill" else self.lab.stop_daemon)(self.node.name)
            self.ledger.count("daemon killed" if what == "kill" else "daemon stopped")
            self.end.wait(self.random.random())
            self.lab.start_daemon(self.node.name)

    def fault(self, fault):
        """One for an action at a time: what nobody has met yet would pile up until the next wave."""
        throttled = fault.get("code") == "RequestLimitExceeded"
        if throttled and not self.many and fault["action"] in GIVING_BACK:
            return
        if fault["action"] in [f["action"] for f in self.lab.control("faults")["faults"]]:
            return
        self.lab.control("fault", **fault)
        self.ledger.count(f"faults of EC2: {fault.get('code') or fault['kind']}")

    def clear_faults(self):
        unmet = [f for f in self.lab.control("faults")["faults"] if not f["hits"]]
        self.ledger.count("faults of EC2 that nothing met", len(unmet))
        self.lab.clear_faults()

    # --- all of it

    def threads(self):
        jobs = [self.flip, self.break_things, self.waves] + [lambda i=i: self.worker(i) for i in range(self.n_workers)]
        return [threading.Thread(target=self.guarded, args=(job,)) for job in jobs]

    def guarded(self, job):
        try:
            job()
        except BaseException as exc:    # noqa: B902 - a thread that dies is told of in the sheet
            self.ledger.error(f"{getattr(job, '__name__', 'job')}: {type(exc).__name__}: {exc}")

    def run(self):
        """-> the lines of the sheet that do not balance."""
        with Lab("--ipv6", **LAB) as self.lab:
            self.node = self.lab.nodes[0]
            standing = [self.node.pod(n) for n in ("a", "b", "stranger")]
            for pod, namespace in zip(standing, ("default", "default", "elsewhere")):
                pod.add(env={"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod.name}"})
            Policies(self.node).put("among.json", among(0))
            self.restart()
            with flows.between(*standing, FLOWS) as ends:
                flows.more_rounds(ends, 2)
                before = Books(self, standing).at_rest()
                self.disturb(ends)
                after = Books(self, standing).at_rest(before)
                told = [e.state() for e in ends]
            wrong = Sheet(self.ledger, before, after, told, self.whole(), self.memory).draw()
            if wrong:
                print(f"{json.dumps(self.node.info()['enis'])}\nthe end of the daemon's log:\n{self.node.daemon_log()}")
            return wrong

    def restart(self):
        """So that the daemon of before and that of after are of the same age."""
        self.lab.stop_daemon(self.node.name)
        self.lab.start_daemon(self.node.name)
        proc.wait_until(self.node.serves, "the daemon")

    def disturb(self, ends):
        print("soak: everything at once begins", flush=True)
        began = time.monotonic()
        threads = self.threads()
        for t in threads:
            t.start()
        while not self.end.wait(1):
            if time.monotonic() - began > 60 * self.minutes or self.ledger.wrong or any(e.process.poll() is not None for e in ends):
                self.end.set()
        for t in threads:
            t.join()
        self.clear_faults()
        if self.whole():
            proc.wait_until(self.node.serves, "the daemon")
        else:
            self.restart()
        proc.wait_until(lambda: Policies(self.node).settled(), "the last policy to be in force", 30)
        flows.more_rounds(ends, 2)


def cause(text):
    """A refusal without what is different each time."""
    words = [w for w in text.replace(",", " ").split() if not any(c.isdigit() for c in w)]
    return " ".join(words)[:90]


class Books:
    """What node and cloud have, as numbers, once nothing is under way."""

    def __init__(self, soak, standing):
        self.soak, self.node, self.lab, self.standing = soak, soak.node, soak.lab, standing

    def numbers(self):
        info = self.node.info()
        enis = [e for e in self.lab.control("state")["state"]["enis"]]
        mine = [e for e in enis if e.get("node") == self.node.name]
        lines = collections.Counter(line.split(":")[0] for line in audit.kernel(self.node))
        held = bpfmem.held(self.node)
        kinds = collections.Counter(f.rsplit("/", 1)[-1] for f in held.fds)
        kinds["socket"] -= kept_sockets(self.node)
        changes = self.lab.control("counters")["enis"]
        tombstones = self.node.run("sh", "-c", f"ls {self.node.run_dir}/tombstones 2>/dev/null | wc -l").stdout
        return {"pods in the daemon's books": info["n_pods"],
                "ENIs, EC2": len(mine), "ENIs, daemon": len(info["enis"]), "ENIs that nobody has": len([e for e in enis if not e.get("node")]),
                "IPv4 addresses for pods, EC2": sum(len(e["v4"]) - 1 for e in mine),
                "IPv4 addresses for pods, daemon": sum(1 for e in info["enis"] for s in e["slots"] if ":" not in s),
                "pods' links and routes": len(audit.pod_objects(self.node)),
                "links": lines["link"], "addrs": lines["addr"], "routes": lines["route"], "neighs": lines["neigh"],
                "rules": lines["rule"] + self.node.run("ip", "-6", "rule").stdout.count("\n"),
                "nftables objects": lines["nft"], "pins": lines["pin"], "eBPF maps": len(held.maps), "eBPF programs": len(held.progs),
                **{f"descriptors: {kind}": n for kind, n in kinds.items() if not kind.startswith("total")},
                "tombstones": int(tombstones), **{f"ENIs {what}": n for what, n in changes.items()},
                "dirty memory, KiB": dirty_kib(self.node)}

    def at_rest(self, before=None):
        """The numbers when they balance; those of the last look when they do not within the limit."""
        whole = self.soak.whole() and before is not None
        deadline = time.monotonic() + (WHOLE_LIMIT_S if whole else REST_LIMIT_S)
        while True:
            quiet = not self.node.info()["pool"]["actions_under_way"]
            now = self.numbers()
            if quiet and not unbalanced(before or now, now, len(self.standing), whole) or time.monotonic() > deadline:
                return now
            threading.Event().wait(0.5)         # between two looks; nothing depends on it


def kept_sockets(node):
    """
    To EC2 and metadata: of each worker that has asked something a connection, kept for the next question, also when the other side has closed it
    since, and the pair of sockets by which libcurl wakes its own wait. How many workers have had to ask at once is chance.
    """
    mine = f"pid={node.daemon_pid()},"
    return sum(mine in line and not line.startswith("u_seq") for line in node.run("ss", "-Htxnp", "state", "connected").stdout.splitlines())


def dirty_kib(node):
    """Of the daemon. Not the eBPF maps that it has mapped: they are the kernel's, as large as they are made, and show here page by page as they are
    looked at."""
    total, counts = 0, False
    for line in node.run("cat", f"/proc/{node.daemon_pid()}/smaps").stdout.splitlines():
        word = line.split()
        if not word[0].endswith(":"):
            counts = not line.endswith("anon_inode:bpf-map")
        elif counts and word[0] in ("Private_Dirty:", "Swap:"):
            total += int(word[1])
    return total


def expected(before, now, standing, whole):
    """What each number has to be: the daemon and the kernel have what EC2 has, and everything else is as it was."""
    had = before["ENIs, EC2"] if whole else now["ENIs, EC2"]
    enis = had - before["ENIs, EC2"]
    want = {**before, **{k: before[k] + n * enis for k, n in PER_ENI.items()}}
    for k, n in FIRST_ENI.items():
        want[k] += n * ((had > 1) - (before["ENIs, EC2"] > 1))
    want.update({"pods in the daemon's books": standing, "ENIs that nobody has": 0, "tombstones": 0, "ENIs, EC2": had, "ENIs, daemon": had,
                 "ENIs deleted": before["ENIs deleted"] + now["ENIs created"] - before["ENIs created"] - enis,
                 "ENIs detached": before["ENIs detached"] + now["ENIs attached"] - before["ENIs attached"] - enis, "IPv4 addresses for pods, EC2": now["IPv4 addresses for pods, EC2"],
                 "IPv4 addresses for pods, daemon": now["IPv4 addresses for pods, EC2"]})
    for k in ("ENIs created", "ENIs attached", "dirty memory, KiB"):
        want.pop(k)
    return want


def unbalanced(before, now, standing, whole=False):
    wrong = [f"{k}: {now.get(k, 0)}, expected {n}" for k, n in expected(before, now, standing, whole).items() if now.get(k, 0) != n]
    if now["dirty memory, KiB"] > before["dirty memory, KiB"] + DIRTY_KIB:
        wrong.append(f"dirty memory: {now['dirty memory, KiB']} KiB, {before['dirty memory, KiB']} before")
    return wrong + [f"{k}: {n}, there was none" for k, n in now.items() if k not in before]


class Sheet:
    def __init__(self, ledger, before, after, told, whole=False, memory=()):
        self.ledger, self.before, self.after, self.told, self.whole, self.memory = ledger, before, after, told, whole, memory

    def errors(self):
        c = self.ledger.counts
        wrong = list(self.ledger.wrong) + unbalanced(self.before, self.after, 3, self.whole)
        if self.whole:
            wrong += [f"no ENI was {what}" for what in ("created", "attached", "detached", "deleted")
                      if self.after[f"ENIs {what}"] == self.before[f"ENIs {what}"]]
        if self.memory and self.memory[-1] > self.memory[0] + DIRTY_KIB:
            wrong.append(f"dirty memory grew with the waves: {self.memory}")
        for what, a, b in (("every ADD was followed by a DEL", c["ADDs"] + c["ADDs refused"], c["DELs"]),
                           ("every pod with an address gave it back", c["ADDs"], c["DELs of pods that had an address"]),
                           ("every pod with an address reached its node", c["ADDs"], c["pods that reached their node"]),
                           ("each refusal has a cause", c["ADDs refused"], sum(self.ledger.causes.values()))):
            if a != b:
                wrong.append(f"{what}: {a} and {b}")
        for end, t in zip(("a to b", "b to a", "stranger to a", "stranger to b"), self.told):
            if t.lost or t.leaked or t.strays:
                wrong.append(f"flows {end}: {t.lost} lost, {t.leaked} leaked, {t.strays} strays")
            if end.startswith("stranger") and not t.fired:
                wrong.append(f"flows {end}: nothing was sent that policy must stop")
        return wrong

    def draw(self):
        print("What happened")
        for k, n in sorted(self.ledger.counts.items()):
            print(f"  {k:<50} {n:>9}")
        print("Refusals by cause" if self.ledger.causes else "No refusals")
        for k, n in self.ledger.causes.most_common():
            print(f"  {n:>6}  {k}")
        sent = sum(t.rounds for t in self.told[:2]) * FLOWS // 2
        print("Packets, each waited for")
        for k, n in (("asked and answered with their number", sent), ("lost", sum(t.lost for t in self.told)),
                     ("sent that policy must stop", sum(t.fired for t in self.told)), ("of these arrived", sum(t.leaked for t in self.told))):
            print(f"  {k:<50} {n:>9}")
        print(f"{'Balance':<52} {'before':>9} {'after':>9}")
        for k in {**self.before, **self.after}:
            print(f"  {k:<50} {self.before.get(k, 0):>9} {self.after.get(k, 0):>9}")
        if self.memory:
            print(f"Dirty memory of the daemon, KiB, when each wave ended: {', '.join(map(str, self.memory))}")
        wrong = self.errors()
        for line in wrong:
            print(f"does not balance: {line}")
        print(f"soak: {'ok' if not wrong else f'{len(wrong)} lines do not balance'}")
        return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pods", type=int, default=10, help=f"pods that come and go at the same time, at most {ROOM}")
    args = parser.parse_args()
    soak = Soak(args.minutes, args.seed, min(args.pods, ROOM))
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, soak.interrupt)
    return 1 if soak.run() else 0


if __name__ == "__main__":
    sys.exit(main())
