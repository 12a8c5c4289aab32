# SPDX-License-Identifier: Apache-2.0
"""vpcwirectl explain pod, pool plan: each part beside the kernel, each difference named with what to do."""
import json
import re

import pytest

from tests.e2e.test_ctl import ctl, settled
from tests.e2e.test_metrics import scrape, value
from tests.harness import proc
from tests.harness.policy import Policies
from tests.harness.sgp import sgp_lab

LAB = {"instance_type": "m5.large", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 1, "drift_repair": False}}
PARTS = {"address", "eni", "veth", "sysctls", "node addresses", "routes", "rules", "nftables", "filters", "way to the pod",
         "way from the pod", "slot", "policy", "inside the pod"}


@pytest.fixture(name="wired")
def _wired(node):
    settled(node)
    pod = node.pod()
    pod.address = pod.add().address
    yield pod
    pod.delete()
    pod.remove()


def explained(node, pod, ok=0):
    answer = json.loads(ctl(node, "--json", "explain", "pod", f"default/{pod.name}", ok=ok))
    return answer["interfaces"][0]


def bad(node, pod):
    """-> {part: [what]} of what differs."""
    found = {}
    for c in explained(node, pod, ok=4)["checks"]:
        if not c["ok"]:
            assert c["todo"]
            found.setdefault(c["part"], []).append(c["what"])
    return found


def test_what_it_says_is_what_is(node, wired):
    x = explained(node, wired)
    assert {c["part"] for c in x["checks"]} == PARTS and all(c["ok"] and "todo" not in c for c in x["checks"])
    eni = node.eni_of(wired.address)
    assert x["address"] == wired.address and x["prefix"] in eni["slots"] and x["eni"]["id"] == eni["id"]
    link = node.json("ip", "-j", "link", "show", "dev", x["host_ifname"])[0]
    assert link["ifindex"] == x["host_ifindex"]
    route = node.json("ip", "-j", "route", "show", "table", str(x["pods_table"]), wired.address)[0]
    assert route["dev"] == x["host_ifname"]
    said = ctl(node, "explain", "pod", wired.address)
    assert f"address  {wired.address} of prefix {x['prefix']}" in said and said.endswith("the kernel has what it should\n")


def test_each_difference_is_found_and_nothing_is_repaired(node, wired):
    x = explained(node, wired)
    veth = x["host_ifname"]
    cases = [
        (["ip", "route", "del", f"{wired.address}/32", "table", "22103"], ["ip", "route", "add", f"{wired.address}/32", "dev", veth, "table",
         "22103", "scope", "link", "proto", "86"], "routes", f"route {wired.address}/32 dev {veth} table 22103 is missing"),
        (["ip", "rule", "del", "pref", "512"], ["ip", "rule", "add", "pref", "512", "lookup", "22103", "protocol", "86"], "rules",
         "rule 512: lookup 22103 is missing"),
        (["ip", "link", "set", "dev", veth, "down"], ["sh", "-c", f"ip link set dev {veth} up; ip route replace {wired.address}/32 dev {veth} "
         "table 22103 scope link proto 86"], "veth", None),
        (["sysctl", "-qw", "net.ipv4.conf.all.forwarding=0"], ["sysctl", "-qw", "net.ipv4.conf.all.forwarding=1"], "sysctls",
         "net.ipv4.conf.all.forwarding is 0"),
        (["tc", "filter", "del", "dev", veth, "egress"], None, "filters", f"program vpcwire_to_pod on {veth} is missing"),
    ]
    for breaks, mends, part, what in cases:
        node.run(*breaks)
        found = bad(node, wired)
        if part == "veth":
            assert any(f"interface {veth} of pod" in w and w.endswith("is down") for w in found["links"]), found
        else:
            assert what in found[part], (part, found)
        assert bad(node, wired) == found, "looking repairs nothing"
        if mends:
            node.run(*mends)
            assert all(c["ok"] for c in explained(node, wired)["checks"]), breaks


INSIDE = [  # what somebody does in the pod, how it is put right, what is said
    ("ip addr del {ip}/32 dev eth0", "ip addr add {ip}/32 dev eth0; ip route replace 169.254.1.1 dev eth0 scope link; "
     "ip route replace default via 169.254.1.1 dev eth0 onlink; ip neigh replace 169.254.1.1 dev eth0 lladdr {gateway} nud permanent", "{ip}/32"),
    ("ip route del default", "ip route add default via 169.254.1.1 dev eth0 onlink", "default route"),
    ("ip neigh del 169.254.1.1 dev eth0", "ip neigh add 169.254.1.1 dev eth0 lladdr {gateway} nud permanent", "169.254.1.1"),
    ("ip link set dev eth0 mtu 9100", "ip link set dev eth0 mtu {mtu}", "MTU"),
    ("ip link set dev eth0 address 02:00:00:00:00:77", "ip link set dev eth0 address {mac}; "
     "ip neigh replace 169.254.1.1 dev eth0 lladdr {gateway} nud permanent", "MAC address"),
]


@pytest.mark.parametrize("breaks,mends,said", INSIDE, ids=[b.split(" ", 1)[1][:24] for b, _, _ in INSIDE])
def test_what_somebody_changed_inside_the_pod_is_found(node, breaks, mends, said):
    pod = node.pod()
    ip = pod.add().address
    link = json.loads(pod.run("ip", "-j", "link", "show", "dev", "eth0").stdout)[0]
    facts = {"ip": ip, "mac": link["address"], "mtu": link["mtu"],
             "gateway": json.loads(pod.run("ip", "-j", "neigh", "show", "169.254.1.1").stdout)[0]["lladdr"]}
    fine = next(c for c in explained(node, pod)["checks"] if c["part"] == "inside the pod")
    assert fine["what"] == f"eth0, MAC {link['address']}, MTU {link['mtu']}, up; addresses, routes and neighbours as it was given"
    pod.run("sh", "-ec", breaks.format(**facts))
    found = bad(node, pod)
    assert set(found) == {"inside the pod"} and said.format(**facts) in found["inside the pod"][0], found
    pod.run("sh", "-ec", mends.format(**facts))
    assert all(c["ok"] for c in explained(node, pod)["checks"])
    pod.delete()
    pod.remove()


def test_a_namespace_that_cannot_be_entered_is_no_difference_and_is_told(node, wired):
    done = node.run("strace", "-f", "-o", "/dev/null", "-e", "inject=setns:error=EPERM", proc.BIN / "vpcwirectl", "--socket", node.socket, "--json",
                    "explain", "pod", wired.address, check=False)
    check = next(c for c in json.loads(done.stdout)["interfaces"][0]["checks"] if c["part"] == "inside the pod")
    assert done.returncode == 0 and check["ok"] and check["what"].startswith("not looked at: ") and "not permitted" in check["what"]


@pytest.mark.limit(120)
def test_a_strict_branch_pod_by_its_own_table():
    """Its routes stand in its branch's table: looked at there, and the ways to it and from it as the kernel takes them."""
    with sgp_lab("strict", drift_repair=False) as place:
        node, pod = place.node, place.pod(3)
        pod.address = pod.result.address
        x = explained(node, pod)
        assert x["pods_table"] == 103 and x["eni"]["vlan"] == 3
        assert PARTS - {"address"} <= {c["part"] for c in x["checks"]} and all(c["ok"] for c in x["checks"])
        assert f"to {pod.address}: {x['host_ifname']} by table 103" in [c["what"] for c in x["checks"]]
        node.run("ip", "route", "del", f"{pod.address}/32", "table", "103")
        found = bad(node, pod)
        assert found["routes"] == [f"route {pod.address}/32 dev {x['host_ifname']} table 103 is missing"] and "way to the pod" in found
        node.run("ip", "rule", "del", "pref", "10", "iif", x["host_ifname"])
        found = bad(node, pod)
        assert any(f"iif {x['host_ifname']}" in w for w in found["rules"]) and bad(node, pod) == found, "looking repairs nothing"


def test_a_veth_that_is_gone(node):
    pod = node.pod()
    pod.add()
    node.run("ip", "link", "del", explained(node, pod)["host_ifname"])
    assert "is gone" in bad(node, pod)["veth"][0]
    pod.delete()
    pod.remove()


def test_policies_of_the_pod_are_named(node, wired):
    folder = Policies(node)
    folder.shut(wired)
    policy = explained(node, wired)["policy"]
    assert [p["policy"] for p in policy["ingress"]] == ["default/shut"] and policy["egress"] == []
    folder.take("shut.json")


def test_unknown_pods_and_wrong_words(node):
    for words, code in ((["explain", "pod", "default/nobody"], 1), (["explain", "pod", "10.9.9.9"], 1), (["explain", "pod", "nobody"], 1),
                        (["explain", "pod"], 2), (["explain"], 2), (["pool", "plan", "x"], 2)):
        ctl(node, *words, ok=code)


def test_the_plan_is_the_planners(node, lab):
    settled(node)
    before = lab.ec2_calls()
    plan = json.loads(ctl(node, "--json", "pool", "plan"))
    pool = node.info()["pool"]
    assert plan["actions"] == [] and plan["short"] == 0 and plan["mode"] == "prefixes"
    assert plan["pool"]["available"] == pool["available"] and plan["limits"]["addresses"] == 3 * 9 * 16
    assert re.match(rf"{pool['available']} addresses are free, as is wanted \(warm_prefix_target 1", ctl(node, "pool", "plan"))
    assert lab.ec2_calls() == before, "asking for the plan asks nothing of EC2"


def test_a_plan_that_is_held_up_says_what_would_be_asked_and_why_not(make_lab):
    lab = make_lab(daemon_config={"warm_ip_target": 3})
    node = lab.nodes[0]
    proc.wait_until(lambda: node.info()["pool"]["available"] == 3, lambda: f"three free addresses: {node.info()['pool']}")
    for action in ("AssignPrivateIpAddresses", "CreateNetworkInterface"):
        lab.fault(action, "UnauthorizedOperation")
    pods = node.pods(2)
    for pod in pods:
        pod.add()
    proc.wait_until(lambda: lab.control("counters")["counters"].get("CreateNetworkInterface", {}).get("errors"), "EC2 to refuse")
    settled(node)
    plan = json.loads(ctl(node, "--json", "pool", "plan", ok=4))
    assert plan["unmet"] == plan["short"] == 2
    assert {(h["action"], h["cause"]) for h in plan["held_up"]} == {("assign-addrs", "denied"), ("create-eni", "denied")}
    page = scrape(node)
    assert value(page, "vpcwire_planner_held_up", action="create-eni", cause="denied") == 1
    assert value(page, "vpcwire_planner_actions_under_way", action="create-eni") == 0
    said = ctl(node, "pool", "plan", ok=4)
    assert "2 addresses cannot be had: a permission is missing: ec2:" in said and "held up: assign-addrs: a permission is missing" in said
