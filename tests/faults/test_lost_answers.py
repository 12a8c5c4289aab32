# SPDX-License-Identifier: Apache-2.0
"""EC2 does what it was asked to, and the answer is lost. Nothing is created twice, and nothing is left over."""
import pytest

from tests.faults.world import TYPE, configure, enis, refused, vpc, whole
from tests.harness import proc

SETTINGS = {"warm_ip_target": 0, "minimum_ip_target": 1, "ip_cooldown_s": 0, "add_wait_ms": 20000, "disable_leaked_eni_cleanup": True}
WIDE = {**TYPE, "name": "pods.wide", "max_enis": 30, "ipv4_per_eni": 2}
LAB = {"config": vpc(type=WIDE), "daemon_config": SETTINGS}
LOST = {"closed": {"kind": "close"}, "cut off": {"kind": "truncate", "bytes": 150}, "empty": {"kind": "truncate", "bytes": 0},
        "half an element": {"kind": "truncate", "bytes": 331}}


def lose(lab, action, how):
    lab.control("reset-counters")
    lab.control("fault", action=action, **LOST[how])


def lost(lab):
    """The answer has been lost: a fault that has struck is on the list no more."""
    return not lab.control("faults")["faults"]


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("action", ["CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"])
def test_a_new_eni(lab, node, action, how):
    """The token finds what was created, a describe what was attached and tied to the instance."""
    def ids():
        return {e["id"] for e in enis(lab)}

    before = ids()      # one that is no longer needed may go meanwhile
    lose(lab, action, how)
    while not ids() - before:
        said = refused(node.pod())
        assert said is None, said
    assert len(ids() - before) == 1
    # no pod waits for the last of the three
    proc.wait_until(lambda: lost(lab) and all(e["delete_on_termination"] for e in enis(lab) if e["id"] not in before), "the answer to be lost", 30)


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("settings", [{}, {"prefix_delegation": True}], ids=["address", "prefix"])
def test_more_for_an_eni(make_lab, wait_until, settings, how):
    """Neither twice nor lost: what the ENI has beyond what was known is what was given."""
    lab = make_lab(config=vpc(), daemon_config={**SETTINGS, **settings})
    node = lab.nodes[0]
    wait_until(lambda: node.info()["pool"]["available"], "the first")
    total = node.info()["pool"]["total"]
    lose(lab, "AssignPrivateIpAddresses", how)
    configure(node, **{**SETTINGS, **settings, "minimum_ip_target": total + 1})
    wait_until(lambda: node.info()["pool"]["total"] > total, "more")
    assert node.info()["pool"]["total"] == total + (16 if settings else 1)
    assert lost(lab) and lab.ec2_calls()["AssignPrivateIpAddresses"] == 1       # the describe told; it was not sent again
    whole(lab, node)


@pytest.mark.parametrize("how", LOST)
def test_an_ipv6_prefix(make_lab, wait_until, how):
    config = vpc()
    config["vpcs"][0]["ipv6_cidrs"] = ["2001:db8:7600::/56"]
    config["subnets"][0]["ipv6"] = "2001:db8:7600::/64"
    config["instances"][0]["ipv6_addresses"] = 1
    lab = make_lab("--no-daemon", "--ipv6", config=config, daemon_config=SETTINGS)
    node = lab.nodes[0]
    lose(lab, "AssignIpv6Addresses", how)
    lab.start_daemon(node.name)
    wait_until(lambda: node.serves() and node.info()["enis"][0].get("ipv6_prefix"), "a /80")
    [eni] = enis(lab)
    assert [c for c in eni["v6"] if c.endswith("/80")] == [node.info()["enis"][0]["ipv6_prefix"]]
    pod = node.pod()
    wait_until(lambda: refused(pod) is None, "an address of each family")
    assert lost(lab) and lab.ec2_calls()["AssignIpv6Addresses"] == 1
    pod.delete()


@pytest.mark.limit(120)
def test_answers_that_never_come(make_lab, wait_until):
    """EC2 keeps silent, on three nodes and three actions at the same time; a request is given up after 15 s, and looked after."""
    names = ["node1", "node2", "node3"]
    config = vpc(type=WIDE)
    config["instances"] = [{**config["instances"][0], "name": n, "id": f"i-0{n[-1]}"} for n in names]
    lab = make_lab(config=config, daemon_config=SETTINGS)
    for node in lab.nodes:
        wait_until(lambda n=node: n.info()["pool"]["available"], "the first address")
        node.pod().add()
    for action in ("CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"):
        lab.control("fault", action=action, kind="hang")
    for node in lab.nodes:
        configure(node, **{**SETTINGS, "minimum_ip_target": 2})
    for node in lab.nodes:
        wait_until(lambda n=node: n.info()["pool"]["total"] == 2, "an ENI", timeout=60)
    wait_until(lambda: lost(lab), "silence upon each of the actions")
    state = lab.control("state")["state"]["enis"]
    assert sorted(e["node"] for e in state) == sorted(2 * names), "an ENI was leaked or made twice"
