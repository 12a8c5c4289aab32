# SPDX-License-Identifier: Apache-2.0
"""The host datapath in what is not plain reachability (test_traffic.py): ports, SNAT, the node's own sockets, what is left behind."""
import contextlib

import pytest

from tests.harness import kubeproxy, proc, traffic
from tests.harness.lab import Lab
from tests.harness.traffic import PORT, Place

LAB = {"args": ("--ipv6",), "nodes": 2, "instance_type": "t3.small"}
PODS_OF_A_NODE = 9              # a t3.small: 3 ENIs of 4 IPv4 addresses each, one of them the ENI's own
INTERNET = "203.0.113.10"


@contextlib.contextmanager
def pods(node, count):
    made = [node.pod() for _ in range(count)]
    try:
        for pod in made:
            pod.add()
        yield made
    finally:
        for pod in made:
            pod.delete()
            pod.remove()


@pytest.fixture(scope="module")
def two_enis(lab):
    with traffic.behind_both(lab.nodes[0]) as found:
        yield found


@pytest.fixture(scope="module")
def outside(lab):
    with traffic.serving([Place.outside(lab, which) for which in ("internet", "peered")]) as places:
        yield {p.name: p for p in places}


def secondary(node):
    return next(e for e in node.info()["enis"] if not e["primary"])


# --- the node's own sockets


@pytest.mark.parametrize("proto", ["tcp", "udp", "icmp"])
def test_a_second_enis_own_address_answers_and_asks_by_it(lab, two_enis, outside, proto):
    node, other = lab.nodes[0], Place.node(lab.nodes[1])
    eni = secondary(node)
    with traffic.serving([Place.node(node), other]):
        for client in (other, outside["peered"]):
            assert client.reaches(eni["address"], proto=proto), f"{client.name} to {eni['address']}"
        answer = Place.node(node).reaches(other.address, proto=proto, **{"from": eni["address"]})
        assert answer and (proto == "icmp" or answer["seen"] == eni["address"])


# --- node ports and host ports


def public(node):
    return node.imds("public-ipv4")


@pytest.mark.parametrize("dialect", kubeproxy.DIALECTS)
@pytest.mark.parametrize("kind", ["node port, Cluster", "node port, Local", "host port"])
def test_ports_lead_to_pods_behind_any_eni_and_back(lab, two_enis, outside, dialect, kind):
    node = lab.nodes[0]
    services = [kubeproxy.Service(f"10.96.0.{n}", f"fd00:10:96::{n}", 30080 + n, p.result.address, p.result.address6,
                                  local=kind == "node port, Local", host_port=kind == "host port")
                for n, p in enumerate(two_enis)]
    clients = [Place.node(lab.nodes[1]), *outside.values()]
    kubeproxy.install(node, services, dialect)
    try:
        with traffic.serving([Place.pod(p) for p in two_enis]) as servers:
            for client in clients:
                v4 = public(node) if client.name == "internet" else node.imds("local-ipv4")
                probes = [(s, {"proto": proto, "to": to, "port": s.node_port})
                          for s in services for proto in ("tcp", "udp") for to in (v4, traffic.node_address6(node))]
                for (service, probe), answer in zip(probes, client.ask([p for _, p in probes])):
                    where = f"{client.name} by {kind} ({dialect}): {probe}: {answer}"
                    assert answer.get("name") == servers[services.index(service)].name, where
                    kept = answer["seen"] in (client.address, client.address6)
                    assert kept == (kind != "node port, Cluster"), where
    finally:
        kubeproxy.remove(node, dialect)


# --- SNAT


def ports_seen(pod, server, count=8):
    """Source ports from which `count` sockets of a pod, bound to known ports, are seen outside -> {bound: seen}."""
    script = ("import json, socket, sys\n"
              "for n in range(int(sys.argv[2])):\n"
              "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "    s.bind(('', 40000 + n)); s.connect((sys.argv[1], 9000)); s.settimeout(5); s.send(b'{\"want\": 0}')\n"
              "    print(40000 + n, json.loads(s.recv(4096))['port'])\n")
    done = pod.run("/usr/bin/python3", "-c", script, server, str(count))
    return dict(tuple(map(int, line.split())) for line in done.stdout.splitlines())


@pytest.mark.parametrize("mode,kept", [("prng", False), ("none", True)])
def test_source_ports_are_random_unless_told(make_lab, mode, kept):
    lab = make_lab(daemon_config={"randomize_snat": mode})
    with pods(lab.nodes[0], 1) as (pod,), traffic.serving([Place.outside(lab, "internet")]):
        seen = ports_seen(pod, INTERNET)
        same = [port for port, outer in seen.items() if port == outer]
        assert len(same) == len(seen) if kept else len(same) <= 1, seen


def test_external_snat_leaves_everything_to_others(make_lab):
    """Pods keep their address and leave by their own ENI: the peered network sees it; a node port still works."""
    lab = make_lab(instance_type="t3.small", daemon_config={"external_snat": True})
    node = lab.nodes[0]
    with traffic.behind_both(node) as made, traffic.serving([Place.outside(lab, "peered"), Place.pod(made[1])]) as (peered, server):
        for pod in made:
            assert Place.pod(pod).reaches(peered.address)["seen"] == pod.result.address
        service = kubeproxy.Service("10.96.0.1", None, 30080, made[-1].result.address, None, local=True)
        kubeproxy.install(node, [service], "nftables")
        answer = peered.reaches(node.imds("local-ipv4"), 30080)
        assert answer and answer["name"] == server.name and answer["seen"] == peered.address


# --- what a pod leaves behind


@contextlib.contextmanager
def with_address(node, address):
    """A new pod with this address, beside as many others as it takes until the pool gives it out again."""
    made = []
    try:
        while not made or made[-1].result.address != address:
            assert len(made) < PODS_OF_A_NODE, f"{address} was not given out again"
            made.append(node.pod())
            made[-1].add()
        yield made[-1]
    finally:
        for pod in made:
            pod.delete()
            pod.remove()


ASK_TWICE = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    s.settimeout(float(line))
    try:
        s.send(b'{"want": 0}')
        print(s.recv(4096).decode().strip(), flush=True)
    except OSError as exc:
        print(type(exc).__name__, flush=True)
"""


def test_the_next_owner_of_an_address_inherits_no_connection(make_lab):
    """A client of a node port goes on sending after the pod is gone and its address has gone to another pod."""
    lab = make_lab(instance_type="t3.small", daemon_config={"ip_cooldown_s": 0})
    node, peered = lab.nodes[0], Place.outside(lab, "peered")
    first = node.pod()
    first.add()
    service = kubeproxy.Service("10.96.0.1", None, 30080, first.result.address, None, local=True)
    kubeproxy.install(node, [service], "nftables")
    client = peered.popen("/usr/bin/python3", "-uc", ASK_TWICE, node.imds("local-ipv4"), "30080")
    try:
        with traffic.serving([Place.pod(first)]):
            assert '"name"' in client.say("5\n")
        kubeproxy.remove(node, "nftables")
        assert tracked(node, first.result.address), "the connection is tracked while its pod lives"
        first.delete()
        first.remove()
        proc.wait_until(lambda: not tracked(node, first.result.address), "the pod's connections to be forgotten")
        with with_address(node, first.result.address) as second:
            assert not tracked(node, second.result.address)
            with traffic.serving([Place.pod(second)]) as (server,):
                assert peered.reaches(second.result.address, proto="udp")["name"] == server.name, "by its own address it is heard"
                # refused by the node, which has no such port any more: at once, so no time has to pass
                assert client.say("5\n") == "ConnectionRefusedError"
    finally:
        client.close()


def tracked(node, address):
    return [l for l in node.run("conntrack", "-L", check=False).stdout.splitlines() if f"={address} " in l]


def test_connections_left_by_a_killed_daemon_are_forgotten_at_its_start(make_lab):
    lab = make_lab(daemon_config={"ip_cooldown_s": 0})
    node, peered = lab.nodes[0], Place.outside(lab, "peered")
    with pods(node, 2) as (gone, stays):
        with traffic.serving([Place.pod(gone), Place.pod(stays)]):
            for pod in (gone, stays):
                assert peered.reaches(pod.result.address, proto="udp")
        lab.kill_daemon(node.name)
        gone.delete()                   # a tombstone: nobody is there to forget anything
        assert tracked(node, gone.result.address) and tracked(node, stays.result.address)
        lab.start_daemon(node.name)
        proc.wait_until(node.serves, "the daemon to serve again")
        proc.wait_until(lambda: not tracked(node, gone.result.address), "the former pod's connections to be forgotten")
        assert tracked(node, stays.result.address), "those of a living pod stay"


def test_a_free_address_is_unreachable_and_not_sent_back(lab, two_enis):
    """A packet for an address that the node has for pods, and no pod has, is refused here; the VPC would send it here again."""
    node = lab.nodes[0]
    free = [s.split("/")[0] for e in node.info()["enis"] for s in e["slots"]
            if s.split("/")[0] not in {p.get("address") for p in node.info()["pods"]}]
    assert free
    # one: the kernel limits how many such answers one host gets
    answers = Place.node(lab.nodes[1]).ask([{"proto": "tcp", "to": free[0], "port": PORT}])
    assert answers == [{"error": "No route to host"}], answers


# --- the way out in the family that a pod does not have


def egress_of(node, pod):
    return next(p.get("egress") for p in node.info()["pods"] if p["container_id"] == pod.container_id)


def assert_only_a_way_out(node, one, other):
    """The address reaches nobody and nobody reaches it: neither the other pod nor the VPC; the node itself may."""
    with traffic.serving([Place.pod(other)]) as (server,):
        address = egress_of(node, other)
        # what Linux makes of "administratively prohibited", in IPv4 and in IPv6
        answer = Place.pod(one).ask([{"proto": "tcp", "to": address, "port": PORT}])[0]
        assert answer.get("error") in ("No route to host", "Permission denied"), answer
        assert Place.node(node).reaches(address)["name"] == server.name


@pytest.mark.parametrize("proto", ["tcp", "udp", "icmp"])
def test_pods_with_ipv6_alone_reach_ipv4_as_the_node(only6, proto):
    lab, made = only6
    node = lab.nodes[0]
    places = [Place.outside(lab, "internet"), Place.outside(lab, "peered"), Place.node(lab.nodes[1])]
    with traffic.serving(places):
        for place, seen in zip(places, (public(node), node.imds("local-ipv4"), node.imds("local-ipv4"))):
            answer = Place.pod(made[0]).reaches(place.address, proto=proto)
            assert answer and (proto == "icmp" or answer["seen"] == seen), f"{place.name}: {answer}"


def test_pods_with_ipv6_alone_reach_the_metadata_service(only6):
    made = only6[1]
    base = made[0].node.lab.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    done = made[0].run("curl", "-sf", "--noproxy", "*", "-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", f"{base}/latest/api/token")
    assert done.stdout


def test_an_address_for_the_way_out_is_no_way_in(only6):
    lab, made = only6
    assert_only_a_way_out(lab.nodes[0], *made)
    assert not Place.node(lab.nodes[1]).reaches(egress_of(lab.nodes[0], made[0]))


def test_check_restart_and_a_lost_store_know_the_way_out(only6):
    lab, made = only6
    node, held = lab.nodes[0], [egress_of(lab.nodes[0], p) for p in only6[1]]
    assert len(set(held)) == len(held) and all(held)
    assert all(p.check() is None for p in made)
    lab.kill_daemon(node.name)
    node.run("sh", "-c", f"rm -f {node.run_dir}/state.db*")
    lab.start_daemon(node.name)
    proc.wait_until(node.serves, "the daemon to serve again")
    assert [egress_of(node, p) for p in made] == held
    assert all(p.check() is None for p in made)


@pytest.fixture(scope="module")
def only6():
    with Lab("--ipv6", nodes=2, instance_type="t3.small", daemon_config={"enable_ipv4": False}) as lab, pods(lab.nodes[0], 2) as made:
        yield lab, made


def test_pods_with_ipv4_alone_reach_ipv6_as_the_node(make_lab):
    """Off unless asked for; pods behind any ENI leave by the primary."""
    instances = [{"name": f"node-{n}", "type": "t3.small", "ipv6_addresses": 1, "role": "vpcwire-node"} for n in (1, 2)]
    lab = make_lab(nodes=2, config={"instances": instances}, daemon_config={"v6_egress": True})
    node = lab.nodes[0]
    with traffic.behind_both(node) as made, traffic.serving([Place.outside(lab, "internet"), Place.node(lab.nodes[1])]) as servers:
        assert all("." in ip["address"] for p in made for ip in p.result.ips), "the result shows IPv4 alone"
        for pod in made:
            assert pod.check() is None
            for server in servers:
                for proto in ("tcp", "udp", "icmp"):
                    answer = Place.pod(pod).reaches(server.address6, proto=proto)
                    assert answer and (proto == "icmp" or answer["seen"] == traffic.node_address6(node)), f"{server.name} {proto} {answer}"
        assert_only_a_way_out(node, *made)
        rules = node.json("ip", "-6", "-j", "rule", "show")
        assert len(rules) == 4, "local, pods, marked, main: no ENI of these pods has IPv6"
