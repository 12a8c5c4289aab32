# SPDX-License-Identifier: Apache-2.0
"""From aws-node to vpcwire and back, under traffic, on a node that aws-node has set up: docs/MIGRATION.md, step by step."""
import ipaddress
import json
import re
import time

import pytest

from tests.harness import audit, cni, proc
from tests.harness.awsnode import CHECKPOINT, AwsNode6, host_name
from tests.harness.migration import as_aws_node, pings, serving, vpcwired, with_four
from tests.harness.policy import Policies, network_policy
from tests.harness.symptoms import quoted

REST_S = 1      # addresses of ended pods rest so long: what goes on before and after is waited for
LAB = {"nodes": 2, "instance_type": "m5.large",
       "daemon_config": {"warm_eni_target": 2, "minimum_ip_target": 14, "warm_ip_target": 8, "ip_cooldown_s": REST_S}}
# three prefixes on the first ENI are all that it takes
PREFIXES = {"nodes": 2, "instance_type": "t3.small", "prefix_delegation": True, "daemon_config": {"warm_prefix_target": 4, "ip_cooldown_s": 3}}
INTERNET = "203.0.113.10"


@pytest.fixture
def lab(make_lab):
    return make_lab(**LAB)


@pytest.fixture
def aws(lab):
    return with_four(as_aws_node(lab))


def lab_rest(lab):
    """What its nodes' settings say of how long addresses rest."""
    return json.loads(lab.nodes[0].run("cat", "/etc/vpcwire/vpcwired.json").stdout)["ip_cooldown_s"]


@pytest.mark.limit(240)
def test_there_and_back_under_traffic(lab, aws):
    there_and_back(lab, aws)


@pytest.mark.limit(240)
def test_there_and_back_with_prefixes(make_lab):
    """Nodes with ENABLE_PREFIX_DELEGATION, which has no other pods' rules, routes and checkpoint than secondary addresses."""
    lab = make_lab(**PREFIXES)
    aws = as_aws_node(lab)
    assert all(len(e["addresses"]) % 16 == 0 for e in aws.enis), "each has whole prefixes"
    there_and_back(lab, with_four(aws))


@pytest.mark.limit(240)
@pytest.mark.parametrize("served", [False, True])
def test_turning_back_half_way(lab, aws, served):
    """aws-node's routes and rules are still there, and it takes its pods back by the same two commands."""
    node = aws.node
    one, _, three, four = aws.pods
    before, known = aws.leavings(), aws.checkpoint()
    with pings({"primary to the internet": (one, INTERNET), "secondary to the internet": (three, INTERNET), "beside": (four, one.address)}):
        vpcwired(node, "--from-aws-node")
        if served:
            serving(lab, node)
            lab.stop_daemon(node.name)
            early = vpcwired(node, "--to-aws-node-done", ok=False)
            assert early.returncode == 1 and f"only vpcwire's routes are in table {three.eni['table']}" in early.stderr
            assert quoted("only vpcwire's routes are in table ...").search(early.stderr)
        vpcwired(node, "--to-aws-node")
        aws.start()
        vpcwired(node, "--to-aws-node-done")
    assert aws.leavings() == before
    assert [(a["containerID"], a["ipv4"]) for a in aws.checkpoint()] == [(a["containerID"], a["ipv4"]) for a in known]
    links = node.json("ip", "-d", "-j", "link")
    assert not [l for l in links if l.get("ifalias", "").startswith("vpcwire")]


def there_and_back(lab, aws):
    node, other = aws.node, lab.nodes[1].pod("other")
    other.add()
    one, two, three, four = aws.pods
    last = aws.add("last", aws.enis[0])
    aws.pods.remove(last)
    rest_s = lab_rest(lab)
    ways = {"primary to another node": (one, other.result.address), "secondary to another node": (three, other.result.address),
            "primary to the internet": (one, INTERNET), "secondary to the internet": (three, INTERNET), "beside": (one, three.address),
            "beside, back": (four, two.address), "from another node": (other, three.address), "from another node, primary": (other, one.address)}
    before = {p.name: (p.address, p.json("ip", "-4", "-j", "addr"), p.json("ip", "-j", "route"), p.json("ip", "-j", "neigh")) for p in aws.pods}
    with pings(ways):
        # --- there; a pod that ends just before leaves an address that rests, of which aws-node has written nothing
        aws.delete(next(a for a in aws.allocations if a["containerID"] == last.container_id))
        last.remove()
        since = time.monotonic()
        said = vpcwired(node, "--from-aws-node").stdout
        assert said == "4 pods taken over, 0 were before, 0 left out: they have no interface\n"
        assert quoted("4 pods taken over, 0 were before, 0 left out: they have no interface").match(said)
        assert time.monotonic() - since >= rest_s
        assert vpcwired(node, "--from-aws-node").stdout == "0 pods taken over, 4 were before, 0 left out: they have no interface\n"
        refused = vpcwired(node, "--from-aws-node-done", ok=False)
        assert refused.returncode == 1 and quoted("only aws-node's route leads to a pod (...): does vpcwired serve?").search(refused.stderr) and "Nothing was changed" in refused.stderr
        serving(lab, node)
        running = vpcwired(node, "--from-aws-node", ok=False)
        assert running.returncode == 1 and quoted("another vpcwired serves").search(running.stderr)
        removed = vpcwired(node, "--from-aws-node-done").stdout
        assert re.match(r"\d+ routes and rules of aws-node removed, and of its policy agent 0 filters and 0 pins\n", removed)
        node.run(proc.TOP / "deploy/migrate/aws-iptables")
        assert aws.leavings() == ([], [], ""), aws.leavings()
        assert sorted((p["container_id"], p["address"]) for p in node.info()["pods"]) == sorted((p.container_id, p.address) for p in aws.pods)
        for pod in aws.pods:
            pod.check(prev_result=pod.prev_result())
        ours = [node.pod("five"), node.pod("six"), node.pod("ends")]
        for pod in ours:
            pod.add()
        ends = ours.pop()
        assert not {p.result.address for p in ours} & {p.address for p in aws.pods}
        # it holds over a restart, and what others take away comes back
        lab.kill_daemon(node.name)
        serving(lab, node)
        for pod in aws.pods:
            pod.check(prev_result=pod.prev_result())
        # --- and back, again with an address that rests
        since = time.monotonic()
        ends.delete()
        ends.remove()
        lab.stop_daemon(node.name)
        early = vpcwired(node, "--to-aws-node-done", ok=False)
        assert early.returncode == 1
        assert quoted("only vpcwire's route leads to a pod (...): vpcwired --to-aws-node comes first").search(early.stderr), early.stderr
        given = vpcwired(node, "--to-aws-node").stdout
        assert given == "6 pods given to aws-node, 0 left out: they have no interface\n"
        assert quoted("6 pods given to aws-node, 0 left out: they have no interface").match(given)
        assert time.monotonic() - since >= rest_s
        aws.start()
        # it gives what is free at once, and nothing to two
        news = [aws.add(name, eni) for name, eni in (("seven", aws.enis[0]), ("eight", aws.enis[1]))]
        everybody = [a["ipv4"] for a in aws.checkpoint()]
        assert len(set(everybody)) == len(everybody) == 8, everybody
        assert vpcwired(node, "--to-aws-node-done").stdout == "6 pods let go\n"
        known = {a["containerID"]: a["ipv4"] for a in aws.checkpoint()}
        assert known == {**{p.container_id: p.address for p in [one, two, three, four, *news]}, **{p.container_id: p.result.address for p in ours}}
    for pod in (one, two, three, four):
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


BAD = [({"version": "vpc-cni-ipam/2", "allocations": []}, quoted("its version is '...', only vpc-cni-ipam/1 is known")),
       ({"allocations": []}, re.compile("its version is ''")),
       ("{", re.compile("aws-node's checkpoint")),
       ({"ipv4": None, "ipv6": "2001:db8::5"}, quoted("enable_ipv6 is false in vpcwired's settings")),
       ({"ipv6": "2001:db8::5"}, re.compile("both an IPv4 and an IPv6 address")),
       ({"metadata": {"k8sPodNamespace": "default", "k8sPodName": "x", "interfacesCount": 2}}, quoted("it has several interfaces")),
       ({"ipv4": "10.0.0.500"}, re.compile("no IPv4 address")),
       ({"containerID": "../x"}, re.compile("'containerID' is missing or no name"))]


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
        assert done.returncode == 1 and why.search(done.stderr) and (CHECKPOINT in done.stderr or "nothing was changed" in done.stderr), (why, done.stderr)
        aws.write()
    node.run("sh", "-c", "echo {} > /var/run/aws-node/ipam-nic-1.json")
    done = vpcwired(node, "--from-aws-node", ok=False)
    assert done.returncode == 1 and quoted("pods on several network cards").search(done.stderr)
    assert not audit.difference(before, audit.kernel(node))
    # and a checkpoint from before: what vpcwire has recorded since is somebody else's
    node.run("rm", "/var/run/aws-node/ipam-nic-1.json")
    vpcwired(node, "--from-aws-node")
    old = json.loads(node.run("cat", CHECKPOINT).stdout)
    old["allocations"][0]["ipv4"] = old["allocations"][1]["ipv4"]
    del old["allocations"][1]
    node.run("sh", "-ec", f"cat > {CHECKPOINT}", input=json.dumps(old))
    done = vpcwired(node, "--from-aws-node", ok=False)
    assert done.returncode == 1 and quoted("is another pod's of vpcwire's").search(done.stderr), done.stderr


def test_a_migration_that_was_given_up_may_begin_again_with_other_pods(lab, aws):
    """aws-node went on after --from-aws-node: it ended a pod, and its address is another pod's now."""
    node = aws.node
    vpcwired(node, "--from-aws-node")
    gone = aws.pods.pop(0)
    aws.delete(next(a for a in aws.allocations if a["ipv4"] == gone.address))
    node.run("ip", "netns", "del", gone.name)
    proc.wait_until(lambda: gone.host not in [l["ifname"] for l in node.json("ip", "-j", "link")], "its interface to go with its namespace")
    assert aws.add("later", gone.eni).address == gone.address
    said = vpcwired(node, "--from-aws-node").stdout
    assert said == f"1 pods taken over, {len(aws.pods) - 1} were before, 0 left out: they have no interface\n"
    serving(lab, node)
    assert {p["container_id"] for p in node.info()["pods"]} == {p.container_id for p in aws.pods}


@pytest.mark.limit(120)
def test_the_way_back_knows_every_pod_or_changes_nothing(lab, aws):
    """Of a pod that is not in the books aws-node would give the address to another one; and one that has ended meanwhile has left one that rests."""
    node, books = aws.node, f"{aws.node.run_dir}/state.db"
    vpcwired(node, "--from-aws-node")
    serving(lab, node)
    lab.stop_daemon(node.name)
    node.run("sh", "-ec", f"mkdir {node.run_dir}/aside; mv {books}* {node.run_dir}/aside")
    before, known = audit.kernel(node), node.run("cat", CHECKPOINT).stdout
    done = vpcwired(node, "--to-aws-node", ok=False)
    assert done.returncode == 1 and quoted("a pod has a route of vpcwire's (...) and is not in '...'").search(done.stderr), done
    assert not audit.difference(before, audit.kernel(node)) and node.run("cat", CHECKPOINT).stdout == known
    node.run("sh", "-ec", f"rm -f {books}*; mv {node.run_dir}/aside/* {node.run_dir}")
    gone = aws.pods.pop()
    node.run("ip", "netns", "del", gone.name)
    proc.wait_until(lambda: gone.host not in [l["ifname"] for l in node.json("ip", "-j", "link")], "its interface to go with its namespace")
    given = vpcwired(node, "--to-aws-node")
    assert given.stdout == "3 pods given to aws-node, 1 left out: they have no interface\n"
    assert "addresses of pods that have just ended may not be given to others yet" in given.stderr


# --- IPv6 clusters

SIX = {"nodes": 2, "instance_type": "t3.small", "daemon_config": {"enable_ipv4": False, "enable_ipv6": True, "ip_cooldown_s": REST_S}}
INTERNET6 = "2001:db8:ffff::10"


@pytest.fixture
def six(make_lab):
    lab = make_lab("--ipv6", **SIX)
    made = as_aws_node(lab, AwsNode6, n_enis=1)
    for name in ("one", "two", "three"):
        made.add(name, made.enis[0])
    return lab, made


def set_config(node, **changes):
    settings = {**json.loads(node.run("cat", "/etc/vpcwire/vpcwired.json").stdout), **changes}
    node.run("sh", "-ec", "cat > /etc/vpcwire/vpcwired.json", input=json.dumps(settings))


@pytest.mark.limit(240)
def test_an_ipv6_cluster_there_and_back(six):
    lab, aws = six
    node, other = aws.node, lab.nodes[1].pod("other")
    other.add()
    one, two, three = aws.pods
    assert ipaddress.ip_network(aws.enis[0]["block6"])[0] == ipaddress.ip_address(one.address), "aws-node gives the prefix' first address, too"
    # what is to go on: over IPv6, and over IPv4 by the interface of egress-cni, which stays as it is
    ways = {"to another node": (one, other.result.address6), "from another node": (other, two.address), "beside": (one, three.address),
            "to the internet": (two, INTERNET6), "to the IPv4 internet": (three, INTERNET)}
    for who, address in ways.values():
        assert who.pings(address, 10), "its neighbours are known"
    before = {p.name: inside(p) for p in aws.pods}
    with pings(ways):
        assert vpcwired(node, "--from-aws-node").stdout == "3 pods taken over, 0 were before, 0 left out: they have no interface\n"
        serving(lab, node)
        assert vpcwired(node, "--from-aws-node-done").stdout.startswith("6 routes and rules of aws-node removed")
        node.run(proc.TOP / "deploy/migrate/aws-iptables")
        assert aws.leavings() == ([], [], ""), aws.leavings()
        for pod in aws.pods:
            pod.check(prev_result=pod.prev_result())
        ours = node.pod("four")
        ours.add()
        assert ours.result.address6 not in [p.address for p in aws.pods] and ours.pings(one.address)
        # aws-node would know nothing of how it reaches IPv4
        lab.stop_daemon(node.name)
        refused = vpcwired(node, "--to-aws-node", ok=False)
        assert refused.returncode == 1 and ours.container_id in refused.stderr and "its way out in the other family is vpcwire's" in refused.stderr
        set_config(node, v4_egress=False)
        serving(lab, node)
        ours.delete()
        ours.remove()
        ours = node.pod("five")
        ours.add()
        lab.stop_daemon(node.name)
        assert vpcwired(node, "--to-aws-node").stdout == "4 pods given to aws-node, 0 left out: they have no interface\n"
        aws.start()
        new = aws.add("six", aws.enis[0])
        everybody = [a["ipv6"] for a in aws.checkpoint()]
        assert len(set(everybody)) == len(everybody) == 5, everybody
        assert vpcwired(node, "--to-aws-node-done").stdout == "4 pods let go\n"
    assert before == {p.name: inside(p) for p in (one, two, three)}
    assert one.pings(ours.result.address6) and new.pings(one.address) and ours.pings(INTERNET6)
    links = node.json("ip", "-d", "-j", "link")
    assert not [l for l in links if l.get("ifalias", "").startswith("vpcwire")]
    for pod in (one, two, three):       # what we put on the link of a pod goes again
        assert "fe80::1" not in [a["local"] for l in node.json("ip", "-6", "-j", "addr", "show", "dev", pod.host) for a in l["addr_info"]]
    assert not node.run("ip", "-6", "route", "show", "table", "all", "proto", "86").stdout
    assert not [r for r in node.json("ip", "-6", "-j", "rule") if r.get("protocol") == "86"]
    aws.delete(next(a for a in aws.allocations if a["containerID"] == ours.container_id))
    for pod in (ours, new):
        pod.remove()
    other.delete()
    other.remove()


def test_chains_of_egress_cni_go_when_their_pods_have(six):
    """Nobody calls its DEL once its conflist is away."""
    lab, aws = six
    node, chains = aws.node, lambda: node.run("sh", "-c", "iptables-save | grep -c '^:CNI-E4-'", check=False).stdout.strip()
    vpcwired(node, "--from-aws-node")
    serving(lab, node)
    vpcwired(node, "--from-aws-node-done")
    assert node.run(proc.TOP / "deploy/migrate/aws-iptables").stdout == "" and chains() == "3", "they are in use"
    assert not node.run("cat", "/proc/net/ip_tables_names").stdout, "looking makes no tables"
    one, two, three = aws.pods
    one.delete(prev_result=one.prev_result())
    one.remove()
    proc.wait_until(lambda: "vethe2" not in str(node.json("ip", "-j", "link")), "its link to be gone")
    said = node.run(proc.TOP / "deploy/migrate/aws-iptables").stdout.splitlines()
    assert len(said) == 2 and f"-X {aws.chain(one)}" in said[1] and chains() == "2", said
    assert two.pings(INTERNET) and three.pings(INTERNET)


def inside(pod):
    """What a pod sees of its network; link-local addresses and neighbours come by themselves."""
    return (pod.json("ip", "-j", "addr", "show", "scope", "global"), pod.json("ip", "-6", "-j", "route", "show", "table", "main"),
            pod.json("ip", "-j", "route"), pod.json("ip", "-j", "neigh", "show", "nud", "permanent"))


def test_an_ipv6_cluster_is_not_taken_over_without_ipv6(six):
    lab, aws = six
    before = audit.kernel(aws.node)
    set_config(aws.node, enable_ipv4=True, enable_ipv6=False)
    done = vpcwired(aws.node, "--from-aws-node", ok=False)
    assert done.returncode == 1 and "enable_ipv6 is false in vpcwired's settings" in done.stderr and "nothing was changed" in done.stderr
    assert not audit.difference(before, audit.kernel(aws.node))


# --- what else aws-node leaves


@pytest.mark.limit(240)
def test_its_policy_agents_programs_go(lab, aws):
    """They judge by the policies of the day when the agent was stopped, behind ours, until they are taken away."""
    node = aws.node
    one, two, three, four = aws.pods
    aws.enforce(one, three.address)
    aws.enforce(two, "192.0.2.1")
    # somebody else's filter on a pod's link: TC_ACT_UNSPEC
    node.run("tc", "filter", "add", "dev", one.host, "egress", "pref", "50", "bpf", "da", "bytecode", "1,6 0 0 4294967295,")
    assert len(aws.agents()[0]) == 4 and len(aws.agents()[1]) == 6
    with pings({"allowed": (four, one.address), "also": (one, two.address)}):
        assert not three.pings(one.address, 1)
        vpcwired(node, "--from-aws-node")
        serving(lab, node)
        assert not three.pings(one.address, 1), "what ours allow, theirs go on to judge"
        done = vpcwired(node, "--from-aws-node-done").stdout
        assert quoted("11 routes and rules of aws-node removed, and of its policy agent 4 filters and 6 pins").match(done) and " 4 filters and 6 pins\n" in done, done
        assert three.pings(one.address)
    assert aws.agents() == ([], [])
    assert "pref 50 bpf" in node.run("tc", "filter", "show", "dev", one.host, "egress").stdout
    assert "0 filters and 0 pins" in vpcwired(node, "--from-aws-node-done").stdout
    policies = Policies(node)
    policies.put("closed.json", network_policy("closed", policyTypes=["Ingress"], ingress=[]))
    assert not three.pings(one.address, 1), "ours judge alone"


def test_pods_that_nothing_of_ours_judges_keep_the_agents_programs(lab, aws):
    node = aws.node
    one = aws.pods[0]
    aws.enforce(one, "192.0.2.1")
    vpcwired(node, "--from-aws-node")
    serving(lab, node)
    lab.kill_daemon(node.name)
    pins = node.run("sh", "-c", "dirname /sys/fs/bpf/vpcwire/v*/from_pod").stdout.strip()
    node.run("/usr/bin/python3", proc.TOP / "tests/harness/tcx.py", pins, one.host, "from_pod")
    refused = vpcwired(node, "--from-aws-node-done", ok=False)
    assert refused.returncode == 1 and f"do not judge a pod yet ({one.host})" in refused.stderr
    assert quoted("vpcwire's programs do not judge a pod yet").search(refused.stderr)
    assert len(aws.agents()[0]) == 2 and aws.leavings()[0], "nothing was changed"
    serving(lab, node)
    assert "2 filters and 3 pins" in vpcwired(node, "--from-aws-node-done").stdout


FOREIGN = "-t nat -A POSTROUTING -d 192.0.2.77 -m comment --comment 'not AWS, KUBE' -j ACCEPT"


@pytest.mark.parametrize("kinds", [("legacy",), ("nft",), ("legacy", "nft")])
@pytest.mark.limit(240)
def test_iptables_of_either_kind_go(lab, kinds):
    """Its image chooses one at its start, and may have chosen the other one before."""
    aws = as_aws_node(lab, iptables=f"iptables-{kinds[0]}")
    for kind in kinds:
        aws.iptables = f"iptables-{kind}"
        aws.start()
    with_four(aws)
    node, other = aws.node, lab.nodes[1].pod("other")
    other.add()
    for kind in ("legacy", "nft"):
        node.run("sh", "-ec", f"iptables-{kind} {FOREIGN}")
    foreign = {k: saved(node, k) for k in ("legacy", "nft")}
    assert all(("AWS" in text.replace("not AWS", "")) == (k in kinds) for k, text in foreign.items())
    seen = [p.seen_as(INTERNET) for p in aws.pods]
    assert all(seen)
    ways = {f"{p.name} to {where}": (p, where) for p in (aws.pods[0], aws.pods[2]) for where in (INTERNET, other.result.address)}
    with pings(ways):
        vpcwired(node, "--from-aws-node")
        serving(lab, node)
        vpcwired(node, "--from-aws-node-done")
        said = node.run(proc.TOP / "deploy/migrate/aws-iptables").stdout.splitlines()
        assert {line.split()[0] for line in said} == {f"iptables-{k}" for k in kinds}, said
        assert len(said) == 8 * len(kinds), said        # six rules of the kernel's chains, two chains
        assert seen == [p.seen_as(INTERNET) for p in aws.pods]
    assert aws.leavings()[2].replace(FOREIGN_SAVED, "") == ""
    for kind in ("legacy", "nft"):
        assert FOREIGN_SAVED in saved(node, kind), "what is not aws-node's stays"
    assert node.run(proc.TOP / "deploy/migrate/aws-iptables").stdout == ""
    other.delete()
    other.remove()


FOREIGN_SAVED = '-A POSTROUTING -d 192.0.2.77/32 -m comment --comment "not AWS, KUBE" -j ACCEPT\n'


def saved(node, kind):
    return node.run(f"iptables-{kind}-save").stdout


STRANGERS = [("vlan.eth.3", "bridge"), (host_name("sg", prefix="vlan"), "veth")]


@pytest.mark.parametrize("name, kind", STRANGERS)
def test_pods_with_security_groups_of_their_own_are_refused(aws, name, kind):
    """This kernel has no VLAN devices: what is known is aws-node's names, whatever has them."""
    node = aws.node
    node.run("ip", "link", "add", name, "type", kind)
    before = audit.kernel(node)
    done = vpcwired(node, "--from-aws-node", ok=False)
    assert done.returncode == 1 and f"interface {name} is" in done.stderr and quoted("is of a pod with security groups of its own").search(done.stderr) and \
        "nothing was changed" in done.stderr, done.stderr
    assert not audit.difference(before, audit.kernel(node))
    node.run("ip", "link", "del", name)
    # a VLAN of the node's own, and what only begins like that, is no pod's
    node.run("ip", "link", "add", "vlan7", "type", "bridge")
    assert vpcwired(node, "--from-aws-node").stdout.startswith("4 pods taken over")
