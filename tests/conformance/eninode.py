# SPDX-License-Identifier: Apache-2.0
"""vpcwire-eni on a node of its own: a namespace whose ENIs are veths, with the VPC's router at their other ends.

No daemon has a part in it. The runtime's view (environment, stdin, judging what comes back) is that of subject.py.
"""
import itertools
import json
import os
import pathlib
import uuid

from tests.conformance.subject import Pod, Subject
from tests.harness import proc

PLUGIN = str(proc.BIN / "vpcwire-eni")
OUTSIDE, OUTSIDE6, IMDS, IMDS6 = "10.9.9.9", "2001:db8:9::9", "169.254.169.254", "fd00:ec2::254"


class Eni:
    """One ENI: `name` on the node, `v<n>` in the router's namespace. Its subnets are 10.0.<n>.0/24 and 2001:db8:<n>::/64."""

    def __init__(self, node, n, mac=None, name=None):
        self.node, self.n, self.name = node, n, name or f"eth{n}"
        self.mac = mac or f"02:00:00:00:00:{n:02x}"
        self.address, self.gateway = f"10.0.{n}.5", f"10.0.{n}.1"
        self.address6, self.gateway6 = f"2001:db8:{n}::5", f"2001:db8:{n}::1"

    @staticmethod
    def plug(node, enis):
        """They appear on the node, down."""
        node.batch_ip([f"link add {e.name} address {e.mac} mtu 9001 type veth peer v{e.n} mtu 9001 netns {node.router}" for e in enis])
        node.batch_ip([line for e in enis for line in (f"addr add {e.gateway}/24 dev v{e.n}", f"addr add {e.gateway6}/64 dev v{e.n} nodad",
                                                       f"link set v{e.n} up")], "nsenter", f"--net={node.router}")

    def conf(self, **more):
        """The keys of vpc-eni."""
        keys = {"eniMACAddress": self.mac, "eniIPAddresses": [f"{self.address}/24", f"{self.address6}/64"],
                "gatewayIPAddresses": [self.gateway, self.gateway6]}
        return {**keys, **more}

    def ecs_conf(self, **more):
        """The same in the keys of ecs-eni."""
        keys = {"eni": f"eni-{self.n:017x}", "mac": self.mac, "ip-addresses": [f"{self.address}/24", f"{self.address6}/64"],
                "gateway-ip-addresses": [self.gateway, self.gateway6]}
        return {**keys, **more}

    def link(self):
        """On the node, or None."""
        found = [l for l in self.node.json("-d", "link", "show") if l["address"] == self.mac]
        return found[0] if found else None


class Container(Pod):
    def remove(self):
        proc.run(["umount", "-l", self.path], check=False)


class VpcwireEni:
    name = "vpcwire-eni"


class EniNode(Subject):
    """The test's process is the node."""

    binary, cni_path = PLUGIN, "/usr/lib/cni"

    def __init__(self, tmp_path):
        super().__init__(VpcwireEni)
        self.tmp, self.serial = tmp_path, itertools.count()
        self.router = str(tmp_path / "router")
        self.state_dir = tmp_path / "state"
        pathlib.Path(self.router).touch()
        proc.run(["unshare", f"--net={self.router}", "true"])
        for where in ([], ["nsenter", f"--net={self.router}"]):
            proc.run([*where, "ip", "link", "set", "lo", "up"])
            # addresses are usable at once: what is compared must not depend on how far the kernel has got with its own
            proc.run([*where, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"])
        for address in (f"{OUTSIDE}/32", f"{IMDS}/32", f"{OUTSIDE6}/128", f"{IMDS6}/128"):
            self.in_router("ip", "addr", "add", address, "dev", "lo")
        self.enis = {}
        self.eni(0)
        proc.run(["ip", "addr", "add", "10.0.0.5/24", "dev", "eth0"])
        proc.run(["ip", "link", "set", "eth0", "up"])
        proc.run(["ip", "route", "add", "default", "via", "10.0.0.1"])

    def run(self, *argv, **kwargs):
        return proc.run(argv, **kwargs)

    def run_exact(self, env, argv, data, **kwargs):
        return proc.run(argv, input=data, env=env, **{"check": False, "timeout": 30, **kwargs})

    def new_pod(self, cid):
        path = self.tmp / f"netns{next(self.serial)}"
        path.touch()
        proc.run(["unshare", f"--net={path}", "true"])
        return Container(self, path, cid)

    def drop_pod(self, pod):
        pod.remove()

    def in_router(self, *argv):
        return proc.run(["nsenter", f"--net={self.router}", *argv])

    def batch_ip(self, lines, *inside):
        proc.run([*inside, "ip", "-batch", "-"], input="".join(f"{line}\n" for line in lines))

    def eni(self, n, mac=None, name=None):
        if n not in self.enis:
            self.enis[n] = Eni(self, n, mac, name)
            Eni.plug(self, [self.enis[n]])
        return self.enis[n]

    def conf(self, version="1.1.0", pod=None, ifname="eth0", **more):
        base = {"cniVersion": version, "name": "awsvpc", "type": "vpcwire-eni", "stateDir": str(self.state_dir)}
        keys = {} if any(k in more for k in ("eniMACAddress", "eniName", "mac", "branchVlanID", "ipAddresses")) else self.eni(1).conf()
        return {k: v for k, v in {**base, **keys, **more}.items() if v is not None}

    def states(self):
        """What the plugin remembers."""
        return [json.loads(f.read_text()) for f in sorted(self.state_dir.glob("*.json"))] if self.state_dir.exists() else []

    def temps(self):
        """What a plugin that was killed was writing."""
        return sorted(str(f.relative_to(self.state_dir)) for f in self.state_dir.rglob("*.tmp.*"))

    def state(self, pods=True):
        """Links, addresses, routes, rules, nftables of node (and pods), and what the plugin remembers: what a failed ADD, or a DEL,
        must have put back."""
        rows = [f"half a file: {name}" for name in self.temps()]
        for name in ["the node"] + ([p.path for p in self.pods] if pods else []):
            inside = [] if name == "the node" else ["nsenter", f"--net={name}"]
            rows += [f"{name}: {(l['ifname'], l.get('address'), l['mtu'], l.get('ifalias'))}" for l in _ip(inside, "link", "show")]
            for what in (["addr", "show"], ["rule", "show"], ["route", "show", "table", "all"], ["-6", "rule", "show"],
                         ["-6", "route", "show", "table", "all"]):
                rows += [f"{name}: {' '.join(what)}: {row}" for row in map(_plain, _ip(inside, *what)) if row is not None]
            rows.append(f"{name}: {proc.run([*inside, 'nft', 'list', 'ruleset'], check=False).stdout}")
        return sorted(rows) + [f"remembered: {s}" for s in self.states()]

    def close(self):
        super().close()
        proc.run(["umount", "-l", self.router], check=False)


def _ip(inside, *what):
    out = proc.run([*inside, "ip", "-j", *what], check=False).stdout
    return json.loads(out) if out.strip() else []


def _plain(row):
    """Without what changes by itself: IPv6's own link-local addresses and routes, counters of time, a veth's index at birth."""
    if isinstance(row, dict):
        if str(row.get("dst", "")).startswith(("fe80", "ff00")) or row.get("scope") == "link" and row.get("family") == "inet6":
            return None
        drop = ("valid_life_time", "preferred_life_time", "operstate", "ifindex", "link_index", "link_netnsid", "flags", "txqlen", "qdisc")
        return {k: v for k, v in ((k, _plain(v)) for k, v in sorted(row.items()) if k not in drop) if v is not None}
    if isinstance(row, list):
        return [r for r in map(_plain, row) if r is not None]
    return row


class AloneNode(EniNode):
    """What the rows ask of a node on which nothing runs behind the plugin."""

    def reachable(self):
        return OUTSIDE

    def held(self):
        return sorted(f"{s['container_id']}/{s['ifname']}" for s in self.states() if not s["orphaned"])

    def kernel(self):
        return [row for row in self.state(pods=False) if not row.startswith("remembered: ")]

    def left_over(self):
        return self.states() + self.temps()

    def calls_elsewhere(self):
        """To whom else a call could have led: there is nobody."""
        return None

    def backend(self, up):
        """Nothing runs behind this plugin."""


class EniSubject(AloneNode):
    """The node for the 60 rows: each container's interface has an ENI of its own, with IPv4 alone; another one is in no container."""

    def __init__(self, plugin, tmp_path, only_one=False):
        self.owned, self.next_n, self.only_one, self.closing = {}, 2, only_one, False
        super().__init__(tmp_path)
        self.plugin = plugin
        self.spare = self.eni(1)

    # --- ENIs

    def _new_enis(self, count):
        made = [Eni(self, n) for n in range(self.next_n, self.next_n + count)]
        self.next_n += count
        self.enis.update({e.n: e for e in made})
        Eni.plug(self, made)
        return made

    def eni_of(self, pod, ifname):
        if self.only_one or not isinstance(pod, Pod):
            return self.spare
        mine = self.owned.setdefault(pod.path, {})
        if ifname not in mine:
            mine[ifname] = mine.pop("unused", None) or self._new_enis(1)[0]
        return mine[ifname]

    def missing(self):
        """ENIs whose interface is nowhere: it went with a container's namespace, or was deleted."""
        there = {l["ifname"] for l in _ip(["nsenter", f"--net={self.router}"], "link", "show")}
        return [e for e in self.enis.values() if f"v{e.n}" not in there]

    def plug_again(self):
        """What was deleted (hardware cannot be) is attached again."""
        for eni in self.missing():
            eni.name = f"eth{eni.n}"
            Eni.plug(self, [eni])

    # --- a subject

    def conf(self, version="1.1.0", pod=None, ifname="eth0", **more):
        eni = self.eni_of(pod, ifname)
        keys = {"eniIPAddresses": [f"{eni.address}/24"], "gatewayIPAddresses": [eni.gateway]}
        return super().conf(version, pod, ifname, **{**eni.conf(), **keys, **more})

    def _containers(self, count, cid, enis_each):
        made, enis = [super(EniSubject, self).new_pod(cid) for _ in range(count)], self._new_enis(count * enis_each)
        for pod in made:
            pod.cid = f"{os.path.basename(pod.path)}-{uuid.uuid4().hex}" if cid == "c1" else cid
            self.owned[pod.path] = dict(zip(("eth0", "unused"), (enis.pop() for _ in range(enis_each))))
        return made

    def new_pod(self, cid):
        return self._containers(1, cid, 2)[0]

    def new_pods(self, count):
        made = self._containers(count, "c1", 1)
        self.pods += made
        return made

    def drop_pod(self, pod):
        """As with hardware, what the namespace had comes back: down, with its alias, as "dev<n>" where its name is taken."""
        held = {} if self.closing else {l["address"]: l for l in pod.links().values()}
        super().drop_pod(pod)
        back = [e for e in self.enis.values() if e.mac in held]
        if back:
            proc.wait_until(lambda: {e.n for e in self.missing()} >= {e.n for e in back}, "the kernel to have removed the namespace")
        for eni in back:
            was = held[eni.mac]
            eni.name = f"dev{eni.n}" if self.json("link", "show", "dev", was["ifname"]) else was["ifname"]
            Eni.plug(self, [eni])
            if was.get("ifalias"):
                self.run("ip", "link", "set", eni.name, "alias", was["ifalias"])

    def dies(self, pod):
        self.drop_pod(pod)

    def close(self):
        self.closing = True
        super().close()
