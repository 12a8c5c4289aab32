# SPDX-License-Identifier: Apache-2.0
"""Network policy on living pods: what a manifest changes, when it is in force, what is told, and what survives."""
import concurrent.futures
import json

import pytest

from tests.harness.policy import PORT, Connection, Policies, Server, connects, network_policy, pod_object

LAB = {"nodes": 2, "instance_type": "t3.medium"}
DENY_IN = network_policy("deny", policyTypes=["Ingress"])


def from_pods(**labels):
    return [{"from": [{"podSelector": {"matchLabels": labels}}]}]


@pytest.fixture(scope="module")
def pods(lab):
    """a, b and c on the first node, d on the second; each serves."""
    made = {name: lab.nodes[name == "d"].pod(name) for name in "abcd"}
    servers = []
    for pod in made.values():
        pod.add()
        pod.run("ip", "link", "set", "lo", "up")
        servers.append(Server(pod.node, pod.netns))
    yield made
    for s in servers:
        s.stop()
    for pod in made.values():
        pod.delete()
        pod.remove()


@pytest.fixture
def folder(lab):
    p = Policies(lab.nodes[0])
    yield p
    if p.status()["objects"] or p.status()["refused"]:
        p.change(p.clear)
    else:
        p.clear()


@pytest.fixture
def objects(pods):
    return [pod_object(pod, {"app": name}) for name, pod in pods.items()]


@pytest.fixture
def connect():
    made = []

    def open_to(pod, other, **kwargs):
        made.append(Connection(pod.node, pod.netns, other.result.address, **kwargs))
        return made[-1]
    yield open_to
    for c in made:
        c.close()


def reaches(pods, pairs):
    """Those of the pairs of which the first can connect to the second; all are tried at once."""
    with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
        found = pool.map(lambda p: connects(pods[p[0]], pods[p[1]].result.address), pairs)
        return {p for p, yes in zip(pairs, found) if yes}


ALL = {"ab", "ba", "bc", "db", "ad"}


def test_without_policies_everybody_reaches_everybody(pods, folder):
    assert reaches(pods, ALL) == ALL
    status = folder.status()
    assert status["mode"] == "standard" and not status["refused"] and "failed" not in status
    assert [p["isolated_ingress"] or p["isolated_egress"] for p in status["pods"]] == [False] * 3


def test_deny_all_then_one_is_let_in_then_all_again(pods, folder, objects):
    folder.put("pods.json", *objects)
    folder.put("deny.json", DENY_IN)
    assert reaches(pods, ALL) == {"ad"}         # d is on a node that has no policies
    folder.put("allow.json", network_policy("allow", {"app": "b"}, ingress=from_pods(app="d")))
    assert reaches(pods, ALL) == {"ad", "db"}
    folder.take("deny.json")
    assert reaches(pods, ALL) == {"ad", "db", "ba", "bc"}
    folder.take("allow.json")
    assert reaches(pods, ALL) == ALL


def test_a_pod_without_an_object_is_known_by_its_namespace(pods, folder):
    """CNI brought namespace and name; a policy of the namespace holds, and it is a peer of its namespace."""
    folder.put("policy.json", network_policy("own", ingress=[{"from": [{"podSelector": {}}]}]))
    assert reaches(pods, {"ab", "bc", "db"}) == {"ab", "bc"}


def test_egress(pods, folder, objects):
    folder.put("all.json", {"apiVersion": "v1", "kind": "List", "items": [
        *objects, network_policy("out", {"app": "a"}, policyTypes=["Egress"], egress=[
            {"to": [{"ipBlock": {"cidr": f"{pods['d'].result.address}/32"}}], "ports": [{"port": PORT}]}])]})
    assert reaches(pods, {"ab", "ad", "ba", "ca"}) == {"ad", "ba", "ca"}
    folder.put("all.json", *objects, network_policy("out", {"app": "a"}, policyTypes=["Egress"], egress=[
        {"to": [{"podSelector": {"matchLabels": {"app": "b"}}}], "ports": [{"port": PORT + 1}]}]))
    assert reaches(pods, {"ab", "ad", "ac"}) == set()


def test_connections_of_a_peer_that_is_another_now_end(pods, folder, objects, connect):
    """Its labels were why it was let in. Only its own connections are cut, and new labels of others do not matter."""
    folder.put("pods.json", *objects)
    folder.put("allow.json", network_policy("allow", {"app": "a"}, ingress=from_pods(app="b") + from_pods(app="c") + from_pods(app="d")))
    flows = {name: connect(pods[name], pods["a"]) for name in "bcd"}
    assert all(f.alive() for f in flows.values())
    for name in "bd":
        folder.put("pods.json", *[pod_object(pod, {"app": "other" if n == name else n}) for n, pod in pods.items()])
        assert not flows.pop(name).alive()
        assert all(f.alive() for f in flows.values())
        folder.put("pods.json", *objects)
    assert flows["c"].alive()


def test_the_node_itself_always_reaches_its_pods(lab, pods, folder):
    folder.put("deny.json", DENY_IN)
    here, there = (Connection(n, None, pods["a"].result.address) for n in lab.nodes)
    assert here.alive() and not there.alive()
    here.close()
    there.close()


def test_yaml_as_kubectl_prints_it(pods, folder):
    folder.put("policy.yaml", """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: default}
spec:
  podSelector: {}
  policyTypes: [Ingress]
---
apiVersion: v1
kind: Namespace
metadata:
  name: default
""")
    assert reaches(pods, {"ab", "ba"}) == set()


def test_established_flows_are_judged_again(pods, folder, connect):
    flow = connect(pods["d"], pods["a"])
    assert flow.alive()
    folder.put("deny.json", DENY_IN)
    assert not flow.alive()
    assert not connects(pods["d"], pods["a"].result.address)


def test_what_a_change_does_not_concern_goes_on(pods, folder, objects, connect):
    folder.put("pods.json", *objects)
    flow = connect(pods["d"], pods["a"])
    for i in range(5):
        folder.put("deny.json", network_policy("deny", {"app": "b"}, policyTypes=["Ingress"]))
        assert flow.alive()
        folder.take("deny.json")
        assert flow.alive()


@pytest.mark.parametrize("name,text,words", [
    ("bad.json", '{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"', ["bad.json"]),
    ("bad.json", network_policy("p", ingress=[{"ports": [{"port": 90, "endPort": 80}]}]), ["ports[0]", "endPort"]),
    ("bad.json", network_policy("p", ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}]}]), ["except"]),
    ("bad.yaml", "kind: NetworkPolicy\n  apiVersion: x\n", ["bad.yaml"]),
], ids=["json", "endPort", "except", "yaml"])
def test_a_bad_manifest_is_refused_and_told(pods, folder, name, text, words, wait_until):
    """...and everything else stays in force, also what the same file held before."""
    good = DENY_IN if name.endswith("json") else "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny}\nspec: {podSelector: {}}\n"
    folder.put(name, good)
    folder.write(name, text)
    refused = wait_until(lambda: folder.status()["refused"], "the refusal")
    assert [r["file"] for r in refused] == [name]
    told = " ".join(str(v) for v in refused[0].values())
    assert all(w in told for w in words), told
    assert reaches(pods, {"ab"}) == set()
    folder.put("other.json", network_policy("allow", ingress=[{}]))
    assert reaches(pods, {"ab"}) == {"ab"}
    wait_until(lambda: words[0] in folder.node.daemon_log(), "the log to tell")
    folder.write(name, good)
    wait_until(lambda: not folder.status()["refused"], "the file to be taken again")


def test_denied_connections_are_logged_with_names(pods, folder, objects, wait_until):
    folder.put("pods.json", *objects)
    folder.put("deny.json", DENY_IN)
    before = len(folder.log())
    assert not connects(pods["d"], pods["a"].result.address)
    line = wait_until(lambda: folder.log()[before:], "a line in the log")[0]
    assert line["verdict"] == "DENY" and line["dir"] == "ingress" and line["pod"] == "default/a" and line["peer"] == "default/d"
    assert line["src"] == pods["d"].result.address and line["dst"] == pods["a"].result.address and line["dport"] == PORT
    assert line["tier"] == "NetworkPolicy" and line["policy"] == "default/deny" and "isolated by default/deny" in line["reason"]


def test_rules_count(pods, folder, objects):
    folder.put("pods.json", *objects)
    folder.put("p.json", network_policy("some", {"app": "a"}, ingress=from_pods(app="b")))
    assert reaches(pods, {"ba", "ca"}) == {"ba"}
    rules = {(r["policy"], r["rule"]): r for r in folder.status()["rules"]}
    assert rules["default/some", "spec.ingress[0]"]["packets"] == 1
    assert rules["default/some", ""]["packets"] >= 1


def test_a_new_pod_is_judged_from_its_first_packet(lab, folder, wait_until):
    folder.put("deny.json", network_policy("deny", policyTypes=["Ingress", "Egress"]))
    for i in range(3):
        pod = lab.nodes[0].pod(f"fresh{i}")
        pod.add()
        try:
            assert not pod.pings(lab.nodes[1].imds("local-ipv4"), deadline_s=1)
            assert [p for p in folder.status()["pods"] if p.get("pod") == f"default/fresh{i}"][0]["isolated_egress"]
        finally:
            pod.delete()
            pod.remove()


def test_a_restart_keeps_policy_and_flows(lab, pods, folder, objects, connect):
    folder.put("pods.json", *objects)
    folder.put("p.json", network_policy("some", {"app": "a"}, ingress=from_pods(app="d")))
    flow = connect(pods["d"], pods["a"])
    assert flow.alive()
    for how in (lab.kill_daemon, lab.stop_daemon):
        how(lab.nodes[0].name)
        assert flow.alive() and reaches(pods, {"ba", "da"}) == {"da"}
        lab.start_daemon(lab.nodes[0].name)
        assert flow.alive() and reaches(pods, {"ba", "da"}) == {"da"}
        folder.change(lambda: folder.write("more.json", network_policy("more", {"app": "b"}, policyTypes=["Ingress"])))
        assert reaches(pods, {"ab"}) == set()
        folder.take("more.json")
        assert flow.alive()


def test_what_a_refused_file_held_before_outlives_the_daemon(lab, pods, folder, objects, wait_until):
    """...however it ended, and also when the file was broken while no daemon ran. A file that is removed then is gone."""
    node = lab.nodes[0].name

    def first_generation():
        return wait_until(lambda: folder.settled(0), "the first generation")

    folder.put("pods.json", *objects)
    folder.put("p.json", network_policy("some", {"app": "a"}, ingress=from_pods(app="d")))
    folder.put("other.json", network_policy("other", {"app": "b"}, policyTypes=["Ingress"]))
    folder.write("p.json", '{"kind":')
    wait_until(lambda: folder.status()["refused"], "the refusal")
    for how in (lab.kill_daemon, lab.stop_daemon):
        how(node)
        lab.start_daemon(node)
        status = first_generation()
        assert [r["file"] for r in status["refused"]] == ["p.json"] and not status.get("failed")
        assert status["objects"] == {"Pod": 4, "NetworkPolicy": 2}
        assert reaches(pods, {"ba", "da", "ab", "ac"}) == {"da", "ac"}
    # good again, broken while nobody looks; and one that goes then
    folder.put("p.json", network_policy("some", {"app": "a"}, ingress=from_pods(app="b")))
    lab.kill_daemon(node)
    folder.write("p.json", network_policy("some", {"app": "a"}, ingress=[{"ports": [{"port": 90, "endPort": 80}]}]))
    folder.remove("other.json")
    lab.start_daemon(node)
    status = first_generation()
    assert [r["path"] for r in status["refused"]] == ["spec.ingress[0].ports[0].endPort"]
    assert reaches(pods, {"ba", "da", "ab"}) == {"ba", "ab"}
    folder.take("p.json")
    assert reaches(pods, {"ba", "da", "ab"}) == {"ba", "da", "ab"}
    lab.kill_daemon(node)
    folder.write("p.json", '{"kind":')          # it held nothing before
    lab.start_daemon(node)
    assert [r["file"] for r in first_generation()["refused"]] == ["p.json"]
    assert reaches(pods, {"ba", "da", "ab"}) == {"ba", "da", "ab"}


def test_explain_agrees_with_what_happens(pods, folder, objects):
    folder.put("pods.json", *objects)
    folder.put("p.json", network_policy("some", {"app": "a"}, ingress=from_pods(app="b")))
    for name, want in (("b", "ALLOW"), ("c", "DENY"), ("d", "DENY")):
        said = folder.ctl("policy", "explain", "--from", f"default/{name}", "--to", "default/a", "--port", f"{PORT}/tcp", ok=(0,))
        assert said["verdict"] == want == ("ALLOW" if connects(pods[name], pods["a"].result.address) else "DENY")
        assert said["ingress"]["kernel"] == want and "disagreement" not in said
    assert said["ingress"]["policy"] == "default/some"
    said = folder.ctl("policy", "explain", "--from", "node", "--to", "default/a", "--port", "80", ok=(0,))
    assert said["verdict"] == "ALLOW"
    folder.ctl("policy", "explain", "--from", "default/nobody", "--to", "192.0.2.1", ok=(1,))


@pytest.fixture
def aside(folder):
    """Write manifests outside policy_dir -> their path."""
    def write(name, *objects):
        text = "\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects)
        folder.node.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "-", f"/tmp/simulate/{name}", input=text)
        return f"/tmp/simulate/{name}"
    yield write
    folder.node.run("rm", "-rf", "/tmp/simulate")


def told_pairs(said, names):
    """-> {(from, to): after} of connections between pods to PORT that a simulation tells of"""
    def has_port(text):
        first, last = text.removesuffix("/TCP").split("-") if "-" in text else [text.removesuffix("/TCP")] * 2
        return text.endswith("/TCP") and int(first) <= PORT <= int(last)

    told = {}
    for change in said["changes"]:
        if any(has_port(p) for p in change["ports"]):
            pods, peers = ({w.removeprefix("default/") for w in change[k]} & set(names) for k in ("pods", "peers"))
            for pair in ((a, b) if change["dir"] == "egress" else (b, a) for a in pods for b in peers if a != b):
                told[pair] = "DENY" if "DENY" in (told.get(pair), change["after"]) else change["after"]
    return told


SIMULATED = [
    [network_policy("some", {"app": "a"}, ingress=from_pods(app="b"))],
    [network_policy("all", policyTypes=["Ingress"]), network_policy("d", {"app": "b"}, ingress=from_pods(app="d"))],
    [network_policy("out", {"app": "c"}, policyTypes=["Egress"], egress=[{"to": [{"podSelector": {"matchLabels": {"app": "d"}}}]}])],
    [network_policy("port", ingress=[{"ports": [{"port": PORT}]}])],
    [network_policy("other-port", {"app": "b"}, ingress=[{"ports": [{"port": PORT + 1}]}])],
]


def test_what_simulate_and_explain_say_then_happens(pods, folder, objects, aside):
    """...whatever is in force before; and a simulation itself changes nothing."""
    pairs = {(x, y) for x in "abcd" for y in "abcd" if x != y and {x, y} & set("abc")}
    folder.put("pods.json", *objects)
    now = reaches(pods, pairs)
    for new in [*SIMULATED, *reversed(SIMULATED[:-1])]:
        path, before = aside("p.json", *new), folder.status()
        told = told_pairs(folder.ctl("policy", "simulate", "--with", path), pods)
        after = folder.status()
        assert [after[k] for k in ("generation", "objects", "refused", "warnings")] == [before[k] for k in ("generation", "objects", "refused", "warnings")]
        folder.put("p.json", *new)
        then = reaches(pods, pairs)
        for x, y in pairs:
            # both ends may have a say: what one end would change is seen where the other allows it
            if (x, y) not in told:
                assert ((x, y) in then) == ((x, y) in now), f"{x} to {y} changed, and was not told of: {told}"
            elif told[x, y] == "DENY":
                assert (x, y) not in then, f"{x} to {y} was to be denied: {told}"
            elif (x, y) not in then:
                assert explained(folder, x, y)["verdict"] == "DENY", f"{x} to {y} was to be allowed: {told}"
            assert explained(folder, x, y)["verdict"] == ("ALLOW" if (x, y) in then else "DENY")
        now = then


def explained(folder, x, y):
    said = folder.ctl("policy", "explain", "--from", f"default/{x}", "--to", f"default/{y}", "--port", f"{PORT}/tcp", ok=(0,))
    assert "disagreement" not in said
    return said


def test_simulate_refuses_what_the_folder_would(pods, folder, objects, aside):
    folder.put("pods.json", *objects)
    before = folder.status()
    for words in (["--with", "/tmp/simulate/not-there.json"], ["--with", aside("bad.json", "{")], ["--with", aside("what.txt", "{}")],
                  ["--with", aside("same.json", DENY_IN), "--with", aside("two/same.json", DENY_IN)]):
        folder.ctl("policy", "simulate", *words, ok=(1,))
    folder.ctl("policy", "simulate", ok=(2,))
    assert not folder.ctl("policy", "simulate", "--with", aside("empty.json", {"apiVersion": "v1", "kind": "List", "items": []}), ok=(0,))["changes"]
    after = folder.status()
    assert [after[k] for k in ("generation", "objects", "refused", "warnings")] == [before[k] for k in ("generation", "objects", "refused", "warnings")]
    assert connects(pods["c"], pods["a"].result.address)
