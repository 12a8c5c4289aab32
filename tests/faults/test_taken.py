# SPDX-License-Identifier: Apache-2.0
"""Somebody else changes what the node has: addresses, prefixes, subnets. Free ones are not given out; what pods have stays theirs."""
import re
from ipaddress import ip_address, ip_network

import pytest

from tests.faults.mortal import Mortal
from tests.faults.world import TYPE, configure, enis, fill, refusal, refused, slots_of, vpc, whole
from tests.harness.cni import CniError
from tests.harness.symptoms import operator_sees

SETTLE_MS = 61000       # for so long EC2 may not show yet what it has just given
SETTINGS = {"warm_ip_target": 0, "minimum_ip_target": 3, "ip_cooldown_s": 0, "add_wait_ms": 10000,
            "disable_leaked_eni_cleanup": True}


@pytest.fixture(params=[False, True], ids=["addresses", "prefixes"])
def pool(request, make_lab, tmp_path, wait_until):
    """A node with a pod, and what it has at EC2 for so long that EC2 is believed: three addresses, or two prefixes -> (lab, node, pod)"""
    settings = {**SETTINGS, **({"prefix_delegation": True, "minimum_ip_target": 32} if request.param else {})}
    lab = make_lab("--no-daemon", config=vpc(), daemon_config=settings)
    node, mortal = lab.nodes[0], Mortal(lab, tmp_path)
    mortal.start()
    wait_until(lambda: mortal.at_rest(settings["minimum_ip_target"]), "the pool")
    pod = node.pod()
    pod.add()
    mortal.page.forward(SETTLE_MS)
    yield lab, node, pod
    mortal.close()


def take(lab, node, slot):
    """Behind its back; then something makes the daemon look."""
    lab.control("unassign", eni=enis(lab)[0]["id"], cidr=slot)
    node.run("kill", "-HUP", str(node.daemon_pid()))


def holding(node, pod):
    """The slot of a pod's address."""
    return next(s for s in slots_of(node) if ip_address(pod.result.address) in ip_network(s))


def test_a_free_one_is_taken(pool, wait_until):
    lab, node, pod = pool
    taken = next(s for s in slots_of(node) if s != holding(node, pod))
    lab.fault("AssignPrivateIpAddresses", "InternalError")      # it could be given again at once
    take(lab, node, taken)
    wait_until(lambda: taken not in slots_of(node), "it to be forgotten")
    got, said = fill(node, 40)
    assert said and ip_network(taken) not in {ip_network(str(p.result.address)).supernet(new_prefix=ip_network(taken).prefixlen)
                                              for p in got}
    lab.clear_faults()
    for each in got:
        each.delete()
    whole(lab, node, [pod])


def test_the_one_that_a_pod_has_is_taken(pool, wait_until):
    """The pod keeps its address until it goes; STATUS says that it is cut off; nobody else gets it."""
    lab, node, pod = pool
    lab.fault("AssignPrivateIpAddresses", "InternalError")
    take(lab, node, holding(node, pod))
    wait_until(lambda: node.info()["pool"]["orphaned"] == 1, "it to be noticed")
    assert [p["address"] for p in node.info()["pods"]] == [str(pod.result.address)]
    with pytest.raises(CniError) as caught:
        pod.call("STATUS", version="1.1.0")
    assert (caught.value.code, caught.value.msg) == (51, "EC2 has taken away the addresses of 1 pods: delete them, their controllers "
                                                         "make new ones")
    operator_sees(node, "EC2 has taken away the addresses of")
    lab.clear_faults()
    others, _ = fill(node, 4)
    assert len(others) == 4 and pod.result.address not in [p.result.address for p in others]
    pod.delete()
    wait_until(lambda: node.info()["pool"]["orphaned"] == 0, "it to be forgotten")
    whole(lab, node, others)


def test_the_subnet_of_new_enis_is_deleted(make_lab, wait_until):
    """It is named in the configuration; EC2 says once that it is gone, and is not asked again. Another one takes over at a change."""
    config = vpc(type={**TYPE, "ipv4_per_eni": 2})
    config["subnets"] += [{"id": "subnet-0b", "cidr": "10.0.1.0/24", "az": "a"}, {"id": "subnet-0c", "cidr": "10.0.2.0/24", "az": "a"}]
    settings = {**SETTINGS, "minimum_ip_target": 1, "add_wait_ms": 1200}
    lab = make_lab(config=config, daemon_config={**settings, "subnet_id": "subnet-0b"})
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["available"], "the first address")
    lab.control("delete-subnet", subnet="subnet-0b")
    got, said = fill(node, 3)
    assert len(got) == 1
    said = refusal(node)
    assert re.fullmatch(r"no free address, and nowhere to create an ENI: .*subnet-0b.*", said), said
    assert lab.control("counters")["counters"]["CreateNetworkInterface"] == {"calls": 1, "errors": {"InvalidSubnetID.NotFound": 1}}
    configure(node, **settings, subnet_id="subnet-0c")
    pod = node.pod()
    wait_until(lambda: refused(pod) is None, "an address from the other subnet")
    assert str(pod.result.address).startswith("10.0.2.")
    whole(lab, node, [*got, pod])


def test_no_block_for_a_prefix(make_lab, wait_until):
    """InsufficientCidrBlocks: pods get single addresses of the same subnet, and prefixes again when there are blocks again."""
    settings = {**SETTINGS, "minimum_ip_target": 0, "warm_prefix_target": 1, "prefix_delegation": True, "subnet_retry_s": 1}
    del settings["warm_ip_target"], settings["minimum_ip_target"]
    # slots enough: where single addresses have taken the last one, there is none for a prefix
    lab = make_lab(config=vpc(type={"name": "pods.roomy", "max_enis": 3, "ipv4_per_eni": 20, "nitro": True}), daemon_config=settings)
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["prefixes"] == 1, "a prefix")
    lab.control("fragment", subnet="subnet-0a", free_prefixes=0)
    pods, said = fill(node, 20)
    assert not said and len(pods) == 20
    assert node.info()["pool"]["secondary_addresses"] >= 4
    lab.control("unfragment", subnet="subnet-0a")
    more, said = fill(node, 20)
    assert not said
    wait_until(lambda: node.info()["pool"]["prefixes"] > 1, "another prefix")
    whole(lab, node, pods + more)
