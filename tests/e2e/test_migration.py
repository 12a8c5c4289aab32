# SPDX-License-Identifier: Apache-2.0
"""From aws-node to vpcwire and back, under traffic, on a node that aws-node has set up: docs/MIGRATION.md, step by step."""
import contextlib
import json
import re
import signal
import subprocess

import pytest

from tests.harness import audit, cni, proc
from tests.harness.awsnode import CHECKPOINT, AwsNode, host_name
from tests.harness.policy import Policies, network_policy

LAB = {"nodes": 2, "instance_type": "m5.large", "daemon_config": {"warm_eni_target": 2, "minimum_ip_target": 14, "warm_ip_target": 8}}
INTERNET = "203.0.113.10"


@contextlib.contextmanager
def pings(ways):
    """An echo every 5 ms on each way, until the block ends: none may be lost. ways: {name: (who, address)}."""
    running = {name: subprocess.Popen(who.node.argv("nsenter", f"--net={who.netns}", "ping", "-n", "-q", "-i", "0.005", address),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=who.node.env())
               for name, (who, address) in ways.items()}
    told = {}
    try:
        yield told
    finally:
        for name, process in running.items():
            inner = [p for p in proc.descendants(process.pid) or [process.pid]]
            subprocess.run(["kill", "-INT", str(inner[-1])], check=False)
            told[name] = process.communicate(timeout=20)[0]
    for name, text in told.items():
        sent, received = (int(n) for n in re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        assert sent > 100 and sent - received <= 1, f"{name}: {text}"       # the last one may be under way


def enis_of(node):
    """As metadata has them, with the addresses that are there for pods."""
    found = []
    for eni in node.info()["enis"]:
        subnet = next(a for l in node.json("ip", "-j", "addr", "show", "dev", eni["ifname"]) for a in l["addr_info"] if a["family"] == "inet")
        base = eni["gateway"] if "gateway" in eni else re.sub(r"\d+$", "1", subnet["local"])
        found.append({"ifname": eni["ifname"], "table": eni.get("table") or 254, "address": subnet["local"], "length": subnet["prefixlen"],
                      "gateway": base, "primary": eni["primary"], "addresses": [s.split("/")[0] for s in eni["slots"]]})
    return sorted(found, key=lambda e: not e["primary"])


@pytest.fixture
def lab(make_lab):
    return make_lab(**LAB)


@pytest.fixture
def aws(lab):
    """The first node as aws-node leaves it, with four pods, two of them behind the secondary ENI; and a pod elsewhere."""
    node = lab.nodes[0]
    proc.wait_until(lambda: len(node.info()["enis"]) == 2 and all(e["slots"] for e in node.info()["enis"]), lambda: f"two ENIs: {node.info()['enis']}")
    enis = enis_of(node)
    lab.stop_daemon(node.name)
    node.run(proc.BIN / "vpcwired", "--run-dir", node.run_dir, "--cleanup")
    assert not audit.pod_objects(node)
    for number, eni in enumerate(enis[1:], 2):
        eni["table"] = number
    made = AwsNode(node, enis)
    made.start()
    for name, eni in (("one", enis[0]), ("two", enis[0]), ("three", enis[1]), ("four", enis[1])):
        made.add(name, eni)
    yield made


def vpcwired(node, *words, ok=True):
    return node.run(proc.BIN / "vpcwired", "--run-dir", node.run_dir, *words, check=ok)


def serving(lab, node):
    lab.start_daemon(node.name)
    proc.wait_until(lambda: node.serves() and node.info()["discovered"], lambda: "vpcwired to serve: " + node.daemon_log())


@pytest.mark.limit(240)
def test_there_and_back_under_traffic(lab, aws):
    node, other = aws.node, lab.nodes[1].pod("other")
    other.add()
    one, two, three, four = aws.pods
    ways = {"primary to another node": (one, other.result.address), "secondary to another node": (three, other.result.address),
            "primary to the internet": (one, INTERNET), "secondary to the internet": (three, INTERNET), "beside": (one, three.address),
            "beside, back": (four, two.address), "from another node": (other, three.address), "from another node, primary": (other, one.address)}
    before = {p.name: (p.address, p.json("ip", "-4", "-j", "addr"), p.json("ip", "-j", "route"), p.json("ip", "-j", "neigh")) for p in aws.pods}
    with pings(ways):
        # --- there
        assert vpcwired(node, "--from-aws-node").stdout == "4 pods taken over, 0 were before, 0 left out: they have no interface\n"
        assert vpcwired(node, "--from-aws-node").stdout == "0 pods taken over, 4 were before, 0 left out: they have no interface\n"
        refused = vpcwired(node, "--from-aws-node-done", ok=False)
        assert refused.returncode == 1 and "only aws-node's route leads to a pod" in refused.stderr and "Nothing was changed" in refused.stderr
        serving(lab, node)
        running = vpcwired(node, "--from-aws-node", ok=False)
        assert running.returncode == 1 and "another vpcwired serves" in running.stderr
        removed = vpcwired(node, "--from-aws-node-done").stdout
        assert re.match(r"\d+ routes and rules of aws-node removed", removed)
        node.run(proc.TOP / "deploy/migrate/aws-iptables")
        assert aws.leavings() == ([], [], ""), aws.leavings()
        assert sorted((p["container_id"], p["address"]) for p in node.info()["pods"]) == sorted((p.container_id, p.address) for p in aws.pods)
        for pod in aws.pods:
            pod.check(prev_result=pod.prev_result())
        ours = [node.pod("five"), node.pod("six")]
        for pod in ours:
            pod.add()
        assert not {p.result.address for p in ours} & {p.address for p in aws.pods}
        # it holds over a restart, and what others take away comes back
        lab.kill_daemon(node.name)
        serving(lab, node)
        for pod in aws.pods:
            pod.check(prev_result=pod.prev_result())
        # --- and back
        lab.stop_daemon(node.name)
        early = vpcwired(node, "--to-aws-node-done", ok=False)
        assert early.returncode == 1 and "vpcwired --to-aws-node comes first" in early.stderr
        assert vpcwired(node, "--to-aws-node").stdout == "6 pods given to aws-node, 0 left out: they have no interface\n"
        aws.start()
        assert vpcwired(node, "--to-aws-node-done").stdout == "6 pods let go\n"
        known = {a["containerID"]: a["ipv4"] for a in aws.checkpoint()}
        assert known == {**{p.container_id: p.address for p in aws.pods}, **{p.container_id: p.result.address for p in ours}}
    for pod in aws.pods:
        assert before[pod.name] == (pod.address, pod.json("ip", "-4", "-j", "addr"), pod.json("ip", "-j", "route"), pod.json("ip", "-j", "neigh", "show", "nud", "permanent"))
        assert pod.host == host_name(pod.name)
    # nothing of ours is left, and pods that we made are as aws-node makes them: it reaches them, and takes them away
    links = node.json("ip", "-d", "-j", "link")
    assert not [l for l in links if l.get("ifalias", "").startswith("vpcwire")]
    assert "vpcwire" not in node.run("nft", "list", "ruleset").stdout
    assert not node.run("ip", "route", "show", "table", "all", "proto", "86").stdout + node.run("sh", "-c", "ip rule | grep 22103", check=False).stdout
    for pod in ours:
        assert pod.pings(other.result.address) and pod.seen_as(INTERNET)
        aws.delete(next(a for a in aws.checkpoint() if a["containerID"] == pod.container_id))
        pod.remove()
    other.delete()
    other.remove()


@pytest.mark.limit(120)
def test_taken_over_pods_are_judged_and_deleted_like_ours(lab, aws):
    node = aws.node
    one, two, three, four = aws.pods
    vpcwired(node, "--from-aws-node")
    serving(lab, node)
    vpcwired(node, "--from-aws-node-done")
    assert one.pings(three.address) and four.pings(two.address)
    policies = Policies(node)
    policies.put("closed.json", network_policy("closed", policyTypes=["Ingress"], ingress=[]))
    assert not one.pings(three.address, 1) and not four.pings(two.address, 1)
    policies.take("closed.json")
    assert one.pings(three.address)
    spoofed = one.run("ping", "-c1", "-w1", "-I", "192.0.2.1", three.address, check=False)
    assert spoofed.returncode != 0
    # what somebody takes away comes back
    node.run("ip", "route", "del", one.address, "table", "22103")
    proc.wait_until(lambda: not isinstance(checked(one), Exception), lambda: f"the pod to be whole again: {checked(one)}")
    # DEL, without a result (libcni has it under another network's name), and a new pod of that name
    one.delete(prev_result=None)
    one.remove()
    proc.wait_until(lambda: one.host not in str(node.json("ip", "-j", "link")), "its link to be reaped")
    again = node.pod("one")
    again.add()
    assert again.pings(three.address)
    again.delete()
    for pod in (two, three, four):
        pod.delete(prev_result=pod.prev_result())
        pod.remove()
    proc.wait_until(lambda: not audit.pod_objects(node), "nothing of the pods to be left")
    assert node.info()["n_pods"] == 0


def checked(pod):
    try:
        return pod.check(prev_result=pod.prev_result())
    except cni.CniError as error:
        return error


BAD = [({"version": "vpc-cni-ipam/2", "allocations": []}, "its version is 'vpc-cni-ipam/2'"),
       ({"allocations": []}, "its version is ''"),
       ("{", "aws-node's checkpoint"),
       ({"ipv4": None, "ipv6": "2001:db8::5"}, "only clusters with IPv4 can be taken over"),
       ({"metadata": {"k8sPodNamespace": "default", "k8sPodName": "x", "interfacesCount": 2}}, "it has several interfaces"),
       ({"ipv4": "10.0.0.500"}, "no IPv4 address"),
       ({"containerID": "../x"}, "'containerID' is missing or no name")]


def test_what_cannot_be_taken_over_changes_nothing(aws):
    node = aws.node
    before = audit.kernel(node)
    for change, why in BAD:
        good = json.loads(node.run("cat", CHECKPOINT).stdout)
        if isinstance(change, dict) and "version" not in change and "allocations" not in change:
            good["allocations"][3].update(change)
            change = good
        node.run("sh", "-ec", f"cat > {CHECKPOINT}", input=change if isinstance(change, str) else json.dumps(change))
        done = vpcwired(node, "--from-aws-node", ok=False)
        assert done.returncode == 1 and why in done.stderr and CHECKPOINT in done.stderr, (why, done.stderr)
        aws.write()
    node.run("sh", "-c", "echo {} > /var/run/aws-node/ipam-nic-1.json")
    done = vpcwired(node, "--from-aws-node", ok=False)
    assert done.returncode == 1 and "several network cards" in done.stderr
    assert not audit.difference(before, audit.kernel(node))
