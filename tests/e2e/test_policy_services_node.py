# SPDX-License-Identifier: Apache-2.0
"""Services and node ports behind which is a socket of the pod's own node: cluster-wide rules on nodes and networks see it, behind
kube-proxy's DNAT, whichever way that is written; NetworkPolicies do not forbid it."""
import pytest

from tests.harness import kubeproxy, proc, traffic
from tests.harness.lab import attached
from tests.harness.policy import Policies, network_policy, pod_object
from tests.harness.traffic import PORT, Place

LAB = {"args": ("--ipv6",), "nodes": 1, "instance_type": "t3.small"}
NODE_PORT = 30080
BY = ("service", "node port", "address")
WAYS = [(f, p, by) for f in (4, 6) for p in ("tcp", "udp") for by in BY]


@pytest.fixture(scope="module")
def node(lab):
    return lab.nodes[0]


@pytest.fixture(scope="module")
def pods(node):
    """One that policies are about, and another."""
    made = {name: node.pod(name) for name in ("client", "other")}
    with attached(made.values()):
        yield made


@pytest.fixture(scope="module")
def host(node):
    """A pod on the host's network that serves, and an echo server."""
    place = Place.host_network_pod(node)
    with traffic.serving([place]):
        echo = place.popen("/usr/bin/python3", "-uc", traffic.ECHO)
        echo.say("\n")
        yield place
        echo.close()


@pytest.fixture(scope="module", params=kubeproxy.DIALECTS)
def services(request, node, host):
    made = [kubeproxy.Service("10.96.0.20", "fd00:10:96::20", NODE_PORT, host.address, host.address6),
            kubeproxy.Service("10.96.0.21", "fd00:10:96::21", 0, host.address, host.address6, target_port=9100, port=9100)]
    kubeproxy.install(node, made, request.param)
    yield made
    kubeproxy.remove(node, request.param)


@pytest.fixture
def folder(node, host, pods, services):
    f = Policies(node)
    cluster = [pod_object(pod, {"app": name}, podIPs=[{"ip": i["address"].split("/")[0]} for i in pod.result.ips]) for name, pod in pods.items()]
    cluster += [{"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": f"s{n}"},
                 "spec": {"clusterIP": s.vip, "clusterIPs": [s.vip, s.vip6], "ports": [{"port": s.port, "targetPort": s.target_port}]}}
                for n, s in enumerate(services)]
    # not configured by name: the instance says which Node this is
    f.put("cluster.json", *cluster, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ip-10-0-0-1.internal", "labels": {"is": "ours"}},
                                     "spec": {"providerID": f"aws:///a/{node.info()['instance_id']}"},
                                     "status": {"addresses": [{"type": "InternalIP", "address": a} for a in (host.address, host.address6)]}})
    yield f
    f.change(f.clear)


def reached(pods, host, services, name="client"):
    def probe(family, proto, by):
        to, port = {"service": (services[0].of(family)[0], services[0].port), "node port": (host.of(family), NODE_PORT),
                    "address": (host.of(family), PORT)}[by]
        return {"proto": proto, "to": to, "port": port}
    answers = Place.pod(pods[name]).ask([probe(*way) for way in WAYS])
    return {way for way, a in zip(WAYS, answers) if "error" not in a}


def those(protos=("tcp", "udp"), by=BY, families=(4, 6)):
    return {way for way in WAYS if way[0] in families and way[1] in protos and way[2] in by}


def cluster_policy(*rules, tier="Admin"):
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "nodes"},
            "spec": {"tier": tier, "priority": 10, "subject": {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}}},
                     "egress": list(rules)}}


def rule(action, to, *ports):
    return {"action": action, "to": [to], **({"protocols": [{proto: {"destinationPort": {"number": n}}} for proto, n in ports]} if ports else {})}


NODES = {"nodes": {"matchLabels": {"is": "ours"}}}


@pytest.mark.limit(240)
@pytest.mark.parametrize("tier", ["Admin", "Baseline"])
def test_rules_on_nodes_and_networks(pods, host, services, folder, tier):
    def now(*rules):
        folder.put("p.json", cluster_policy(*rules, tier=tier))
        return reached(pods, host, services)
    began = max([e["ts"] for e in folder.log()], default="")
    networks = {"networks": [f"{host.address}/32", f"{host.address6}/128"]}
    assert reached(pods, host, services) == those()
    assert now(rule("Deny", NODES)) == set()
    # by the port of the socket, whatever the service's or the node's port is
    assert now(rule("Deny", NODES, ("tcp", PORT))) == those(["udp"])
    assert now(rule("Accept", networks, ("udp", PORT), ("udp", NODE_PORT)), rule("Deny", NODES)) == those(["udp"])
    assert now(rule("Deny", {"networks": [f"{host.address}/32"]})) == those(families=[6])
    # a node port is an address of the node as well, and is judged as one before
    assert now(rule("Deny", NODES, ("tcp", NODE_PORT))) == those() - those(["tcp"], ["node port"])
    assert now(rule("Deny", networks, ("tcp", services[0].port))) == those(), "the service's port is no port of the node"
    assert reached(pods, host, services, "other") == those(), "who is not selected is not judged"
    said = [e for e in folder.log() if e["verdict"] == "DENY" and e.get("behind_service") and e["ts"] >= began]
    assert {e["dst"] for e in said} == {host.address, host.address6} and {e["dport"] for e in said} == {PORT}
    assert all("nodes" in e["policy"] and e["pod"] == "default/client" for e in said), said[:2]


@pytest.mark.limit(120)
def test_network_policies_do_not_forbid_it(pods, host, services, folder):
    folder.put("p.json", network_policy("shut", {"app": "client"}, policyTypes=["Egress"], egress=[]))
    assert reached(pods, host, services) == those()
    folder.put("q.json", cluster_policy(rule("Pass", NODES)))
    assert reached(pods, host, services) == those()
    folder.put("q.json", cluster_policy(rule("Deny", NODES, ("udp", PORT))))
    assert reached(pods, host, services) == those(["tcp"])


@pytest.mark.limit(120)
def test_explain_says_what_happens_and_each_flow_counts_once(pods, host, services, folder):
    folder.put("p.json", cluster_policy(rule("Accept", NODES, ("tcp", PORT)), rule("Deny", NODES)))
    before = counted(folder)
    assert reached(pods, host, services) == those(["tcp"], ["service", "address"])
    assert counted(folder) - before == 4, "one by the service, one by the address, of each family"
    for proto, verdict in (("tcp", "ALLOW"), ("udp", "DENY")):
        said = folder.ctl("policy", "explain", "--from", "default/client", "--to", host.address, "--port", f"{PORT}/{proto}", ok=(0,))
        assert said["verdict"] == said["egress"]["kernel"] == verdict and "disagreement" not in said


def counted(folder):
    """Packets that opened a flow by the first rule."""
    return sum(r["packets"] for r in folder.status()["rules"] if r["policy"] == "nodes" and r["rule"] == "spec.egress[0]")


def cut(folder):
    return folder.status()["drops"].get("policy_revoked", 0)


@pytest.mark.limit(120)
def test_a_living_flow_is_cut_and_the_daemon_need_not_run(lab, node, pods, host, services, folder):
    flows = [Place.pod(pods["client"]).popen("/usr/bin/python3", "-uc", traffic.FLOW, services[1].of(f)[0]) for f in (4, 6)]
    assert [f.say("a\n") for f in flows] == ["a", "a"]
    folder.put("p.json", cluster_policy(rule("Deny", NODES, ("tcp", 7), ("udp", PORT))))
    assert [f.say("b\n") for f in flows] == ["b", "b"], "a rule that is not about them"
    folder.put("p.json", cluster_policy(rule("Deny", NODES, ("tcp", 9100), ("udp", PORT))))
    before = cut(folder)
    for f in flows:
        f.process.stdin.write("c\n")
    proc.wait_until(lambda: cut(folder) >= before + 2, "both flows to be cut")
    for stop in (lab.kill_daemon, lab.stop_daemon):
        stop(node.name)
        assert reached(pods, host, services) == those(["tcp"])
        lab.start_daemon(node.name)
        proc.wait_until(lambda: node.serves() and folder.settled(), "the daemon to have its policy in force")
        assert reached(pods, host, services) == those(["tcp"])
    # TCP sends again what was dropped
    folder.take("p.json")
    assert [f.process.stdout.readline().strip() for f in flows] == ["c", "c"]
    for f in flows:
        f.close()
