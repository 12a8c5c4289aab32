# SPDX-License-Identifier: Apache-2.0
"""standard and strict, revoke and keep, and what the node itself may: the settings of network policy on living pods."""
import contextlib

import pytest

from tests.harness import kubeproxy
from tests.harness.policy import PORT, Connection, Policies, Server, connects, network_policy, settings

LAB = {"nodes": 2, "instance_type": "t3.medium"}
NODE_PORT = 30080


@pytest.fixture(scope="module")
def pods(lab):
    """a and b on the first node, which has policies; c on the second, which has none. Each serves, and both nodes do."""
    made = {name: lab.nodes[name == "c"].pod(name) for name in "abc"}
    for pod in made.values():
        pod.add()
    servers = [Server(p.node, p.netns) for p in made.values()] + [Server(n, None) for n in lab.nodes]
    yield made
    for s in servers:
        s.stop()
    for pod in made.values():
        pod.delete()
        pod.remove()


@pytest.fixture
def folder(lab):
    p = Policies(lab.nodes[0])
    yield p
    if p.status()["objects"]:
        p.change(p.clear)


def reached(pods, lab, pairs):
    """Of ("a", "b"), ("node-1", "a"), ...: those that can connect."""
    places = {**{n: (p.node, p.netns, p.result.address) for n, p in pods.items()},
              **{n.name: (n, None, n.imds("local-ipv4")) for n in lab.nodes}}
    found = set()
    for source, target in pairs:
        node, netns, _ = places[source]
        c = Connection(node, netns, places[target][2])
        if c.alive():
            found.add((source, target))
        c.close()
    return found


WITHIN = {("a", "b"), ("a", "c"), ("c", "a"), ("b", "node-2"), ("node-2", "b")}
OWN_NODE = {("node-1", "a"), ("node-1", "b"), ("a", "node-1")}


def test_standard_lets_pods_without_policy_alone(lab, pods, folder):
    assert folder.status()["mode"] == "standard"
    assert reached(pods, lab, WITHIN | OWN_NODE) == WITHIN | OWN_NODE


def test_strict_leaves_the_own_node_alone(lab, pods, folder):
    """Probes of the node's kubelet pass, and pods reach their node; everything else needs a policy, in each direction."""
    with settings(folder, network_policy="strict"):
        assert folder.status()["mode"] == "strict"
        assert reached(pods, lab, WITHIN | OWN_NODE) == OWN_NODE
        folder.put("in.json", network_policy("in", ingress=[{}]))
        assert reached(pods, lab, WITHIN | OWN_NODE) == OWN_NODE | {("c", "a"), ("node-2", "b")}
        folder.put("out.json", network_policy("out", policyTypes=["Egress"], egress=[{}]))
        assert reached(pods, lab, WITHIN | OWN_NODE) == OWN_NODE | WITHIN
        folder.change(folder.clear)
    assert reached(pods, lab, WITHIN) == WITHIN


def test_a_pod_that_starts_in_strict_mode_is_strict(lab, pods, folder):
    with settings(folder, network_policy="strict"):
        fresh = lab.nodes[0].pod("fresh")
        fresh.add()
        try:
            assert reached({**pods, "fresh": fresh}, lab, {("fresh", "c"), ("fresh", "node-1"), ("c", "fresh")}) == {("fresh", "node-1")}
        finally:
            fresh.delete()
            fresh.remove()


def test_keep_leaves_flows_alone_and_revoke_cuts_them(pods, folder):
    flow = Connection(pods["c"].node, pods["c"].netns, pods["a"].result.address)
    with settings(folder, policy_flows="keep"):
        assert flow.alive()
        folder.put("deny.json", network_policy("deny", policyTypes=["Ingress", "Egress"]))
        assert flow.alive() and not connects(pods["c"], pods["a"].result.address)
        assert folder.status()["flows_of_changed_policies"] == "keep"
    # back to revoke: what the policy in force denies is over
    assert folder.status()["flows_of_changed_policies"] == "revoke"
    assert not flow.alive()
    flow.close()


@contextlib.contextmanager
def node_port(lab, dialect, backend):
    """A node port of the first node -> what to connect to."""
    service = kubeproxy.Service("10.96.0.1", None, NODE_PORT, backend.result.address, None, target_port=PORT)
    kubeproxy.install(lab.nodes[0], [service], dialect)
    yield lab.nodes[0].imds("local-ipv4"), NODE_PORT
    kubeproxy.remove(lab.nodes[0], dialect)


@pytest.mark.parametrize("dialect", kubeproxy.DIALECTS)
@pytest.mark.parametrize("backend", ["a", "c"])
def test_a_node_port_leads_nowhere_that_policy_denies(lab, pods, folder, dialect, backend):
    """A pod may always reach its node; what the node hands on, to the same node or another, is judged by where it really goes."""
    with node_port(lab, dialect, pods[backend]) as door:
        assert connects(pods["b"], *door)
        policy = network_policy("out", policyTypes=["Egress"])
        folder.put("out.json", policy)
        assert connects(pods["b"], door[0])                 # a socket of the node's own
        assert not connects(pods["b"], *door)
        if backend == "a":
            assert connects(pods["a"], *door)               # itself, whatever the way
        policy["spec"]["egress"] = [{"to": [{"ipBlock": {"cidr": f"{pods[backend].result.address}/32"}}], "ports": [{"port": PORT}]}]
        folder.put("out.json", policy)
        assert connects(pods["b"], *door)


@pytest.mark.parametrize("dialect", kubeproxy.DIALECTS)
def test_what_was_translated_to_the_nodes_address_is_not_the_node(lab, pods, folder, dialect):
    """A node port's clients come under the node's address: they are judged, and as whom policy_node_ip says."""
    with node_port(lab, dialect, pods["a"]) as door:
        assert connects(pods["c"], *door)
        folder.put("deny.json", network_policy("deny", policyTypes=["Ingress"]))
        assert not connects(pods["c"], *door) and reached(pods, lab, OWN_NODE) == OWN_NODE
        with settings(folder, policy_node_ip=True):
            assert connects(pods["c"], *door)
        assert not connects(pods["c"], *door)
