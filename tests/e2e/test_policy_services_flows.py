# SPDX-License-Identifier: Apache-2.0
"""Flows to services that a change of policy cuts: from then on nothing of them reaches the pod either, whether it says something or
not. The servers send unasked, as a stream of UDP or the rest of a download does, and the pod only listens."""
import json

import pytest

from tests.harness import kubeproxy, proc
from tests.harness.lab import attached
from tests.harness.policy import Policies, pod_object, settings
from tests.harness.traffic import Place

LAB = {"args": ("--ipv6",), "nodes": 2, "instance_type": "t3.small"}
PORT = 9200
BACKENDS = ("here", "there", "node")
FAMILIES = (4, 6)
PROTOS = ("udp", "tcp")
FLOWS = [(b, f, p) for b in BACKENDS for f in FAMILIES for p in PROTOS]

# accepts and remembers whoever comes; "N": sends N lines to each of them, as fast as it goes
STREAMER = f"""import selectors, socket, sys
to = []
sel = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, {PORT}))
        if kind == socket.SOCK_STREAM:
            s.listen()
        sel.register(s, selectors.EVENT_READ, kind)
sel.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
stdin = open(0, "rb", buffering=0, closefd=False)
print("ready", flush=True)
while True:
    for key, _ in sel.select():
        if key.data == socket.SOCK_DGRAM:
            name = key.fileobj.recvfrom(2048)[1]
            if not any(n == name for _, n in to):
                to.append((key.fileobj, name))
        elif key.data == socket.SOCK_STREAM:
            c = key.fileobj.accept()[0]
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            to.append((c, None))
        else:
            line = stdin.readline()
            if not line:
                sys.exit()
            for s, name in to:
                for _ in range(int(line)):
                    s.sendto(b"x" * 64, name) if name else s.sendall(b"x" * 64)
            print(len(to), flush=True)
"""

# argv: flows as JSON. One UDP socket of each family for all services, one TCP connection for each. A line "wait INDEX N": until so
# many lines came by that flow altogether; "say": something to each by UDP; else: what came so far, by flow
LISTENER = """import json, select, socket, sys
flows = [tuple(f) for f in json.loads(sys.argv[1])]
udp = {f: socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)}
tcp, index, got = {}, {}, [0] * len(flows)
family = lambda to: socket.AF_INET6 if ":" in to else socket.AF_INET
def say():
    for n, (to, port, proto) in enumerate(flows):
        if proto == "udp":
            index[to] = n
            udp[family(to)].sendto(b"hello", (to, port))
for n, (to, port, proto) in enumerate(flows):
    if proto == "tcp":
        tcp[socket.create_connection((to, port), timeout=20)] = n
say()
def take(timeout):
    ready = select.select([*udp.values(), *tcp], [], [], timeout)[0]
    for s in ready:
        if s in tcp:
            got[tcp[s]] += len(s.recv(65536)) / 64
        else:
            data, name = s.recvfrom(2048)
            got[index[name[0]]] += 1
    return ready
print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "wait":
        while got[int(words[1])] < int(words[2]) and take(20):
            pass
    elif words[0] == "say":
        say()
    while take(0):
        pass
    print(json.dumps(got), flush=True)
"""


@pytest.fixture(scope="module")
def pods(lab):
    made = {"client": lab.nodes[0].pod("client"), "here": lab.nodes[0].pod("here"), "there": lab.nodes[1].pod("there")}
    with attached(made.values()):
        yield made


@pytest.fixture(scope="module")
def places(lab, pods):
    return {**{name: Place.pod(pod) for name, pod in pods.items()}, "node": Place.host_network_pod(lab.nodes[0])}


@pytest.fixture(scope="module", params=kubeproxy.DIALECTS)
def services(request, lab, places):
    made = {b: kubeproxy.Service(f"10.96.0.{30 + n}", f"fd00:10:96::{30 + n}", 0, places[b].address, places[b].address6, target_port=PORT)
            for n, b in enumerate(BACKENDS)}
    kubeproxy.install(lab.nodes[0], list(made.values()), request.param)
    yield made
    kubeproxy.remove(lab.nodes[0], request.param)


class Streams:
    """Servers behind services that have heard of a pod, by each family and protocol."""

    def __init__(self, places, services):
        self.servers = {b: places[b].popen("/usr/bin/python3", "-uc", STREAMER) for b in BACKENDS}
        assert all(s.process.stdout.readline() == "ready\n" for s in self.servers.values())
        flows = [(services[b].of(f)[0], services[b].port, p) for b, f, p in FLOWS]
        self.pod = places["client"].popen("/usr/bin/python3", "-uc", LISTENER, json.dumps(flows))
        assert self.pod.process.stdout.readline() == "ready\n"
        self.want = dict.fromkeys(FLOWS, 0)
        for b in BACKENDS:      # what was sent before is read before this
            proc.wait_until(lambda b=b: self.servers[b].say("0\n") == "4", f"{b} to know its clients")

    def send(self, n, *backends):
        for b in backends:
            assert self.servers[b].say(f"{n}\n") == "4"

    def got(self, line="look"):
        return dict(zip(FLOWS, json.loads(self.pod.say(f"{line}\n"))))

    def arrive(self, n, *backends):
        """n more lines of each of these flows arrive, and none of any other."""
        self.send(n, *backends)
        for i, flow in enumerate(FLOWS):
            if flow[0] in backends:
                self.want[flow] += n
                self.got(f"wait {i} {self.want[flow]}")
        assert self.got() == self.want

    def close(self):
        for talker in (self.pod, *self.servers.values()):
            talker.close()


@pytest.fixture
def folder(lab, pods, places, services):
    f = Policies(lab.nodes[0])
    cluster = [pod_object(pod, {"app": name}, podIPs=[{"ip": i["address"].split("/")[0]} for i in pod.result.ips]) for name, pod in pods.items()]
    cluster += [{"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name},
                 "spec": {"clusterIP": s.vip, "clusterIPs": [s.vip, s.vip6], "ports": [{"port": s.port, "targetPort": s.target_port}]}}
                for name, s in services.items()]
    f.put("cluster.json", *cluster)
    yield f
    f.change(f.clear)


@pytest.fixture
def streams(folder, places, services):
    made = Streams(places, services)
    yield made
    made.close()


def denied(places, *backends, port=PORT):
    """Nothing may go to these backends' port from the client."""
    networks = [cidr for b in backends for cidr in (f"{places[b].address}/32", f"{places[b].address6}/128")]
    return {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "deny"},
            "spec": {"tier": "Admin", "priority": 10, "subject": {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}}},
                     "egress": [{"action": "Deny", "to": [{"networks": networks}],
                                 "protocols": [{p: {"destinationPort": {"number": port}}} for p in PROTOS]}]}}


def cut(folder):
    return folder.status()["drops"].get("policy_revoked", 0)


def nothing_arrives(folder, streams, backend, n=20):
    """What this backend sends is dropped: every datagram of both families, and both connections' first segment at least."""
    before = cut(folder)
    streams.send(n, backend)
    proc.wait_until(lambda: cut(folder) >= before + 2 * n + 2, "what was sent to be dropped")
    assert all(n == streams.want[f] for f, n in streams.got().items() if f[0] == backend)


@pytest.mark.limit(180)
@pytest.mark.parametrize("speaks", [False, True], ids=["listens", "speaks"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_ends_with_the_permission(places, folder, streams, backend, speaks):
    """Also when a packet of the pod is the first that meets the new policy: it is dropped where it is judged, and lets nothing in."""
    rest = [b for b in BACKENDS if b != backend]
    streams.arrive(3, *BACKENDS)
    folder.put("p.json", denied(places, *BACKENDS, port=7))
    streams.arrive(3, *BACKENDS)
    folder.put("p.json", denied(places, backend))
    if speaks:
        before = cut(folder)
        streams.got("say")
        proc.wait_until(lambda: cut(folder) >= before + 2, "what the pod sent to be dropped")
    nothing_arrives(folder, streams, backend)
    streams.arrive(3, *rest)
    said = [e for e in folder.log() if e["verdict"] == "DENY" and e.get("behind_service") and e["dport"] == PORT]
    assert {e["dst"] for e in said} >= {places[backend].address, places[backend].address6}
    # another change that is not about it lets nothing through
    folder.put("q.json", {**denied(places, *rest, port=7), "metadata": {"name": "other"}})
    nothing_arrives(folder, streams, backend)
    streams.arrive(3, *rest)
    # TCP sends again what was dropped; the datagrams are gone
    folder.take("p.json", "q.json")
    streams.want.update({f: n + 2 * 20 for f, n in streams.want.items() if f[0] == backend and f[2] == "tcp"})
    streams.arrive(3, *BACKENDS)


@pytest.mark.limit(180)
@pytest.mark.parametrize("how", [{"policy_flows": "keep"}, {"policy_audit": True}], ids=["keep", "audit"])
def test_keep_keeps_and_audit_drops_nothing(places, folder, streams, how):
    with settings(folder, **how):
        folder.put("p.json", denied(places, *BACKENDS))
        streams.arrive(3, *BACKENDS)
        streams.got("say")
        streams.arrive(3, *BACKENDS)
    # and then it counts
    for backend in BACKENDS:
        nothing_arrives(folder, streams, backend)
