# SPDX-License-Identifier: Apache-2.0
"""A lab whose first node has a trunk, and pods there with branch ENIs: by the annotation of their manifests, with security groups."""
import contextlib
import json

from tests.harness import proc
from tests.harness.ec2 import Ec2
from tests.harness.lab import Lab
from tests.harness.policy import Policies, Server
from tests.harness.trunk import Branch, attach_trunk

ANNOTATION = "vpc.amazonaws.com/pod-eni"
PORT = 8080
MODES = ("strict", "standard")
ANY = [{"protocol": "-1", "cidr": "0.0.0.0/0"}, {"protocol": "-1", "cidr": "::/0"}]
GROUPS = [{"name": "open"},
          {"name": "closed", "ingress": [{"protocol": "tcp", "ports": "9", "cidr": "192.0.2.1/32"}], "egress": ANY},
          {"name": "mute", "ingress": ANY, "egress": [{"protocol": "tcp", "ports": "9", "cidr": "192.0.2.1/32"}]}]
INSTANCES = [{"name": f"node-{n}", "type": "m5.large", "role": "vpcwire-node", "public_ip": f"198.51.100.{n}", "security_groups": ["open"], "ipv6_addresses": 1} for n in (1, 2)]
CONFIG = {"security_groups": GROUPS, "instances": INSTANCES}


class SgpPlace:
    """A lab whose first node has a trunk; branch(vlan, group) makes a branch ENI, tell() writes the manifests of pods."""

    def __init__(self, lab, mode, ipv6):
        self.lab, self.node, self.mode, self.ipv6 = lab, lab.nodes[0], mode, ipv6
        self.ec2 = Ec2(lab)
        self.groups = {g["GroupName"]: g["GroupId"] for g in self.ec2.describe_security_groups()["SecurityGroups"]}
        self.trunk = attach_trunk(self.ec2, self.node, 2)
        lab.stop_daemon(self.node.name)             # it learns of the trunk in its first survey
        lab.start_daemon(self.node.name)
        self.branches, self.objects, self.pods = {}, {}, []

    def branch(self, vlan, group="open"):
        if vlan not in self.branches:
            more = {"Ipv6AddressCount": 1} if self.ipv6 else {}
            self.branches[vlan] = Branch(self.ec2, self.trunk, vlan, groups=[self.groups[group]], **more)
        return self.branches[vlan]

    def annotation(self, vlan, **more):
        b = self.branches[vlan]
        return json.dumps([{"eniId": b.id, "ifAddress": b.mac, "privateIp": b.address, "ipv6Addr": b.address6, "vlanId": vlan,
                            "subnetCidr": "10.0.0.0/20", "subnetV6Cidr": "", "associationID": b.assoc, **more}])

    def tell(self, pod, annotation=None, wants=True, **meta):
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name, "namespace": "default", **meta},
                "spec": {"nodeName": pod.node.name, "containers": [{"name": "sidecar"}, {"name": "main"}]}}
        if annotation:
            made["metadata"]["annotations"] = {ANNOTATION: annotation}
        if wants:
            made["spec"]["containers"][1]["resources"] = {"limits": {ANNOTATION: "1"}}
        self.objects[(pod.node.name, pod.name)] = made
        self.write(pod.node)
        return made

    def write(self, node):
        Policies(node).write("pods.json", *[o for (where, _), o in self.objects.items() if where == node.name])

    def pod(self, vlan=None, group="open", node=None):
        """A pod, wired and serving; with a vlan, to a branch ENI."""
        pod = (node or self.node).pod()
        pod.run("ip", "link", "set", "lo", "up")
        if vlan:
            self.branch(vlan, group)
        self.tell(pod, self.annotation(vlan) if vlan else None, wants=bool(vlan))
        pod.add()
        self.pods.append((pod, Server(pod.node, pod.netns)))
        return pod

    def clear(self):
        for pod, server in self.pods:
            server.stop()
            pod.delete()
            pod.remove()
        self.pods, self.objects = [], {}
        for node in self.lab.nodes:
            Policies(node).clear()

    def close(self):
        self.ec2.close()


@contextlib.contextmanager
def sgp_lab(mode, ipv6=False, **settings):
    """Two nodes with security groups of pods in this mode, and with more settings of the daemon -> SgpPlace, serving."""
    daemon = {"enable_pod_eni": True, "max_eni": 2, "pod_security_group_enforcing_mode": mode, "enable_ipv6": ipv6, **settings}
    with Lab(*(["--ipv6"] if ipv6 else []), config=CONFIG, daemon_config=daemon) as lab:
        place = SgpPlace(lab, mode, ipv6)
        proc.wait_until(place.node.serves, "the daemon to serve")
        yield place
        place.clear()
        place.close()
        for node in lab.nodes:
            assert lab.stop_daemon(node.name) == 0, node.daemon_log()
            assert "Sanitizer" not in node.daemon_log(), node.daemon_log()
