# SPDX-License-Identifier: Apache-2.0
"""vpcwire-eni on a node of its own: a namespace whose ENIs are veths, with the VPC's router at their other ends.

No daemon has a part in it. The runtime's view (environment, stdin, judging what comes back) is that of tests/conformance.
"""
import ctypes
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent))

from tests.conformance.subject import Pod, Subject  # noqa: E402
from tests.harness import proc  # noqa: E402
from tests.harness.limits import pytest_collection_modifyitems, pytest_configure, pytest_runtest_call  # noqa: E402, F401 - hooks

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
PLUGIN = str(proc.BIN / "vpcwire-eni")
OUTSIDE, OUTSIDE6, IMDS, IMDS6 = "10.9.9.9", "2001:db8:9::9", "169.254.169.254", "fd00:ec2::254"


class Eni:
    """One ENI: `name` on the node, `v<n>` in the router's namespace. Its subnets are 10.0.<n>.0/24 and 2001:db8:<n>::/64."""

    def __init__(self, node, n, mac=None, name=None):
        self.node, self.n, self.name = node, n, name or f"eth{n}"
        self.mac = mac or f"02:00:00:00:00:{n:02x}"
        self.address, self.gateway = f"10.0.{n}.5", f"10.0.{n}.1"
        self.address6, self.gateway6 = f"2001:db8:{n}::5", f"2001:db8:{n}::1"
        proc.run(["ip", "link", "add", self.name, "address", self.mac, "mtu", "9001", "type", "veth", "peer", f"v{n}"])
        proc.run(["ip", "link", "set", f"v{n}", "netns", node.router, "mtu", "9001"])
        node.in_router("ip", "addr", "add", f"{self.gateway}/24", "dev", f"v{n}")
        node.in_router("ip", "addr", "add", f"{self.gateway6}/64", "dev", f"v{n}", "nodad")
        node.in_router("ip", "link", "set", f"v{n}", "up")

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
        self.tmp = tmp_path
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
        path = self.tmp / f"netns{len(self.pods)}"
        path.touch()
        proc.run(["unshare", f"--net={path}", "true"])
        return Container(self, path, cid)

    def drop_pod(self, pod):
        pod.remove()

    def in_router(self, *argv):
        return proc.run(["nsenter", f"--net={self.router}", *argv])

    def eni(self, n, mac=None, name=None):
        if n not in self.enis:
            self.enis[n] = Eni(self, n, mac, name)
        return self.enis[n]

    def conf(self, version="1.1.0", pod=None, ifname="eth0", **more):
        base = {"cniVersion": version, "name": "awsvpc", "type": "vpcwire-eni", "stateDir": str(self.state_dir)}
        keys = {} if any(k in more for k in ("eniMACAddress", "eniName", "mac", "branchVlanID", "ipAddresses")) else self.eni(1).conf()
        return {k: v for k, v in {**base, **keys, **more}.items() if v is not None}

    def states(self):
        """What the plugin remembers."""
        return [json.loads(f.read_text()) for f in sorted(self.state_dir.glob("*.json"))] if self.state_dir.exists() else []

    def state(self, pods=True):
        """Links, addresses, routes, rules, nftables of node (and pods), and what the plugin remembers: what a failed ADD, or a DEL,
        must have put back."""
        rows = []
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
        drop = ("valid_life_time", "preferred_life_time", "operstate", "ifindex", "link_index", "link_netnsid", "flags", "txqlen")
        return {k: v for k, v in ((k, _plain(v)) for k, v in sorted(row.items()) if k not in drop) if v is not None}
    if isinstance(row, list):
        return [r for r in map(_plain, row) if r is not None]
    return row


def unshare(flags):
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")


@pytest.fixture(scope="session")
def private_mounts():
    unshare(CLONE_NEWNS)
    proc.run(["mount", "--make-rprivate", "/"])


@pytest.fixture
def node(private_mounts, tmp_path):
    unshare(CLONE_NEWNET)
    made = EniNode(tmp_path)
    yield made
    made.close()


@pytest.fixture
def eni(node):
    return node.eni(1)
