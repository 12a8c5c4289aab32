# SPDX-License-Identifier: Apache-2.0
"""EC2 throttles an action, or does not answer. ADD never waits for EC2 while the pool has addresses; requests stay few."""
import time

import pytest

from tests.faults.world import configure, empty, recover, refused, told, vpc, whole
from tests.harness.lab import parallel

# every growth is a new ENI
TYPE = {"name": "pods.wide", "max_enis": 30, "ipv4_per_eni": 2, "nitro": True}
SETTINGS = {"warm_ip_target": 1, "ip_cooldown_s": 0, "add_wait_ms": 1000, "disable_leaked_eni_cleanup": True}
LAB = {"config": vpc(type=TYPE), "daemon_config": SETTINGS}


def at_rest(lab, wait_until):
    """-> the lab's node, its pool at rest and with an address to spare."""
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["available"] and not node.info()["pool"]["actions_under_way"], "a warm pool")
    lab.control("reset-counters")
    return node


@pytest.fixture
def warm(lab, node, wait_until):
    """-> the shared lab's node; the faults end with the test."""
    return at_rest(lab, wait_until)


@pytest.fixture
def unused(make_lab, wait_until):
    """-> a lab whose node has its own rate of calls unused, which other tests of the same node would have drawn on."""
    lab = make_lab(**LAB)
    at_rest(lab, wait_until)
    yield lab
    recover(lab, lab.nodes[0])


def throttled(lab, action, every_s):
    """Pods are served from what is there; the rest is refused with the action's name; requests come no faster than every @every_s."""
    node = lab.nodes[0]
    lab.fault(action, "RequestLimitExceeded")
    began, there = time.monotonic(), node.info()["pool"]["available"]
    # EC2 has just refused it, or the node holds back by itself since
    got = told(node, rf"no free address: EC2 throttles: ec2:{action}( is kept to this node's own rate)? \(next try in \d+ s\)", 40)
    assert len(got) >= there > 0
    told(node, f".*ec2:{action} .*")
    assert 0 < lab.ec2_calls()[action] <= 3 + (time.monotonic() - began) / every_s


def test_create_is_throttled(unused):
    throttled(unused, "CreateNetworkInterface", 2)


def test_attach_is_throttled(unused):
    """It backs off within the call: the ENI is there already. What cannot be attached in the end is deleted again."""
    throttled(unused, "AttachNetworkInterface", 0.5)


def test_assign_is_throttled(make_lab, wait_until):
    lab = make_lab(config=vpc(), daemon_config=SETTINGS)
    at_rest(lab, wait_until)
    throttled(lab, "AssignPrivateIpAddresses", 2)
    recover(lab, lab.nodes[0])


def test_a_bucket_with_a_token_in_the_second(make_lab):
    """EC2's own limiter: the pool grows as tokens come, and each pod gets an address in the end."""
    lab = make_lab(config=vpc(buckets={"AssignPrivateIpAddresses": {"size": 1, "refill_per_s": 1}}),
                   daemon_config={**SETTINGS, "add_wait_ms": 30000})
    node = lab.nodes[0]
    pods = node.pods(5)
    parallel([pod.add for pod in pods])
    whole(lab, node, pods)


@pytest.mark.parametrize("how", [{"code": "RequestLimitExceeded"}, {"kind": "hang"}, {"code": "InternalError"}],
                         ids=["throttled", "hangs", "fails"])
def test_tying_an_eni_to_the_instance_keeps_nobody_waiting(unused, wait_until, how):
    lab, warm = unused, unused.nodes[0]
    configure(warm, **{**SETTINGS, "add_wait_ms": 14000})       # for the node's own rate; a call that hangs is given up after 15 s
    lab.fault("ModifyNetworkInterfaceAttribute", **how)
    known = {e["id"] for e in warm.info()["enis"]}
    while not lab.ec2_calls().get("ModifyNetworkInterfaceAttribute"):
        assert refused(warm.pod()) is None
    fresh = {e["id"] for e in warm.info()["enis"]} - known
    lab.clear_faults()
    configure(warm, **SETTINGS)
    wait_until(lambda: all(e["delete_on_termination"] for e in lab.control("state")["state"]["enis"] if e["id"] in fresh),
               "the new ENI to be deleted with the instance", timeout=40)
    recover(lab, warm)


def test_nothing_of_ec2_is_in_the_way_of_an_add(lab, warm, wait_until):
    """No call ends, the one that is under way neither: pods get what the pool has."""
    configure(warm, **{**SETTINGS, "warm_ip_target": 5})
    wait_until(lambda: warm.info()["pool"]["available"] >= 5, "five addresses")
    lab.fault("*", kind="delay", delay_ms=5000)
    assert len(empty(warm)) >= 5
    assert warm.info()["pool"]["actions_under_way"]
    configure(warm, **SETTINGS)


@pytest.mark.parametrize("action", ["DescribeNetworkInterfaces", "DescribeInstanceTypes", "DescribeSubnets"])
def test_reads_are_throttled_at_a_start(lab, warm, wait_until, action):
    """What EC2 will not tell, metadata does, or it is asked again: pods are served meanwhile, and keep their addresses."""
    pod, another = warm.pods(2)
    configure(warm, **{**SETTINGS, "warm_ip_target": 2})
    wait_until(lambda: warm.info()["pool"]["available"] >= 2, "a warm pool")
    pod.add()
    lab.fault(action, "RequestLimitExceeded")
    lab.stop_daemon(warm.name)
    lab.start_daemon(warm.name)
    wait_until(warm.serves, "the daemon to serve")
    another.add()
    assert another.result.address != pod.result.address
    lab.clear_faults()
    wait_until(lambda: warm.info()["discovered"], "the node to be known", timeout=40)
    whole(lab, warm, [pod, another], timeout=40)
    configure(warm, **SETTINGS)
