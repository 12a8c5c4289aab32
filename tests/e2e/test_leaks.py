# SPDX-License-Identifier: Apache-2.0
"""ENIs that dead nodes left behind: removed, by one node, and only those."""
import datetime
import json

import pytest

CLUSTER = "cluster-1"
SWEEPER = "vpcwire.io/sweeper"
SETTINGS = {"leak_check_s": 1, "cluster_name": CLUSTER, "warm_ip_target": 1}


def config(nodes):
    return {"vpcs": [{"id": "vpc-0a", "cidr": "10.0.0.0/16"}], "subnets": [{"id": "subnet-0a", "cidr": "10.0.0.0/24", "az": "a"}],
            "instances": [{"name": f"node{n}", "id": f"i-0{n}", "type": "t3.medium", "subnet": "subnet-0a", "role": "node"}
                          for n in range(1, nodes + 1)]}


def leave(node, owner, age_s=3600, cluster=CLUSTER, **more):
    """An ENI as a node leaves it that died between creating and attaching it."""
    tags = {"node.k8s.amazonaws.com/instance_id": owner, **more}
    if cluster:
        tags["cluster.k8s.amazonaws.com/name"] = cluster
    if age_s is not None:
        created = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age_s)
        tags["node.k8s.amazonaws.com/createdAt"] = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    spec = [{"ResourceType": "network-interface", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]
    made = node.ec2("create-network-interface", "--subnet-id", "subnet-0a", "--tag-specifications", json.dumps(spec))
    return made["NetworkInterface"]["NetworkInterfaceId"]


def enis(lab):
    return {e["id"]: e for e in lab.control("state")["state"]["enis"]}


def holders(lab):
    return [e["node"] for e in enis(lab).values() if SWEEPER in e["tags"]]


def looked(lab, times):
    """True once so many lists of ENIs were read from now on; a look reads at least one."""
    start = lab.ec2_calls().get("DescribeNetworkInterfaces", 0)
    return lambda: lab.ec2_calls().get("DescribeNetworkInterfaces", 0) >= start + times


@pytest.fixture
def cluster(make_lab, wait_until):
    """Three nodes; the first one holds the lease."""
    lab = make_lab("--no-daemon", config=config(3), daemon_config=SETTINGS)
    lab.start_daemon("node1")
    wait_until(lambda: holders(lab) == ["node1"], "the first node to take the lease")
    lab.start_daemon("node2")
    lab.start_daemon("node3")
    wait_until(lambda: lab.nodes[1].serves() and lab.nodes[2].serves(), "the others to serve")
    return lab


def test_leaks_of_the_dead_are_removed_and_nothing_else(cluster, wait_until):
    node = cluster.nodes[0]
    dead = [leave(node, "i-0dead"), leave(node, "i-0gone")]
    kept = [leave(node, "i-0dead", age_s=60), leave(node, "i-0dead", age_s=None), leave(node, "i-0dead", cluster="cluster-2"),
            leave(node, "i-0dead", cluster=None), leave(node, "i-0dead", **{"node.k8s.amazonaws.com/no_manage": "true"})]
    wait_until(lambda: not set(dead) & set(enis(cluster)), "the leaked ENIs to be removed", timeout=30)
    wait_until(looked(cluster, 6), "more looks", timeout=30)
    assert set(kept) <= set(enis(cluster))
    # once each: the other nodes did not try as well
    assert cluster.ec2_calls()["DeleteNetworkInterface"] == len(dead)
    assert holders(cluster) == ["node1"]
    assert "leaked ENI is removed" in node.daemon_log()


def test_a_living_node_removes_its_own(cluster, wait_until):
    """A reboot drops open intents: what was created and not attached is found by the node itself, and by no other one."""
    cluster.kill_daemon("node2")
    left, dead = leave(cluster.nodes[0], "i-02"), leave(cluster.nodes[0], "i-0dead")
    wait_until(lambda: dead not in enis(cluster), "the dead node's to be removed", timeout=30)
    wait_until(looked(cluster, 4), "more looks", timeout=30)
    assert left in enis(cluster)
    cluster.start_daemon("node2")
    wait_until(lambda: left not in enis(cluster), "its owner to remove it", timeout=30)


@pytest.mark.limit(120)
def test_another_node_takes_over_from_one_that_is_stuck(cluster, wait_until):
    cluster.kill_daemon("node1")
    leaked = leave(cluster.nodes[1], "i-0dead")
    wait_until(lambda: leaked not in enis(cluster), "another node to remove it", timeout=60)
    assert set(holders(cluster)) > {"node1"}


def test_the_lease_goes_with_its_holder(cluster, wait_until):
    cluster.control("terminate-instance", instance="node1")
    leaked = leave(cluster.nodes[1], "i-01")
    wait_until(lambda: leaked not in enis(cluster), "another node to remove it", timeout=30)
    assert len(holders(cluster)) >= 1 and "node1" not in holders(cluster)


def test_a_node_where_it_is_switched_off_takes_no_part(make_lab, wait_until):
    lab = make_lab(config=config(2), daemon_config={**SETTINGS, "disable_leaked_eni_cleanup": True})
    off, on = lab.nodes
    leaked = leave(off, "i-0dead")
    text = json.dumps(SETTINGS)
    on.run("sh", "-ec", 'cat > /etc/vpcwire/new; mv /etc/vpcwire/new /etc/vpcwire/vpcwired.json', input=text)
    wait_until(lambda: leaked not in enis(lab), "the other node to remove it", timeout=30)
    wait_until(looked(lab, 4), "more looks", timeout=30)
    assert holders(lab) == ["node2"]
    assert "looks for leaked ENIs" not in off.daemon_log()


def test_a_node_that_may_not_tag_removes_nothing(make_lab, wait_until):
    """Without the permission there is no lease, and without a lease everybody would look."""
    world = config(1)
    world["roles"] = [{"name": "node", "deny": ["CreateTags"]}, {"name": "admin"}]
    lab = make_lab(config=world, daemon_config=SETTINGS)
    node = lab.nodes[0]
    wait_until(lambda: "leaked ENIs could not be looked for" in node.daemon_log(), "the warning")
    assert "CreateTags" in node.daemon_log()
    assert not holders(lab)
