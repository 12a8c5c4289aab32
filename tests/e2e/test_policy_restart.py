# SPDX-License-Identifier: Apache-2.0
"""The daemon dies and comes back under ten thousand living flows: none loses a packet, and none gets through that policy denies."""
import os

import pytest

from tests.harness import flows, proc
from tests.harness.policy import Policies, network_policy

LAB = {"args": ["--ipv6"], "instance_type": "t3.medium"}
FLOWS = proc.times(10000)
RESTARTS = int(os.environ.get("VPCWIRE_RESTARTS", proc.times(20)))


def among(selector):
    """TCP and UDP to one port among pods of a namespace, in both directions; nothing else."""
    peers, ports = [{"podSelector": selector}], [{"protocol": p, "port": flows.PORT} for p in ("TCP", "UDP")]
    return network_policy("among", policyTypes=["Ingress", "Egress"], ingress=[{"from": peers, "ports": ports}],
                          egress=[{"to": peers, "ports": ports}])


@pytest.fixture(scope="module")
def pods(lab):
    """a and b in one namespace, and a stranger in another whom no policy holds back."""
    made = [lab.nodes[0].pod(name) for name in ("a", "b", "stranger")]
    for pod, namespace in zip(made, ("default", "default", "elsewhere")):
        pod.add(env={"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod.name}"})
    yield made
    for pod in made:
        pod.delete()
        pod.remove()


def assert_whole(ends, when):
    told = {e.name: e.state() for e in ends}
    assert all((s.lost, s.leaked, s.strays) == (0, 0, 0) for s in told.values()), f"{when}: {told}"


@pytest.mark.limit(60 + 30 * RESTARTS)
def test_restarts_under_ten_thousand_flows(lab, pods):
    node = lab.nodes[0]
    folder = Policies(node)
    folder.put("among.json", among({}))
    with flows.between(*pods, FLOWS) as everybody:
        flows.more_rounds(everybody, 1)
        taken_up = folder.status()["events"].get("pickup", 0)
        for i in range(RESTARTS):
            (lab.stop_daemon if i % 2 else lab.kill_daemon)(node.name)
            flows.more_rounds(everybody, 1)
            lab.start_daemon(node.name)
            proc.wait_until(lambda: node.serves() and folder.settled(), "the daemon to have its policy in force")
            assert_whole(everybody, f"restart {i + 1}")
        flows.more_rounds(everybody, 1)
        assert_whole(everybody, "the end")
        assert all(e.state().fired for e in everybody)
        assert folder.status()["events"].get("pickup", 0) == taken_up, "flows were taken up in mid-stream: their entries were lost"
    folder.take("among.json")


def test_without_policy_the_packets_get_through(pods):
    """The test above looks for absences. (After it: flows that were taken up in mid-stream keep their choice of direction.)"""
    with flows.between(*pods, 100) as ends:
        flows.more_rounds(ends, 2)
        assert all(e.state().leaked and not e.state().lost for e in ends[:2]), [e.state() for e in ends]
