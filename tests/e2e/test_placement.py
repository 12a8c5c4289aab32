# SPDX-License-Identifier: Apache-2.0
"""Where pods' addresses come from: whose ENIs are used, in which subnets new ones are made, and what is never touched."""
import ipaddress
import json

import pytest

from tests.harness.cni import CniError

READS = {"DescribeNetworkInterfaces", "DescribeInstanceTypes", "DescribeSubnets"}
KEY = "k8s.amazonaws.com/eniConfig"
POLICY_DIR = "/etc/vpcwire/policy.d"
INTERNET = "203.0.113.10"
WAIT_MS = 20000         # where nothing can come, an ADD does not wait; growth takes as long as the machine takes for it

# 3 ENIs of 6 addresses, like a t3.medium, but with trunks.
TYPE, SLOTS = {"name": "pods.medium", "max_enis": 3, "ipv4_per_eni": 6, "nitro": True, "trunking": True, "branch_enis": 4}, 5


def vpc(nodes=1, **primary):
    """Three subnets in the node's zone: the primary ENI's, one tagged for pods, one not tagged; and one in another zone."""
    return {
        "vpcs": [{"id": "vpc-0a", "cidr": "10.0.0.0/16", "cidrs": ["100.64.0.0/16"]}],
        "subnets": [{"id": "subnet-0a", "cidr": "10.0.0.0/24", "az": "a"},
                    {"id": "subnet-0b", "cidr": "10.0.1.0/24", "az": "a", "tags": {"kubernetes.io/role/cni": "1"}},
                    {"id": "subnet-0c", "cidr": "100.64.0.0/24", "az": "a"},
                    {"id": "subnet-0d", "cidr": "10.0.4.0/24", "az": "b", "tags": {"kubernetes.io/role/cni": "1"}}],
        "security_groups": [{"id": "sg-0a", "name": "nodes"}, {"id": "sg-0b", "name": "pods"}],
        "instance_types": [TYPE],
        "instances": [{"name": f"node{n}", "type": TYPE["name"], "subnet": "subnet-0a", "role": "node", "security_groups": ["nodes"],
                       "public_ip": f"198.51.100.{n}", **(primary if n == 1 else {})} for n in range(1, nodes + 1)],
    }


def subnet(config, name, **changes):
    next(s for s in config["subnets"] if s["id"] == name).update(changes)
    return config


def enis(lab, instance="node1"):
    return [e for e in lab.control("state")["state"]["enis"] if e.get("node") == instance]


def start(node, wait_until):
    """The daemon of a lab that was made without: it is up when it knows its node, whether or not it has addresses."""
    node.lab.start_daemon(node.name)
    wait_until(lambda: answers(node), "the daemon to know its node")


def answers(node):
    try:
        return node.info()["discovered"]
    except AssertionError:
        return False


def write(node, path, content):
    """As a person does it: a new file moved into place."""
    text = content if isinstance(content, str) else json.dumps(content)
    node.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat > "$1.new"; mv "$1.new" "$1"', "-", path, input=text)


def configure(node, **settings):
    write(node, "/etc/vpcwire/vpcwired.json", settings)


def logged(node, text):
    return text in node.daemon_log()


def add_until_full(node, limit):
    """-> (pods that got an address, the error of the first that did not)"""
    got = []
    for pod in node.pods(limit):
        try:
            pod.add()
        except CniError as exc:
            return got, exc
        got.append(pod)
    return got, None


# --- what is never touched

def test_imds_only_never_speaks_to_ec2(make_lab):
    lab = make_lab(config=vpc(ipv4_secondaries=3), daemon_config={"imds_only": True, "add_wait_ms": WAIT_MS})
    node = lab.nodes[0]
    pods, error = add_until_full(node, 4)
    assert len(pods) == 3
    assert error.code == 11 and "switched off" in str(error)
    assert pods[0].pings(pods[2].result.address)
    assert pods[0].seen_as(INTERNET) == node.imds("public-ipv4")
    calls = {a: n for a, n in lab.ec2_calls().items() if n}
    assert not calls, calls


def test_imds_only_follows_what_others_attach_and_detach(make_lab, wait_until):
    settings = {"imds_only": True, "add_wait_ms": WAIT_MS}
    lab = make_lab(config=vpc(ipv4_secondaries=1), daemon_config=settings)
    node = lab.nodes[0]
    first = node.pod()
    first.add()
    eni = attach(lab, node, 1)
    node.ec2("assign-private-ip-addresses", "--network-interface-id", eni, "--secondary-private-ip-address-count", "2")
    configure(node, **settings)     # looks at once; by itself it would within a minute
    wait_until(lambda: len(node.info()["enis"]) == 2 and node.info()["pool"]["available"] == 2, "the ENI to be found")
    pods = node.pods(2)
    for pod in pods:
        pod.add()
    assert pods[0].pings(first.result.address)
    lab.control("detach-eni", eni=eni)
    configure(node, **settings)
    wait_until(lambda: logged(node, "an ENI is gone while pods use it"), "the daemon to see that it is gone")
    assert len(node.info()["enis"]) == 2    # pods have addresses of it: nothing in use is dropped
    for pod in pods:
        pod.delete()
    configure(node, **settings, ip_cooldown_s=0)
    wait_until(lambda: len(node.info()["enis"]) == 1, "the ENI to be forgotten")


def test_provisioning_off_changes_nothing_at_ec2(make_lab, wait_until):
    lab = make_lab(config=vpc(ipv4_secondaries=2), daemon_config={"disable_provisioning": True, "add_wait_ms": WAIT_MS})
    pods, error = add_until_full(lab.nodes[0], 3)
    assert len(pods) == 2
    assert error.code == 11 and "switched off" in str(error)
    for pod in pods:
        pod.delete()
    lab.kill_daemon("node1")
    lab.start_daemon("node1")
    wait_until(lambda: lab.nodes[0].serves() and not lab.nodes[0].info()["surveying"], "the daemon to have looked around")
    assert set(a for a, n in lab.ec2_calls().items() if n) <= READS


def attach(lab, node, device, eni_type=None, tags=None, groups="sg-0a"):
    """An ENI that somebody else puts on the node."""
    made = node.ec2("create-network-interface", "--subnet-id", "subnet-0a", "--groups", groups,
                    *(["--interface-type", eni_type] if eni_type else []),
                    *(["--tag-specifications", json.dumps([{"ResourceType": "network-interface", "Tags": [
                        {"Key": k, "Value": v} for k, v in tags.items()]}])] if tags else []))
    eni = made["NetworkInterface"]["NetworkInterfaceId"]
    instance = next(i["id"] for i in lab.control("state")["state"]["instances"] if i["name"] == node.name)
    node.ec2("attach-network-interface", "--network-interface-id", eni, "--instance-id", instance, "--device-index", str(device))
    return eni


@pytest.mark.parametrize("settings, tags, eni_type", [
    ({}, {"node.k8s.amazonaws.com/no_manage": "true"}, None),
    ({}, {"node.k8s.amazonaws.com/instance_id": "i-0123456789abcdef0"}, None),
    ({"manage_untagged_eni": False}, None, None),
    ({}, None, "trunk"),
    ({}, None, "efa-only"),
])
def test_enis_of_others_are_left_alone_and_counted(make_lab, wait_until, settings, tags, eni_type):
    lab = make_lab("--no-daemon", config=vpc(), daemon_config={"add_wait_ms": WAIT_MS, **settings})
    node = lab.nodes[0]
    theirs = attach(lab, node, 2, eni_type, tags)
    before = next(e for e in enis(lab) if e["id"] == theirs)
    start(node, wait_until)
    pods, error = add_until_full(node, 2 * SLOTS + 1)
    assert len(pods) == 2 * SLOTS, node.daemon_log()
    assert error.code == 11 and "3 of 3 ENIs" in str(error)
    assert theirs not in [e["id"] for e in node.info()["enis"]]
    assert next(e for e in enis(lab) if e["id"] == theirs) == before


@pytest.mark.parametrize("restart", [False, True], ids=["", "over a restart"])
@pytest.mark.parametrize("tags, eni_type", [({"node.k8s.amazonaws.com/no_manage": "true"}, None), (None, "trunk")], ids=["no_manage", "trunk"])
def test_enis_of_others_are_left_alone_while_ec2_does_not_answer(make_lab, wait_until, tags, eni_type, restart):
    """Metadata shows them like any other; what EC2 said of them before still counts."""
    lab = make_lab("--no-daemon", config=vpc(), daemon_config={"add_wait_ms": 1000})
    node = lab.nodes[0]
    theirs = attach(lab, node, 2, eni_type, tags)
    if not eni_type:
        node.ec2("assign-private-ip-addresses", "--network-interface-id", theirs, "--secondary-private-ip-address-count", "3")
    before = next(e for e in enis(lab) if e["id"] == theirs)
    start(node, wait_until)
    lab.fault("*", "InternalError")
    if restart:
        lab.stop_daemon(node.name)
        start(node, wait_until)
    else:
        configure(node, add_wait_ms=1000, log_level="info")     # a reload looks again
    wait_until(lambda: logged(node, "EC2 did not answer, going on with what IMDS says") and not node.info()["surveying"], "the survey",
               timeout=60)
    assert theirs not in [e["id"] for e in node.info()["enis"]], node.daemon_log()
    pods, _ = add_until_full(node, 3 * SLOTS)
    assert not {p.result.address for p in pods} & {ipaddress.ip_address(a.split("/")[0]) for a in before["v4"]}
    lab.clear_faults()
    wait_until(lambda: len(enis(lab)) == 3 and len(node.info()["enis"]) == 2, "the other place to be used", timeout=60)
    assert next(e for e in enis(lab) if e["id"] == theirs) == before


def test_max_eni_counts_enis_of_others(make_lab, wait_until):
    lab = make_lab("--no-daemon", config=vpc(), daemon_config={"add_wait_ms": WAIT_MS, "max_eni": 2})
    node = lab.nodes[0]
    attach(lab, node, 1, tags={"node.k8s.amazonaws.com/no_manage": "true"})
    start(node, wait_until)
    pods, error = add_until_full(node, SLOTS + 1)
    assert len(pods) == SLOTS
    assert error.code == 11 and "2 of 2 ENIs (MAX_ENI)" in str(error)


def test_an_eni_tagged_away_keeps_its_pods_and_gets_no_new_ones(make_lab, wait_until):
    lab = make_lab(config=vpc(), daemon_config={"add_wait_ms": WAIT_MS})
    node = lab.nodes[0]
    pods = node.pods(SLOTS + 1)
    for pod in pods:
        pod.add()
    second = next(e for e in node.info()["enis"] if not e["primary"] and e["assigned"])
    node.ec2("create-tags", "--resources", second["id"], "--tags", "Key=node.k8s.amazonaws.com/no_manage,Value=true")
    configure(node, add_wait_ms=WAIT_MS, log_level="info")     # a reload looks again
    wait_until(lambda: logged(node, "left alone from now on"), "the daemon to see the tag")
    more, _ = add_until_full(node, 3)
    assert more and all(node.eni_of(p.result.address)["id"] != second["id"] for p in more)
    last = next(p for p in pods if node.eni_of(p.result.address)["id"] == second["id"])
    assert last.pings(pods[0].result.address)


def cards():
    """Two network cards with two ENIs of four addresses each."""
    config = vpc()
    config["instance_types"] = [{"name": "cards.small", "max_enis": 4, "ipv4_per_eni": 4,
                                 "network_cards": [{"max_enis": 2}, {"max_enis": 2}]}]
    config["instances"][0]["type"] = "cards.small"
    return config


def test_several_network_cards(make_lab, wait_until):
    """The ENIs of all cards serve pods, card 0 first; each by a routing table of its own."""
    lab = make_lab(config=cards(), daemon_config={"multi_nic": True, "add_wait_ms": WAIT_MS})
    node = lab.nodes[0]
    pods, error = add_until_full(node, 13)
    assert len(pods) == 4 * 3
    assert error.code == 11 and "4 of 4 ENIs" in str(error)
    assert sorted((e["card"], e["device"]) for e in enis(lab)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    tables = {r["table"] for r in node.json("ip", "-j", "rule") if 1536 < r["priority"] < 1700}
    assert {str(t) for t in tables} == {"2", "10100", "10101"}
    for pod in pods[3::3]:
        assert pod.pings(pods[0].result.address)
        assert pod.seen_as(INTERNET) == node.imds("public-ipv4")
    lab.kill_daemon("node1")
    lab.start_daemon("node1")
    wait_until(node.serves, "the daemon to serve")
    assert len(node.info()["enis"]) == 4


def test_without_multi_nic_other_cards_are_left_alone(make_lab):
    lab = make_lab(config=cards(), daemon_config={"add_wait_ms": WAIT_MS})
    pods, error = add_until_full(lab.nodes[0], 7)
    assert len(pods) == 2 * 3
    assert error.code == 11 and "2 of 2 ENIs" in str(error)
    assert {e["card"] for e in enis(lab)} == {0}


# --- subnets

def test_discovery_takes_the_tagged_subnet_with_most_room_and_asks_once(make_lab):
    config = subnet(vpc(), "subnet-0a", fragment={"held_per_block": 8})     # half of the primary's addresses are taken
    lab = make_lab(config=config)
    node = lab.nodes[0]
    lab.control("reset-counters")
    pods, error = add_until_full(node, 2 * SLOTS + 1)
    assert error is None
    assert {e["subnet"] for e in enis(lab) if e["device"]} == {"subnet-0b"}
    assert pods[-1].pings(pods[0].result.address)
    assert lab.ec2_calls().get("DescribeSubnets", 0) == 0


def test_a_subnet_tagged_out_serves_no_pods(make_lab):
    config = subnet(vpc(), "subnet-0a", tags={"kubernetes.io/role/cni": "0"})
    lab = make_lab(config=config)
    pod = lab.nodes[0].pod()
    pod.add()
    assert ipaddress.ip_address(pod.result.address) in ipaddress.ip_network("10.0.1.0/24")


def prefixed(node):
    """-> (prefixes, single addresses) of the pool"""
    pool = node.info()["pool"]
    return pool["prefixes"], pool["secondary_addresses"]


@pytest.mark.limit(120)
def test_without_prefixes_other_subnet_then_single_addresses_and_back(make_lab, wait_until):
    """No /28 in the primary's subnet: one from the tagged subnet; none there either: single addresses; then prefixes return."""
    config = subnet(subnet(vpc(), "subnet-0a", fragment=True), "subnet-0b", fragment={"free_prefixes": 1})
    lab = make_lab(config=config, prefix_delegation=True, daemon_config={
        "subnet_retry_s": 1, "warm_prefix_target": 1, "ip_cooldown_s": 0})
    node = lab.nodes[0]
    first = node.pod()
    first.add()
    assert ipaddress.ip_address(first.result.address) in ipaddress.ip_network("10.0.1.0/24")
    assert prefixed(node)[0] == 1
    pods, error = add_until_full(node, 17)
    assert error is None
    assert prefixed(node)[1] > 0
    assert len({p.result.address for p in [first, *pods]}) == 18
    lab.control("unfragment", subnet="subnet-0b")
    lab.control("unfragment", subnet="subnet-0a")
    wait_until(lambda: prefixed(node)[0] > 1, "prefixes again", timeout=30)


def test_a_subnet_that_is_gone_is_dropped(make_lab, wait_until):
    lab = make_lab(config=subnet(vpc(), "subnet-0a", fragment={"held_per_block": 8}), daemon_config={"warm_ip_target": 1})
    node = lab.nodes[0]
    lab.fault("CreateNetworkInterface", "InvalidSubnetID.NotFound", times=1,
              message="The subnet ID 'subnet-0b' does not exist")
    pods, error = add_until_full(node, SLOTS + 1)
    assert error is None
    assert {e["subnet"] for e in enis(lab)} == {"subnet-0a"}
    assert logged(node, "a subnet does not exist any more") and logged(node, "subnet=subnet-0b")


def test_an_unknown_subnet_is_refused_on_reload(make_lab, wait_until):
    lab = make_lab(config=vpc(), daemon_config={"subnet_id": "subnet-0b", "warm_ip_target": 1})
    node = lab.nodes[0]
    configure(node, subnet_id="subnet-0fff", warm_ip_target=4)
    wait_until(lambda: logged(node, "subnet_id is 'subnet-0fff', which does not exist"), "the refusal")
    assert not logged(node, "configuration reloaded")
    pods, error = add_until_full(node, SLOTS + 1)
    assert error is None
    assert {e["subnet"] for e in enis(lab)} == {"subnet-0a", "subnet-0b"}
    configure(node, subnet_id="subnet-0c", warm_ip_target=1)
    wait_until(lambda: logged(node, "configuration reloaded"), "the new configuration")


def test_an_unknown_subnet_at_start_is_the_cause_of_the_adds_failure(make_lab):
    lab = make_lab(config=vpc(ipv4_secondaries=SLOTS), daemon_config={"subnet_id": "subnet-0fff", "add_wait_ms": WAIT_MS})
    pods, error = add_until_full(lab.nodes[0], SLOTS + 1)
    assert len(pods) == SLOTS       # what is attached serves
    assert error.code == 11 and "subnet_id: subnet subnet-0fff does not exist" in str(error)


# --- custom networking

def eniconfig(name, subnet_id, groups=("sg-0b",)):
    return {"apiVersion": "crd.k8s.amazonaws.com/v1alpha1", "kind": "ENIConfig", "metadata": {"name": name},
            "spec": {"subnet": subnet_id, "securityGroups": list(groups)}}


def node_object(name, labels=None, annotations=None):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}}}


@pytest.mark.limit(120)
def test_new_enis_have_the_tags_and_groups_that_are_configured(make_lab, wait_until):
    lab = make_lab(config=vpc(), daemon_config={"warm_ip_target": SLOTS + 1, "cluster_name": "blue", "security_groups": ["sg-0b"],
                                                "additional_eni_tags": {"team": "net", "cost:centre": "a b/c"}})
    node = lab.nodes[0]
    wait_until(lambda: len(enis(lab)) == 2 and not node.info()["pool"]["actions_under_way"], "a second ENI")
    new = next(e["id"] for e in enis(lab) if e["device"])
    seen = node.ec2("describe-network-interfaces", "--network-interface-ids", new)["NetworkInterfaces"][0]
    tags = {t["Key"]: t["Value"] for t in seen["TagSet"]}
    assert tags["team"] == "net" and tags["cost:centre"] == "a b/c" and tags["cluster.k8s.amazonaws.com/name"] == "blue"
    assert tags["node.k8s.amazonaws.com/instance_id"] == node.facts["instance_id"]
    assert [g["GroupId"] for g in seen["Groups"]] == ["sg-0b"]


def test_custom_networking(make_lab, wait_until):
    lab = make_lab("--no-daemon", config=vpc(nodes=2), daemon_config={
        "custom_networking": True, "node_name": "worker-1", "add_wait_ms": WAIT_MS, "warm_ip_target": 1})
    node, other = lab.nodes
    start(node, wait_until)
    start(other, wait_until)
    pod = node.pod()
    with pytest.raises(CniError) as nothing:
        pod.add()
    assert nothing.value.code == 11 and "ENIConfig" in str(nothing.value)
    pod.delete()
    # a folder that was not there: it is found without a restart. One file for all: before there is a Node the default is right
    for n in lab.nodes:
        write(n, f"{POLICY_DIR}/eniconfigs.json",
              {"apiVersion": "v1", "kind": "List", "items": [eniconfig("default", "subnet-0b"), eniconfig("pods", "subnet-0c"),
                                                             node_object("worker-1", {KEY: "default"}, {KEY: "pods"})]})
        configure(n, custom_networking=True, node_name="worker-1", warm_ip_target=1)
    wait_until(lambda: any(e["subnet"] == "subnet-0c" for e in enis(lab)), "an ENI as the ENIConfig says", timeout=30)
    groups = {i["NetworkInterfaceId"]: [g["GroupId"] for g in i["Groups"]]
              for i in node.ec2("describe-network-interfaces")["NetworkInterfaces"]}
    assert all(groups[e["id"]] == ["sg-0b"] for e in enis(lab) if e["device"])
    assert node.info()["placement"] == {"subnets": ["subnet-0c"], "security_groups": ["sg-0b"]}
    pods, error = add_until_full(node, SLOTS + 1)
    assert error is None
    far = other.pod()
    far.add()
    pod_net = ipaddress.ip_network("100.64.0.0/24")
    assert all(ipaddress.ip_address(p.result.address) in pod_net for p in [*pods, far])
    # reachable both ways, across nodes, and to the internet under the node's address
    for p in (pods[0], pods[-1]):
        assert p.pings(far.result.address)
        assert p.seen_as(INTERNET) == node.imds("public-ipv4")
        assert other.run("ping", "-n", "-q", "-c", "1", "-w", "5", p.result.address, check=False).returncode == 0
    # a manifest that does not parse: one error, and the last good state stays
    write(node, f"{POLICY_DIR}/eniconfigs.json", "{")
    wait_until(lambda: logged(node, "eniconfigs.json is not valid JSON"), "the error")
    more = node.pods(SLOTS - 2)
    for p in more:
        p.add()
    assert all(ipaddress.ip_address(p.result.address) in pod_net for p in more)
