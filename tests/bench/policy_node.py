# SPDX-License-Identifier: Apache-2.0
"""Network policy on a whole node: from a changed manifest until it is applied, and what memory it takes."""
from tests.bench.figures import NODE, at_rest, row
from tests.harness import bpfmem
from tests.harness.lab import Lab, parallel
from tests.harness.policy import Policies, network_policy

SPACES, APPS, PEERS, RULES, PODS, MORE_PODS = 100, 100, 10000, 1000, 100, 250
CHANGES = 200


def peers():
    """10,000 pods of other nodes in 100 namespaces."""
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": f"ns{i % SPACES}", "name": f"p{i}", "labels": {"app": f"app{i % APPS}"}},
             "spec": {"nodeName": "elsewhere"}, "status": {"phase": "Running", "podIPs": [{"ip": f"10.{200 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"}]}}
            for i in range(PEERS)]


def rules():
    """1,000 rules in 100 policies that select the pods of this node: peers by pod, by namespace and pod, and blocks."""
    def peer(n):
        return [{"podSelector": {"matchLabels": {"app": f"app{n % APPS}"}}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": f"ns{n % SPACES}"}},
                 "podSelector": {"matchLabels": {"app": f"app{n * 7 % APPS}"}}},
                {"ipBlock": {"cidr": f"10.{n % 250}.0.0/16", "except": [f"10.{n % 250}.{n % 256}.0/24"]}}][n % 3]
    return [network_policy(f"p{k}", ingress=[{"from": [peer(n)], "ports": [{"port": 1000 + n % 50}]} for n in range(k * 10, k * 10 + 10)])
            for k in range(RULES // 10)]


def changed(number):
    """One more rule that is another each time."""
    return network_policy("changing", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": f"app{number % APPS}"}}}],
                                                "ports": [{"port": 2000 + number}]}])


def add_pods(node, count):
    pods = node.pods(count)
    for at in range(0, count, 10):
        parallel([pod.add for pod in pods[at:at + 10]])


def applied_ms(folder):
    """What the daemon says it took, from its notice of the change until no packet could escape it."""
    times = []
    for number in range(CHANGES):
        times.append(folder.put("changing.json", changed(number))["last_apply_ms"])
    return sorted(times)


def memory_mib(node):
    """-> (of the daemon, of its maps and programs)"""
    return at_rest(node, node.daemon_pid()).private, bpfmem.held(node).bytes / (1 << 20)


def rows():
    with Lab(**NODE) as lab:
        node = lab.nodes[0]
        folder = Policies(node)
        folder.put("peers.json", *peers())
        folder.put("rules.json", *rules())
        add_pods(node, 1)
        one = memory_mib(node)
        add_pods(node, PODS - 1)
        times = applied_ms(folder)
        add_pods(node, MORE_PODS - PODS)
        many = memory_mib(node)
    what = f"{PODS} pods, {RULES:,} rules, {PEERS:,} peers"
    return [row(f"policy changed to applied, {what}: p50", "ms", times[len(times) // 2]),
            row(f"policy changed to applied, {what}: p99", "ms", times[int(len(times) * 0.99)]),
            row(f"policy memory, {MORE_PODS} pods, {PEERS:,} peers: daemon and eBPF", "MiB", round(sum(many), 1), round(sum(one), 1), "1 pod"),
            row(f"policy memory, {MORE_PODS} pods, {PEERS:,} peers: of these eBPF", "MiB", round(many[1], 1), round(one[1], 1), "1 pod")]
