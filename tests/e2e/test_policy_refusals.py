# SPDX-License-Identifier: Apache-2.0
"""What is refused, one kind after another: told with file, place and reason, counted, and everything else stays in force."""
import json
import re

import pytest

from tests.harness.policy import POLICY_DIR, Policies, network_policy, pod_object

LAB = {"instance_type": "t3.medium"}
DENY = network_policy("deny", policyTypes=["Ingress"])
METRICS = "http://127.0.0.1:61678/metrics"


@pytest.fixture(scope="module")
def pod(lab):
    made = lab.nodes[0].pod("a")
    made.add()
    yield made
    made.delete()
    made.remove()


@pytest.fixture
def folder(node, pod):
    """One file whose content must outlive what comes in its place, and another one beside it."""
    p = Policies(node)
    p.put("kept.json", pod_object(pod, {"app": "a"}), DENY)
    p.put("other.json", network_policy("out", policyTypes=["Egress"]))
    yield p
    p.change(p.clear)


def isolated(folder):
    one, = folder.status()["pods"]
    return one["isolated_ingress"], one["isolated_egress"]


def counted(node):
    """What Prometheus is told."""
    page = node.run("curl", "-sf", "--noproxy", "*", METRICS).stdout
    return int(re.search(r"^vpcwire_policy_refused_manifests (\d+)$", page, re.M)[1])


def rule(**rule):
    return network_policy("p", ingress=[rule])


def peer(**peer):
    return rule(**{"from": [peer]})


def port(**port):
    return rule(ports=[port])


def cluster(**spec):
    full = {"tier": "Admin", "priority": 5, "subject": {"namespaces": {}}, **spec}
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "c"},
            "spec": {k: v for k, v in full.items() if v is not None}}


def admin(**change):
    return {"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy", "metadata": {"name": "c"},
            "spec": {"priority": 5, "subject": {"namespaces": {}}, **change}}


def named(name, namespace="default"):
    return network_policy(name, namespace=namespace)


def egress(*rules):
    return cluster(egress=list(rules))


# name: (text or object, place, part of the reason)
OBJECTS = {
    "endPort below port": (port(port=90, endPort=80), "spec.ingress[0].ports[0].endPort", "80 is below port 90"),
    "endPort alone": (port(endPort=80), "spec.ingress[0].ports[0].endPort", "without a port"),
    "endPort beside a name": (port(port="web", endPort=80), "spec.ingress[0].ports[0].endPort", "named port"),
    "port out of range": (port(port=65536), "spec.ingress[0].ports[0].port", "wanted 1 to 65535"),
    "port 0": (port(port=0), "spec.ingress[0].ports[0].port", "wanted 1 to 65535"),
    "port name": (port(port="No_Name"), "spec.ingress[0].ports[0].port", "No_Name"),
    "protocol": (port(port=80, protocol="ICMP"), "spec.ingress[0].ports[0].protocol", "wanted TCP, UDP or SCTP"),
    "cidr": (peer(ipBlock={"cidr": "10.0.0.0/33"}), "spec.ingress[0].from[0].ipBlock.cidr", "not a CIDR"),
    "except outside cidr": (peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "192.168.0.0/16"]}),
                            "spec.ingress[0].from[0].ipBlock.except[1]", "not within cidr"),
    "except as large as cidr": (peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}),
                                "spec.ingress[0].from[0].ipBlock.except[0]", "not smaller"),
    "except of the other family": (peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}),
                                   "spec.ingress[0].from[0].ipBlock.except[0]", "not within cidr"),
    "empty peer": (peer(), "spec.ingress[0].from[0]", "a peer without"),
    "two kinds of peer": (peer(ipBlock={"cidr": "10.0.0.0/8"}, podSelector={}), "spec.ingress[0].from[0]", "another kind of peer"),
    "unknown field": (rule(form=[]), "spec.ingress[0]", 'unknown field "form"'),
    "policy type": (network_policy("p", policyTypes=["Inbound"]), "spec.policyTypes[0]", "wanted Ingress or Egress"),
    "label key": (network_policy("p", {"a/b/c": "x"}), "spec.podSelector.matchLabels", "label key"),
    "label value": (network_policy("p", {"a": "x y"}), "spec.podSelector.matchLabels", "label value"),
    "label of another type": (network_policy("p", {"a": 5}), "spec.podSelector.matchLabels", "wanted a text"),
    "operator": (network_policy("p", podSelector={"matchExpressions": [{"key": "a", "operator": "Equals", "values": ["b"]}]}),
                 "spec.podSelector.matchExpressions[0].operator", "wanted In, NotIn, Exists or DoesNotExist"),
    "operator without values": (network_policy("p", podSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
                                "spec.podSelector.matchExpressions[0].values", "needs at least one"),
    "list of another type": (network_policy("p", ingress={}), "spec.ingress", "wanted a list"),
    "name": (named("No Name"), "metadata.name", "No Name"),
    "namespace": (named("p", "No.Space"), "metadata.namespace", "No.Space"),
    "tier": (cluster(tier="Middle"), "spec.tier", "wanted Admin or Baseline"),
    "no priority": (cluster(priority=None), "spec.priority", "is missing"),
    "priority out of range": (cluster(priority=1001), "spec.priority", "wanted 0 to 1000"),
    "no subject": (cluster(subject=None), "spec.subject", "wanted namespaces or pods"),
    "action": (egress({"action": "Reject", "to": [{"namespaces": {}}]}), "spec.egress[0].action", "Reject"),
    "action of another kind": (admin(egress=[{"action": "Accept", "to": [{"namespaces": {}}]}]), "spec.egress[0].action", "Accept"),
    "no peers": (egress({"action": "Accept", "to": []}), "spec.egress[0].to", "empty"),
    "names that are denied": (egress({"action": "Deny", "to": [{"domainNames": ["a.io"]}]}), "spec.egress[0].to[0].domainNames", "only a rule"),
    "a name that is none": (egress({"action": "Accept", "to": [{"domainNames": ["a..io"]}]}), "spec.egress[0].to[0].domainNames[0]", "a..io"),
    "too many rules for the kind": (egress(*[{"action": "Accept", "to": [{"namespaces": {}}]}] * 101), "spec.egress", "101 rules"),
}

FILES = {
    "no JSON": ('{"kind": ', "line 1"),
    "no object": ("[1, 2]", "object"),
    "no kind": ('{"apiVersion": "v1"}', "kind"),
    "a list without items": ('{"apiVersion": "v1", "kind": "List"}', "items"),
    "twice in one file": (json.dumps(named("p")) + json.dumps(named("p")), "twice"),
    "too deep": ('{"a":' * 100 + "1" + "}" * 100, "deeper than 64"),
    "too large": (" " * ((64 << 20) + 1), "bytes"),
}

YAMLS = {
    "no YAML": ("kind: NetworkPolicy\n  apiVersion: x\n", "line 2"),
    "a key twice": ("kind: Pod\nkind: Pod\n", "twice"),
    "a tag": ("kind: !!python/object:os.system x\n", "tag"),
    "aliases that explode": ("".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 'x'}]\n" for i in range(8)), "alias"),
}


def refusal(folder, name, text, place, reason, wait_until):
    """Put it there -> what is told of it, at that place and for that reason; what was in force must have stayed."""
    before = folder.status()
    folder.write(name, text)

    def told():
        return [r for r in folder.status()["refused"] if r["file"] == name and r.get("path", "").startswith(place) and
                r["reason"] and reason in f"{r.get('path')}: {r['reason']}"]
    one, = wait_until(told, lambda: f"{name} to be refused at '{place}' for '{reason}': {folder.status()['refused']}")
    after = folder.status()
    assert len(after["refused"]) == 1 and counted(folder.node) == 1
    assert [after.get(k) for k in ("generation", "objects", "failed")] == [before.get(k) for k in ("generation", "objects", "failed")]
    assert isolated(folder) == (True, True)
    return one


def taken_again(folder, name, before, wait_until):
    folder.write(name, before)
    wait_until(lambda: not folder.status()["refused"], f"{name} to be taken again")


@pytest.mark.limit(120)
def test_objects_that_the_api_server_would_not_take(pod, folder, wait_until):
    good = "\n".join(map(json.dumps, [pod_object(pod, {"app": "a"}), DENY]))
    for what, (bad, place, reason) in OBJECTS.items():
        told = refusal(folder, "kept.json", bad, place, reason, wait_until)
        assert told.get("object") or place.startswith("metadata"), (what, told)
    taken_again(folder, "kept.json", good, wait_until)
    assert isolated(folder) == (True, True) and counted(folder.node) == 0


@pytest.mark.limit(120)
def test_files_that_are_not_understood(pod, folder, wait_until):
    for bad, reason in FILES.values():
        refusal(folder, "kept.json", bad, "", reason, wait_until)
    folder.remove("kept.json")
    wait_until(lambda: not folder.status()["refused"], "the file to be forgotten")
    good = "\n---\n".join(map(json.dumps, [pod_object(pod, {"app": "a"}), DENY]))
    folder.change(lambda: folder.write("kept.yaml", good))
    for bad, reason in YAMLS.values():
        refusal(folder, "kept.yaml", bad, "", reason, wait_until)


def too_many(kind):
    """-> (objects that go beyond one limit of the tables, part of the reason)"""
    if kind == "rules":
        return [network_policy("p", ingress=[{"ports": [{"port": 1 + i}]} for i in range(16384)])], "rules"
    if kind == "addresses":
        return [network_policy("p", ingress=[{"from": [{"ipBlock": {"cidr": f"100.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32"}}
                                                       for i in range(65537)]}])], "addresses"
    if kind == "classes":
        both = [c for i in range(33000) for c in (f"100.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32", f"fd00::{i:x}/128")]
        # rule n has every address whose number has bit n: so no two are of one class
        return [network_policy("p", ingress=[{"from": [{"ipBlock": {"cidr": c}} for i, c in enumerate(both) if i >> bit & 1],
                                              "ports": [{"port": 1 + bit}]} for bit in range(17)])], "classes"
    if kind == "prefixes":
        return [network_policy("p", ingress=[{"from": [{"ipBlock": {"cidr": f"100.{64 + (i >> 13)}.{i >> 5 & 255}.{(i & 31) << 3}/29"}}
                                                       for i in range(16500)]}])], "prefixes"
    if kind == "domains":
        names = [[f"n{i}-{k}.io" for k in range(25)] for i in range(3)]
        return [egress(*[{"action": "Accept", "to": [{"domainNames": n}]} for n in names])], "domains"
    raise AssertionError(kind)


@pytest.mark.limit(120)
@pytest.mark.parametrize("kind", ["rules", "addresses", "classes", "prefixes", "domains"])
def test_too_much_is_refused_alone(folder, wait_until, kind):
    """...even when it comes with a file that is all right in the same moment; that one is taken."""
    objects, reason = too_many(kind)
    text = "\n".join(map(json.dumps, objects))
    folder.node.run("sh", "-ec", f'cat > {POLICY_DIR}/.huge; cd {POLICY_DIR}; printf %s "$1" > .small; mv .huge huge.json; mv .small small.json', "-",
                    json.dumps(network_policy("small", {"app": "nobody"})), input=text)
    told, = wait_until(lambda: folder.status()["refused"], "the refusal", timeout=60)
    status = wait_until(folder.settled, "the rest to be in force", timeout=30)
    assert told["file"] == "huge.json" and reason in told["reason"], told
    assert "failed" not in status and status["objects"]["NetworkPolicy"] == 3
    assert isolated(folder) == (True, True) and counted(folder.node) == 1


def test_what_goes_while_others_are_refused_is_gone(folder, wait_until):
    """A file is removed, one is broken and one is too much, in one moment: each is told of by itself, and the removed policy is over."""
    objects, reason = too_many("rules")
    folder.node.run("sh", "-ec", f'cd {POLICY_DIR}; cat > .huge; printf %s "$1" > .bad; rm other.json; mv .bad kept.json; mv .huge huge.json', "-",
                    json.dumps(OBJECTS["endPort below port"][0]), input="\n".join(map(json.dumps, objects)))
    wait_until(lambda: isolated(folder) == (True, False), lambda: f"egress to be free: {folder.status()}", timeout=30)
    told = wait_until(lambda: len(folder.status()["refused"]) == 2 and {r["file"]: r for r in folder.status()["refused"]}, "both refusals")
    assert told["kept.json"]["path"] == OBJECTS["endPort below port"][1] and reason in told["huge.json"]["reason"], told


@pytest.mark.limit(120)
def test_one_of_many_files_is_found(folder, wait_until):
    """...without a compilation for each: two hundred good ones come with it."""
    objects, reason = too_many("rules")
    script = (f'cd {POLICY_DIR}; mkdir .many; cat > .many/huge.json; i=0; while [ $i -lt 200 ]; do '
              'printf %s "$1" | sed "s/NAME/n$i/" > .many/n$i.json; i=$((i + 1)); done; mv .many/* .; rmdir .many')
    before = folder.status()["generation"]
    folder.node.run("sh", "-ec", script, "-", json.dumps(network_policy("NAME", {"app": "nobody"})), input="\n".join(map(json.dumps, objects)))
    told, = wait_until(lambda: folder.status()["refused"], "the refusal", timeout=60)
    status = wait_until(folder.settled, "the rest to be in force", timeout=30)
    assert told["file"] == "huge.json" and reason in told["reason"] and status["objects"]["NetworkPolicy"] == 202, told
    assert status["generation"] - before < 100
