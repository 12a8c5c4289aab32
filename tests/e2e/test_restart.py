# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed and started again: pods keep their addresses and their traffic, ENIs are found again."""
import pytest

from tests.harness import audit, cni, proc

LAB = {"nodes": 2, "instance_type": "m5.large"}


def restart(node, during=lambda: None):
    """kill -9, then start the daemon again as the lab started it; back when it serves."""
    old = node.daemon_pid()
    node.lab.kill_daemon(node.name)
    during()
    node.lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    assert node.daemon_pid() != old


def at_rest(pool):
    return pool["available"] >= pool["warm_low"] and not pool["actions_under_way"]


@pytest.fixture
def pods(lab):
    made = [lab.nodes[0].pod() for _ in range(4)] + [lab.nodes[1].pod()]
    for pod in made:
        pod.add()
    for node in lab.nodes:      # what the pods made the pool grow by is there: it would come in the middle of a test
        proc.wait_until(lambda n=node: at_rest(n.info()["pool"]), lambda n=node: f"a pool at rest: {n.info()['pool']}")
    yield made
    for pod in made:
        pod.delete()
        pod.remove()


def test_pods_keep_their_addresses(node, pods):
    held = audit.books(node)
    kernel = audit.kernel(node)
    enis = sorted(e["id"] for e in node.info()["enis"])
    restart(node)
    assert audit.books(node) == held
    proc.wait_until(lambda: sorted(e["id"] for e in node.info()["enis"]) == enis, "the daemon to know its ENIs again")
    assert not audit.difference(kernel, audit.kernel(node))
    for pod in pods:
        assert pod.check() is None
    assert pods[0].pings(pods[-1].result.address) and pods[3].pings(pods[-1].result.address)


def test_traffic_flows_while_the_daemon_is_dead(node, pods):
    restart(node, during=lambda: [p.pings(pods[-1].result.address) or pytest.fail(f"{p.name} lost its network") for p in pods[:-1]])


def test_a_new_pod_gets_an_address_that_nobody_has(node, pods):
    restart(node)
    new = node.pod()
    try:
        assert new.add().address not in {p.result.address for p in pods}
    finally:
        new.delete()
        new.remove()


def test_a_delete_while_the_daemon_is_dead_is_made_up_for(node, pods):
    gone = pods.pop(0)
    restart(node, during=gone.delete)
    assert not [a for a in audit.books(node) if gone.container_id in a]
    proc.wait_until(lambda: gone.result.host_interface["name"] not in str(node.json("ip", "-j", "link")), "its link to be reaped")
    gone.remove()


def test_an_add_while_the_daemon_is_dead_says_so(node, pods):
    new = node.pod()
    inside = audit.netns(new)

    def attempt():
        with pytest.raises(cni.CniError) as error:
            new.add(conf={"timeout_ms": 300})       # it waits for a daemon that comes back, as long as it may
        assert error.value.code == 11
        assert "vpcwired" in error.value.msg
        assert not audit.difference(inside, audit.netns(new))

    restart(node, during=attempt)
    new.remove()
