# SPDX-License-Identifier: Apache-2.0
"""One pod: what ADD answers is what the kernel has, in every version; DEL takes all of it away, however often it is asked."""
import ipaddress

import pytest

from tests.harness import audit, cni, proc
from tests.harness.lab import parallel

LAB = {"instance_type": "m5.large", "prefix_delegation": True}
VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
GATEWAY = "169.254.1.1"


def link(run_json, name):
    found = run_json("ip", "-d", "-j", "link", "show", "dev", name)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_add_says_what_the_kernel_has(node, pod, version):
    before = audit.node(node)
    empty = audit.netns(pod)
    result = pod.add(version)
    inside, outside = link(pod.json, "eth0"), link(node.json, result.host_interface["name"])

    assert result.pod_interface["name"] == "eth0" and result.pod_interface["sandbox"] == pod.netns
    assert result.pod_interface["mac"] == inside["address"]
    assert result.host_interface["mac"] == outside["address"]
    assert inside["link_index"] == outside["ifindex"] and outside["link_index"] == inside["ifindex"]
    assert inside["mtu"] == outside["mtu"]
    if version == "1.1.0":
        assert result.pod_interface["mtu"] == inside["mtu"]
    assert "UP" in inside["flags"] and "UP" in outside["flags"]

    ips = [a for a in pod.json("ip", "-j", "addr", "show", "dev", "eth0")[0]["addr_info"] if a["family"] == "inet"]
    assert [(a["local"], a["prefixlen"]) for a in ips] == [(result.address, 32)]
    assert all(result.raw["interfaces"][i["interface"]]["name"] == "eth0" for i in result.ips)
    assert link(pod.json, "lo")["flags"].count("UP") == 1

    routes = {(r["dst"], r.get("gateway"), r["dev"]) for r in pod.json("ip", "-j", "route")}
    assert routes == {("default", GATEWAY, "eth0"), (GATEWAY, None, "eth0")}
    neigh = pod.json("ip", "-j", "neigh", "show", GATEWAY)
    assert neigh[0]["lladdr"] == outside["address"] and neigh[0]["state"] == ["PERMANENT"]

    route = node.json("ip", "-j", "route", "show", "table", "all", result.address)
    assert [(r["dev"], str(r["protocol"])) for r in route] == [(outside["ifname"], "86")]

    assert pod.check() is None
    pod.delete()
    audit.settled(node, before)
    after = audit.netns(pod)
    assert not [l for l in after if "eth0" in l], audit.difference(empty, after)


def test_address_belongs_to_an_eni_of_the_node(lab, node, pod):
    """Asked of EC2 itself, not of the daemon."""
    address = pod.add().address
    eni = node.eni_of(address)
    said = node.ec2("describe-network-interfaces", "--network-interface-ids", eni["id"])["NetworkInterfaces"][0]
    held = [a["PrivateIpAddress"] for a in said["PrivateIpAddresses"]] + [p["Ipv4Prefix"] for p in said.get("Ipv4Prefixes", [])]
    assert any(ipaddress.ip_address(address) in ipaddress.ip_network(h) for h in held), held
    assert said["Attachment"]["InstanceId"] == node.info()["instance_id"]
    assert address != said["PrivateIpAddress"], "the ENI's own address is not for pods"


def test_the_same_add_again_is_an_error_and_harms_nothing(node, pod):
    first = pod.add()
    before, inside = audit.node(node), audit.netns(pod)
    with pytest.raises(cni.CniError):
        pod.call("ADD")
    assert not audit.difference(before, audit.node(node))
    assert not audit.difference(inside, audit.netns(pod))
    assert pod.check() is None
    assert first.address == pod.json("ip", "-j", "-4", "addr", "show", "dev", "eth0")[0]["addr_info"][0]["local"]


def test_two_interfaces_of_one_container_come_and_go_apart(node, pod):
    before = audit.node(node)
    first = pod.add()
    second = cni.Result(pod.call("ADD", ifname="net1"), "1.0.0")
    assert first.address != second.address
    pod.delete(ifname="net1", prev_result=second.raw)
    proc.wait_until(lambda: {l["ifname"] for l in pod.json("ip", "-j", "link")} == {"lo", "eth0"}, "net1 to be reaped")
    assert pod.check() is None
    pod.delete()
    audit.settled(node, before)


@pytest.mark.parametrize("case", ["again", "never added", "no netns in the environment", "netns path gone", "interface gone",
                                  "no prevResult", "foreign prevResult"])
def test_del_succeeds_for_what_is_gone(node, pod, case):
    before = audit.node(node)
    if case != "never added":
        pod.add()
    if case == "again":
        pod.delete()
        pod.delete()
    elif case == "no netns in the environment":
        pod.delete(env={"CNI_NETNS": ""})
    elif case == "netns path gone":
        pod.delete(env={"CNI_NETNS": "/run/netns/does-not-exist"})
    elif case == "interface gone":
        pod.run("ip", "link", "del", "eth0")
        pod.delete()
    elif case == "no prevResult":
        pod.delete(prev_result=None)
    elif case == "foreign prevResult":
        pod.delete(prev_result={"cniVersion": "1.0.0", "interfaces": [{"name": "x"}], "ips": []})
    else:
        pod.delete()
    audit.settled(node, before)


def test_a_netns_that_dies_first_leaves_nothing_after_del(node):
    before = audit.node(node)
    made = node.pod()
    made.add()
    made.remove()
    made.delete()
    audit.settled(node, before)


@pytest.mark.parametrize("damage", [("ip", "link", "del", "eth0"), ("ip", "addr", "flush", "dev", "eth0"), ("ip", "route", "del", "default"),
                                    ("ip", "link", "set", "eth0", "mtu", "9100")])
def test_check_sees_damage_in_the_pod(pod, damage):
    pod.add()
    assert pod.check() is None
    pod.run(*damage)
    with pytest.raises(cni.CniError):
        pod.check()


def test_check_sees_a_missing_host_route(make_lab):
    node = make_lab(daemon_config={"drift_repair": False}).nodes[0]         # or it is back before CHECK looks
    pod = node.pod()
    address = pod.add().address
    route = node.json("ip", "-j", "route", "show", "table", "all", address)[0]
    node.run("ip", "route", "del", address, "table", route["table"])
    with pytest.raises(cni.CniError):
        pod.check()


def test_check_wants_the_result_of_add(pod):
    pod.add()
    with pytest.raises(cni.CniError) as error:
        pod.call("CHECK", prev_result=None)
    assert error.value.code == 7


def test_version_lists_what_is_spoken(pod):
    for stdin in ('{"cniVersion": "1.1.0"}', '{"cniVersion": "0.4.0"}'):
        answer = pod.call("VERSION", stdin=stdin, env={"CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"})
        assert set(VERSIONS) <= set(answer["supportedVersions"])
        assert answer["cniVersion"]


def test_status_is_good_while_there_are_addresses(pod):
    assert pod.call("STATUS", version="1.1.0") is None


def test_pods_in_parallel_get_different_addresses_and_leave_nothing(make_lab):
    node = make_lab(instance_type="m5.2xlarge", prefix_delegation=True).nodes[0]
    for _ in range(5):
        pods = node.pods(20)
        results = parallel([p.add for p in pods])
        assert len({r.address for r in results}) == 20
        assert len({r.host_interface["name"] for r in results}) == 20
        parallel([p.delete for p in pods])
    assert audit.books(node) == []
    proc.wait_until(lambda: not audit.pod_objects(node), "all links and routes of the pods to be gone")
