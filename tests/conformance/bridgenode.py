# SPDX-License-Identifier: Apache-2.0
"""vpcwire-bridge on the node of eninode.py: containers behind one ENI, and places that talk to them."""
import json
import pathlib
import re
import subprocess
import uuid

from tests.conformance.eninode import OUTSIDE, EniNode
from tests.conformance.subject import Pod
from tests.harness import proc, traffic

PLUGIN = str(proc.BIN / "vpcwire-bridge")


class VpcwireBridge:
    name = "vpcwire-bridge"


class BridgeNode(EniNode):
    """The ENI's subnet is 10.0.1.0/24: its address .5, its containers' .20 and up, which the router delivers to the ENI as EC2 does."""

    binary = PLUGIN

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.plugin = VpcwireBridge
        self.netns = None
        one = self.eni(1)
        for n in range(20, 60):
            self.in_router("ip", "route", "add", f"10.0.1.{n}/32", "via", one.address, "dev", "v1")
            self.in_router("ip", "route", "add", f"2001:db8:1::{n:x}/128", "via", one.address6, "dev", "v1")
        # neither the node nor what is behind the router knows the containers' private addresses
        proc.run(["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1"])

    def conf(self, version="1.1.0", pod=None, ifname="eth0", n=20, **more):
        keys = {"cniVersion": version, "name": "shared", "type": "vpcwire-bridge", "stateDir": str(self.state_dir),
                "eniMACAddress": self.eni(1).mac, "eniIPAddresses": [f"{self.eni(1).address}/24", f"{self.eni(1).address6}/64"],
                "gatewayIPAddresses": [self.eni(1).gateway, self.eni(1).gateway6],
                "ipAddresses": [f"10.0.1.{n}/24", f"2001:db8:1::{n:x}/64"], "bridgeNetNSPath": self.netns}
        return {k: v for k, v in {**keys, **more}.items() if v is not None}

    def new_pod(self, cid):
        pod = super().new_pod(cid)
        pod.run("ip", "link", "set", "lo", "up")        # an ADD leaves it up
        return pod

    def own_netns(self, name="bridge"):
        """The bridge is in a namespace of its own from now on."""
        path = self.tmp / name
        path.touch()
        proc.run(["unshare", f"--net={path}", "true"])
        proc.run(["nsenter", f"--net={path}", "ip", "link", "set", "lo", "up"])
        self.netns = str(path)

    def at_bridge(self, *argv, **kwargs):
        return proc.run([*(["nsenter", f"--net={self.netns}"] if self.netns else []), *argv], **kwargs)

    def remembered(self):
        """Every file that the plugin has left but locks."""
        files = (f for f in self.state_dir.rglob("*") if f.is_file() and f.suffix != ".lock")
        return sorted(str(f.relative_to(self.state_dir)) for f in files)

    def everything(self):
        """state(), and what only a bridge changes."""
        rows = self.state()
        for where in ("all", "default", "lo", "eth0", "eth1"):
            for key in ("ipv4/conf/{}/forwarding", "ipv4/conf/{}/rp_filter", "ipv6/conf/{}/forwarding", "ipv6/conf/{}/force_forwarding",
                        "ipv6/conf/{}/accept_dad", "ipv6/conf/{}/disable_ipv6"):
                path = pathlib.Path("/proc/sys/net", key.format(where))
                rows.append(f"{path}: {path.read_text().strip() if path.exists() else None}")
        if self.netns:
            for what in (["link"], ["addr"], ["route", "show", "table", "all"], ["rule"], ["-6", "rule"]):
                lines = re.sub(r" state \w+|<[A-Z_,-]+>", "", self.at_bridge("ip", "-o", *what).stdout).splitlines()
                rows += [f"bridge: {line}" for line in sorted(lines) if "fe80::" not in line]
            rows.append(self.at_bridge("nft", "list", "ruleset").stdout)
        return rows + self.remembered()

    def close(self):
        super().close()
        if self.netns:
            proc.run(["umount", "-l", self.netns], check=False)

    @staticmethod
    def host_end(pod, ifname="eth0"):
        """Its name: a hash of the attachment, so that it can be found by whoever knows that alone."""
        h = 0xcbf29ce484222325
        for byte in f"{pod.cid}\0{ifname}".encode():
            h = (h ^ byte) * 0x100000001b3 % 2**64
        return f"vbe{h >> 16:012x}"

    # --- places: where programs run, and who is seen by them

    def place(self, pod, n=20):
        return traffic.Place(pod.cid, pod.run_argv(), None, f"10.0.1.{n}", f"2001:db8:1::{n:x}")

    def outside(self):
        return traffic.Place("outside", ["nsenter", f"--net={self.router}"], None, "10.9.9.9", "2001:db8:9::9")

    def here(self):
        return traffic.Place("node", [], None, "10.0.0.5", None)

    def together(self, command, jobs, timeout=60):
        """Calls at the same time: (pod, conf, cid) each -> their (answer, exit status)."""
        running = []
        for pod, conf, cid in jobs:
            child = subprocess.Popen([PLUGIN], env=self.env(command, pod, cid=cid), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, text=True)
            child.stdin.write(json.dumps(conf))
            child.stdin.close()
            running.append(child)
        answers = []
        for child in running:
            out = child.stdout.read()
            answers.append((json.loads(out) if out.strip() else None, child.wait(timeout)))
            child.stdout.close()
        return answers


def ports(*mappings):
    """runtimeConfig with (host port, container port, protocol[, host IP])."""
    keys = ("hostPort", "containerPort", "protocol", "hostIP")
    return {"portMappings": [dict(zip(keys, m)) for m in mappings]}


class BridgeSubject(BridgeNode):
    """The node for the 60 rows: every attachment has a private address of its own behind one ENI on the host; configurations
    of nobody's name another ENI. With `only_one`, all want the same address.
    """

    def __init__(self, plugin, tmp_path, only_one=False):
        self.given, self.only_one = {}, only_one
        super().__init__(tmp_path)
        self.plugin = plugin
        self.eni(2)

    def conf(self, version="1.1.0", pod=None, ifname="eth0", **more):
        n, eni = 1, self.eni(1)
        if isinstance(pod, Pod) and not self.only_one:
            n = self.given.setdefault((pod.path, ifname), len(self.given) + 2)
        elif not self.only_one:
            eni = self.eni(2)
        keys = {"ipAddresses": [f"172.30.{n // 256}.{n % 256}/16"], "eniMACAddress": eni.mac, "eniIPAddresses": [f"{eni.address}/24"],
                "gatewayIPAddresses": [eni.gateway]}
        return super().conf(version, pod, ifname, **{**keys, **more})

    def new_pod(self, cid):
        pod = super(BridgeNode, self).new_pod(cid)
        if cid == "c1":
            pod.cid = f"{pathlib.Path(pod.path).name}-{uuid.uuid4().hex}"
        return pod

    def new_pods(self, count):
        made = [self.new_pod("c1") for _ in range(count)]
        self.pods += made
        return made

    def reachable(self):
        return OUTSIDE

    def held(self):
        return sorted(f"{s['container_id']}/{s['ifname']}" for s in self.states())

    def kernel(self):
        pods, self.pods = self.pods, []
        try:
            return [row for row in self.everything() if not row.startswith("remembered: ") and not row.endswith(".json")]
        finally:
            self.pods = pods

    def left_over(self):
        return self.remembered()

    def calls_elsewhere(self):
        """To whom else a call could have led: there is nobody."""
        return None

    def backend(self, up):
        """Nothing runs behind this plugin."""

    def close(self):
        self.batch([[[self.job("DEL", pod, ifname=ifname)]] for pod in self.pods for ifname in {"eth0", *pod.results}], workers=4)
        super().close()
