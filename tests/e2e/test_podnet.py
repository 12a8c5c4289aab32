# SPDX-License-Identifier: Apache-2.0
"""A pod's network beyond one interface of the usual size: MTU, path MTU discovery, several interfaces in one pod."""
import contextlib

import pytest

from tests.harness import audit, cni, kubeproxy, proc, traffic
from tests.harness.traffic import Place

LAB = {"args": ("--ipv6",), "nodes": 2, "instance_type": "t3.small", "daemon_config": {"ip_cooldown_s": 0}}
NARROW = 1400                   # what the links to the outside are made to carry


@pytest.fixture(scope="module")
def two_enis(lab):
    with traffic.behind_both(lab.nodes[0]) as found:
        yield found


def mtu(where, dev):
    return where.json("ip", "-j", "link", "show", "dev", dev)[0]["mtu"]


# --- MTU


def test_pods_have_the_mtu_of_the_enis(lab, two_enis):
    node = lab.nodes[0]
    for pod in two_enis:
        assert mtu(pod, "eth0") == mtu(node, pod.result.host_interface["name"]) == mtu(node, node.eni_of(pod.result.address)["ifname"]) == 9001


@pytest.mark.parametrize("header,family", [(28, 4), (48, 6)])
def test_a_packet_of_the_whole_mtu_passes_between_nodes(lab, two_enis, header, family):
    other = Place.node(lab.nodes[1]).of(family)
    for pod in two_enis:
        ping = ("ping", "-n", "-q", "-c", "1", "-w", "5", "-M", "do", "-s")
        assert pod.run(*ping, str(9001 - header), other, check=False).returncode == 0
        assert pod.run(*ping, str(9001 - header + 1), other, check=False).returncode != 0


def test_both_mtus_are_settings(make_lab):
    lab = make_lab(daemon_config={"eni_mtu": 1500, "pod_mtu": 1400})
    node, pod = lab.nodes[0], lab.nodes[0].pod()
    try:
        pod.add("1.1.0")
        assert mtu(pod, "eth0") == mtu(node, pod.result.host_interface["name"]) == pod.result.pod_interface["mtu"] == 1400
        assert {mtu(node, e["ifname"]) for e in node.info()["enis"]} == {1500}
    finally:
        pod.delete()
        pod.remove()


# --- path MTU: only the router towards the outside knows that its link is narrow; ends and nodes have 9001


@pytest.fixture(scope="module")
def narrow(lab):
    outside = {which: Place.outside(lab, which) for which in ("internet", "peered")}
    fabric = Place("fabric", [proc.SIM, "exec", "fabric", "--"], lab.nodes[0].env())
    for link in ("igw", "peer"):
        fabric.run("ip", "link", "set", link, "mtu", str(NARROW))
    with traffic.serving(list(outside.values())):
        yield outside
    for link in ("igw", "peer"):
        fabric.run("ip", "link", "set", link, "mtu", "9001")


def path_mtu(pod, to):
    """What a pod has learnt of the way to an address, by the kernel's own cache."""
    return next((r.get("metrics", [{}])[0].get("mtu") for r in pod.json("ip", "-j", "route", "get", to)), None)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("which", ["internet", "peered"])
def test_what_a_pod_sends_learns_the_way(two_enis, narrow, which, family, proto):
    """The router's answer comes to the node's address where the pod's was translated, and reaches the pod."""
    server = narrow[which]
    for pod in two_enis:
        pod.run("ip", "-4" if family == 4 else "-6", "route", "flush", "cache")
        answer = Place.pod(pod).reaches(server.of(family), proto=proto, send=200_000 if proto == "tcp" else 4000)
        assert answer and answer["size"] >= 4000, f"{pod.name} to {server.name}: {answer}"
        assert path_mtu(pod, server.of(family)) == NARROW


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_what_a_pod_answers_by_a_node_port_learns_the_way(lab, two_enis, narrow, policy, family, proto):
    node, client = lab.nodes[0], narrow["peered"]
    for pod in two_enis:
        service = kubeproxy.Service("10.96.0.1", "fd00:10:96::1", 30080, pod.result.address, pod.result.address6, local=policy == "Local")
        kubeproxy.install(node, [service], "nftables")
        try:
            with traffic.serving([Place.pod(pod)]):
                to = node.imds("local-ipv4") if family == 4 else traffic.node_address6(node)
                assert client.reaches(to, 30080, proto=proto, want=200_000 if proto == "tcp" else 4000), f"{pod.name} {policy}"
        finally:
            kubeproxy.remove(node, "nftables")


# --- several interfaces


@contextlib.contextmanager
def interfaces(pod, names):
    """-> {ifname: Result}; all gone again at the end."""
    results = {}
    try:
        for name in names:
            results[name] = cni.Result(pod.call("ADD", ifname=name), "1.0.0")
        yield results
    finally:
        for name in results:
            pod.delete(ifname=name, prev_result=results[name].raw)


def test_every_interface_of_a_pod_asks_and_answers_by_itself(lab, two_enis):
    node, pod = lab.nodes[0], lab.nodes[0].pod()
    before, rules = audit.pod_objects(node), node.json("ip", "-j", "rule", "show")
    neighbour, other = Place.pod(two_enis[1]), Place.node(lab.nodes[1])
    try:
        with interfaces(pod, ("eth0", "net1", "net2")) as results:
            place = Place("pod", node.argv("nsenter", f"--net={pod.netns}"), node.env())
            addresses = {name: (r.address, r.address6) for name, r in results.items()}
            assert len({a for pair in addresses.values() for a in pair}) == 6
            assert len({node.eni_of(r.address)["id"] for r in results.values()}) > 1, "a further interface is on another ENI"
            with traffic.serving([place, neighbour, other]):
                for name, pair in addresses.items():
                    for family, own in zip((4, 6), pair):
                        for peer in (neighbour, other):
                            for proto in ("tcp", "udp", "icmp"):
                                where = f"{name} {own} {proto} {peer.name}"
                                assert peer.reaches(own, proto=proto), f"{where}: not reached"
                                answer = place.reaches(peer.of(family), proto=proto, **{"from": own})
                                assert answer and (proto == "icmp" or answer["seen"] == own), f"{where}: {answer}"
                    assert pod.check(ifname=name, prev_result=results[name].raw) is None
            assert node.json("ip", "-j", "rule", "show") == rules
    finally:
        pod.remove()
    proc.wait_until(lambda: audit.pod_objects(node) == before, "its links to be reaped")


@pytest.mark.parametrize("goes", ["eth0", "net1"])
def test_one_interface_goes_and_the_others_stay(lab, two_enis, goes):
    node, pod = lab.nodes[0], lab.nodes[0].pod()
    other = Place.node(lab.nodes[1])
    try:
        with interfaces(pod, ("eth0", "net1", "net2")) as results:
            place = Place("pod", node.argv("nsenter", f"--net={pod.netns}"), node.env())
            pod.delete(ifname=goes, prev_result=results[goes].raw)
            proc.wait_until(lambda: goes not in {l["ifname"] for l in pod.json("ip", "-j", "link")}, f"{goes} to be reaped")
            stay = [r for name, r in results.items() if name != goes]
            with traffic.serving([place, other]):
                for result in stay:
                    assert other.reaches(result.address) and other.reaches(result.address6)
                    for family, own in ((4, result.address), (6, result.address6)):
                        assert place.reaches(other.of(family), **{"from": own})["seen"] == own
            for name in {"net1", "net2"} - {goes}:
                assert pod.check(ifname=name, prev_result=results[name].raw) is None
    finally:
        pod.remove()
