# SPDX-License-Identifier: Apache-2.0
"""Network policy and services: what counts is where a connection goes behind kube-proxy's DNAT, whichever way that is written."""
import pytest

from tests.harness import kubeproxy, traffic
from tests.harness.lab import attached
from tests.harness.policy import Policies, network_policy, pod_object
from tests.harness.traffic import PORT, Place

LAB = {"args": ("--ipv6",), "nodes": 2, "instance_type": "t3.small"}
NAMES = {"client": 0, "other": 0, "here": 0, "there": 1}
BACKENDS = ("here", "there")
WAYS = [(b, f, p, by) for b in BACKENDS for f in (4, 6) for p in ("tcp", "udp") for by in ("service", "address")]


@pytest.fixture(scope="module")
def pods(lab):
    """A client and another beside a backend, and a backend on the other node."""
    made = {name: lab.nodes[where].pod(name) for name, where in NAMES.items()}
    with attached(made.values()):
        yield made


@pytest.fixture(scope="module")
def places(pods):
    found = {name: Place.pod(pod) for name, pod in pods.items()}
    with traffic.serving([found[b] for b in BACKENDS]):
        yield found


@pytest.fixture(scope="module", params=kubeproxy.DIALECTS)
def services(request, lab, places):
    made = {b: kubeproxy.Service(f"10.96.0.{10 + n}", f"fd00:10:96::{10 + n}", 0, places[b].address, places[b].address6)
            for n, b in enumerate(BACKENDS)}
    for node in lab.nodes:
        kubeproxy.install(node, list(made.values()), request.param)
    yield made
    for node in lab.nodes:
        kubeproxy.remove(node, request.param)


def service_object(name, service):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name},
            "spec": {"clusterIP": service.vip, "clusterIPs": [service.vip, service.vip6], "selector": {"app": name},
                     "ports": [{"port": service.port, "targetPort": service.target_port}]}}


@pytest.fixture
def folders(lab, pods, services):
    """The policies of each node, by its name; all know all pods and services."""
    found = {node.name: Policies(node) for node in lab.nodes}
    objects = [pod_object(pod, {"app": name}, podIPs=[{"ip": i["address"].split("/")[0]} for i in pod.result.ips])
               for name, pod in pods.items()]
    for f in found.values():
        f.put("cluster.json", *objects, *[service_object(*s) for s in services.items()])
    yield found
    for f in found.values():
        f.change(f.clear)


def reached(places, services, source):
    """-> the ways by which the source reaches whom it wanted."""
    def probe(backend, family, proto, by):
        if by == "service":
            return {"proto": proto, "to": services[backend].of(family)[0], "port": services[backend].port}
        return {"proto": proto, "to": places[backend].of(family), "port": PORT}
    answers = places[source].ask([probe(*way) for way in WAYS])
    assert all("error" in a or a["name"] == places[way[0]].name for way, a in zip(WAYS, answers)), answers
    return {way for way, a in zip(WAYS, answers) if "error" not in a}


def those(backends=BACKENDS, protos=("tcp", "udp"), by=("service", "address"), families=(4, 6)):
    return {way for way in WAYS if way[0] in backends and way[1] in families and way[2] in protos and way[3] in by}


def to_pods(**labels):
    return {"to": [{"podSelector": {"matchLabels": labels}}]}


@pytest.mark.limit(180)
def test_egress_is_judged_by_where_it_goes_in_the_end(places, pods, services, folders):
    folder = folders[pods["client"].node.name]
    assert reached(places, services, "client") == those()
    egress = {
        "one backend": ([to_pods(app="here")], those(["here"])),
        "the other, TCP": ([{**to_pods(app="there"), "ports": [{"port": PORT}]}], those(["there"], ["tcp"])),
        "the service's port": ([{"ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]}], set()),
        "the services' addresses": ([{"to": [{"ipBlock": {"cidr": c}} for c in ("10.96.0.0/16", "fd00:10:96::/48")]}], set()),
        "the backend's port": ([{"ports": [{"port": PORT, "protocol": "UDP"}]}], those(protos=["udp"])),
        "nothing": ([], set()),
    }
    for what, (rules, want) in egress.items():
        folder.put("p.json", network_policy("out", {"app": "client"}, policyTypes=["Egress"], egress=rules))
        assert reached(places, services, "client") == want, what
    assert reached(places, services, "other") == those()
    # a flow through the service ends with the permission, and both denials are told with the backend's address
    lines = [line for line in folder.log() if line["verdict"] == "DENY" and line.get("behind_service")]
    assert {line["dst"] for line in lines} >= {places[b].of(f) for b in BACKENDS for f in (4, 6)}
    assert {line["dport"] for line in lines} == {PORT}


@pytest.mark.limit(180)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ingress_behind_a_service_sees_who_asks(places, pods, services, folders, backend):
    folder = folders[pods[backend].node.name]
    assert reached(places, services, "client") == those()
    rest = those([b for b in BACKENDS if b != backend])
    folder.put("p.json", network_policy("in", {"app": backend}, policyTypes=["Ingress"],
                                        ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": PORT}]}]))
    assert reached(places, services, "client") == rest | those([backend], ["tcp"])
    assert reached(places, services, "other") == rest
    folder.put("p.json", network_policy("in", {"app": backend}, policyTypes=["Ingress"], ingress=[{"ports": [{"port": PORT, "protocol": "UDP"}]}]))
    assert reached(places, services, "other") == rest | those([backend], ["udp"])
    folder.take("p.json")
    assert reached(places, services, "other") == those()


# A question to a UDP server in two fragments, of which the first has a header more in front of its fragment header: conntrack puts them
# together, and the kernel cannot take them apart again as they were.
FRAGMENTS = """
import json, socket, struct, sys
own, to, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind((own, 0))
s.settimeout(1)
src, dst = (socket.inet_pton(socket.AF_INET6, a) for a in (own, to))
data = json.dumps({"send": 1000, "want": 0}).encode() + b"\\n" + b"." * 1000
udp = struct.pack("!HHHH", s.getsockname()[1], port, 8 + len(data), 0) + data
words = src + dst + struct.pack("!II", len(udp), 17) + udp + b"\\0" * (len(udp) % 2)
total = sum(struct.unpack(f"!{len(words) // 2}H", words))
while total >> 16:
    total = (total & 0xffff) + (total >> 16)
udp = udp[:6] + struct.pack("!H", ~total & 0xffff or 0xffff) + udp[8:]
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
options = bytes([44, 0, 1, 4, 0, 0, 0, 0])
for head, at, part, more in ((options, 0, udp[:512], 1), (b"", 512, udp[512:], 0)):
    rest = head + struct.pack("!BBHI", 17, 0, at | more, 7) + part
    raw.sendto(struct.pack("!IHBB", 6 << 28, len(rest), 60 if head else 44, 64) + src + dst + rest, (to, 0))
try:
    print(json.loads(s.recv(4096).split(b"\\n")[0])["size"] == len(data))
except TimeoutError:
    print(False)
"""


def reaches_in_fragments(source, to, port):
    return source.run("/usr/bin/python3", "-c", FRAGMENTS, source.address6, to, port).stdout.strip() == "True"


@pytest.mark.parametrize("services", ["nftables"], indirect=True)
def test_what_conntrack_put_together_is_not_taken_for_the_nodes_own(places, pods, services, folders):
    """The kernel forgets where IPv6 came in when it makes fragments anew: they look like what the node sends, or like nobody's."""
    folder = folders[pods["client"].node.name]
    here, there = places["here"].address6, services["there"]
    ways = {"a pod": ("other", here, PORT), "the other node": ("there", here, PORT), "a service": ("client", there.vip6, there.port)}

    def reached():
        return {way for way, (source, to, port) in ways.items() if reaches_in_fragments(places[source], to, port)}
    assert reached() == set(ways)
    folder.put("p.json", network_policy("in", {"app": "here"}, policyTypes=["Ingress"]),
               network_policy("out", {"app": "client"}, policyTypes=["Egress"], egress=[to_pods(app="here")]))
    assert reached() == set()
    folder.put("p.json", network_policy("in", {"app": "here"}, ingress=[{"ports": [{"port": PORT, "protocol": "UDP"}]}]),
               network_policy("out", {"app": "client"}, policyTypes=["Egress"], egress=[to_pods(app="there")]))
    assert reached() == set(ways)
