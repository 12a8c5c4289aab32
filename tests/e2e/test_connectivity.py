# SPDX-License-Identifier: Apache-2.0
"""Packets: who reaches whom, and under which source address, on two nodes of one VPC with an internet and a peered network."""
import ipaddress
import subprocess

import pytest

LAB = {"nodes": 2, "instance_type": "t3.small"}
INTERNET = "203.0.113.10"
PEERED = "192.168.100.10"
# A t3.small has 3 ENIs of 4 addresses: 3 pods fit on each ENI, so the fourth one is on the second ENI.
PODS_OF_FIRST_ENI = 3


@pytest.fixture(scope="module")
def pods(lab):
    """Enough pods on the first node for two ENIs, and one on the second node."""
    made = [lab.nodes[0].pod() for _ in range(PODS_OF_FIRST_ENI + 2)] + [lab.nodes[1].pod()]
    for pod in made:
        pod.add()
    yield made
    for pod in made:
        pod.delete()
        pod.remove()


@pytest.fixture(scope="module")
def first_eni(pods):
    return pods[0]


@pytest.fixture(scope="module")
def second_eni(pods):
    return pods[PODS_OF_FIRST_ENI + 1]


@pytest.fixture(scope="module")
def other_node(pods):
    return pods[-1]


def test_the_pods_are_on_two_enis(lab, pods):
    enis = {lab.nodes[0].eni_of(p.result.address)["id"] for p in pods[:-1]}
    assert len(enis) >= 2


def test_every_pod_reaches_every_other(pods):
    lost = [(a.name, b.name) for a in pods for b in pods if a is not b and not a.pings(b.result.address)]
    assert not lost


@pytest.mark.parametrize("which", ["first_eni", "second_eni"])
def test_node_and_pod_reach_each_other(lab, which, request):
    pod = request.getfixturevalue(which)
    host = primary_address(lab.nodes[0])
    assert pod.pings(host)
    assert lab.nodes[0].run("ping", "-n", "-q", "-c", "1", "-w", "5", pod.result.address, check=False).returncode == 0


def test_another_node_reaches_pods(lab, first_eni, second_eni):
    for pod in (first_eni, second_eni):
        assert lab.nodes[1].run("ping", "-n", "-q", "-c", "1", "-w", "5", pod.result.address, check=False).returncode == 0


@pytest.mark.parametrize("which", ["first_eni", "second_eni", "other_node"])
def test_internet_sees_the_nodes_public_address(which, request):
    """To the internet a pod goes by the primary ENI under the node's address, which the gateway maps to its public one."""
    pod = request.getfixturevalue(which)
    seen = pod.seen_as(INTERNET)
    assert seen, "no answer from the internet"
    assert not ipaddress.ip_address(seen) in ipaddress.ip_network("10.0.0.0/8"), seen
    assert seen == public_address(pod.node)


@pytest.mark.parametrize("which", ["first_eni", "second_eni", "other_node"])
def test_inside_the_vpc_pods_keep_their_address(lab, pods, which, request):
    """A server in a pod sees the client pod's own address: no NAT inside the VPC."""
    client = request.getfixturevalue(which)
    server = pods[-1] if client is not pods[-1] else pods[0]
    assert seen_by(server, client) == client.result.address


def seen_by(server, client):
    """The source address that a TCP server in one pod sees of a client in another."""
    argv = server.node.argv("nsenter", f"--net={server.netns}", "/usr/bin/python3", "-u", "-c",
                            "import socket; s = socket.create_server(('', 8080)); print('ready'); s.settimeout(20); "
                            "print(s.accept()[1][0])")
    proc = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=server.node.env())
    try:
        assert proc.stdout.readline() == "ready\n"
        client.run("/usr/bin/python3", "-c",
                   f"import socket; socket.create_connection(('{server.result.address}', 8080), 10)")
        return proc.communicate(timeout=25)[0].strip()
    finally:
        proc.kill()
        proc.wait()


def primary_address(node):
    return node.imds("local-ipv4")


def public_address(node):
    """What EC2 says: the association of the node's primary ENI."""
    return node.imds("public-ipv4")


@pytest.mark.parametrize("which", ["first_eni", "second_eni"])
def test_a_spoofed_source_gets_nowhere(pods, which, request):
    """A pod that sends from another pod's address is not heard, and is heard again under its own."""
    pod = request.getfixturevalue(which)
    other = pods[1]
    target = pods[-1]
    pod.run("ip", "addr", "add", f"{other.result.address}/32", "dev", "eth0")
    try:
        spoofed = pod.run("ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", "-I", other.result.address, target.result.address,
                          check=False)
        assert spoofed.returncode != 0
    finally:
        pod.run("ip", "addr", "del", f"{other.result.address}/32", "dev", "eth0")
    assert pod.pings(target.result.address)


def test_the_peered_network_is_reached(first_eni, second_eni):
    """Outside the VPC's CIDR but inside private space: reached through the router, by default under the node's address."""
    for pod in (first_eni, second_eni):
        seen = pod.seen_as(PEERED)
        assert seen == primary_address(pod.node)


def test_a_network_set_to_see_no_nat_sees_the_pod(make_lab):
    lab = make_lab(daemon_config={"exclude_snat_cidrs": [f"{PEERED}/32"]})
    pod = lab.nodes[0].pod()
    pod.add()
    assert pod.seen_as(PEERED) == pod.result.address
    assert pod.seen_as(INTERNET) == public_address(pod.node)
