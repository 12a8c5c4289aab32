# SPDX-License-Identifier: Apache-2.0
"""vpcwire-eni in a lab: ENIs of the simulated EC2, moved into containers and back, beside a daemon that serves other pods."""
import ipaddress
import json

import pytest

from tests.harness import audit, cni, proc
from tests.harness.ec2 import Ec2
from tests.harness.lab import Pod

LAB = {"nodes": 2, "instance_type": "m5.xlarge"}
NO_MANAGE = [{"ResourceType": "network-interface", "Tags": [{"Key": "node.k8s.amazonaws.com/no_manage", "Value": "true"}]}]
PEERED = "192.168.100.10"


@pytest.fixture(scope="module")
def ec2(lab):
    client = Ec2(lab)
    yield client
    client.close()


class Task:
    """A container as ECS makes one: an ENI of its own, whose facts stand in the network configuration."""

    def __init__(self, node, ec2, device=3, **more):
        self.node, self.ec2, self.pod = node, ec2, node.pod()
        subnet = ec2.primary(node)["SubnetId"]
        self.eni = ec2.create_network_interface(SubnetId=subnet, TagSpecifications=NO_MANAGE, Ipv6AddressCount=1)["NetworkInterface"]
        self.attachment = ec2.attach_network_interface(NetworkInterfaceId=self.eni["NetworkInterfaceId"],
                                                       InstanceId=node.facts["instance_id"], DeviceIndex=device)["AttachmentId"]
        self.address, self.address6 = self.eni["PrivateIpAddress"], self.eni["Ipv6Addresses"][0]["Ipv6Address"]
        facts = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]
        net = ipaddress.ip_network(facts["CidrBlock"])
        self.conf = {"cniVersion": "1.1.0", "name": "awsvpc", "type": "vpcwire-eni", "eniMACAddress": self.eni["MacAddress"],
                     "eniIPAddresses": [f"{self.address}/{net.prefixlen}", f"{self.address6}/64"],
                     "gatewayIPAddresses": [str(net.network_address + 1), "fe80:ec2::1"], **more}

    def call(self, command, **env):
        plugin = f"{self.node.lab.env['CNI_PATH'].split(':')[0]}/vpcwire-eni"
        prev = {"prevResult": self.result} if command in ("CHECK", "DEL") and self.result else {}
        done = self.node.run("env", "-i", *self.pod.cni_env(command, **env), plugin, input=json.dumps({**self.conf, **prev}), check=False)
        return cni.judge(done, "1.1.0", command)

    result = None

    def add(self):
        self.result = self.call("ADD")
        return self.result

    def links(self):
        return [l["ifname"] for l in self.node.json("ip", "-j", "link", "show") if l["address"] == self.eni["MacAddress"]]

    def close(self):
        self.call("DEL")
        self.pod.remove()
        self.ec2.detach_network_interface(AttachmentId=self.attachment)
        self.ec2.delete_network_interface(NetworkInterfaceId=self.eni["NetworkInterfaceId"])


@pytest.fixture
def task(node, ec2):
    made = Task(node, ec2)
    yield made
    made.close()


def test_a_container_with_an_eni_is_a_host_of_the_vpc(lab, node, task):
    """Both ways, both families: other nodes, a pod of the daemon's on this node and on another, the peered network."""
    before = audit.kernel(node)
    task.add()
    here, there = node.pod(), lab.nodes[1].pod()
    for pod in (here, there):
        pod.add()
    node_address = lab.nodes[1].imds("local-ipv4")
    for address in (node_address, here.result.address, there.result.address, PEERED):
        assert task.pod.pings(address), address
    for pod in (here, there):
        assert pod.pings(task.address)
    assert lab.nodes[1].run("ping", "-n", "-q", "-c1", "-w5", task.address, check=False).returncode == 0
    assert task.pod.seen_as(PEERED) == task.address
    assert task.pod.pings("fd00:db8:100::10") and task.pod.fetch("http://[fd00:db8:100::10]/")
    assert task.pod.fetch("http://169.254.169.254/latest/meta-data/") is None       # 401 without a token: it answers
    task.call("CHECK")
    for pod in (here, there):
        pod.delete()
        pod.remove()
    task.call("DEL")
    assert task.links() == ["eth3"]
    audit.settled(node, before + [f"attachment: {a}" for a in audit.books(node)])


def test_block_instance_metadata(node, ec2):
    task = Task(node, ec2, blockInstanceMetadata=True)
    task.add()
    asked = task.pod.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "3", "--noproxy", "*", "http://169.254.169.254/",
                         check=False).stdout
    assert asked == "000" and task.pod.pings(PEERED)
    task.close()


@pytest.mark.parametrize("path", ["the path", ""])
def test_the_eni_is_the_hosts_again_after_the_container_died(node, task, path):
    """Its namespace is gone with everything in it. Hardware comes back by itself, under another name; DEL gives it its own."""
    task.add()
    task.pod.remove()
    task.call("DEL", CNI_NETNS=task.pod.netns if path else "")
    proc.wait_until(lambda: task.links() == ["eth3"], lambda: f"eth3, not {task.links()}")
    task.pod = Pod(node, f"{task.pod.name}-again")
    node.run("ip", "netns", "add", task.pod.name)
    task.add()
    assert task.pod.pings(PEERED)


def test_an_eni_of_the_daemon_is_refused(node, ec2, task):
    """What vpcwired routes pods by is not given away."""
    managed = proc.wait_until(lambda: [e for e in node.info()["enis"] if e["device"] != 0], "a second ENI of the daemon's")[0]
    facts = ec2.describe_network_interfaces(NetworkInterfaceIds=[managed["id"]])["NetworkInterfaces"][0]
    task.conf["eniMACAddress"] = facts["MacAddress"]
    before = audit.kernel(node)
    with pytest.raises(cni.CniError) as caught:
        task.add()
    assert caught.value.code == 7 and "no_manage" in caught.value.msg
    assert audit.kernel(node) == before
