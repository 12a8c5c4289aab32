# SPDX-License-Identifier: Apache-2.0
"""vpcwire-eni in branch mode, for the 60 rows: each container's interface is a branch ENI of the node's trunk, eth1.

What a VPC does with tags stands at the trunk's other end: the router, where the same plugin makes a gateway's interface of a tag, with maps
and files of its own. That tags are what the VPC's are is judged elsewhere, by a fabric with tags of its own (tests/eni/test_branch.py).
"""
import json
import pathlib
import uuid

from tests.conformance.eninode import OUTSIDE, PLUGIN, AloneNode
from tests.conformance.subject import Pod
from tests.harness import cni, proc

TRUNK, SPARE, FIRST = "eth1", 4000, 4001


class BranchSubject(AloneNode):
    """`only_one`: all want the same branch."""

    def __init__(self, plugin, tmp_path, only_one=False):
        self.tags, self.gateways, self.only_one = {}, set(), only_one
        super().__init__(tmp_path)
        self.plugin = plugin
        self.bpf = tmp_path / "bpf"
        self.bpf.mkdir()
        proc.run(["mount", "-t", "bpf", "bpf", str(self.bpf)])
        self.eni(1)
        proc.run(["ip", "link", "set", TRUNK, "up"])
        self.vpc = Pod(self, tmp_path / "vpc", "gateways")
        pathlib.Path(self.vpc.path).touch()
        proc.run(["unshare", f"--net={self.vpc.path}", "true"])
        self.vpc.run("ip", "link", "set", "lo", "up")
        self.vpc.run("ip", "addr", "add", f"{OUTSIDE}/32", "dev", "lo")
        # what the first one pins stays, as on any node; a first one that is killed is in tests/eni/test_branch.py
        first = super().new_pod("first")
        for command in ("ADD", "DEL"):
            self.call(command, super().conf(**self.branch_conf(FIRST)), first)
        super().drop_pod(first)

    # --- branches

    def tag(self, pod, ifname):
        if self.only_one:
            return 2
        return SPARE if not isinstance(pod, Pod) else self.tags.setdefault((pod.path, ifname), len(self.tags) + 2)

    @staticmethod
    def subnet(tag):
        return f"10.{1 + tag // 256}.{tag % 256}"

    def branch_conf(self, tag):
        """The keys of vpc-branch-eni."""
        net = self.subnet(tag)
        return {"trunkName": TRUNK, "branchVlanID": str(tag), "branchMACAddress": f"02:00:00:07:{tag // 256:02x}:{tag % 256:02x}",
                "ipAddresses": [f"{net}.5/24"], "gatewayIPAddresses": [f"{net}.1"], "interfaceType": "vlan", "bpfDir": str(self.bpf / "node")}

    def gateway(self, tag):
        """The VPC's router in this branch's subnet."""
        if tag in self.gateways:
            return
        self.gateways.add(tag)
        conf = {"cniVersion": "1.1.0", "name": "vpc", "type": "vpcwire-eni", "stateDir": str(self.tmp / "vpc-state"), **self.branch_conf(tag),
                "trunkName": "v1", "branchMACAddress": f"02:00:00:fe:{tag // 256:02x}:{tag % 256:02x}",
                "ipAddresses": [f"{self.subnet(tag)}.1/24"], "gatewayIPAddresses": [], "bpfDir": str(self.bpf / "vpc")}
        env = self.env("ADD", self.vpc, ifname=f"g{tag}")
        cni.judge(self.run_exact(env, ["nsenter", f"--net={self.router}", PLUGIN], json.dumps(conf)), "1.1.0", "ADD of a gateway")

    # --- a subject

    def conf(self, version="1.1.0", pod=None, ifname="eth0", **more):
        return super().conf(version, pod, ifname, **{**self.branch_conf(self.tag(pod, ifname)), **more})

    def new_pod(self, cid):
        pod = super().new_pod(cid)
        pod.cid = f"{pathlib.Path(pod.path).name}-{uuid.uuid4().hex}" if cid == "c1" else cid
        return pod

    def new_pods(self, count):
        made = [self.new_pod("c1") for _ in range(count)]
        self.pods += made
        return made

    def dies(self, pod):
        """The pair goes with the namespace."""
        ends = [f"{TRUNK}.{self.tag(pod, ifname)}" for ifname in pod.results]
        self.drop_pod(pod)
        proc.wait_until(lambda: not {l["ifname"] for l in self.json("link", "show")} & set(ends), "the kernel to have removed the namespace")

    def reachable(self):
        for pod, ifname in list(self.tags):
            if any(p.path == pod for p in self.pods):
                self.gateway(self.tags[pod, ifname])
        return super().reachable()

    def close(self):
        super().close()
        for path in (self.vpc.path, self.bpf):
            proc.run(["umount", "-l", str(path)], check=False)
