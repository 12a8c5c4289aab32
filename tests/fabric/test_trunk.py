# SPDX-License-Identifier: Apache-2.0
"""Branch ENIs in the fabric: their frames travel over the trunk's link with a tag, and only so."""
import json
import pathlib

import pytest

from tests.harness.ec2 import Ec2
from tests.harness.lab import Lab
from tests.harness.trunk import Branch, attach_trunk

TAGGED = pathlib.Path(__file__).with_name("tagged.py")
ROUTER = "10.0.0.1"


@pytest.fixture(scope="module")
def vpc():
    with Lab("--no-daemon", nodes=1, instance_type="m5.large") as lab:
        yield lab


@pytest.fixture(scope="module")
def ec2(vpc):
    client = Ec2(vpc)
    yield client
    client.close()


@pytest.fixture(scope="module")
def trunk(vpc, ec2):
    node = vpc.nodes[0]
    made = attach_trunk(ec2, node)
    node.run("ip", "link", "set", "eth1", "up")
    return made


@pytest.fixture
def branch(ec2, trunk):
    made = Branch(ec2, trunk, 7)
    yield made
    made.close()


def ask(vpc, vlan, mac, source, target=ROUTER, seconds=2, ifname="eth1"):
    done = vpc.nodes[0].run("/usr/bin/python3", str(TAGGED), ifname, vlan, mac, source, target, seconds, timeout=30)
    return json.loads(done.stdout)


def seen(vpc, eni):
    return next((e for e in vpc.control("fabric")["enis"] if e["eni"] == eni), None)


def test_a_branch_talks_under_its_tag(vpc, branch, trunk):
    answer = ask(vpc, 7, branch.mac, branch.address)
    assert answer["arp"] and answer["echo"] and answer["vlan"] == 7
    row = seen(vpc, branch.id)
    assert (row["trunk"], row["vlan"], row["node"]) == (trunk["NetworkInterfaceId"], 7, "node-1")


def test_two_branches_of_one_trunk(vpc, ec2, trunk, branch):
    other = Branch(ec2, trunk, 4094)
    for b in (branch, other):
        assert ask(vpc, b.vlan, b.mac, b.address)["echo"]
    other.close()
    assert ask(vpc, branch.vlan, branch.mac, branch.address)["echo"] and seen(vpc, other.id) is None


@pytest.mark.parametrize("vlan", [0, 6])
def test_nobody_answers_under_another_tag(vpc, branch, vlan):
    """The router asks nobody for credentials in ARP; packets are another matter."""
    answer = ask(vpc, vlan, branch.mac, branch.address, seconds=0.5)
    assert not answer["echo"] and (answer["arp"] is None) == (vlan != 0)


def test_the_trunk_itself_has_no_tag(vpc, trunk, branch):
    vpc.nodes[0].run("ip", "addr", "replace", f"{trunk['PrivateIpAddress']}/32", "dev", "eth1")
    assert ask(vpc, 0, trunk["MacAddress"], trunk["PrivateIpAddress"])["echo"]
    assert not ask(vpc, 7, trunk["MacAddress"], trunk["PrivateIpAddress"], seconds=0.5)["echo"]


def test_a_branch_is_held_to_its_own_address_and_mac(vpc, ec2, trunk, branch):
    before = seen(vpc, branch.id)["spoofed"]
    assert not ask(vpc, 7, branch.mac, trunk["PrivateIpAddress"], seconds=0.5)["echo"]
    assert not ask(vpc, 7, "02:00:00:00:00:99", branch.address, seconds=0.5)["echo"]
    assert seen(vpc, branch.id)["spoofed"] > before


def test_the_tag_ends_with_the_association(vpc, ec2, trunk):
    gone = Branch(ec2, trunk, 9)
    assert ask(vpc, 9, gone.mac, gone.address)["echo"]
    gone.close()
    assert ask(vpc, 9, gone.mac, gone.address, seconds=0.5)["arp"] is None


def test_branches_live_on_when_the_trunk_comes_back_from_a_dead_namespace(vpc, branch, wait_until, trunk):
    node = vpc.nodes[0]
    node.run("ip", "netns", "add", "c1")
    node.run("ip", "link", "set", "eth1", "netns", "c1")
    node.run("ip", "netns", "del", "c1")
    (link,) = wait_until(lambda: [l for l in node.json("ip", "-j", "link", "show") if l["address"] == trunk["MacAddress"]], "the trunk")
    node.run("ip", "link", "set", link["ifname"], "name", "eth1", "up")
    assert ask(vpc, 7, branch.mac, branch.address)["echo"]


def test_branches_that_were_associated_first_come_with_the_trunk(make_lab, make_ec2):
    lab = make_lab("--no-daemon", nodes=1, instance_type="m5.large")
    ec2, node = make_ec2(lab), lab.nodes[0]
    trunk = ec2.create_network_interface(SubnetId=ec2.primary(node)["SubnetId"], InterfaceType="trunk")["NetworkInterface"]
    early = Branch(ec2, trunk, 3)
    assert seen(lab, early.id) is None
    att = ec2.attach_network_interface(NetworkInterfaceId=trunk["NetworkInterfaceId"], InstanceId=node.facts["instance_id"],
                                       DeviceIndex=2)["AttachmentId"]
    node.run("ip", "link", "set", "eth2", "up")
    assert ask(lab, 3, early.mac, early.address, ifname="eth2")["echo"]
    ec2.detach_network_interface(AttachmentId=att, Force=True)
    assert seen(lab, early.id) is None and seen(lab, trunk["NetworkInterfaceId"]) is None
