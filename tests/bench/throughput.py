# SPDX-License-Identifier: Apache-2.0
"""TCP and UDP from pod to pod, on one node and on two, without policies and with 10 and 1,000; and without us.

netload.c, in rounds that take turns, so that each row's two sides meet the same noise. Beside pods of one node stand two namespaces behind a
third that routes between them (bare veths, no program, no rule); beside pods of two nodes the nodes themselves, whose packets go by the
same simulated VPC and no veth. All of it shares this machine's processors.
"""
import contextlib
import json
import subprocess

from tests.bench import figures
from tests.harness import proc
from tests.harness.lab import Lab
from tests.harness.policy import Policies, network_policy

PORT = 5201
MS = 500
KINDS = ("tcp", "udp", "tcp-rr", "udp-rr")
POLICIES = (0, 10, 1000)
NAMES = {"tcp": "TCP throughput", "udp": "UDP throughput", "tcp-rr": "TCP question to answer, p50", "udp-rr": "UDP question to answer, p50"}
BARE = """
for n in bc bs br; do ip netns add $n; ip -n $n link set lo up; done
for s in c s; do ip -n b$s link add eth0 mtu 9001 type veth peer name v$s netns br; ip -n b$s link set eth0 up; ip -n br link set v$s mtu 9001 up; done
ip -n br addr add 192.168.7.1/24 dev vc; ip -n br addr add 192.168.8.1/24 dev vs
ip -n bc addr add 192.168.7.2/24 dev eth0; ip -n bs addr add 192.168.8.2/24 dev eth0
ip -n bc route add default via 192.168.7.1; ip -n bs route add default via 192.168.8.1
ip netns exec br sysctl -qw net.ipv4.ip_forward=1
"""


def policies(count):
    """`count` of them for both pods; the last one lets the load pass."""
    some = [network_policy(f"p{k}", ingress=[{"from": [{"ipBlock": {"cidr": f"10.{k % 200 + 20}.{k // 200}.0/24"}}], "ports": [{"port": 1000 + k % 50}]}])
            for k in range(count - 1)]
    ports = [{"protocol": p, "port": PORT} for p in ("TCP", "UDP")]
    return some + [network_policy("load", ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "ports": ports}])]


@contextlib.contextmanager
def server(place):
    argv, env = place
    with subprocess.Popen([*argv, proc.BIN / "netload", "server", str(PORT)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        try:
            assert p.stdout.readline() == b"ready\n"
            yield
        finally:
            p.stdin.close()


def place(node, *words):
    return node.argv(*words), node.env()


def in_pod(pod):
    return place(pod.node, "nsenter", f"--net={pod.netns}")


def load(client, address, kind):
    argv, env = client
    said = json.loads(proc.run([*argv, proc.BIN / "netload", kind, address, PORT, MS], env=env, timeout=60).stdout)
    return said["p50_ns"] / 1000 if kind.endswith("rr") else 8 * said["bytes"] / said["us"] / 1000      # us, Gbit/s


class Side:
    """One way from a client to a server, and what was measured on it."""

    def __init__(self, client, address):
        self.client, self.address, self.seen = client, address, {}

    def round(self):
        for kind in KINDS:
            self.seen.setdefault(kind, []).append(load(self.client, self.address, kind))

    def median(self, kind):
        return round(sorted(self.seen[kind])[len(self.seen[kind]) // 2], 2)


def rows_of(where, count, ours, bare, bare_name):
    return [figures.row(f"{NAMES[k]}, {where}, {count:,} policies", "us" if k.endswith("rr") else "Gb/s", ours.median(k), bare.median(k), bare_name)
            for k in KINDS]


def rows(rounds=3):
    found = []
    with Lab(nodes=2, instance_type="m5.large") as lab, contextlib.ExitStack() as stack:
        one, two = lab.nodes
        client, near, far = one.pod(), one.pod(), two.pod()
        for pod in (client, near, far):
            pod.add()
        one.run("sh", "-ec", BARE)
        for at in (in_pod(near), in_pod(far), place(one, "nsenter", "--net=/run/netns/bs"), place(two)):
            stack.enter_context(server(at))
        folders = [Policies(n) for n in lab.nodes]
        for count in POLICIES:
            for folder in folders if count else ():
                folder.put("load.json", *policies(count))
            sides = [Side(in_pod(client), str(near.result.address)), Side(place(one, "nsenter", "--net=/run/netns/bc"), "192.168.8.2"),
                     Side(in_pod(client), str(far.result.address)), Side(place(one), two.facts["address"])]
            for _ in range(rounds):
                for side in sides:
                    side.round()
            found += rows_of("same node", count, sides[0], sides[1], "bare veths, routed")
            found += rows_of("other node", count, sides[2], sides[3], "node to node")
    return found
